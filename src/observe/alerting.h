/* alerting.h - which of the gate's events people are alerted of
 *
 * Stalls that count (crowds.h: blocked and silent ones, and those that are acted on), crashes,
 * somebody missing, mass stalls, actions, and that the trouble with a name is over. What happens to
 * a paused process is no alert.
 *
 * The last BELAY__ALERTS_KEPT are kept until the runner says that they were handed over; those of
 * which it did not go to the next one, in order. When there are more, the oldest that a runner has
 * goes first; one that no runner has is lost, counted, and told.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/observer.h>

#include "observe/acting.h"
#include "observe/courier.h"
#include "observe/teller.h"
#include "observe/troubles.h"

#define BELAY__ALERTS_KEPT 1024

struct belay__kept_alert {
	bool handed_over;
	uint32_t pid; /* of a stall, which is marked as untold until then; 0: of something else */
	uint64_t start_ticks;
	struct belay__msg_alert alert;
};

struct belay__alerting {
	struct belay_observer *observer;
	struct belay__teller *teller;
	struct belay__courier *courier;
	const struct belay__observe_options *options;
	uint64_t lost; /* alerts that nobody took */
	bool lost_is_told;
	struct belay__troubles troubles;
	uint32_t first, count, sent; /* a ring: the first SENT of COUNT went to the present runner */
	struct belay__kept_alert kept[BELAY__ALERTS_KEPT];
};

/* Remembers troubles that the observer took over as alerted. */
void belay__alerting_begin(struct belay__alerting *alerting);

/* Whether anybody is to be alerted at all. */
bool belay__alerting_is_on(const struct belay__alerting *alerting);

/* Fills *ret_alert of a stall, ACT, with the line told last; or, when that is about something else,
 * with one made anew, numbered SEQ. */
void belay__alert_make_stall(const struct belay__alerting *alerting,
	const struct belay__msg_act *act, uint64_t seq, struct belay__msg_alert *ret_alert);
/* Sends it. The stall of ACT is a trouble from now on. */
void belay__alert_stall(struct belay__alerting *alerting, const struct belay__msg_act *act,
	const struct belay__msg_alert *alert);

/* Sends what is kept as far as the channel takes it. */
void belay__alerts_send(struct belay__alerting *alerting);
/* There is another runner, which has none of those that are kept. */
void belay__alerts_send_again(struct belay__alerting *alerting);
/* The alert numbered SEQ was handed over. */
void belay__alert_handed_over(struct belay__alerting *alerting, uint64_t seq);
/* People were told of KIND under an earlier observer, and not that it is over. */
void belay__alert_is_open(struct belay__alerting *alerting, enum belay__alert_kind kind,
	uint32_t uid, const char *name);

/* EVENT, which is no stall, was told: sends what it is an alert of. */
void belay__alerting_heard(struct belay__alerting *alerting, const struct belay_event *event);
/* The same of what the runner did. */
void belay__alerting_acted(struct belay__alerting *alerting, const struct belay__msg_acted *acted);
