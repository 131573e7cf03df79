/* troubles.h - what people were alerted of and is not over yet
 *
 * A trouble is what happened to a process, a rule or a crowd; several processes may share a name of
 * one user, and that name is well when all its troubles are over. At most BELAY__TROUBLES_MAX are
 * remembered; the oldest makes room.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define BELAY__TROUBLES_MAX 1024

struct belay__trouble {
	bool open;
	bool gone;         /* its process has ended: it is over when another of its name beats */
	uint8_t kind;      /* enum belay__alert_kind */
	uint32_t uid, pid; /* pid 0: of a rule or a crowd */
	char name[BELAY__NAME_SIZE];
};

struct belay__troubles {
	uint32_t next, used; /* a ring; places that were ever in use */
	struct belay__trouble troubles[BELAY__TROUBLES_MAX];
};

/* Remembers what of KIND befell PID (0: none), called NAME, of UID. */
void belay__trouble_opens(struct belay__troubles *troubles, uint8_t kind, uint32_t uid,
	const char *name, uint32_t pid);
/* Remembers what of KIND befell somebody called NAME under an earlier observer, who knows whom: it is
 * over when another of its name beats. */
void belay__trouble_inherited(struct belay__troubles *troubles, uint8_t kind, uint32_t uid,
	const char *name);
/* Whether something of KIND is remembered of NAME. */
bool belay__trouble_is_open(const struct belay__troubles *troubles, uint8_t kind, uint32_t uid,
	const char *name);
/* Whether something that befell PID is remembered. */
bool belay__trouble_with(const struct belay__troubles *troubles, uint32_t uid, uint32_t pid);
/* PID has ended. */
void belay__trouble_gone(struct belay__troubles *troubles, uint32_t uid, uint32_t pid);

/* Each returns whether something was over by it and the name has no trouble left: what befell PID;
 * what befell one that has ended, because PID of the same name beats now; what of KIND befell a rule
 * or crowd. */
bool belay__trouble_over(struct belay__troubles *troubles, uint32_t uid, const char *name,
	uint32_t pid);
bool belay__trouble_replaced(struct belay__troubles *troubles, uint32_t uid, const char *name,
	uint32_t pid);
bool belay__trouble_lifted(struct belay__troubles *troubles, uint8_t kind, uint32_t uid,
	const char *name);
