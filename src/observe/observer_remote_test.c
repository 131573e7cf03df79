/* Processes of other hosts: beats that a far listener hands over, their names, their silence. */

#include <belay/observer.h>

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
#include "observe/core.h"
#include "observe/remote_process.h"
#include "observe/testing.h"

#define WEB1 1
#define WEB2 2

static struct house house;
static int fds_before;
static struct belay__hosts hosts;
static int wire[2]; /* what is written to the first, the observer reads from the second */
static struct belay_observer *observer;

struct parcel {
	uint16_t host;
	uint8_t origin;
	uint8_t bytes[BELAY_FRAME_LEN];
};

/* A far listener: parcels come over a socket, none of them with credentials. */
static int receive(void *data, int fd, const struct belay__datagram **ret_datagrams, bool *ret_dry)
{
	static struct parcel parcels[BELAY__BATCH];
	static struct belay__datagram datagrams[BELAY__BATCH];
	int count = 0;

	(void)data;
	while (count < BELAY__BATCH &&
		recv(fd, &parcels[count], sizeof(parcels[0]), MSG_DONTWAIT) ==
			(ssize_t)sizeof(parcels[0])) {
		datagrams[count] = (struct belay__datagram){ .bytes = parcels[count].bytes,
			.len = BELAY_FRAME_LEN,
			.arrival = BELAY__ARRIVED_REMOTE,
			.origin = parcels[count].origin,
			.host = parcels[count].host };
		count++;
	}
	*ret_datagrams = datagrams;
	*ret_dry = count < BELAY__BATCH;
	return count;
}

static void start(const struct belay_observer_options *options)
{
	const struct belay__far far = { .receive = receive };

	observer = observer_start(&house, options);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, wire), 0);
	assert_int_equal(belay__observer_adopt_far(observer, wire[1], &far, &hosts, 1024), 0);
}

static int begin(void **state)
{
	(void)state;
	fds_before = belay__fd_count();
	house_open(&house);
	hosts = (struct belay__hosts){ .count = 2, .name = { "", "web1", "web2" } };
	start(NULL);
	return 0;
}

static int end(void **state)
{
	(void)state;
	belay__close(wire[0]);
	belay_observer_free(observer);
	house_close(&house);
	return belay__fd_count() == fds_before ? 0 : -1;
}

static void send_as(uint16_t host, uint8_t origin, const struct belay_frame *frame)
{
	struct parcel parcel = { .host = host, .origin = origin };

	belay_frame_encode(frame, parcel.bytes);
	assert_int_equal(send(wire[0], &parcel, sizeof(parcel), 0), sizeof(parcel));
}

static void beat(uint16_t host, uint32_t pid, uint64_t nonce)
{
	send_as(host, BELAY__NETWORK_UNVERIFIED,
		&(struct belay_frame){ .pid = pid, .nonce = nonce, .payload = 7 });
}

static void take_first(const char *name)
{
	const struct belay_event *event = event_take(observer, BELAY_EVENT_BEAT);

	assert_true(event->first);
	assert_string_equal(event->name, name);
}

static void equal_pids_of_two_hosts_and_of_ours_are_three_processes(void **state)
{
	struct puppet puppet = puppet_start(&house);
	(void)state;

	puppet_beat(&puppet, BELAY_OK);
	assert_int_equal(event_take(observer, BELAY_EVENT_BEAT)->pid, puppet.pid);
	beat(WEB1, (uint32_t)puppet.pid, 10);
	beat(WEB2, (uint32_t)puppet.pid, 20);
	for (unsigned i = 0; i < 2; i++) {
		const struct belay_event *event = event_take(observer, BELAY_EVENT_BEAT);
		char name[32];

		(void)snprintf(name, sizeof(name), "web%u/%d", i + 1, puppet.pid);
		assert_true(event->first);
		assert_string_equal(event->name, name);
		assert_int_equal(belay__key_pid(event->pid), puppet.pid);
		assert_int_equal(belay__key_host(event->pid), i + 1);
		assert_int_equal(event->uid, BELAY__NO_UID);
		assert_int_equal(event->start_ticks, 0);
		assert_int_equal(event->origin, BELAY_NETWORK_UNVERIFIED);
		assert_int_equal(event->nonce, 10 + 10 * i);
		assert_int_equal(event->threshold_ns, TEST_S);
	}
	event_none(observer);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 3);
	puppet_done(&puppet);
}

static void its_silence_is_told_without_looking_at_anything_here(void **state)
{
	struct puppet puppet = puppet_start(&house);
	const struct belay_event *event;
	(void)state;

	/* One of ours has the same pid, is stopped, and must not be taken for it. */
	puppet_signal(&puppet, SIGSTOP);
	puppet_wait_state(&puppet, 'T');
	beat(WEB1, (uint32_t)puppet.pid, 1);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	test_now_ns += TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_string_equal(event->verdict, "silent");
	assert_non_null(strstr(event->evidence, "another host"));
	assert_int_equal(event->silent_ns, TEST_S);
	event_none(observer);
	assert_int_equal(counter_of(observer, "verdicts_without_evidence_total", ""), 0);

	beat(WEB1, (uint32_t)puppet.pid, 2);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->recovered);
	event_none(observer);
	puppet_signal(&puppet, SIGCONT);
	puppet_done(&puppet);
	/* Nor is its end. */
	event_none(observer);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 1);
}

static void an_old_nonce_is_refused_until_it_was_silent_for_a_threshold(void **state)
{
	(void)state;

	beat(WEB1, 300, 50);
	take_first("web1/300");
	beat(WEB1, 300, 50);
	beat(WEB1, 300, 49);
	event_none(observer);
	assert_int_equal(counter_of(observer, "out_of_order_total", ""), 2);

	test_now_ns += TEST_S;
	beat(WEB1, 300, 1);
	take_first("web1/300");
	event_none(observer);
	assert_int_equal(counter_of(observer, "tracker_pid_recycle_total", ""), 1);
}

static void a_last_word_comes_through_and_counts_once(void **state)
{
	const struct belay_frame last = { .status = BELAY_CRITICAL,
		.pid = 300,
		.nonce = BELAY_NONCE_TERMINAL,
		.timestamp_ns = 900 };
	const struct belay_event *event;
	(void)state;

	beat(WEB1, 300, 1);
	take_first("web1/300");
	send_as(WEB1, BELAY__NETWORK_UNVERIFIED, &last);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_true(event->status_changed);
	assert_int_equal(event->status, BELAY_CRITICAL);
	send_as(WEB1, BELAY__NETWORK_UNVERIFIED, &last);
	event_none(observer);
	assert_int_equal(counter_of(observer, "out_of_order_total", ""), 1);
}

static void a_frame_that_is_none_and_a_pid_that_cannot_be_are_refused(void **state)
{
	struct parcel parcel = { .host = WEB1 };
	(void)state;

	assert_int_equal(send(wire[0], &parcel, sizeof(parcel), 0), sizeof(parcel));
	assert_int_equal(event_take(observer, BELAY_EVENT_DECODE)->decode.class_, BELAY_BAD_MAGIC);
	beat(WEB1, BELAY__PID_LIMIT - 1, 1);
	take_first("web1/4194303");
	beat(WEB1, BELAY__PID_LIMIT, 1);
	beat(WEB1, UINT32_MAX, 1);
	event_none(observer);
	assert_int_equal(counter_of(observer, "frame_rejected_pid_above_max_total", ""), 2);
}

static void a_rule_with_its_host_names_it_and_says_its_threshold(void **state)
{
	static const struct belay__rule rules[] = {
		{ .name = "ours", .uid = -1 },
		{ .name = "worker", .uid = -1, .host = "web[2-9]", .threshold_ns = 3 * TEST_S },
	};
	const struct belay_event *event;
	(void)state;

	belay__observer_set_rules(observer, rules, 2);
	beat(WEB1, 300, 1);
	take_first("web1/300");
	beat(WEB2, 300, 1);
	take_first("web2/worker");
	assert_int_equal(observer->rule_beating[1], 1);
	test_now_ns += TEST_S;
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_string_equal(event->name, "web1/300");
	event_none(observer);
	test_now_ns += 2 * TEST_S;
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_string_equal(event->name, "web2/worker");
	assert_int_equal(event->threshold_ns, 3 * TEST_S);
	event_none(observer);
}

static void no_rule_with_a_host_is_about_ours(void **state)
{
	static const struct belay__rule rules[] = {
		{ .name = "far", .uid = -1, .host = "*" },
	};
	struct puppet puppet = puppet_start(&house);
	(void)state;

	belay__observer_set_rules(observer, rules, 1);
	puppet_beat(&puppet, BELAY_OK);
	assert_string_not_equal(event_take(observer, BELAY_EVENT_BEAT)->name, "far");
	event_none(observer);
	assert_int_equal(observer->rule_beating[0], 0);
	puppet_done(&puppet);
}

static void what_the_operator_vouches_for_outranks_what_nobody_does(void **state)
{
	const struct belay_frame frame = { .pid = 300, .nonce = 5 };
	(void)state;

	send_as(WEB1, BELAY__OPERATOR_ATTESTED, &frame);
	take_first("web1/300");
	beat(WEB1, 300, 6);
	assert_int_equal(event_take(observer, BELAY_EVENT_ORIGIN_CONFLICT)->slot_origin,
		BELAY_OPERATOR_ATTESTED);
	event_none(observer);
}

static void a_rate_is_kept_for_each(void **state)
{
	(void)state;
	belay__close(wire[0]);
	belay_observer_free(observer);
	start(&(struct belay_observer_options){ .threshold_ms = 1000,
		.capacity = 16,
		.max_beat_rate = 10,
		.clock = test_clock });

	beat(WEB1, 300, 1);
	take_first("web1/300");
	beat(WEB1, 300, 2);
	event_none(observer);
	assert_int_equal(counter_of(observer, "rate_limited_total", "reason=\"per_pid\""), 1);
	test_now_ns += TEST_S / 10;
	beat(WEB1, 300, 3);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
}

static void a_flood_from_afar_takes_nothing_of_what_is_ours(void **state)
{
	struct puppet puppet;
	(void)state;
	belay__close(wire[0]);
	belay_observer_free(observer);
	start(&(struct belay_observer_options){ .threshold_ms = 1000,
		.capacity = 64,
		.global_beat_rate = 10,
		.global_beat_burst = 4,
		.clock = test_clock });

	for (uint32_t pid = 300; pid < 310; pid++)
		beat(WEB1, pid, 1);
	assert_int_equal(event_drain(observer), 4);
	assert_int_equal(counter_of(observer, "rate_limited_total", "reason=\"global\""), 6);
	puppet = puppet_start(&house);
	for (unsigned i = 0; i < 4; i++) {
		puppet_beat(&puppet, BELAY_OK);
		(void)event_take(observer, BELAY_EVENT_BEAT);
	}
	event_none(observer);
	assert_int_equal(counter_of(observer, "rate_limited_total", "reason=\"global\""), 6);
	puppet_done(&puppet);
}

/* Of 16 places this host keeps 8; of the other 8 each of two hosts has 2 in any case. */
static void no_host_takes_the_places_of_others(void **state)
{
	struct puppet puppet;
	(void)state;

	for (uint32_t pid = 300; pid < 310; pid++)
		beat(WEB1, pid, 1);
	for (unsigned i = 0; i < 6; i++)
		(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	assert_int_equal(counter_of(observer, "tracker_capacity_exceeded_total", ""), 4);
	for (uint32_t pid = 300; pid < 303; pid++)
		beat(WEB2, pid, 1);
	for (unsigned i = 0; i < 2; i++)
		(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	assert_int_equal(counter_of(observer, "tracker_capacity_exceeded_total", ""), 5);

	puppet = puppet_start(&house);
	puppet_beat(&puppet, BELAY_OK);
	assert_int_equal(event_take(observer, BELAY_EVENT_BEAT)->pid, puppet.pid);
	puppet_done(&puppet);
	(void)event_take(observer, BELAY_EVENT_END);
}

/* Whose own are long silent makes room among them, and among nobody else's. */
static void a_host_makes_room_among_its_own(void **state)
{
	(void)state;

	for (uint32_t pid = 300; pid < 306; pid++)
		beat(WEB1, pid, 1);
	beat(WEB2, 400, 1);
	for (unsigned i = 0; i < 7; i++)
		(void)event_take(observer, BELAY_EVENT_BEAT);
	test_now_ns += TEST_S;
	while (counter_of(observer, "stalls_total", "") < 7)
		(void)event_drain(observer);
	(void)event_drain(observer);
	test_now_ns += 10 * TEST_S;
	beat(WEB1, 500, 1);
	take_first("web1/500");
	assert_int_equal(belay__key_host(event_take(observer, BELAY_EVENT_EVICTED)->pid), WEB1);
	event_none(observer);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 7);
}

static void many_silent_ones_of_one_host_are_no_mass_stall_of_another(void **state)
{
	const struct belay_event *event;
	unsigned many = 0;
	(void)state;

	beat(WEB2, 400, 1);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	for (uint32_t pid = 300; pid < 306; pid++) {
		beat(WEB1, pid, 1);
		(void)event_take(observer, BELAY_EVENT_BEAT);
	}
	test_now_ns += TEST_S;
	for (unsigned i = 0; i < 8; i++) {
		event = belay_observer_next(observer);
		while (event == NULL)
			event = belay_observer_next(observer);
		if (event->kind == BELAY_EVENT_MASS_STALL) {
			assert_string_equal(event->name, "web1/(no rule)");
			assert_int_equal(event->beating, 6);
			many++;
		}
	}
	event_none(observer);
	assert_int_equal(many, 1);
}

static void its_host_keeps_its_name_when_numbers_change(void **state)
{
	static struct belay__kept kept[3] = {
		{ .slot = { .pid = 300 }, .record = { .pid = 300, .name = "ours" } },
		{ .slot = { .pid = 1 << BELAY__PID_BITS | 300 },
			.record = { .pid = 1 << BELAY__PID_BITS | 300, .name = "gone/300" } },
		{ .slot = { .pid = 7 << BELAY__PID_BITS | 300 },
			.record = { .pid = 7 << BELAY__PID_BITS | 300, .name = "web2/worker" } },
	};
	(void)state;

	assert_int_equal(belay__remote_renumber(kept, 3, &hosts), 2);
	assert_int_equal(kept[0].slot.pid, 300);
	assert_int_equal(kept[1].slot.pid, belay__process_key(WEB2, 300));
	assert_int_equal(kept[1].record.pid, belay__process_key(WEB2, 300));
	assert_int_equal(belay__remote_renumber(kept, 2, NULL), 1);
}

static void a_host_is_what_stands_before_the_slash(void **state)
{
	char host[BELAY__HOST_SIZE] = "?";
	(void)state;

	belay__remote_host("web1/300", host);
	assert_string_equal(host, "web1");
	belay__remote_host("worker", host);
	assert_string_equal(host, "");
	belay__remote_host("0123456789012345678901234567890/x", host);
	assert_int_equal(strlen(host), BELAY__HOST_MAX);
	belay__remote_host("01234567890123456789012345678901/x", host);
	assert_string_equal(host, "");
}

#define CASE(name_) cmocka_unit_test_setup_teardown(name_, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(equal_pids_of_two_hosts_and_of_ours_are_three_processes),
		CASE(its_silence_is_told_without_looking_at_anything_here),
		CASE(an_old_nonce_is_refused_until_it_was_silent_for_a_threshold),
		CASE(a_last_word_comes_through_and_counts_once),
		CASE(a_frame_that_is_none_and_a_pid_that_cannot_be_are_refused),
		CASE(a_rule_with_its_host_names_it_and_says_its_threshold),
		CASE(no_rule_with_a_host_is_about_ours),
		CASE(what_the_operator_vouches_for_outranks_what_nobody_does),
		CASE(a_rate_is_kept_for_each),
		CASE(a_flood_from_afar_takes_nothing_of_what_is_ours),
		CASE(no_host_takes_the_places_of_others),
		CASE(a_host_makes_room_among_its_own),
		CASE(many_silent_ones_of_one_host_are_no_mass_stall_of_another),
		CASE(its_host_keeps_its_name_when_numbers_change),
		cmocka_unit_test(a_host_is_what_stands_before_the_slash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
