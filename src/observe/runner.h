/* runner.h - the inside of the runner: what its files share
 *
 * runner.c takes messages and turns; runner_decide.c says whether an action is due, and
 * runner_held.c keeps those that are not due yet; runner_check.c looks for itself at what the gate
 * said, runner_witness.c beforehand at what cannot be seen of who is gone; runner_ladder.c lives
 * through one action, step by step, and runner_tell.c tells of it; runner_command.c makes a command
 * of a step; runner_resume.c goes on with what an earlier runner left; runner_plan.c answers what
 * would be done; runner_books.c counts, and keeps the audit log.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "export/audit_log.h"
#include "export/metrics_table.h"
#include "loop/loop.h"
#include "observe/acting.h"
#include "observe/alerts.h"
#include "observe/brakes.h"
#include "observe/pauses.h"
#include "observe/roles.h"
#include "observe/state_file.h"
#include "process/command.h"
#include "process/journal.h"
#include "process/ladder.h"

#define BELAY__OUTSTANDING_MAX                                                                     \
	448 /* actions under way; with the orphans no more than a journal holds */
#define BELAY__ORPHANS_MAX    63
#define BELAY__HELD_MAX       1024
#define BELAY__UNSENT_MAX     2048
#define BELAY__GROUPS_MAX     256
#define BELAY__WITNESS_GROUPS 32         /* who is in more has to be looked up */
#define BELAY__NO_RULE        UINT16_MAX /* there is no rule of that name (any more) */
/* A new gate builds its table first: so long it is waited for. */
#define BELAY__TABLE_WITHIN_NS (5 * BELAY__NS_PER_S)
#define BELAY__TABLE_AGAIN_NS  (100 * BELAY__NS_PER_MS)

struct belay__runner;

/* What the runner found out itself about the process that an action is about. */
struct belay__subject {
	int pidfd; /* owned; -EBADF: it has ended (END) */
	uid_t uid; /* as whom its commands run */
	gid_t gid;
	bool other_user; /* uid is not ours: commands have to become it */
	bool as_root;    /* commands stay root */
	size_t group_count;
	gid_t groups[BELAY__GROUPS_MAX];
};

/* One action under way. */
struct belay__action {
	struct belay__action *next;
	struct belay__runner *runner;
	struct belay__msg_act act;
	struct belay__subject subject;
	struct belay__ladder ladder;
	size_t step;             /* the one at hand, from 0 */
	bool asked;              /* by a person: what beats is acted on all the same */
	bool orphan;             /* its pid names another process by now */
	bool armed;              /* the brakes know of it */
	uint64_t table_until_ns; /* how long a missing table is waited for; 0: it was not missing */
	uint32_t ladder_check;
	uint64_t journal_id; /* of the step at hand; 0: none */
	struct belay__command *command;
	struct belay__io end_io; /* of the pidfd, while a step waits */
	struct belay__timer wait;
};

/* An action that is to be looked at again later. */
struct belay__held {
	struct belay__held *next;
	uint64_t due_ns, until_ns; /* UNTIL: how long a missing table is waited for */
	struct belay__msg_act act;
	enum belay__acted told; /* why it is held back, as it was told; REPORTED: it was not */
	uint64_t ended_ticks;   /* END: it had ended by then, as start times are counted */
	uint64_t journal_id;    /* of an intent of an earlier runner; 0: braked */
	uint32_t step, ladder_check;
	bool asked;
};

struct belay__unsent {
	struct belay__unsent *next;
	uint32_t type, size;
	unsigned char record[];
};

/* What was seen of a process while it ran. */
struct belay__witness {
	uint32_t pid;  /* 0: of nobody */
	uint16_t rule; /* number + 1: of the rule that trusts it with root; 0: none does */
	bool has_groups;
	uint64_t start_ticks;
	gid_t gid;
	uint32_t group_count;
	gid_t groups[BELAY__WITNESS_GROUPS];
};
#define BELAY__WITNESSES 4096

struct belay__runner {
	struct belay__loop *loop;
	struct belay__observe_config config, incoming; /* in force; as it comes in */
	int gate, state_fd, journal_fd;
	bool gone; /* GO was said */
	bool listening, over;
	struct belay__io parent_io, gate_io;
	struct belay__timer journal_retry;

	struct belay__state_view view;
	struct belay__journal *journal;
	struct belay__brakes *brakes;
	struct belay__alerts *alerts;
	uint64_t own_pid_ns;

	struct belay__action *actions; /* orphans among them */
	uint32_t outstanding, orphans;
	struct belay__held *held;
	uint32_t held_count;
	struct belay__timer held_timer;
	struct belay__unsent *unsent, **unsent_end;
	uint32_t unsent_count;

	struct belay__witness *witnesses; /* NULL: no rule needs them */
	struct belay__timer witness_timer;
	uint32_t witness_next; /* the slot to go on with */

	struct belay__msg_pause pauses[BELAY__PAUSES_MAX];
	uint32_t pause_count;

	/* books */
	struct belay__audit_log *audit;
	struct belay__timer audit_timer, counts_timer;
	uint64_t observer_started_ns; /* CLOCK_MONOTONIC */
	uint64_t counts[BELAY__METRIC_COUNT];
	struct belay__msg_runner_counts sent_counts;
	uint64_t counts_sent_ns;
	bool counted_in_turn;
};

/* --- runner.c --- */

/* To the gate: now, or later when it does not take it now. */
void belay__runner_tell(struct belay__runner *runner, uint32_t type, const void *record,
	uint32_t size);
/* Gives ACT the number that the rule of its rule_name has now, or BELAY__NO_RULE. */
void belay__runner_number(const struct belay__runner *runner, struct belay__msg_act *act);
/* The rule of ACT; NULL: none, or there is no such rule. */
const struct belay__rule *belay__runner_rule(const struct belay__runner *runner,
	const struct belay__msg_act *act);
/* Whether both are about the same silence or the same end. */
bool belay__same_act(const struct belay__msg_act *one, const struct belay__msg_act *other);

/* --- runner_decide.c --- */

/* What comes of ACT: OUTCOME, or REPORTED (0) when it may be begun. */
struct belay__decision {
	enum belay__acted outcome;
	uint64_t wait_ns;
	char why[192];
	struct belay__subject subject; /* its pidfd is the caller's; of value with outcome 0 only */
	struct belay__ladder ladder;
	uint32_t ladder_check;
};

/* What does not count against an action that a person asked for, or asks about. */
enum belay__forgiven {
	BELAY__FORGIVE_VERDICT = 1 << 0,
	BELAY__FORGIVE_BEATS = 1 << 1,
	BELAY__FORGIVE_BACK_OFF = 1 << 2,
	BELAY__FORGIVE_STATE = 1 << 3, /* that it is paused, stopped or traced */
	BELAY__FORGIVE_ALL = 15,
};

/* Reads what is configured for ACT and looks at its process. False: nothing is configured (WHY says
 * so). Brakes and journal are not asked. */
bool belay__runner_prepare(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, struct belay__decision *ret_decision);
/* Looks at everything that may be against ACT and notes nothing. False as above. */
bool belay__runner_decide(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, struct belay__decision *ret_decision);
/* Takes ACT as it came from the gate, or from a person (ASKED). Returns the decision's outcome. */
enum belay__acted belay__runner_act(struct belay__runner *runner, const struct belay__msg_act *act,
	bool asked);
/* Begins what DECISION says about ACT, or tells why not and, where that may pass, holds it back.
 * BEFORE: it was held back until now, else NULL. */
void belay__runner_carry_out(struct belay__runner *runner, const struct belay__msg_act *act,
	bool asked, const struct belay__held *before, struct belay__decision *decision);
/* The brakes know of an action on ACT from now on; whether they do. */
void belay__runner_arm(struct belay__runner *runner, const struct belay__msg_act *act);
bool belay__runner_did(const struct belay__runner *runner, const struct belay__msg_act *act);
/* Tells the gate that ACT is held back, and writes it down. */
void belay__runner_withheld(struct belay__runner *runner, const struct belay__msg_act *act,
	const struct belay__decision *decision);

/* --- runner_held.c --- */

/* Looks at HELD again later. False: there is no room. */
bool belay__runner_hold(struct belay__runner *runner, const struct belay__held *held);
/* Lets go of all that is held. */
void belay__runner_drop_held(struct belay__runner *runner);
/* Now, as the start times of processes are counted. */
uint64_t belay__now_ticks(void);

/* --- runner_check.c --- */

enum belay__needs { BELAY__NEEDS_COMMAND = 1 << 0, BELAY__NEEDS_SIGNAL = 1 << 1 };

/* Whether ACT is about who it says and may be acted on, as far as the runner can see itself: 0 and
 * *ret_subject, else the enum belay__acted and a sentence in WHY. NEEDS: what is to be done holds such
 * steps. */
int belay__runner_check(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, unsigned needs, struct belay__subject *ret_subject, char *why,
	size_t size);
/* The state file as it is now, to be asked for before each look; there may be no table in it. */
const struct belay__state_view *belay__runner_view(struct belay__runner *runner);
/* Whether there is no table to be believed now, and one may come. */
bool belay__runner_lacks_table(struct belay__runner *runner);
/* Whether commands about processes of RULE (NULL: none) are to run as root. */
bool belay__runner_wants_root(const struct belay__runner *runner, const struct belay__rule *rule);

/* --- runner_witness.c --- */

/* Looks at the processes that could end and then need for their command what cannot be seen of them
 * any more: root, or their groups. Again every second. */
void belay__runner_witness(struct belay__runner *runner);
/* The same when rules changed. */
void belay__runner_witness_anew(struct belay__runner *runner);
/* What was seen of the process of ACT while it ran; NULL: nothing. */
const struct belay__witness *belay__runner_saw(const struct belay__runner *runner,
	const struct belay__msg_act *act);

/* --- runner_ladder.c --- */

/* Begins the ladder of DECISION (its pidfd is consumed) at STEP; JOURNAL_ID: of an intent that
 * stands already, else 0. */
void belay__action_begin(struct belay__runner *runner, const struct belay__msg_act *act, bool asked,
	struct belay__decision *decision, size_t step, uint64_t journal_id);
/* Goes on with the command {PID, START_TICKS} of an earlier runner. 0 or a negative errno: then
 * there is no action, and the pidfd of DECISION is consumed all the same. */
int belay__action_adopt(struct belay__runner *runner, const struct belay__msg_act *act,
	struct belay__decision *decision, size_t step, uint64_t journal_id, pid_t pid,
	uint64_t start_ticks);
/* The action under way on pid PID that is no orphan, or NULL. */
struct belay__action *belay__action_find(struct belay__runner *runner, uint32_t pid);
/* Its process has ended and another has its pid: kills its command and lets it end by itself. 0, or
 * STALE_CHILD or ORPHANS_FULL. */
int belay__action_orphan(struct belay__action *action);
/* Lets go of all actions; their commands run on. */
void belay__actions_done(struct belay__runner *runner);

/* --- runner_tell.c --- */

/* Fills what messages about ACT share. */
void belay__acted_init(struct belay__msg_acted *acted, const struct belay__msg_act *act,
	enum belay__acted outcome);
/* Tells what became of the step at hand, with TEXT or with the step as it is written. */
void belay__action_say(struct belay__action *action, enum belay__acted outcome, const char *text);
void belay__action_say_step(struct belay__action *action, enum belay__acted outcome);
/* Tells how the command of the step at hand ended. */
void belay__action_say_end(struct belay__action *action, const struct belay__command_result *result);
/* What a command's end is called. */
enum belay__acted belay__acted_of(const struct belay__command_result *result);

/* --- runner_command.c --- */

/* Starts the command of ACTION's step. 0 and action->command, or a negative errno with a
 * sentence. */
int belay__action_command(struct belay__action *action, belay__command_done *done,
	struct belay_error *reterr);
/* The verdict of ACT in a word: "silent", "exited" ... */
const char *belay__act_verdict(const struct belay__msg_act *act);

/* --- runner_resume.c --- */

/* What belongs to ACT and its step in the journal. */
struct belay__intent belay__runner_intent(const struct belay__msg_act *act, size_t step, bool asked,
	uint32_t ladder_check);
/* Goes on with what the journal holds. */
void belay__runner_resume(struct belay__runner *runner);
/* Looks again at one that was resumed. */
void belay__runner_resumed(struct belay__runner *runner, const struct belay__held *held);

/* --- runner_plan.c --- */

void belay__runner_plan(struct belay__runner *runner, const struct belay__msg_plan *plan);

/* --- runner_books.c --- */

/* What an action is written down with. */
struct belay__spawned {
	uint32_t agent_pid, child_pid;
	const char *const *argv;
	const char *source; /* NULL: "inline" */
};

/* Opens the audit log that is configured now, or closes the one that is not any more. */
void belay__books_configure(struct belay__runner *runner);
void belay__books_spawned(struct belay__runner *runner, const struct belay__spawned *spawned);
/* Counts what is told, and writes down what the original does. */
void belay__books_note(struct belay__runner *runner, const struct belay__msg_acted *acted);
/* Sees to it that the counts are sent when they changed. */
void belay__books_touch(struct belay__runner *runner);
/* All of them, to a gate that knows none yet. */
void belay__books_send_again(struct belay__runner *runner);
void belay__books_done(struct belay__runner *runner);
