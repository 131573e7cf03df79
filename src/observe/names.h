/* names.h - what a process is called, decided once, at first contact
 *
 * The first that applies: the rule that matches it, BELAY_NAME in its environment, its systemd unit
 * or container, its command name and the lowest free ordinal ("worker#3"). Only the last kind is
 * unique: processes may share a name on purpose. A name that a process gave itself (BELAY_NAME,
 * comm, `belay beat NAME`) lives below its uid and never satisfies a rule that grants privilege.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "identity/process_info.h"
#include "observe/options.h"
#include "observe/slot.h"

enum belay__name_source {
	BELAY__NAME_NONE,
	BELAY__NAME_RULE,
	BELAY__NAME_OWN, /* self-given: BELAY_NAME, or at the door */
	BELAY__NAME_UNIT,
	BELAY__NAME_COMM,   /* self-given */
	BELAY__NAME_REMOTE, /* HOST/PID, of a process of another host */
	BELAY__NAME_SOURCES,
};

/* Ordinals in use, by (uid, comm). Sized at start for as many processes as the table. */
struct belay__ordinals;

int belay__ordinals_new(uint32_t capacity, struct belay__ordinals **ret_ordinals);
struct belay__ordinals *belay__ordinals_free(struct belay__ordinals *ordinals);

/* Takes the lowest free ordinal (from 1) of COMM under UID. 0: no room is left to keep count; the
 * name then has no ordinal. */
uint32_t belay__ordinal_take(struct belay__ordinals *ordinals, uint32_t uid, const char *comm);
/* Takes a given one, which a record that survived a restart holds. False: it is taken. */
bool belay__ordinal_take_this(struct belay__ordinals *ordinals, uint32_t uid, const char *comm,
	uint32_t ordinal);
void belay__ordinal_give_back(struct belay__ordinals *ordinals, uint32_t uid, const char *comm,
	uint32_t ordinal);

/* The first rule that NAMES and UID satisfy, or -1. A rule without conditions is satisfied by a
 * self-given name equal to its own. */
int belay__rule_match(const struct belay__rule *rules, uint32_t count,
	const struct belay__names *names, uint32_t uid);

/* Fills RECORD's name, name_source, ordinal and rule. */
void belay__name_record(struct belay__record *record, const struct belay__rule *rules,
	uint32_t rule_count, const struct belay__names *names, struct belay__ordinals *ordinals);

/* Gives back what belay__name_record() took. */
void belay__name_release(const struct belay__record *record, struct belay__ordinals *ordinals);

/* Whether the process gave itself this name. */
bool belay__name_self_given(enum belay__name_source source);
