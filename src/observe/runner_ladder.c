/* One action's life: step after step, each written to the journal before it is taken, until the
 * last, or until there is something against it: all is looked at once more before each step. */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "identity/identity.h"
#include "observe/runner.h"
#include "process/spawn.h"

static void run_steps(struct belay__action *action);

/* --- the journal --- */

static void finish(struct belay__action *action, enum belay__acted outcome, int32_t value)
{
	if (action->journal_id != 0)
		(void)belay__journal_finish(action->runner->journal, action->journal_id,
			(uint32_t)outcome, value);
	action->journal_id = 0;
}

/* Writes down that STEP is due in WAIT_NS. 0 or a negative errno. */
static int intend(const struct belay__action *action, size_t step, uint64_t wait_ns,
	uint64_t *ret_id)
{
	struct belay__intent intent = belay__runner_intent(&action->act, step, action->asked,
		action->ladder_check);

	intent.realtime_ns = belay__clock_ns(CLOCK_REALTIME) + wait_ns;
	if (action->runner->journal == NULL)
		return -EBADF;
	return belay__journal_intend(action->runner->journal, &intent, ret_id);
}

/* --- beginning and end --- */

static void stop_waiting(struct belay__action *action)
{
	belay__io_remove(&action->end_io);
	belay__timer_clear(&action->wait);
}

/* Frees ACTION, which is on no list any more. */
static void dispose(struct belay__action *action)
{
	if (action->orphan)
		action->runner->orphans--;
	else
		action->runner->outstanding--;
	stop_waiting(action);
	belay__close(action->subject.pidfd);
	free(action);
}

static void end(struct belay__action *action)
{
	struct belay__action **at = &action->runner->actions;

	assert(action->journal_id == 0 && action->command == NULL);
	while (*at != action)
		at = &(*at)->next;
	*at = action->next;
	dispose(action);
}

static void leave_off(struct belay__action *action, const char *why)
{
	finish(action, BELAY__ACTED_LEFT_OFF, 0);
	belay__action_say(action, BELAY__ACTED_LEFT_OFF, why);
	end(action);
}

static void arm(struct belay__action *action)
{
	if (!action->armed)
		belay__runner_arm(action->runner, &action->act);
	action->armed = true;
}

static void wait_for(struct belay__action *action, uint64_t wait_ns);

/* Whether the table is missing and waited for a while longer. */
static bool wait_for_table(struct belay__action *action)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);

	if (action->table_until_ns == 0)
		action->table_until_ns = now_ns + BELAY__TABLE_WITHIN_NS;
	if (now_ns >= action->table_until_ns || !belay__runner_lacks_table(action->runner))
		return false;
	wait_for(action, BELAY__TABLE_AGAIN_NS);
	return true;
}

/* Whether the step at hand is still to be taken, as if the action began with it. False: the action
 * waits, or was left off and is gone. */
static bool look_again(struct belay__action *action)
{
	/* One at a time, and too large for the stack. */
	static struct belay__decision decision;

	if (!belay__runner_prepare(action->runner, &action->act,
		    action->asked ? BELAY__FORGIVE_ALL : 0, &decision) ||
		(decision.outcome == BELAY__ACTED_REPORTED &&
			decision.ladder_check != action->ladder_check)) {
		decision.subject.pidfd = belay__close(decision.subject.pidfd);
		leave_off(action, "what is to be done about it was changed");
		return false;
	}
	if (decision.outcome == BELAY__ACTED_REPORTED) {
		belay__close(action->subject.pidfd);
		action->subject = decision.subject;
		action->table_until_ns = 0;
		return true;
	}
	if (decision.outcome != BELAY__ACTED_UNVERIFIABLE || !wait_for_table(action))
		leave_off(action, decision.why);
	return false;
}

/* Goes on with the step at hand when there still is a reason to. */
static void go_on(struct belay__action *action)
{
	stop_waiting(action);
	if (look_again(action))
		run_steps(action);
}

static void on_wait_over(struct belay__timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	go_on(timer->data);
}

static void on_process_ended(struct belay__io *io, uint32_t events)
{
	(void)events;
	leave_off(io->data, "it has ended");
}

static void wait_for(struct belay__action *action, uint64_t wait_ns)
{
	struct belay__loop *loop = action->runner->loop;

	belay__timer_set(loop, &action->wait, belay__clock_ns(CLOCK_MONOTONIC) + wait_ns,
		on_wait_over, action);
	/* Without it the end is seen when the wait is over. */
	(void)belay__io_add(loop, &action->end_io, action->subject.pidfd, EPOLLIN, on_process_ended,
		action);
}

/* --- steps --- */

/* Each returns whether the next step comes at once; else the action waits or is gone. */

static bool next_step(struct belay__action *action)
{
	if (++action->step < action->ladder.count)
		return true;
	end(action);
	return false;
}

static bool no_journal(struct belay__action *action, int error)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "it cannot be written down before: %s", strerror(-error));
	finish(action, BELAY__ACTED_NO_JOURNAL, error);
	belay__action_say(action, BELAY__ACTED_NO_JOURNAL, text);
	end(action);
	return false;
}

static bool take_report(struct belay__action *action)
{
	finish(action, BELAY__ACTED_REPORTED, 0);
	arm(action);
	belay__action_say_step(action, BELAY__ACTED_REPORTED);
	return next_step(action);
}

static int send_signal(const struct belay__action *action, const struct belay__step *step)
{
	int r = belay__signal(action->subject.pidfd, step->signal);

	if (r == 0 && step->then_continue)
		(void)belay__signal(action->subject.pidfd, SIGCONT);
	return r;
}

/* The step after it is written down first, this one's line is finished and the brakes know of it
 * before the signal is sent: whenever the runner dies, no signal is sent twice and the steps that
 * follow are not forgotten. */
static bool take_signal(struct belay__action *action)
{
	const struct belay__step *step = &action->ladder.steps[action->step];
	bool waits = step->wait_ns > 0 && action->step + 1 < action->ladder.count;
	uint64_t next_id = 0;
	char text[96];
	int r = 0;

	if (action->journal_id == 0)
		r = intend(action, action->step, 0, &action->journal_id);
	if (r == 0 && waits)
		r = intend(action, action->step + 1, step->wait_ns, &next_id);
	if (r < 0)
		return no_journal(action, r);
	finish(action, BELAY__ACTED_SIGNALLED, step->signal);
	action->journal_id = next_id;
	arm(action);
	r = send_signal(action, step);
	if (r == -ESRCH) {
		leave_off(action, "it has ended");
		return false;
	}
	if (r < 0) {
		(void)snprintf(text, sizeof(text), "cannot signal it: %s", strerror(-r));
		finish(action, BELAY__ACTED_SIGNAL_FAILED, r);
		belay__action_say(action, BELAY__ACTED_SIGNAL_FAILED, text);
		end(action);
		return false;
	}
	belay__action_say_step(action, BELAY__ACTED_SIGNALLED);
	if (!waits)
		return next_step(action);
	action->step++;
	wait_for(action, step->wait_ns);
	return false;
}

static void on_command_done(struct belay__command *command,
	const struct belay__command_result *result, void *data)
{
	struct belay__action *action = data;

	assert(command == action->command);
	finish(action, belay__acted_of(result), result->exit_code);
	belay__action_say_end(action, result);
	action->command = NULL;
	if (action->orphan)
		end(action);
	else if (next_step(action))
		go_on(action);
}

static bool take_command(struct belay__action *action)
{
	struct belay_error error = { .text = "" };
	int r = 0;

	if (action->journal_id == 0)
		r = intend(action, action->step, 0, &action->journal_id);
	if (r < 0)
		return no_journal(action, r);
	r = belay__action_command(action, on_command_done, &error);
	if (r < 0) {
		finish(action, BELAY__ACTED_SPAWN_FAILED, r);
		belay__action_say(action, BELAY__ACTED_SPAWN_FAILED, error.text);
		end(action);
		return false;
	}
	arm(action);
	belay__action_say_step(action, BELAY__ACTED_STARTED);
	return false;
}

static bool take_step(struct belay__action *action)
{
	switch (action->ladder.steps[action->step].kind) {
	case BELAY__LADDER_REPORT:
		return take_report(action);
	case BELAY__LADDER_SIGNAL:
		return take_signal(action);
	case BELAY__LADDER_COMMAND:
		return take_command(action);
	}
	return false;
}

/* The first one was just looked at. */
static void run_steps(struct belay__action *action)
{
	while (take_step(action))
		if (!look_again(action))
			return;
}

/* --- from outside --- */

static struct belay__action *new_action(struct belay__runner *runner,
	const struct belay__msg_act *act, struct belay__decision *decision, size_t step,
	uint64_t journal_id)
{
	struct belay__action *action = calloc(1, sizeof(*action));

	if (action == NULL)
		return NULL;
	action->runner = runner;
	action->act = *act;
	action->subject = decision->subject;
	decision->subject.pidfd = -EBADF;
	action->ladder = decision->ladder;
	action->ladder_check = decision->ladder_check;
	action->step = step;
	action->journal_id = journal_id;
	/* It counts once, whoever goes on with it. */
	action->armed = journal_id != 0 && belay__runner_did(runner, act);
	action->end_io.fd = -EBADF;
	action->next = runner->actions;
	runner->actions = action;
	runner->outstanding++;
	return action;
}

void belay__action_begin(struct belay__runner *runner, const struct belay__msg_act *act, bool asked,
	struct belay__decision *decision, size_t step, uint64_t journal_id)
{
	struct belay__action *action = new_action(runner, act, decision, step, journal_id);

	if (action == NULL) {
		decision->subject.pidfd = belay__close(decision->subject.pidfd);
		belay__log(BELAY__LOG_WARNING, "no memory for an action on %s", act->name);
		return;
	}
	action->asked = asked;
	run_steps(action);
}

int belay__action_adopt(struct belay__runner *runner, const struct belay__msg_act *act,
	struct belay__decision *decision, size_t step, uint64_t journal_id, pid_t pid,
	uint64_t start_ticks)
{
	struct belay__action *action = new_action(runner, act, decision, step, journal_id);
	int r;

	if (action == NULL) {
		decision->subject.pidfd = belay__close(decision->subject.pidfd);
		return -ENOMEM;
	}
	r = belay__command_adopt(runner->loop, pid, start_ticks,
		runner->config.options.recovery_timeout_ns, on_command_done, action,
		&action->command);
	if (r < 0) {
		action->journal_id = 0;
		end(action);
		return r;
	}
	arm(action);
	belay__action_say(action, BELAY__ACTED_ADOPTED,
		"its command was started by an earlier runner and goes on");
	return 0;
}

struct belay__action *belay__action_find(struct belay__runner *runner, uint32_t pid)
{
	struct belay__action *action = runner->actions;

	while (action != NULL && (action->act.pid != pid || action->orphan))
		action = action->next;
	return action;
}

int belay__action_orphan(struct belay__action *action)
{
	struct belay__runner *runner = action->runner;

	runner->counts[BELAY__METRIC_RECOVERY_OUTSTANDING_RESETS]++;
	if (action->command == NULL) {
		leave_off(action, "it has ended");
		return 0;
	}
	if (runner->orphans >= BELAY__ORPHANS_MAX ||
		runner->orphans >= runner->config.options.capacity)
		return BELAY__ACTED_ORPHANS_FULL;
	if (belay__command_cancel(action->command) < 0)
		return BELAY__ACTED_STALE_CHILD;
	action->orphan = true;
	runner->outstanding--;
	runner->orphans++;
	return 0;
}

void belay__actions_done(struct belay__runner *runner)
{
	struct belay__action *action = runner->actions, *next;

	/* Their lines in the journal stay: the next runner goes on with them. */
	for (; action != NULL; action = next) {
		next = action->next;
		action->command = belay__command_free(action->command);
		dispose(action);
	}
	runner->actions = NULL;
}
