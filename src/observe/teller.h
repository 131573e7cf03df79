/* teller.h - where the gate's events go: the event file, the log, and whoever follows at the
 * door */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/observer.h>

#include "export/event_file.h"
#include "observe/event_json.h"
#include "observe/roles.h"

#define BELAY__REFUSALS_MAX 24

struct belay__teller {
	struct belay_observer *observer;
	struct belay__event_file file;
	uint64_t seq; /* of the next event */
	bool full;
	uint64_t rotation_asked_ns; /* 0: not asked */
	uint64_t complained_ns;     /* of events that could not be written; 0: not yet */
	/* One line a second for each reason of refusal; what lies between is counted in the
	 * next. */
	struct belay__refusal {
		const char *reason;
		uint64_t told_ns, untold;
	} refusals[BELAY__REFUSALS_MAX];
	char line[BELAY__EVENT_LINE_MAX];
	char words[BELAY__EVENT_LINE_MAX];
};

/* Tells events of OBSERVER (borrowed), the first one numbered FIRST_SEQ. EVENTS_FD is owned from
 * now on; -EBADF: no file. */
void belay__teller_init(struct belay__teller *teller, struct belay_observer *observer,
	int events_fd, uint64_t first_seq);

void belay__teller_tell(struct belay__teller *teller, const struct belay_event *event);
void belay__teller_note(struct belay__teller *teller, const char *what, const char *note);
/* What the runner did or did not do. */
void belay__teller_acted(struct belay__teller *teller, const struct belay__msg_acted *acted);

/* The event told last: its JSON line without the newline, until the next is told; its number. */
const char *belay__teller_line(const struct belay__teller *teller);
uint64_t belay__teller_last_seq(const struct belay__teller *teller);

/* Whether the file is full and nobody was asked in the last minute to rotate it; asking is then
 * remembered. */
bool belay__teller_wants_rotation(struct belay__teller *teller);
/* Goes on in the file behind FD (owned from now on). */
void belay__teller_file_take(struct belay__teller *teller, int fd);
