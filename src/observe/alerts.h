/* alerts.h - what people should know, handed to a command of theirs; and the sign that all is well
 *
 * Alerts of five seconds are handed over together: one run of the command, one JSON object a line
 * on its stdin. A problem (a stall, a crash, somebody missing, a mass stall) that goes on is told
 * again after four hours; that it is over is always told. A command that fails is run again later
 * with all that it has not taken. docs/alerts.md says it to whoever writes such a command.
 *
 * One command runs at a time, and whoever gives an alert never waits for it.
 */
#pragma once

#include <stdint.h>

#include "loop/loop.h"
#include "observe/deadman.h"
#include "observe/roles.h"

#define BELAY__ALERT_WINDOW_NS    (5 * BELAY__NS_PER_S)
#define BELAY__ALERT_TIMEOUT_NS   (30 * BELAY__NS_PER_S)
#define BELAY__ALERT_RETRY_NS     (5 * BELAY__NS_PER_S) /* then twice as long, each time */
#define BELAY__ALERT_RETRY_MAX_NS (300 * BELAY__NS_PER_S)

struct belay__alerts;

/* Who listens. */
struct belay__alerts_ears {
	/* Answers what a message with a request asked: 0, or a negative errno and a sentence. */
	void (*answer)(void *data, const struct belay__msg_planned *planned);
	/* The alert SEQ (not 0) was handed over, or will not be: nobody has to keep it any more. */
	void (*done)(void *data, uint64_t seq);
	void *data;
};

/* On LOOP; OPTIONS are borrowed and looked at whenever something is done: their owner may change
 * them and calls belay__alerts_configured(). EARS are copied. 0 and *ret_alerts, or -ENOMEM. */
int belay__alerts_new(struct belay__loop *loop, const struct belay__observe_options *options,
	const struct belay__alerts_ears *ears, struct belay__alerts **ret_alerts);
/* Hands over what waits, at once and without waiting for what comes of it. Nothing but
 * belay__alerts_free() may follow. */
void belay__alerts_last_call(struct belay__alerts *alerts);
/* A command that runs is let go of. NULL allowed; returns NULL. */
struct belay__alerts *belay__alerts_free(struct belay__alerts *alerts);

void belay__alerts_configured(struct belay__alerts *alerts);
/* Takes a copy of ALERT; never waits. A test (kind TEST, or with a request) is run as soon as no
 * other call runs, by itself; one at a time, others are answered with -EBUSY. The ears may be
 * called before this returns. */
void belay__alerts_add(struct belay__alerts *alerts, const struct belay__msg_alert *alert);
/* Tells all problems that are open, to the data of the ears. */
void belay__alerts_tell_open(const struct belay__alerts *alerts,
	void (*tell)(void *data, const struct belay__msg_open *open));
/* The gate is well: it has just said so. */
void belay__alerts_gate_is_well(struct belay__alerts *alerts);
/* Adds its numbers (alerts_total by kind, alert_failures_total) to COUNTS. */
void belay__alerts_count(const struct belay__alerts *alerts,
	struct belay__msg_runner_counts *counts);
/* What became of the dead man's switch. */
struct belay__deadman_counts belay__alerts_deadman_counts(const struct belay__alerts *alerts);
