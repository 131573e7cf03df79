/* The runner: executes whatever is executed. It believes the parent, and nothing that the gate says
 * but that somebody should be looked at. */

#include "observe/runner.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "identity/process_info.h"
#include "ipc/channel.h"
#include "observe/cage.h"

#define EXIT_OSERR       71
#define PARENT_MESSAGES  64
#define GATE_MESSAGES    16 /* as many actions as a turn may begin */
#define LAST_WORDS       512
#define JOURNAL_AGAIN_NS (20 * BELAY__NS_PER_MS)

void belay__runner_number(const struct belay__runner *runner, struct belay__msg_act *act)
{
	const struct belay__observe_config *config = &runner->config;
	uint16_t hint = act->rule;

	act->rule = 0;
	if (act->rule_name[0] == '\0')
		return;
	if (hint > 0 && hint <= config->rule_count &&
		strcmp(config->rules[hint - 1].name, act->rule_name) == 0) {
		act->rule = hint;
		return;
	}
	act->rule = BELAY__NO_RULE;
	for (uint32_t i = 0; i < config->rule_count; i++)
		if (strcmp(config->rules[i].name, act->rule_name) == 0)
			act->rule = (uint16_t)(i + 1);
}

const struct belay__rule *belay__runner_rule(const struct belay__runner *runner,
	const struct belay__msg_act *act)
{
	return act->rule > 0 && act->rule <= runner->config.rule_count
		? &runner->config.rules[act->rule - 1]
		: NULL;
}

bool belay__same_act(const struct belay__msg_act *one, const struct belay__msg_act *other)
{
	return one->pid == other->pid && one->start_ticks == other->start_ticks &&
		one->on == other->on && one->beats == other->beats;
}

/* --- to the gate --- */

static void watch_gate(struct belay__runner *runner)
{
	if (runner->gate_io.fd >= 0)
		(void)belay__io_change(&runner->gate_io,
			runner->unsent != NULL ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void keep_unsent(struct belay__runner *runner, uint32_t type, const void *record,
	uint32_t size)
{
	struct belay__unsent *unsent = NULL;

	if (runner->unsent_count < BELAY__UNSENT_MAX)
		unsent = malloc(sizeof(*unsent) + size);
	if (unsent == NULL) {
		/* A gate that has not read for so long has other troubles. */
		runner->counts[BELAY__METRIC_RECOVERY_INVARIANTS]++;
		return;
	}
	*unsent = (struct belay__unsent){ .type = type, .size = size };
	memcpy(unsent->record, record, size);
	*runner->unsent_end = unsent;
	runner->unsent_end = &unsent->next;
	runner->unsent_count++;
	watch_gate(runner);
}

void belay__runner_tell(struct belay__runner *runner, uint32_t type, const void *record,
	uint32_t size)
{
	if (runner->unsent == NULL && runner->gate >= 0 &&
		belay__channel_send(runner->gate, type, record, size, -EBADF) == 0)
		return;
	if (runner->gate < 0 && type != BELAY__MSG_ACTED)
		return;
	keep_unsent(runner, type, record, size);
}

static void send_unsent(struct belay__runner *runner)
{
	while (runner->unsent != NULL && runner->gate >= 0) {
		struct belay__unsent *unsent = runner->unsent;

		if (belay__channel_send(runner->gate, unsent->type, unsent->record, unsent->size,
			    -EBADF) < 0)
			break;
		runner->unsent = unsent->next;
		runner->unsent_count--;
		free(unsent);
	}
	if (runner->unsent == NULL)
		runner->unsent_end = &runner->unsent;
	watch_gate(runner);
}

static void on_alert_answer(void *data, const struct belay__msg_planned *planned)
{
	belay__runner_tell(data, BELAY__MSG_PLANNED, planned, sizeof(*planned));
}

static void on_alert_done(void *data, uint64_t seq)
{
	const struct belay__msg_alerted alerted = { .seq = seq };

	belay__runner_tell(data, BELAY__MSG_ALERTED, &alerted, sizeof(alerted));
}

static void on_open_problem(void *data, const struct belay__msg_open *open)
{
	belay__runner_tell(data, BELAY__MSG_OPEN, open, sizeof(*open));
}

/* --- from the gate --- */

/* Texts of a gate that was taken over may have no end. */
static struct belay__msg_act cleaned(const struct belay__runner *runner,
	const struct belay__msg_act *act)
{
	struct belay__msg_act copy = *act;

	copy.name[sizeof(copy.name) - 1] = '\0';
	copy.rule_name[sizeof(copy.rule_name) - 1] = '\0';
	copy.evidence[sizeof(copy.evidence) - 1] = '\0';
	belay__runner_number(runner, &copy);
	return copy;
}

static int on_act(void *data, const void *record, int fd_consume)
{
	const struct belay__msg_act act = cleaned(data, record);

	(void)fd_consume;
	if (act.on > BELAY__ACT_ON_END)
		return -EPROTO;
	(void)belay__runner_act(data, &act, /* asked= */ false);
	return 0;
}

static int on_plan(void *data, const void *record, int fd_consume)
{
	struct belay__msg_plan plan = *(const struct belay__msg_plan *)record;

	(void)fd_consume;
	plan.act = cleaned(data, &plan.act);
	plan.act.on = BELAY__ACT_ON_STALL;
	belay__runner_plan(data, &plan);
	return 0;
}

static int on_alert(void *data, const void *record, int fd_consume)
{
	struct belay__msg_alert alert = *(const struct belay__msg_alert *)record;
	struct belay__runner *runner = data;

	(void)fd_consume;
	if (alert.kind >= BELAY__ALERT_KIND_COUNT || alert.len > sizeof(alert.line))
		return -EPROTO;
	alert.name[sizeof(alert.name) - 1] = '\0';
	belay__alerts_add(runner->alerts, &alert);
	return 0;
}

static int on_progress(void *data, const void *record, int fd_consume)
{
	(void)record;
	(void)fd_consume;
	belay__alerts_gate_is_well(((struct belay__runner *)data)->alerts);
	return 0;
}

static const struct belay__message_rule gate_rules[] = {
	{ BELAY__MSG_ACT, sizeof(struct belay__msg_act), BELAY__WITHOUT_FD, on_act },
	{ BELAY__MSG_PLAN, sizeof(struct belay__msg_plan), BELAY__WITHOUT_FD, on_plan },
	{ BELAY__MSG_ALERT, sizeof(struct belay__msg_alert), BELAY__WITHOUT_FD, on_alert },
	{ BELAY__MSG_PROGRESS, sizeof(struct belay__msg_nothing), BELAY__WITHOUT_FD, on_progress },
};

/* Only what was done is of interest to the next gate: it asked nothing, and gets all counts. */
static void drop_answers(struct belay__runner *runner)
{
	struct belay__unsent **at = &runner->unsent;

	while (*at != NULL) {
		struct belay__unsent *unsent = *at;

		if (unsent->type == BELAY__MSG_ACTED) {
			at = &unsent->next;
			continue;
		}
		*at = unsent->next;
		runner->unsent_count--;
		free(unsent);
	}
	runner->unsent_end = at;
}

static void drop_gate(struct belay__runner *runner)
{
	belay__io_remove(&runner->gate_io);
	runner->gate = belay__close(runner->gate);
	drop_answers(runner);
}

static int receive_from_gate(struct belay__runner *runner)
{
	return belay__channel_receive(runner->gate, gate_rules,
		sizeof(gate_rules) / sizeof(gate_rules[0]), runner, GATE_MESSAGES);
}

static void on_gate(struct belay__io *io, uint32_t events)
{
	struct belay__runner *runner = io->data;
	int r;

	if ((events & EPOLLOUT) != 0)
		send_unsent(runner);
	if ((events & ~(uint32_t)EPOLLOUT) == 0)
		return;
	r = receive_from_gate(runner);
	if (r == GATE_MESSAGES)
		runner->counts[BELAY__METRIC_RECOVERY_SPAWN_BUDGET]++;
	if (r < 0 && r != -EAGAIN)
		drop_gate(runner);
}

/* The gate is listened to once all is there: until then its messages wait in the channel. */
static void listen_to_gate(struct belay__runner *runner)
{
	if (!runner->listening || runner->gate < 0 || runner->gate_io.fd >= 0)
		return;
	if (belay__io_add(runner->loop, &runner->gate_io, runner->gate, EPOLLIN, on_gate, runner) <
		0) {
		drop_gate(runner);
		return;
	}
	send_unsent(runner);
	belay__books_send_again(runner);
	belay__alerts_tell_open(runner->alerts, on_open_problem);
}

/* --- from the parent --- */

static int replace_fd(int *fd, int fd_consume)
{
	belay__close(*fd);
	*fd = fd_consume;
	return 0;
}

static int on_options(void *data, const void *record, int fd_consume)
{
	(void)fd_consume;
	((struct belay__runner *)data)->incoming.options = *(
		const struct belay__observe_options *)record;
	return 0;
}

static int on_forget_rules(void *data, const void *record, int fd_consume)
{
	(void)record;
	(void)fd_consume;
	((struct belay__runner *)data)->incoming.rule_count = 0;
	return 0;
}

static int on_rule(void *data, const void *record, int fd_consume)
{
	struct belay__observe_config *incoming = &((struct belay__runner *)data)->incoming;

	(void)fd_consume;
	if (incoming->rule_count == BELAY__RULES_MAX)
		return -EPROTO;
	incoming->rules[incoming->rule_count++] = *(const struct belay__rule *)record;
	return 0;
}

static int on_state(void *data, const void *record, int fd_consume)
{
	struct belay__runner *runner = data;

	(void)record;
	belay__state_view_done(&runner->view);
	return replace_fd(&runner->state_fd, fd_consume);
}

static int on_journal(void *data, const void *record, int fd_consume)
{
	struct belay__runner *runner = data;

	(void)record;
	if (runner->journal != NULL) {
		belay__close(fd_consume);
		return -EPROTO;
	}
	return replace_fd(&runner->journal_fd, fd_consume);
}

static int on_brakes(void *data, const void *record, int fd_consume)
{
	_cleanup_close_ int fd = fd_consume;
	struct belay__runner *runner = data;
	struct belay__brakes *brakes;
	int r;

	(void)record;
	if (runner->gone)
		return -EPROTO;
	r = belay__brakes_new(fd, belay__clock_ns(CLOCK_MONOTONIC), &brakes);
	if (r < 0) {
		belay__log(BELAY__LOG_WARNING,
			"what held actions back before is not known any more: %s", strerror(-r));
		return 0;
	}
	runner->brakes = belay__brakes_free(runner->brakes);
	runner->brakes = brakes;
	return 0;
}

/* The place of the pause of PATTERN; behind the last one when there is none. */
static uint32_t find_pause(const struct belay__runner *runner, const char *pattern)
{
	uint32_t i = 0;

	while (i < runner->pause_count &&
		strncmp(runner->pauses[i].pattern, pattern, sizeof(runner->pauses[i].pattern)) != 0)
		i++;
	return i;
}

/* Behind what is over there is room: of those that run there are no more with the gate. */
static void forget_past_pauses(struct belay__runner *runner)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_REALTIME);

	for (uint32_t i = runner->pause_count; i-- > 0;)
		if (runner->pauses[i].until_realtime_ns <= now_ns)
			runner->pauses[i] = runner->pauses[--runner->pause_count];
}

static int on_pause(void *data, const void *record, int fd_consume)
{
	struct belay__msg_pause pause = *(const struct belay__msg_pause *)record;
	struct belay__runner *runner = data;
	uint32_t at;

	(void)fd_consume;
	pause.pattern[sizeof(pause.pattern) - 1] = '\0';
	/* An empty one would mean all. */
	if (pause.pattern[0] == '\0')
		return 0;
	at = find_pause(runner, pause.pattern);
	if (at < runner->pause_count)
		runner->pauses[at] = runner->pauses[--runner->pause_count];
	forget_past_pauses(runner);
	if (pause.until_realtime_ns != 0 && runner->pause_count < BELAY__PAUSES_MAX)
		runner->pauses[runner->pause_count++] = pause;
	return 0;
}

static int on_new_gate(void *data, const void *record, int fd_consume)
{
	struct belay__runner *runner = data;

	(void)record;
	/* What the last one said is told once only; a channel holds no more than this. */
	for (unsigned i = 0; i < LAST_WORDS / GATE_MESSAGES && runner->gate_io.fd >= 0; i++)
		if (receive_from_gate(runner) != GATE_MESSAGES)
			break;
	drop_gate(runner);
	runner->gate = fd_consume;
	listen_to_gate(runner);
	return 0;
}

static void take_journal(struct belay__runner *runner);

static void on_journal_again(struct belay__timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	take_journal(timer->data);
}

/* A child of the runner before may be about to say that it started: then it is tried again. */
static void take_journal(struct belay__runner *runner)
{
	struct belay_error error;
	int r = -EBADF;

	if (runner->journal_fd >= 0)
		r = belay__journal_new(runner->journal_fd, &runner->journal, &error);
	if (r == -EBUSY) {
		belay__timer_set(runner->loop, &runner->journal_retry,
			belay__clock_ns(CLOCK_MONOTONIC) + JOURNAL_AGAIN_NS, on_journal_again,
			runner);
		return;
	}
	if (r < 0 && runner->journal_fd >= 0)
		belay__log(BELAY__LOG_WARNING, "no action is run: %s", error.text);
	if (r == 0)
		belay__runner_resume(runner);
	runner->listening = true;
	listen_to_gate(runner);
}

/* The rules' numbers may be others now. */
static void number_anew(struct belay__runner *runner)
{
	for (struct belay__action *action = runner->actions; action != NULL; action = action->next)
		belay__runner_number(runner, &action->act);
	for (struct belay__held *held = runner->held; held != NULL; held = held->next)
		belay__runner_number(runner, &held->act);
}

static int on_go(void *data, const void *record, int fd_consume)
{
	struct belay__runner *runner = data;

	(void)fd_consume;
	runner->observer_started_ns = ((const struct belay__msg_go *)record)->observer_started_ns;
	runner->config = runner->incoming;
	number_anew(runner);
	belay__log_init("belay", (enum belay__log_format)runner->config.options.log_format);
	belay__books_configure(runner);
	belay__runner_witness_anew(runner);
	belay__alerts_configured(runner->alerts);
	if (!runner->gone)
		take_journal(runner);
	runner->gone = true;
	return 0;
}

static const struct belay__message_rule parent_rules[] = {
	{ BELAY__MSG_OPTIONS, sizeof(struct belay__observe_options), BELAY__WITHOUT_FD, on_options },
	{ BELAY__MSG_FORGET_RULES, sizeof(struct belay__msg_nothing), BELAY__WITHOUT_FD,
		on_forget_rules },
	{ BELAY__MSG_RULE, sizeof(struct belay__rule), BELAY__WITHOUT_FD, on_rule },
	{ BELAY__MSG_STATE, sizeof(struct belay__msg_nothing), BELAY__WITH_FD, on_state },
	{ BELAY__MSG_JOURNAL, sizeof(struct belay__msg_nothing), BELAY__WITH_FD, on_journal },
	{ BELAY__MSG_BRAKES, sizeof(struct belay__msg_nothing), BELAY__WITH_FD, on_brakes },
	{ BELAY__MSG_PAUSE, sizeof(struct belay__msg_pause), BELAY__WITHOUT_FD, on_pause },
	{ BELAY__MSG_GATE, sizeof(struct belay__msg_nothing), BELAY__WITH_FD, on_new_gate },
	{ BELAY__MSG_GO, sizeof(struct belay__msg_go), BELAY__WITHOUT_FD, on_go },
};

static void on_parent(struct belay__io *io, uint32_t events)
{
	struct belay__runner *runner = io->data;
	int r = belay__channel_receive(BELAY__ROLE_CHANNEL, parent_rules,
		sizeof(parent_rules) / sizeof(parent_rules[0]), runner, PARENT_MESSAGES);

	(void)events;
	if (r < 0 && r != -EAGAIN)
		runner->over = true;
}

/* --- life --- */

static int begin(struct belay__runner *runner)
{
	const struct belay__cage_files files = { .removable_dirfd = -EBADF };
	int r = belay__role_begin("belay-runner");

	runner->unsent_end = &runner->unsent;
	if (r == 0)
		r = belay__cage(BELAY__CAGE_RUNNER, &files, NULL, NULL);
	if (r == 0)
		r = belay__read_pid_namespace(getpid(), &runner->own_pid_ns);
	if (r == 0)
		r = belay__loop_new(&runner->loop);
	if (r == 0)
		r = belay__brakes_new(-EBADF, 0, &runner->brakes);
	if (r == 0)
		r = belay__alerts_new(runner->loop, &runner->config.options,
			&(struct belay__alerts_ears){ on_alert_answer, on_alert_done, runner },
			&runner->alerts);
	if (r == 0)
		r = belay__io_add(runner->loop, &runner->parent_io, BELAY__ROLE_CHANNEL, EPOLLIN,
			on_parent, runner);
	return r;
}

/* Commands run on; what the journal says about them is for the next runner. */
static void done(struct belay__runner *runner)
{
	belay__actions_done(runner);
	belay__runner_drop_held(runner);
	belay__books_done(runner);
	belay__alerts_last_call(runner->alerts);
	runner->alerts = belay__alerts_free(runner->alerts);
	runner->journal = belay__journal_free(runner->journal);
	runner->brakes = belay__brakes_free(runner->brakes);
	drop_gate(runner);
	while (runner->unsent != NULL) {
		struct belay__unsent *unsent = runner->unsent;

		runner->unsent = unsent->next;
		free(unsent);
	}
	free(runner->witnesses);
	belay__state_view_done(&runner->view);
	runner->state_fd = belay__close(runner->state_fd);
	runner->journal_fd = belay__close(runner->journal_fd);
	belay__io_remove(&runner->parent_io);
	runner->loop = belay__loop_free(runner->loop);
}

int belay__runner_main(void)
{
	static struct belay__runner runner = {
		.gate = -EBADF,
		.state_fd = -EBADF,
		.journal_fd = -EBADF,
		.gate_io = { .fd = -EBADF },
		.parent_io = { .fd = -EBADF },
	};

	if (begin(&runner) < 0)
		return EXIT_OSERR;
	while (!runner.over) {
		runner.counted_in_turn = false;
		if (belay__loop_turn(runner.loop, UINT64_MAX) < 0)
			return EXIT_OSERR;
		if (!runner.counted_in_turn)
			belay__books_touch(&runner);
	}
	done(&runner);
	return 0;
}
