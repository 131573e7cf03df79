/* aide.h - somebody to ask for what this process may not see itself
 *
 * A process in a cage (Landlock, or without privilege) may not look at most of what /proc says of
 * others. One that may can be asked by it: what this room cannot read for want of permission, it asks the
 * aide for, if there is one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "identity/process_info.h"

enum belay__aide_want {
	BELAY__AIDE_PID_NS = 1 << 0,
	BELAY__AIDE_EXE = 1 << 1,
	BELAY__AIDE_ENV = 1 << 2,
	BELAY__AIDE_EXIT = 1 << 3,
};

struct belay__aide_facts {
	uint32_t known; /* enum belay__aide_want */
	int32_t exit_status;
	uint64_t pid_ns;
	char env[sizeof(((struct belay__names *)NULL)->env)];
	char exe[sizeof(((struct belay__names *)NULL)->exe)];
};

struct belay__aide {
	void *data;
	/* Fills RET_FACTS with what it can tell of WANT. Must not take long: callers wait. 0 or a negative
	 * errno. START_TICKS is needed for EXIT only. */
	int (*ask)(void *data, pid_t pid, uint64_t start_ticks, uint32_t want,
		struct belay__aide_facts *ret_facts);
};

/* From now on AIDE (copied; NULL: nobody) is asked by the whole program. */
void belay__aide_set(const struct belay__aide *aide);

/* Asks the aide for one of enum belay__aide_want. 0, -ENODATA (there is none, or it does not know), or
 * what went wrong: it may know later. */
int belay__aide_ask(pid_t pid, uint64_t start_ticks, enum belay__aide_want want,
	struct belay__aide_facts *ret_facts);

/* Until PID is 0: as soon as one of WANT (enum belay__aide_want, EXIT not among them) has to be asked for
 * about PID, all of them are, once: whoever waits, waits once. */
void belay__aide_expect(pid_t pid, uint32_t want);

/* What an aide does: looks itself. */
void belay__aide_look(pid_t pid, uint64_t start_ticks, uint32_t want,
	struct belay__aide_facts *ret_facts);
