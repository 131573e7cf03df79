/* alerting.h - which of the gate's events people are alerted of
 *
 * Stalls that would be acted on, crashes, somebody missing, mass stalls, actions, and that the trouble
 * with a name is over. What happens to a paused process is no alert.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/observer.h>

#include "observe/courier.h"
#include "observe/teller.h"
#include "observe/troubles.h"

struct belay__alerting {
	struct belay_observer *observer;
	struct belay__teller *teller;
	struct belay__courier *courier;
	const struct belay__observe_options *options;
	uint64_t lost; /* alerts that nobody took */
	bool lost_is_told;
	struct belay__troubles troubles;
};

/* Remembers troubles that the observer took over as alerted. */
void belay__alerting_begin(struct belay__alerting *alerting);

/* Whether anybody is to be alerted at all. */
bool belay__alerting_is_on(const struct belay__alerting *alerting);

/* Fills *ret_alert of KIND with the line told last. */
void belay__alert_make(const struct belay__alerting *alerting, uint8_t kind, uint32_t uid,
	const char *name, struct belay__msg_alert *ret_alert);
/* Sends it. */
void belay__alert_send(struct belay__alerting *alerting, const struct belay__msg_alert *alert);
/* Sends that of a stall of PID, which is a trouble from now on. */
void belay__alert_stall(struct belay__alerting *alerting, const struct belay__msg_alert *alert,
	uint32_t pid);

/* EVENT, which is no stall, was told: sends what it is an alert of. */
void belay__alerting_heard(struct belay__alerting *alerting, const struct belay_event *event);
/* The same of what the runner did. */
void belay__alerting_acted(struct belay__alerting *alerting, const struct belay__msg_acted *acted);
