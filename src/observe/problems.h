/* problems.h - which problems are open, and whether a further alert about one is worth telling
 *
 * A problem is what is wrong (stall, crash, missing, mass stall) with a name of a uid. It is told
 * when it opens; what follows is counted until it is told again, four hours later, as it is then. A
 * recovery closes all problems of its name. A problem that nobody closes is told again for a week
 * and then forgotten, and so is the one told longest ago when there are BELAY__PROBLEMS_MAX.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "observe/roles.h"

#define BELAY__PROBLEMS_MAX          1024
#define BELAY__PROBLEM_REMINDER_NS   (14400 * BELAY__NS_PER_S)
#define BELAY__PROBLEM_REMINDERS_MAX 42

struct belay__problems;

/* What an alert says beyond its event. */
struct belay__telling {
	uint8_t kind; /* enum belay__alert_kind */
	uint32_t uid;
	uint32_t repeats; /* alerts of the same problem that were counted only, since it was told */
	uint32_t reminders; /* how often it was told again */
	uint32_t closes;    /* RECOVERED: 1 << enum belay__alert_kind */
	uint64_t seq;       /* of the event; 0: it was told before */
};

/* 0 and *ret_problems, or -ENOMEM. */
int belay__problems_new(struct belay__problems **ret_problems);
/* NULL allowed; returns NULL. */
struct belay__problems *belay__problems_free(struct belay__problems *problems);

/* Takes note of ALERT. Whether it is to be told, and *ret_telling then. */
bool belay__problems_note(struct belay__problems *problems, const struct belay__msg_alert *alert,
	uint64_t now_ns, struct belay__telling *ret_telling);

/* When the next reminder is due; UINT64_MAX: there is none. */
uint64_t belay__problems_due_ns(const struct belay__problems *problems);

/* The newest line of a problem to be told again by now, or NULL; valid until the next call of any
 * function here. Each problem comes once. */
const char *belay__problems_remind(struct belay__problems *problems, uint64_t now_ns,
	struct belay__telling *ret_telling, size_t *ret_len);

/* The open problem number AT, from 0, for a gate that does not know it. False: there are not so
 * many. */
bool belay__problems_at(const struct belay__problems *problems, uint32_t at,
	struct belay__msg_open *ret_open);

uint32_t belay__problems_count(const struct belay__problems *problems);
/* Problems that made room for others. */
uint64_t belay__problems_forgotten(const struct belay__problems *problems);
