/* The gate's side of acting, with puppets as processes and this test as the runner. */

#include "observe/actor.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "ipc/channel.h"
#include "observe/alerting.h"
#include "observe/core.h"
#include "observe/courier.h"
#include "observe/door_testing.h"
#include "observe/testing.h"

#define CROWD 6

static struct house house;
static int fds_before;
static struct belay_observer *observer;
static struct belay__teller teller;
static struct belay__actor *actor;
static struct belay__observe_options options;
static struct belay__rule rules[1];
static uint32_t rule_count;

/* What the runner was sent. */
static struct heard {
	int fd;
	unsigned acts, alerts, plans, progress;
	struct belay__msg_act act;
	struct belay__msg_alert alert;
	struct belay__msg_plan plan;
	char kinds[16]; /* of the alerts, a letter each */
	uint64_t seqs[16];
} runner;

static int on_act(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)fd_consume;
	runner.act = *(const struct belay__msg_act *)record;
	runner.acts++;
	return 0;
}

static int on_alert(void *data, const void *record, int fd_consume)
{
	static const char letters[BELAY__ALERT_KIND_COUNT] = { 's', 'c', 'm', 'M', 'a', 'r', 't' };
	(void)data;
	(void)fd_consume;
	runner.alert = *(const struct belay__msg_alert *)record;
	assert_in_range(runner.alert.kind, 0, BELAY__ALERT_KIND_COUNT - 1);
	if (runner.alerts < sizeof(runner.kinds) - 1) {
		runner.kinds[runner.alerts] = letters[runner.alert.kind];
		runner.seqs[runner.alerts] = runner.alert.seq;
	}
	runner.alerts++;
	return 0;
}

static int on_plan(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)fd_consume;
	runner.plan = *(const struct belay__msg_plan *)record;
	runner.plans++;
	return 0;
}

static int on_progress(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)record;
	(void)fd_consume;
	runner.progress++;
	return 0;
}

static const struct belay__message_rule gate_rules[] = {
	{ BELAY__MSG_ACT, sizeof(struct belay__msg_act), BELAY__WITHOUT_FD, on_act },
	{ BELAY__MSG_ALERT, sizeof(struct belay__msg_alert), BELAY__WITHOUT_FD, on_alert },
	{ BELAY__MSG_PLAN, sizeof(struct belay__msg_plan), BELAY__WITHOUT_FD, on_plan },
	{ BELAY__MSG_PROGRESS, sizeof(struct belay__msg_nothing), BELAY__WITHOUT_FD, on_progress },
};

/* What lies in the channel now; 0 or a negative errno. */
static int listen_to_gate(void)
{
	int r;

	do
		r = belay__channel_receive(runner.fd, gate_rules, 4, NULL, 64);
	while (r > 0);
	return r == -EAGAIN ? 0 : r;
}

static void say_as_runner(uint32_t type, const void *record, uint32_t size)
{
	assert_int_equal(belay__channel_send(runner.fd, type, record, size, -EBADF), 0);
}

static void start_runner(void)
{
	int ends[2];

	assert_int_equal(belay__channel_pair(ends), 0);
	runner = (struct heard){ .fd = ends[1] };
	belay__actor_runner_take(actor, ends[0]);
}

static void hand_over(uint64_t seq)
{
	const struct belay__msg_alerted alerted = { .seq = seq };

	say_as_runner(BELAY__MSG_ALERTED, &alerted, sizeof(alerted));
}

static void start_actor(void)
{
	const struct belay__actor_needs needs = { .observer = observer,
		.teller = &teller,
		.options = &options,
		.rules = rules,
		.rule_count = &rule_count };

	assert_int_equal(belay__actor_new(&needs, &actor), 0);
}

static void set(const char *on_stall, const char *on_exit, const char *alert)
{
	belay__observe_defaults(&options);
	(void)snprintf(options.on_stall, sizeof(options.on_stall), "%s", on_stall);
	(void)snprintf(options.on_exit, sizeof(options.on_exit), "%s", on_exit);
	(void)snprintf(options.alert, sizeof(options.alert), "%s", alert);
	belay__actor_configured(actor);
}

static int begin(void **state)
{
	const struct belay_observer_options embedded = { .threshold_ms = 1000,
		.capacity = 32,
		.clock = test_clock };
	(void)state;

	fds_before = belay__fd_count();
	house_open(&house);
	observer = observer_start(&house, &embedded);
	rule_count = 0;
	belay__observe_defaults(&options);
	belay__teller_init(&teller, observer, -EBADF, 1);
	start_actor();
	start_runner();
	return 0;
}

static int end(void **state)
{
	(void)state;
	actor = belay__actor_free(actor);
	runner.fd = belay__close(runner.fd);
	observer = belay_observer_free(observer);
	house_close(&house);
	return belay__fd_count() == fds_before ? 0 : -1;
}

/* As the gate does. Returns how many events of KIND there were. */
static unsigned turn(enum belay_event_kind kind)
{
	const struct belay_event *event;
	unsigned count = 0, turns = 0;

	do {
		while ((event = belay_observer_next(observer)) != NULL) {
			belay__teller_tell(&teller, event);
			count += event->kind == kind;
			belay__actor_heard(actor, event);
		}
	} while (turns++ < 2 || observer_readable(observer, 0));
	assert_int_equal(listen_to_gate(), 0);
	return count;
}

static void go_on(void)
{
	(void)turn(BELAY_EVENT_LATE);
}

static void replace_runner(void)
{
	runner.fd = belay__close(runner.fd);
	start_runner();
	go_on();
}

/* The gate is replaced; what it knew of processes is in the table. */
static void replace_gate(void)
{
	actor = belay__actor_free(actor);
	belay__close(runner.fd);
	start_actor();
	start_runner();
	go_on();
}

static struct puppet beating(void)
{
	struct puppet puppet = puppet_start(&house);

	puppet_beat(&puppet, BELAY_OK);
	assert_int_equal(turn(BELAY_EVENT_BEAT), 1);
	puppet_wait_state(&puppet, 'S');
	return puppet;
}

/* The line told last says KEY is EXPECTED; NULL: says nothing of it. */
static void assert_told(const char *key, const char *expected)
{
	const char *line = belay__teller_line(&teller);
	struct belay__json object, value;
	char text[256];

	assert_int_equal(belay__json_parse(line, strlen(line), &object, NULL), 0);
	if (expected == NULL) {
		assert_int_equal(belay__json_member(&object, key, &value), -ENOENT);
		return;
	}
	assert_int_equal(belay__json_member(&object, key, &value), 0);
	if (value.kind == BELAY__JSON_STRING) {
		assert_int_equal(belay__json_get_string(&value, text, sizeof(text)), 0);
	} else {
		assert_true(value.len < sizeof(text));
		memcpy(text, value.start, value.len);
		text[value.len] = '\0';
	}
	assert_string_equal(text, expected);
}

/* --- stalls and ends --- */

static void a_stall_is_asked_for_with_who_it_is_and_how_it_is(void **state)
{
	struct puppet puppet;
	(void)state;

	set("report", "", "");
	puppet = beating();
	puppet_beat(&puppet, BELAY_DEGRADED);
	(void)turn(BELAY_EVENT_BEAT);
	puppet_wait_state(&puppet, 'S');
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	assert_int_equal(runner.acts, 1);
	assert_int_equal(runner.alerts, 0);
	assert_int_equal(runner.act.on, BELAY__ACT_ON_STALL);
	assert_int_equal(runner.act.verdict, BELAY__VERDICT_BLOCKED);
	assert_int_equal(runner.act.pid, puppet.pid);
	assert_int_equal(runner.act.uid, geteuid());
	assert_int_not_equal(runner.act.start_ticks, 0);
	assert_int_not_equal(runner.act.pid_ns, 0);
	assert_int_equal(runner.act.origin, BELAY__KERNEL_ATTESTED);
	assert_int_equal(runner.act.status, BELAY_DEGRADED);
	assert_int_equal(runner.act.name_source, BELAY__NAME_COMM);
	assert_int_equal(runner.act.beats, 2);
	assert_int_equal(runner.act.silent_ns, TEST_S);
	assert_int_equal(runner.act.threshold_ns, TEST_S);
	assert_int_equal(runner.act.seq, belay__teller_last_seq(&teller));
	assert_true(runner.act.name[0] != '\0' && runner.act.evidence[0] != '\0');
	assert_string_equal(runner.act.rule_name, "");
	/* Once: it is as silent as it was. */
	test_now_ns += 10 * TEST_S;
	go_on();
	assert_int_equal(runner.acts, 1);
	/* After it was well for three seconds it had been well for so long. */
	for (unsigned i = 0; i < 4; i++) {
		puppet_beat(&puppet, BELAY_OK);
		go_on();
		test_now_ns += TEST_S - 1;
	}
	test_now_ns++;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	assert_int_equal(runner.acts, 2);
	assert_int_equal(runner.act.healthy_ns, 3 * (TEST_S - 1));
	puppet_done(&puppet);
}

static void what_nobody_wants_is_not_asked_for(void **state)
{
	struct puppet puppet;
	(void)state;

	set("", "", "");
	puppet = beating();
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	puppet_exit(&puppet, 1);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	assert_int_equal(runner.acts + runner.alerts, 0);
	puppet_reap(&puppet);
}

static void an_end_is_asked_for_unless_it_left(void **state)
{
	struct belay__hello goodbye = request(BELAY__HELLO_GOODBYE);
	struct puppet puppets[2];
	(void)state;

	set("report", "restart {name}", "");
	puppets[0] = beating();
	puppets[1] = beating();
	goodbye.nonce = puppets[1].nonce;
	assert_int_equal(puppet_say(&puppets[1], &goodbye), 0);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	assert_int_equal(runner.acts, 0);
	puppet_exit(&puppets[0], 3);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	assert_int_equal(runner.acts, 1);
	assert_int_equal(runner.act.on, BELAY__ACT_ON_END);
	assert_int_equal(runner.act.end, BELAY_END_EXITED);
	assert_int_equal(runner.act.code, 3);
	assert_int_equal(runner.act.pid, puppets[0].pid);
	puppet_reap(&puppets[0]);
	puppet_done(&puppets[1]);
}

static void what_is_paused_is_withheld_and_said_to_be(void **state)
{
	struct puppet puppet;
	(void)state;

	set("report", "restart", "tell");
	puppet = beating();
	assert_int_equal(belay__pause(observer, "*", 1000 * TEST_S, 990 * TEST_S), 0);
	test_now_ns += 5 * TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), 0);
	puppet_exit(&puppet, 3);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	assert_int_equal(runner.acts, 0);
	assert_string_equal(runner.kinds, "");
	assert_told("event", "withheld");
	assert_told("reason", "paused");
	assert_told("verdict", "exited");
	assert_int_equal(belay__actor_outcomes(actor)[BELAY__ACTED_PAUSED], 1);
	puppet_reap(&puppet);
}

/* --- many at once --- */

static void gather(struct puppet *puppets)
{
	for (unsigned i = 0; i < CROWD; i++)
		puppets[i] = beating();
}

static void disperse(struct puppet *puppets)
{
	for (unsigned i = 0; i < CROWD; i++)
		puppet_done(&puppets[i]);
}

static void a_mass_stall_is_one_alert_and_no_action(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "tell");
	gather(puppets);
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), CROWD);
	assert_int_equal(runner.acts, 0);
	assert_string_equal(runner.kinds, "M");
	assert_string_equal(runner.alert.name, "(no rule)");
	assert_int_equal(belay__actor_outcomes(actor)[BELAY__ACTED_MASS_STALL], CROWD);
	/* Those who recover were not alerted of; that it is over is. */
	puppet_beat(&puppets[0], BELAY_OK);
	go_on();
	assert_string_equal(runner.kinds, "M");
	puppet_beat(&puppets[1], BELAY_OK);
	assert_int_equal(turn(BELAY_EVENT_MASS_STALL_OVER), 1);
	assert_string_equal(runner.kinds, "Mr");
	disperse(puppets);
}

static void who_is_silent_still_after_a_mass_stall_is_acted_on_one_threshold_later(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "tell");
	gather(puppets);
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), CROWD);
	puppet_beat(&puppets[0], BELAY_OK);
	puppet_beat(&puppets[1], BELAY_OK);
	assert_int_equal(turn(BELAY_EVENT_MASS_STALL_OVER), 1);
	go_on();
	test_now_ns += TEST_S - 1;
	puppet_beat(&puppets[0], BELAY_OK);
	puppet_beat(&puppets[1], BELAY_OK);
	/* This one is only slower than the others. */
	puppet_beat(&puppets[2], BELAY_OK);
	go_on();
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts, 0);
	test_now_ns++;
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts, CROWD - 3);
	assert_string_equal(runner.kinds, "Mrsss");
	assert_non_null(strstr(runner.alert.line, "\"event\":\"stall\""));
	assert_non_null(strstr(runner.alert.line, "\"verdict\":\"blocked\""));
	assert_int_not_equal(runner.act.seq, 0);
	assert_int_equal(runner.alert.seq, runner.act.seq);
	/* Once. */
	test_now_ns += 5 * TEST_S;
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts, CROWD - 3);
	disperse(puppets);
}

static void who_is_left_by_one_mass_stall_belongs_to_the_next(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "tell");
	gather(puppets);
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), CROWD);
	puppet_beat(&puppets[0], BELAY_OK);
	puppet_beat(&puppets[1], BELAY_OK);
	puppet_beat(&puppets[2], BELAY_OK);
	puppet_beat(&puppets[3], BELAY_OK);
	puppet_beat(&puppets[4], BELAY_OK);
	assert_int_equal(turn(BELAY_EVENT_MASS_STALL_OVER), 1);
	go_on();
	for (unsigned i = 0; i < 5; i++)
		puppet_wait_state(&puppets[i], 'S');
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_MASS_STALL), 1);
	test_now_ns += 5 * TEST_S;
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts, 0);
	assert_string_equal(runner.kinds, "MrM");
	disperse(puppets);
}

static void a_stall_that_may_be_one_of_many_waits_until_it_is_not(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "tell");
	gather(puppets);
	/* All but the first are heard, but not for more than half of the threshold. */
	test_now_ns += TEST_S / 4;
	for (unsigned i = 1; i < CROWD; i++)
		puppet_beat(&puppets[i], BELAY_OK);
	go_on();
	test_now_ns += TEST_S * 3 / 4;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	assert_int_equal(runner.acts + runner.alerts, 0);
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts + runner.alerts, 0);
	/* Two of them beat: five cannot be silent any more. */
	for (unsigned i = 1; i < 3; i++)
		puppet_beat(&puppets[i], BELAY_OK);
	go_on();
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts, 1);
	assert_int_equal(runner.act.pid, puppets[0].pid);
	assert_string_equal(runner.kinds, "s");
	disperse(puppets);
}

static void what_recovers_while_it_waits_is_let_be(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "tell");
	gather(puppets);
	test_now_ns += TEST_S / 4;
	for (unsigned i = 1; i < CROWD; i++)
		puppet_beat(&puppets[i], BELAY_OK);
	go_on();
	test_now_ns += TEST_S * 3 / 4;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	puppet_beat(&puppets[0], BELAY_OK);
	go_on();
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts + runner.alerts, 0);
	assert_told("reason", "resumed");
	disperse(puppets);
}

static void one_that_was_held_when_the_gate_died_is_held_by_the_next(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "tell");
	gather(puppets);
	test_now_ns += TEST_S / 4;
	for (unsigned i = 1; i < CROWD; i++)
		puppet_beat(&puppets[i], BELAY_OK);
	go_on();
	test_now_ns += TEST_S * 3 / 4;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	replace_gate();
	assert_int_equal(runner.acts + runner.alerts, 0);
	for (unsigned i = 1; i < 3; i++)
		puppet_beat(&puppets[i], BELAY_OK);
	go_on();
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts, 1);
	assert_int_equal(runner.act.pid, puppets[0].pid);
	assert_int_equal(runner.act.beats, 1);
	assert_string_equal(runner.kinds, "s");
	puppet_beat(&puppets[0], BELAY_OK);
	go_on();
	assert_string_equal(runner.kinds, "sr");
	disperse(puppets);
}

static void one_stall_among_well_ones_does_not_wait(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "");
	gather(puppets);
	test_now_ns += TEST_S * 3 / 4;
	for (unsigned i = 1; i < CROWD; i++)
		puppet_beat(&puppets[i], BELAY_OK);
	go_on();
	test_now_ns += TEST_S / 4;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	assert_int_equal(runner.acts, 1);
	disperse(puppets);
}

/* --- another runner, another gate --- */

static struct belay__msg_acted acted_of(enum belay__acted outcome);

static void say_of(const struct puppet *puppet, enum belay__acted outcome)
{
	struct belay__msg_acted acted = acted_of(outcome);

	acted.pid = (uint32_t)puppet->pid;
	acted.start_ticks = runner.act.start_ticks;
	acted.seq = runner.act.seq;
	say_as_runner(BELAY__MSG_ACTED, &acted, sizeof(acted));
	go_on();
}

static void what_is_not_settled_is_offered_to_each_runner(void **state)
{
	static const enum belay__acted not_yet[] = { BELAY__ACTED_STARTED, BELAY__ACTED_ADOPTED,
		BELAY__ACTED_REPORTED, BELAY__ACTED_SIGNALLED, BELAY__ACTED_BACK_OFF,
		BELAY__ACTED_LIMIT, BELAY__ACTED_IN_FLIGHT, BELAY__ACTED_DEBOUNCED };
	struct puppet puppet;
	(void)state;

	set("report", "", "");
	puppet = beating();
	test_now_ns += TEST_S;
	go_on();
	assert_int_equal(runner.acts, 1);
	for (unsigned i = 0; i < sizeof(not_yet) / sizeof(not_yet[0]); i++) {
		say_of(&puppet, not_yet[i]);
		go_on();
		assert_int_equal(runner.acts, 1);
		replace_runner();
		assert_int_equal(runner.acts, 1);
		assert_int_equal(runner.act.pid, puppet.pid);
		assert_int_equal(runner.act.on, BELAY__ACT_ON_STALL);
		assert_int_equal(runner.act.beats, 1);
	}
	replace_gate();
	assert_int_equal(runner.acts, 1);
	say_of(&puppet, BELAY__ACTED_SUCCEEDED);
	replace_runner();
	assert_int_equal(runner.acts, 0);
	replace_gate();
	assert_int_equal(runner.acts, 0);
	puppet_done(&puppet);
}

static void what_beats_or_ends_is_not_offered_again(void **state)
{
	struct puppet puppets[2];
	(void)state;

	set("report", "report", "");
	puppets[0] = beating();
	puppets[1] = beating();
	test_now_ns += TEST_S;
	go_on();
	assert_int_equal(runner.acts, 2);
	puppet_beat(&puppets[0], BELAY_OK);
	puppet_exit(&puppets[1], 1);
	go_on();
	assert_int_equal(runner.acts, 3);
	replace_runner();
	assert_int_equal(runner.acts, 0);
	puppet_reap(&puppets[1]);
	puppet_done(&puppets[0]);
}

static void a_late_word_about_an_earlier_silence_settles_nothing(void **state)
{
	struct puppet puppet;
	uint64_t seq;
	(void)state;

	set("report", "", "");
	puppet = beating();
	test_now_ns += TEST_S;
	go_on();
	seq = runner.act.seq;
	puppet_beat(&puppet, BELAY_OK);
	go_on();
	puppet_wait_state(&puppet, 'S');
	test_now_ns += TEST_S;
	go_on();
	assert_int_equal(runner.acts, 2);
	runner.act.seq = seq;
	say_of(&puppet, BELAY__ACTED_SUCCEEDED);
	replace_runner();
	assert_int_equal(runner.acts, 1);
	puppet_done(&puppet);
}

static void what_finds_no_runner_is_for_the_next(void **state)
{
	struct puppet puppet;
	(void)state;

	set("report", "", "tell");
	puppet = beating();
	runner.fd = belay__close(runner.fd);
	while (belay_observer_next(observer) != NULL)
		;
	test_now_ns += TEST_S;
	for (unsigned i = 0; i < 3; i++) {
		const struct belay_event *event;

		while ((event = belay_observer_next(observer)) != NULL) {
			belay__teller_tell(&teller, event);
			belay__actor_heard(actor, event);
		}
		(void)observer_readable(observer, 20);
	}
	start_runner();
	go_on();
	assert_int_equal(runner.acts, 1);
	assert_string_equal(runner.kinds, "s");
	puppet_done(&puppet);
}

static void alerts_not_handed_over_go_to_the_next_runner_in_order(void **state)
{
	struct belay__msg_acted acted = acted_of(BELAY__ACTED_SUCCEEDED);
	uint64_t seqs[4];
	(void)state;

	set("report", "", "tell");
	for (unsigned i = 0; i < 4; i++)
		say_as_runner(BELAY__MSG_ACTED, &acted, sizeof(acted));
	go_on();
	assert_string_equal(runner.kinds, "aaaa");
	memcpy(seqs, runner.seqs, sizeof(seqs));
	assert_true(seqs[0] != 0 && seqs[0] < seqs[1]);
	hand_over(seqs[1]);
	hand_over(seqs[1] + 1000);
	go_on();
	replace_runner();
	assert_string_equal(runner.kinds, "aaa");
	assert_int_equal(runner.seqs[0], seqs[0]);
	assert_int_equal(runner.seqs[1], seqs[2]);
	assert_int_equal(runner.seqs[2], seqs[3]);
	for (unsigned i = 0; i < 4; i++)
		hand_over(seqs[i]);
	go_on();
	replace_runner();
	assert_string_equal(runner.kinds, "");
}

static void alerts_that_nobody_takes_are_counted_when_there_are_too_many(void **state)
{
	static struct belay__alerting alerting;
	static struct belay__courier nobody;
	const struct belay_event missing = { .kind = BELAY_EVENT_MISSING, .name = "web" };
	(void)state;

	set("", "", "tell");
	belay__courier_init(&nobody, belay__observer_loop(observer), NULL, 0, NULL, NULL);
	alerting.observer = observer;
	alerting.teller = &teller;
	alerting.courier = &nobody;
	alerting.options = &options;
	for (unsigned i = 0; i < BELAY__ALERTS_KEPT; i++)
		belay__alerting_heard(&alerting, &missing);
	assert_int_equal(alerting.lost, 0);
	for (unsigned i = 0; i < 3; i++)
		belay__alerting_heard(&alerting, &missing);
	assert_int_equal(alerting.lost, 3);
	assert_told("what", "alerts-lost");
	belay__courier_done(&nobody);
}

static void a_stall_that_nobody_is_known_to_have_heard_of_is_told_by_the_next_gate(void **state)
{
	struct puppet puppet;
	(void)state;

	set("", "", "tell");
	puppet = beating();
	test_now_ns += TEST_S;
	go_on();
	assert_string_equal(runner.kinds, "s");
	replace_gate();
	assert_string_equal(runner.kinds, "s");
	assert_int_not_equal(runner.alert.seq, 0);
	hand_over(runner.alert.seq);
	go_on();
	replace_gate();
	assert_string_equal(runner.kinds, "");
	puppet_beat(&puppet, BELAY_OK);
	go_on();
	assert_string_equal(runner.kinds, "r");
	puppet_done(&puppet);
}

static void the_last_words_of_a_runner_are_heard(void **state)
{
	struct belay__msg_acted acted = acted_of(BELAY__ACTED_SUCCEEDED);
	(void)state;

	set("report", "", "tell");
	for (unsigned i = 0; i < 5; i++)
		say_as_runner(BELAY__MSG_ACTED, &acted, sizeof(acted));
	/* Each leads to an alert that cannot be sent any more. */
	runner.fd = belay__close(runner.fd);
	while (belay_observer_next(observer) != NULL)
		;
	assert_int_equal(belay__actor_outcomes(actor)[BELAY__ACTED_SUCCEEDED], 5);
	start_runner();
	go_on();
	assert_string_equal(runner.kinds, "aaaaa");
	/* They are, too, when the next one comes first. */
	for (unsigned i = 0; i < 5; i++)
		say_as_runner(BELAY__MSG_ACTED, &acted, sizeof(acted));
	runner.fd = belay__close(runner.fd);
	start_runner();
	assert_int_equal(belay__actor_outcomes(actor)[BELAY__ACTED_SUCCEEDED], 10);
	go_on();
	assert_int_equal(runner.alerts, 10);
}

static void say_open(enum belay__alert_kind kind, const char *name)
{
	struct belay__msg_open open = { .kind = (uint8_t)kind, .uid = geteuid() };

	(void)snprintf(open.name, sizeof(open.name), "%s", name);
	say_as_runner(BELAY__MSG_OPEN, &open, sizeof(open));
	go_on();
}

/* --- alerts --- */

static void recovered_is_told_of_what_was_told(void **state)
{
	struct puppet puppets[2];
	(void)state;

	set("", "", "tell");
	puppets[0] = beating();
	puppets[1] = beating();
	puppet_signal(&puppets[1], SIGSTOP);
	puppet_wait_state(&puppets[1], 'T');
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), 2);
	/* Stopped by a signal is not acted on, and nobody is told. */
	assert_string_equal(runner.kinds, "s");
	assert_int_equal(runner.acts, 0);
	assert_int_equal(runner.alert.len, strlen(runner.alert.line));
	assert_non_null(strstr(runner.alert.line, "\"event\":\"stall\""));
	puppet_signal(&puppets[1], SIGCONT);
	puppet_beat(&puppets[1], BELAY_OK);
	puppet_beat(&puppets[0], BELAY_OK);
	go_on();
	assert_string_equal(runner.kinds, "sr");
	assert_non_null(strstr(runner.alert.line, "\"event\":\"recovered\""));
	puppet_done(&puppets[0]);
	puppet_done(&puppets[1]);
}

/* All processes here are of one rule, and share its name. */
static void share_a_name(uint64_t expect)
{
	rules[0] = (struct belay__rule){ .name = "pair",
		.uid = (int64_t)geteuid(),
		.expect = expect,
		.first_beat_ns = TEST_S };
	rule_count = 1;
	belay__observer_set_rules(observer, rules, 1);
}

static void a_shared_name_is_well_when_all_of_its_processes_are(void **state)
{
	struct puppet puppets[3];
	(void)state;

	share_a_name(0);
	set("", "", "tell");
	for (unsigned i = 0; i < 3; i++)
		puppets[i] = beating();
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), 3);
	assert_string_equal(runner.kinds, "sss");
	puppet_beat(&puppets[0], BELAY_OK);
	go_on();
	/* One goes on purpose, the last one is killed and comes back. */
	puppet_exit(&puppets[1], 0);
	go_on();
	puppet_signal(&puppets[2], SIGKILL);
	puppet_wait_ended(&puppets[2]);
	go_on();
	assert_string_equal(runner.kinds, "sss");
	puppet_reap(&puppets[1]);
	puppet_reap(&puppets[2]);
	puppets[1] = beating();
	assert_string_equal(runner.kinds, "sssr");
	assert_string_equal(runner.alert.name, "pair");
	puppet_done(&puppets[0]);
	puppet_done(&puppets[1]);
}

static void each_crash_needs_another_process(void **state)
{
	struct puppet puppets[2];
	(void)state;

	share_a_name(0);
	set("", "", "tell");
	for (unsigned i = 0; i < 2; i++)
		puppets[i] = beating();
	for (unsigned i = 0; i < 2; i++) {
		puppet_exit(&puppets[i], 1);
		go_on();
		puppet_reap(&puppets[i]);
	}
	assert_string_equal(runner.kinds, "cc");
	puppets[0] = beating();
	assert_string_equal(runner.kinds, "cc");
	puppets[1] = beating();
	assert_string_equal(runner.kinds, "ccr");
	puppet_done(&puppets[0]);
	puppet_done(&puppets[1]);
}

static void what_was_alerted_of_before_a_restart_recovers_after_it(void **state)
{
	struct puppet puppet;
	(void)state;

	set("", "", "tell");
	puppet = beating();
	test_now_ns += TEST_S;
	go_on();
	assert_string_equal(runner.kinds, "s");
	hand_over(runner.alert.seq);
	go_on();
	replace_gate();
	puppet_beat(&puppet, BELAY_OK);
	go_on();
	assert_string_equal(runner.kinds, "r");
	puppet_done(&puppet);
}

static void a_crash_told_before_a_restart_is_over_when_another_of_its_name_beats(void **state)
{
	struct puppet puppet;
	(void)state;

	share_a_name(0);
	set("", "", "tell");
	say_open(BELAY__ALERT_CRASH, "pair");
	say_open(BELAY__ALERT_CRASH, "pair");
	say_open(BELAY__ALERT_CRASH, "other");
	puppet = beating();
	assert_string_equal(runner.kinds, "r");
	assert_string_equal(runner.alert.name, "pair");
	puppet_done(&puppet);
}

static void somebody_missing_before_a_restart_is_told_to_be_there(void **state)
{
	struct puppet puppet;
	(void)state;

	share_a_name(1);
	set("", "", "tell");
	go_on();
	say_open(BELAY__ALERT_MISSING, "pair");
	test_now_ns += 5 * TEST_S;
	assert_int_equal(turn(BELAY_EVENT_MISSING), 0);
	puppet = beating();
	go_on();
	assert_string_equal(runner.kinds, "r");
	puppet_exit(&puppet, 0);
	go_on();
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_MISSING), 1);
	assert_string_equal(runner.kinds, "rm");
	puppet_reap(&puppet);
}

static void a_mass_stall_told_before_a_restart_is_over_when_there_is_none(void **state)
{
	(void)state;
	set("", "", "tell");
	say_open(BELAY__ALERT_MASS_STALL, "pair");
	go_on();
	assert_string_equal(runner.kinds, "r");
	assert_non_null(strstr(runner.alert.line, "\"event\":\"mass-stall-over\""));
}

static void a_runner_that_knows_of_kinds_that_there_are_not_is_let_go_of(void **state)
{
	const struct belay__msg_open open = { .kind = BELAY__ALERT_KIND_COUNT };
	(void)state;

	say_as_runner(BELAY__MSG_OPEN, &open, sizeof(open));
	while (belay_observer_next(observer) != NULL)
		;
	assert_int_equal(listen_to_gate(), -EPIPE);
}

static void people_are_told_of_what_is_not_acted_on(void **state)
{
	struct puppet puppet;
	(void)state;

	set("report", "", "tell");
	(void)snprintf(options.act_on, sizeof(options.act_on), "none");
	puppet = beating();
	test_now_ns += TEST_S;
	go_on();
	assert_string_equal(runner.kinds, "s");
	replace_runner();
	assert_int_equal(runner.acts, 0);
	puppet_done(&puppet);
}

static void a_crash_is_over_when_another_of_its_name_beats(void **state)
{
	struct puppet puppet, other;
	(void)state;

	set("", "", "tell");
	puppet = beating();
	puppet_exit(&puppet, 0);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	puppet_reap(&puppet);
	assert_string_equal(runner.kinds, "");
	puppet = beating();
	puppet_signal(&puppet, SIGKILL);
	puppet_wait_ended(&puppet);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	assert_string_equal(runner.kinds, "c");
	puppet_reap(&puppet);
	other = beating();
	assert_string_equal(runner.kinds, "cr");
	puppet_done(&other);
}

static void the_end_of_a_stalled_one_is_no_further_alert(void **state)
{
	struct puppet puppet;
	(void)state;

	set("", "", "tell");
	puppet = beating();
	test_now_ns += TEST_S;
	go_on();
	puppet_signal(&puppet, SIGKILL);
	puppet_wait_ended(&puppet);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	assert_string_equal(runner.kinds, "s");
	puppet_reap(&puppet);
	puppet = beating();
	assert_string_equal(runner.kinds, "sr");
	puppet_done(&puppet);
}

static void missing_and_complete_belong_together(void **state)
{
	struct puppet puppet;
	(void)state;

	share_a_name(1);
	set("", "", "tell");
	go_on();
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_MISSING), 1);
	assert_string_equal(runner.kinds, "m");
	assert_string_equal(runner.alert.name, "pair");
	puppet = puppet_start(&house);
	puppet_beat(&puppet, BELAY_OK);
	assert_int_equal(turn(BELAY_EVENT_COMPLETE), 1);
	assert_string_equal(runner.kinds, "mr");
	assert_non_null(strstr(runner.alert.line, "\"event\":\"complete\""));
	puppet_done(&puppet);
}

/* --- what the runner says --- */

static struct belay__msg_acted acted_of(enum belay__acted outcome)
{
	return (struct belay__msg_acted){ .outcome = (uint8_t)outcome,
		.step = 2,
		.pid = 77,
		.uid = 7,
		.start_ticks = 5,
		.seq = 9,
		.exit_code = -1,
		.signal = -1,
		.name = "db",
		.verdict = "silent",
		.text = "term 10s" };
}

static void what_was_done_is_told_and_alerted_of(void **state)
{
	struct belay__msg_acted acted = acted_of(BELAY__ACTED_SUCCEEDED);
	(void)state;

	set("report", "", "tell");
	acted.child_pid = 123;
	acted.exit_code = 0;
	acted.duration_ns = TEST_S / 2;
	acted.stdout_len = 11;
	say_as_runner(BELAY__MSG_ACTED, &acted, sizeof(acted));
	go_on();
	assert_told("event", "action");
	assert_told("outcome", "succeeded");
	assert_told("reason", NULL);
	assert_told("name", "db");
	assert_told("pid", "77");
	assert_told("step", "2");
	assert_told("child_pid", "123");
	assert_told("exit_code", "0");
	assert_told("signal", NULL);
	assert_told("duration_s", "0.500000000");
	assert_told("stdout_bytes", "11");
	assert_told("of_seq", "9");
	assert_told("wait_s", NULL);
	assert_told("as_root", NULL);
	assert_told("text", "term 10s");
	assert_string_equal(runner.kinds, "a");
	assert_int_equal(belay__actor_outcomes(actor)[BELAY__ACTED_SUCCEEDED], 1);
}

static void what_was_withheld_is_told_and_nobody_is_alerted(void **state)
{
	struct belay__msg_acted acted = acted_of(BELAY__ACTED_BACK_OFF);
	(void)state;

	set("report", "", "tell");
	acted.wait_ns = 4 * TEST_S;
	say_as_runner(BELAY__MSG_ACTED, &acted, sizeof(acted));
	acted = acted_of(BELAY__ACTED_REPORTED);
	go_on();
	assert_told("event", "withheld");
	assert_told("reason", "back-off");
	assert_told("wait_s", "4.000000000");
	assert_told("child_pid", NULL);
	assert_told("duration_s", NULL);
	say_as_runner(BELAY__MSG_ACTED, &acted, sizeof(acted));
	go_on();
	assert_told("outcome", "reported");
	assert_string_equal(runner.kinds, "");
}

static void a_runner_that_talks_nonsense_is_let_go_of(void **state)
{
	struct belay__msg_acted acted = acted_of(BELAY__ACTED_STARTED);
	struct belay__msg_runner_counts counts = { .count = BELAY__RUNNER_COUNTS_MAX + 1 };
	(void)state;

	acted.outcome = BELAY__ACTED_COUNT;
	say_as_runner(BELAY__MSG_ACTED, &acted, sizeof(acted));
	while (belay_observer_next(observer) != NULL)
		;
	assert_int_equal(listen_to_gate(), -EPIPE);
	belay__close(runner.fd);
	start_runner();
	say_as_runner(BELAY__MSG_RUNNER_COUNTS, &counts, sizeof(counts));
	while (belay_observer_next(observer) != NULL)
		;
	assert_int_equal(listen_to_gate(), -EPIPE);
	assert_int_equal(belay__actor_runner_counts(actor)->count, 0);
}

static void the_runners_counts_are_kept(void **state)
{
	struct belay__msg_runner_counts counts = { .count = 1, .counts = { { 3, 0, 42 } } };
	(void)state;

	say_as_runner(BELAY__MSG_RUNNER_COUNTS, &counts, sizeof(counts));
	go_on();
	assert_int_equal(belay__actor_runner_counts(actor)->count, 1);
	assert_int_equal(belay__actor_runner_counts(actor)->counts[0].value, 42);
}

/* --- the way there --- */

static void what_no_runner_took_waits_for_the_next(void **state)
{
	static struct belay__courier courier;
	static struct belay__msg_act act;
	unsigned got = 0;
	int ends[2];
	(void)state;

	belay__courier_init(&courier, belay__observer_loop(observer), NULL, 0, NULL, NULL);
	for (unsigned i = 0; i < BELAY__COURIER_MAX; i++) {
		act.seq = i;
		assert_int_equal(belay__courier_send(&courier, &act), 0);
	}
	assert_int_equal(belay__courier_send(&courier, &act), -ENOBUFS);
	assert_int_equal(belay__courier_send_now(&courier, BELAY__MSG_ACT, &act, sizeof(act)),
		-ENOTCONN);
	assert_int_equal(belay__channel_pair(ends), 0);
	belay__close(runner.fd);
	runner = (struct heard){ .fd = ends[1] };
	belay__courier_take(&courier, ends[0]);
	/* More than the channel holds at once. */
	while (runner.acts < BELAY__COURIER_MAX) {
		unsigned before = runner.acts;

		assert_int_equal(listen_to_gate(), 0);
		assert_true(runner.acts > before || got++ < 1000);
		(void)belay__loop_turn(belay__observer_loop(observer), 0);
	}
	assert_int_equal(runner.act.seq, BELAY__COURIER_MAX - 1);
	assert_int_equal(belay__courier_send(&courier, &act), 0);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts, BELAY__COURIER_MAX + 1);
	belay__courier_done(&courier);
	assert_int_equal(listen_to_gate(), -EPIPE);
}

static void it_hears_that_the_gate_is_well_when_it_has_to_know(void **state)
{
	(void)state;
	set("report", "", "");
	go_on();
	assert_int_equal(runner.progress, 0);
	set("", "", "tell");
	go_on();
	assert_int_equal(runner.progress, 1);
}

/* --- what people ask for --- */

static int plan(void *data, uint32_t at, bool really, uint64_t request)
{
	return belay__actor_plan(data, at, really, request);
}

static int test_alert(void *data, uint64_t request)
{
	return belay__actor_alert_test(data, request);
}

static void open_door(void)
{
	const struct belay__door_host host = { .data = actor,
		.plan = plan,
		.test_alert = test_alert };

	belay__door_set_host(observer->door, &host);
}

static void answer(uint64_t id, int code, const char *text)
{
	struct belay__msg_planned planned = { .request = id, .code = code };

	planned.len = (uint32_t)strlen(text);
	memcpy(planned.text, text, planned.len);
	say_as_runner(BELAY__MSG_PLANNED, &planned, sizeof(planned));
}

static void a_plan_goes_to_the_runner_and_its_answer_to_who_asked(void **state)
{
	struct belay__hello really = request(BELAY__HELLO_ACT);
	struct puppet puppets[2];
	uint64_t id;
	int client;
	(void)state;

	set("report", "", "");
	open_door();
	puppets[0] = beating();
	puppets[1] = beating();
	client = connect_door(&house);
	say(client, BELAY__HELLO_ACT, "*");
	go_on();
	assert_int_equal(runner.plans, 2);
	assert_int_equal(runner.plan.really, 0);
	assert_int_equal(runner.plan.act.verdict, BELAY__VERDICT_NONE);
	id = runner.plan.request;
	answer(id - 1, 0, "{\"name\":\"x\"}");
	assert_int_equal(hear_lines(observer, client), 1);
	assert_string_equal(door_packet.text, "{\"name\":\"x\"}\n");
	/* One nobody asked for, and a sentence. */
	answer(id + 1, 0, "{}");
	answer(id, -EPERM, "not so");
	assert_int_equal(hear_lines(observer, client), 1);
	assert_string_equal(door_packet.text, "{\"code\":-1,\"text\":\"not so\"}\n");
	hear_done(observer, client, 0);

	really.flags = BELAY__HELLO_DO;
	(void)snprintf(really.name, sizeof(really.name), "%d", puppets[0].pid);
	assert_int_equal(send(client, &really, sizeof(really), MSG_NOSIGNAL), sizeof(really));
	go_on();
	assert_int_equal(runner.plans, 3);
	assert_int_equal(runner.plan.really, 1);
	assert_int_equal(runner.plan.act.pid, puppets[0].pid);
	/* Who asks anew waits for the new answer only. */
	say(client, BELAY__HELLO_ACT, "nobody*");
	hear_done(observer, client, -ENOENT);
	answer(runner.plan.request, 0, "{}");
	say(client, BELAY__HELLO_ACT, "");
	hear_done(observer, client, -EINVAL);
	assert_int_equal(belay__pause(observer, "*", 1000 * TEST_S, 990 * TEST_S), 0);
	assert_int_equal(send(client, &really, sizeof(really), MSG_NOSIGNAL), sizeof(really));
	assert_int_equal(hear_lines(observer, client), 1);
	assert_non_null(strstr(door_packet.text, "\"would\":\"withhold\",\"reason\":\"paused\""));
	hear_done(observer, client, 0);
	assert_int_equal(runner.plans, 3);
	belay__close(client);
	puppet_done(&puppets[0]);
	puppet_done(&puppets[1]);
}

static void without_a_runner_it_is_said_that_there_is_none(void **state)
{
	struct puppet puppet;
	int client;
	(void)state;

	open_door();
	puppet = beating();
	runner.fd = belay__close(runner.fd);
	while (belay_observer_next(observer) != NULL)
		;
	client = connect_door(&house);
	say(client, BELAY__HELLO_ACT, "*");
	hear_done(observer, client, -EAGAIN);
	say(client, BELAY__HELLO_ALERT_TEST, "");
	hear_done(observer, client, -ENOENT);
	belay__close(client);
	puppet_done(&puppet);
}

static void a_silent_runner_is_waited_for_two_seconds(void **state)
{
	struct puppet puppet;
	int client;
	(void)state;

	set("report", "", "");
	open_door();
	puppet = beating();
	client = connect_door(&house);
	say(client, BELAY__HELLO_ACT, "*");
	go_on();
	assert_int_equal(runner.plans, 1);
	assert_true(observer_readable(observer, 5000));
	hear_done(observer, client, -ETIMEDOUT);
	belay__close(client);
	puppet_done(&puppet);
}

static void a_test_of_alerts_is_answered_with_how_it_went(void **state)
{
	int client;
	(void)state;

	set("", "", "tell");
	open_door();
	client = connect_door(&house);
	say(client, BELAY__HELLO_ALERT_TEST, "");
	go_on();
	assert_string_equal(runner.kinds, "t");
	assert_int_not_equal(runner.alert.request, 0);
	assert_non_null(strstr(runner.alert.line, "\"event\":\"test\""));
	answer(runner.alert.request, -EIO, "it exited 3");
	assert_true(hear(observer, client));
	assert_int_equal(door_packet.head.part, BELAY__HELLO_DONE);
	assert_int_equal(door_packet.head.code, -EIO);
	assert_string_equal(door_packet.text, "it exited 3");
	belay__close(client);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_stall_is_asked_for_with_who_it_is_and_how_it_is),
		TEST(what_nobody_wants_is_not_asked_for),
		TEST(an_end_is_asked_for_unless_it_left),
		TEST(what_is_paused_is_withheld_and_said_to_be),
		TEST(a_mass_stall_is_one_alert_and_no_action),
		TEST(who_is_silent_still_after_a_mass_stall_is_acted_on_one_threshold_later),
		TEST(who_is_left_by_one_mass_stall_belongs_to_the_next),
		TEST(a_stall_that_may_be_one_of_many_waits_until_it_is_not),
		TEST(what_recovers_while_it_waits_is_let_be),
		TEST(one_that_was_held_when_the_gate_died_is_held_by_the_next),
		TEST(one_stall_among_well_ones_does_not_wait),
		TEST(what_is_not_settled_is_offered_to_each_runner),
		TEST(what_beats_or_ends_is_not_offered_again),
		TEST(a_late_word_about_an_earlier_silence_settles_nothing),
		TEST(what_finds_no_runner_is_for_the_next),
		TEST(alerts_not_handed_over_go_to_the_next_runner_in_order),
		TEST(alerts_that_nobody_takes_are_counted_when_there_are_too_many),
		TEST(a_stall_that_nobody_is_known_to_have_heard_of_is_told_by_the_next_gate),
		TEST(the_last_words_of_a_runner_are_heard),
		TEST(recovered_is_told_of_what_was_told),
		TEST(a_shared_name_is_well_when_all_of_its_processes_are),
		TEST(each_crash_needs_another_process),
		TEST(what_was_alerted_of_before_a_restart_recovers_after_it),
		TEST(a_crash_told_before_a_restart_is_over_when_another_of_its_name_beats),
		TEST(somebody_missing_before_a_restart_is_told_to_be_there),
		TEST(a_mass_stall_told_before_a_restart_is_over_when_there_is_none),
		TEST(a_runner_that_knows_of_kinds_that_there_are_not_is_let_go_of),
		TEST(people_are_told_of_what_is_not_acted_on),
		TEST(a_crash_is_over_when_another_of_its_name_beats),
		TEST(the_end_of_a_stalled_one_is_no_further_alert),
		TEST(missing_and_complete_belong_together),
		TEST(what_was_done_is_told_and_alerted_of),
		TEST(what_was_withheld_is_told_and_nobody_is_alerted),
		TEST(a_runner_that_talks_nonsense_is_let_go_of),
		TEST(the_runners_counts_are_kept),
		TEST(what_no_runner_took_waits_for_the_next),
		TEST(it_hears_that_the_gate_is_well_when_it_has_to_know),
		TEST(a_plan_goes_to_the_runner_and_its_answer_to_who_asked),
		TEST(without_a_runner_it_is_said_that_there_is_none),
		TEST(a_silent_runner_is_waited_for_two_seconds),
		TEST(a_test_of_alerts_is_answered_with_how_it_went),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
