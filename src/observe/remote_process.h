/* remote_process.h - what the observer makes of a process of another host
 *
 * Nothing can be looked up about it: it has no name of its own, no user, no start time, no end. It is
 * called `HOST/PID`, or `HOST/RULE` when a rule's host= is about its host.
 */
#pragma once

#include "base/json.h"
#include "observe/core.h"
#include "observe/state_file.h"

/* Counts the process KEY in (ADDED) or out of its host's share of the table; one of this host's counts for
 * nothing. */
void belay__remote_count(struct belay_observer *observer, uint32_t key, bool added);
/* Fills the record of a new process of another host, in slot AT, and names it. */
void belay__remote_begin(struct belay_observer *observer, uint32_t at);
/* Gives the process of another host in slot AT its name and its rule; nothing of its old name counts
 * any more. */
void belay__remote_name(struct belay_observer *observer, uint32_t at);

/* The number + 1 of the rule that is about HOST; 0: none. */
uint16_t belay__remote_rule(const struct belay__rule *rules, uint32_t count, const char *host);

/* Copies the host in front of NAME's slash to HOST; "" when it has none. */
void belay__remote_host(const char *name, char host[static BELAY__HOST_SIZE]);

/* Gives processes of other hosts in KEPT, of an earlier observer, the numbers that their hosts have
 * now; those of hosts that are not known any more are left out. Returns how many are left. */
uint32_t belay__remote_renumber(struct belay__kept *kept, uint32_t count,
	const struct belay__hosts *hosts);

/* Writes "uid": null for that of a process of another host. */
void belay__json_uid(struct belay__json_writer *json, uint32_t uid);

/* Writes who the process KEY of UID is as members "uid", "pid" and, for one of another host, whose uid
 * is null, "host". */
void belay__json_process(struct belay__json_writer *json, uint32_t key, uint32_t uid,
	const char *name);
