/* Gate and runner to each other: what is handed over and to whom, when either is replaced as well;
 * what the runner says, and what people ask for. */

#include "observe/actor_testing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/fd.h"
#include "ipc/channel.h"
#include "observe/alerting.h"
#include "observe/courier.h"
#include "observe/door_testing.h"

/* --- another runner, another gate --- */

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

/* --- what the runner says --- */

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

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, actor_open, actor_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_settled_is_offered_to_each_runner),
		TEST(what_beats_or_ends_is_not_offered_again),
		TEST(a_late_word_about_an_earlier_silence_settles_nothing),
		TEST(what_finds_no_runner_is_for_the_next),
		TEST(alerts_not_handed_over_go_to_the_next_runner_in_order),
		TEST(alerts_that_nobody_takes_are_counted_when_there_are_too_many),
		TEST(a_stall_that_nobody_is_known_to_have_heard_of_is_told_by_the_next_gate),
		TEST(the_last_words_of_a_runner_are_heard),
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
