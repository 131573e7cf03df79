#include "observe/actor_testing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "ipc/channel.h"

struct house house;
struct belay_observer *observer;
struct belay__teller teller;
struct belay__actor *actor;
struct belay__observe_options options;
struct belay__rule rules[1];
uint32_t rule_count;
struct heard runner;

static int fds_before;

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

int listen_to_gate(void)
{
	int r;

	do
		r = belay__channel_receive(runner.fd, gate_rules, 4, NULL, 64);
	while (r > 0);
	return r == -EAGAIN ? 0 : r;
}

void say_as_runner(uint32_t type, const void *record, uint32_t size)
{
	assert_int_equal(belay__channel_send(runner.fd, type, record, size, -EBADF), 0);
}

void start_runner(void)
{
	int ends[2];

	assert_int_equal(belay__channel_pair(ends), 0);
	runner = (struct heard){ .fd = ends[1] };
	belay__actor_runner_take(actor, ends[0]);
}

void hand_over(uint64_t seq)
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

void set(const char *on_stall, const char *on_exit, const char *alert)
{
	belay__observe_defaults(&options);
	(void)snprintf(options.on_stall, sizeof(options.on_stall), "%s", on_stall);
	(void)snprintf(options.on_exit, sizeof(options.on_exit), "%s", on_exit);
	(void)snprintf(options.alert, sizeof(options.alert), "%s", alert);
	belay__actor_configured(actor);
}

int actor_open(void **state)
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

int actor_close(void **state)
{
	(void)state;
	actor = belay__actor_free(actor);
	runner.fd = belay__close(runner.fd);
	observer = belay_observer_free(observer);
	house_close(&house);
	return belay__fd_count() == fds_before ? 0 : -1;
}

unsigned turn(enum belay_event_kind kind)
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

void go_on(void)
{
	(void)turn(BELAY_EVENT_LATE);
}

void replace_runner(void)
{
	runner.fd = belay__close(runner.fd);
	start_runner();
	go_on();
}

void replace_gate(void)
{
	actor = belay__actor_free(actor);
	belay__close(runner.fd);
	start_actor();
	start_runner();
	go_on();
}

struct puppet beating(void)
{
	struct puppet puppet = puppet_start(&house);

	puppet_beat(&puppet, BELAY_OK);
	assert_int_equal(turn(BELAY_EVENT_BEAT), 1);
	puppet_wait_state(&puppet, 'S');
	return puppet;
}

void assert_told(const char *key, const char *expected)
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
