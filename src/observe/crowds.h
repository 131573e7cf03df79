/* crowds.h - the processes of one rule, user and host, and whether many of them went silent at once
 *
 * When more than 20 % of a crowd, and at least five, go silent within one threshold, the cause is
 * hardly in them: one event tells it, and nothing is done about each. Only silences count that
 * people are told of: verdicts blocked and silent, and those that the rule has acted on. A dozen
 * stopped by a signal is no mass stall where nobody acts on stopped ones.
 *
 * A mass stall goes on while as many of its members are silent as would make one. When it is over,
 * those of them that are silent still are left: belay__crowds_left_next() hands them on one by one,
 * because each is an ordinary stall then. Who belongs to a mass stall that was told is marked in its
 * record, which an observer that comes after this one finds.
 *
 * Silent members of the last threshold, or of the mass stall, hang on a list in order of time, so
 * nothing is ever scanned; who else may be about to be silent is looked for at the head of its
 * deadline list only. There are BELAY__CROWDS_MAX crowds; what does not fit shares one more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "observe/options.h"

#define BELAY__CROWDS_MAX     256
#define BELAY__CROWD_MASS_MIN 5
/* How many silent ones are looked at to find out how many belong to a crowd. */
#define BELAY__SUSPECTS_MAX 1024

struct belay_observer;

struct belay__crowd {
	uint32_t uid;
	uint16_t rule;     /* number + 1; 0: none */
	uint16_t host;     /* of its processes (remote.h): one host's silence excuses no other's */
	bool told;         /* its mass stall was told and goes on */
	bool starts, ends; /* to be told */
	uint32_t members, silent;
	uint32_t recent;         /* of the silent: since one threshold at most; told: its members */
	uint32_t oldest, newest; /* of those: record numbers, BELAY__NO_RECORD: none */
	uint32_t suspects;       /* when it started */
	uint64_t watched_until_ns;  /* others are suspected until then; 0: never */
	uint64_t suspect_before_ns; /* suspected is who was not heard since */
	char name[BELAY__NAME_SIZE];
};

struct belay__crowds {
	struct belay__crowd crowds[BELAY__CROWDS_MAX + 1]; /* the last is that of all others */
	uint64_t mass_stalls;                              /* told so far */
	uint32_t also[BELAY__RULES_MAX + 1]; /* by rule: 1 << verdicts that count, too */
	uint32_t left_first, left_last;      /* record numbers */
	uint32_t at_hand;                    /* whose event was made last */
};

/* Beside each process (struct belay__watch). */
struct belay__member {
	uint16_t crowd; /* its number + 1; 0: none */
	bool silent;    /* counted as such */
	bool recent;    /* on the list of its crowd */
	bool left;      /* on the list of those whose mass stall is over */
	uint32_t prev, next;
	uint64_t since_ns;
};

/* Which mass stalls go on, for a while in which everybody leaves and joins anew. */
struct belay__mass_stalls {
	uint32_t count;
	struct belay__mass_stall {
		uint32_t uid;
		bool goes_on, starts;
		char name[BELAY__NAME_SIZE];
	} stalls[BELAY__CROWDS_MAX + 1];
};

/* Whether a silence of a process of RULE (number + 1; 0: none) with this enum belay__verdict
 * counts. */
bool belay__is_blamed(const struct belay_observer *observer, uint16_t rule, uint8_t verdict);

enum belay__outlook {
	BELAY__ALONE,      /* a mass stall of its crowd is not possible soon */
	BELAY__MAYBE_MANY, /* too many others have not been heard for half a threshold */
	BELAY__MANY,       /* it belongs to a mass stall */
};

/* Forgets all crowds, which nobody belongs to any more. */
void belay__crowds_reset(struct belay_observer *observer);
/* Remembers what goes on, before everybody leaves (a reload). */
void belay__crowds_keep(const struct belay_observer *observer, struct belay__mass_stalls *ret_kept);
/* After processes were taken over, or got new rules: what was told goes on. KEPT says what that is,
 * by name and user; without it (NULL: another observer told it) the members' marks do. */
void belay__crowds_resume(struct belay_observer *observer, const struct belay__mass_stalls *kept);
/* Somebody knows of a mass stall of NAME and UID. Unless it goes on, it is over. */
void belay__crowds_known(struct belay_observer *observer, const char *name, uint32_t uid);

/* The process of record NUMBER, named and with its rule, is one of its crowd from now on (STALLED:
 * a silent one that counts); and no longer. */
void belay__crowd_join(struct belay_observer *observer, uint32_t number, bool stalled);
void belay__crowd_leave(struct belay_observer *observer, uint32_t number);
/* It went silent, with a verdict that counts; and was heard again. THRESHOLD_NS is its own. */
void belay__crowd_silent(struct belay_observer *observer, uint32_t number, uint8_t list,
	uint64_t threshold_ns);
void belay__crowd_heard(struct belay_observer *observer, uint32_t number);
/* It was left by one mass stall, and its crowd has another: it belongs to that one. */
void belay__crowd_rejoin(struct belay_observer *observer, uint32_t number);

/* What the stall in slot AT may be part of. When it may be part of many, ask belay__crowd_look()
 * again until *ret_until_ns (the observer's clock). */
enum belay__outlook belay__crowd_outlook(struct belay_observer *observer, uint32_t at,
	uint64_t *ret_until_ns);
/* The same of crowd NUMBER (struct belay__member) whose members' deadlines lie on LIST. */
enum belay__outlook belay__crowd_look(struct belay_observer *observer, uint16_t number,
	uint8_t list);

/* What crowd number AT (from 0) is called: its rule's name, "(no rule)" or "(others)", behind the name
 * of its host when that is another. */
const char *belay__crowd_name(const struct belay_observer *observer, uint32_t at);

/* Makes the event of a mass stall that started or is over. Returns whether there was one. */
bool belay__crowds_next(struct belay_observer *observer);
/* The mass stall whose event was made last was told: its members are marked. Not earlier, because an
 * observer that is killed while it tells has not told it. */
void belay__crowds_told(struct belay_observer *observer);
/* The record number of somebody who is silent still after a mass stall, each once;
 * BELAY__NO_RECORD: nobody (more). */
uint32_t belay__crowds_left_next(struct belay_observer *observer);
