/* Keys: all are tried, and what becomes of senders and hosts when they change. */

#include "observe/network_testing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void every_key_is_tried_whichever_fits(void **state)
{
	struct belay__msg_key keys[12];
	uint64_t before;
	(void)state;

	for (unsigned n = 0; n < 10; n++)
		keys[n] = net_shared(n, "");
	keys[10] = net_master(10);
	keys[11] = net_master(11);
	net_set(keys, 12);
	for (unsigned n = 0; n < 13; n++) { /* 12 is nobody's */
		before = net_counts()->aead_attempts;
		net_post_sealed(n, PID, 1, 0);
		assert_int_equal(net_receive(), n < 10);
		assert_int_equal(net_counts()->aead_attempts - before, 10);
		before = net_counts()->aead_attempts;
		net_post_derived(n, PID, 1, 0);
		assert_int_equal(net_receive(), n == 10 || n == 11);
		assert_int_equal(net_counts()->aead_attempts - before, 12);
	}
}

static void the_first_of_equal_keys_counts(void **state)
{
	(void)state;

	NET_SET(net_shared(0, "a"), net_shared(0, "b"));
	net_post_sealed(0, PID, 1, 0);
	assert_int_equal(net_receive(), 1);
	assert_string_equal(net_host_of(&net.beats[0]), "a");
}

static void keys_that_stay_keep_what_is_known(void **state)
{
	uint16_t host_a;
	(void)state;

	NET_SET(net_shared(0, "a"), net_shared(1, "b"), net_master(9));
	net_post_sealed(0, PID, 1, 5);
	net_post_sealed(1, PID, 1, 5);
	net_post_derived(9, PID, 1, 5);
	assert_int_equal(net_receive(), 3);
	host_a = net.beats[0].host;

	/* While a's key is being replaced, both count for a. */
	NET_SET(net_master(9), net_shared(2, "a"), net_shared(1, "b"), net_shared(0, "a"));
	net_post_sealed(0, PID, 1, 5);
	net_post_sealed(1, PID, 1, 5);
	net_post_derived(9, PID, 1, 5);
	assert_int_equal(net_receive(), 0);
	assert_int_equal(net_counts()->replays_refused, 3);
	net_post_sealed(0, PID, 1, 6);
	net_post_sealed(2, PID, 1, 0);
	assert_int_equal(net_receive(), 2);
	assert_int_equal(net.beats[0].host, host_a);
	assert_int_equal(net.beats[1].host, host_a);

	NET_SET(net_shared(2, "a"));
	net_post_sealed(0, PID, 1, 7);
	net_post_sealed(1, PID, 1, 7);
	net_post_derived(9, PID, 1, 7);
	net_post_sealed(2, PID, 1, 0);
	assert_int_equal(net_receive(), 0);
	assert_int_equal(net_counts()->decrypt_failures, 3);
	assert_int_equal(net_counts()->replays_refused, 4);

	/* Names keep their numbers, also when they come back. */
	NET_SET(net_shared(3, "c"), net_shared(0, "a"));
	net_post_sealed(0, PID, 1, 0);
	net_post_sealed(3, PID, 1, 0);
	assert_int_equal(net_receive(), 2);
	assert_int_equal(net.beats[0].host, host_a);
	assert_int_equal(belay__network_hosts(net.network)->count, 4); /* master, too */
}

static void another_name_makes_no_frame_new(void **state)
{
	(void)state;

	NET_SET(net_shared(0, "a"));
	net_post_sealed(0, PID, 1, 5);
	assert_int_equal(net_receive(), 1);
	NET_SET(net_shared(0, "b"));
	net_post_sealed(0, PID, 1, 5);
	assert_int_equal(net_receive(), 0);
	net_post_sealed(0, PID, 1, 6);
	assert_int_equal(net_receive(), 1);
	assert_string_equal(net_host_of(&net.beats[0]), "b");
}

static void a_nameless_key_stays_where_it_was(void **state)
{
	static const char *hosts[] = { "key2", "key0", "key3" };
	(void)state;

	NET_SET(net_shared(0, ""), net_shared(1, ""), net_shared(5, "key3"));
	NET_SET(net_shared(2, ""), net_shared(0, ""), net_shared(3, ""), net_shared(1, "key2x"),
		net_shared(5, "key1"));
	for (unsigned i = 0; i < 3; i++)
		net_post_sealed((const unsigned[]){ 2, 0, 3 }[i], PID, 1, 0);
	assert_int_equal(net_receive(), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_string_equal(net_host_of(&net.beats[i]), hosts[i]);
}

static void too_many_change_nothing(void **state)
{
	static struct belay__msg_key keys[BELAY__KEYS_MAX + 1];
	(void)state;

	NET_SET(net_shared(1000, "kept"));
	net_post_sealed(1000, PID, 1, 5);
	assert_int_equal(net_receive(), 1);
	for (unsigned n = 0; n <= BELAY__KEYS_MAX; n++)
		keys[n] = net_shared(n, "same");
	assert_int_equal(belay__network_set_keys(net.network, keys, BELAY__KEYS_MAX + 1), -E2BIG);
	for (unsigned n = 0; n < BELAY__HOSTS_MAX; n++)
		(void)snprintf(keys[n].host, sizeof(keys[n].host), "host-%u", n);
	assert_int_equal(belay__network_set_keys(net.network, keys, BELAY__HOSTS_MAX), -E2BIG);
	keys[BELAY__HOSTS_MAX - 1].host[0] = '\0';
	assert_int_equal(belay__network_set_keys(net.network, keys, BELAY__HOSTS_MAX), -E2BIG);
	assert_int_equal(belay__network_hosts(net.network)->count, 1);
	net_post_sealed(1000, PID, 1, 5);
	net_post_sealed(1000, PID, 1, 6);
	assert_int_equal(net_receive(), 1);
	assert_int_equal(net_counts()->replays_refused, 1);

	/* One host less fits. */
	net_set(keys, BELAY__HOSTS_MAX - 1);
	assert_int_equal(belay__network_hosts(net.network)->count, BELAY__HOSTS_MAX);
}

static void one_call_works_a_bounded_time(void **state)
{
	static struct belay__msg_key keys[BELAY__KEYS_MAX];
	unsigned received = 0, rounds = 0;
	int count;
	(void)state;

	for (unsigned n = 0; n < BELAY__KEYS_MAX; n++)
		keys[n] = n == 5 ? net_master(n) : net_shared(n, "same");
	net_set(keys, BELAY__KEYS_MAX);
	for (uint32_t i = 0; i < 20; i++)
		net_post_derived(5, PID, 1, i);
	do {
		uint64_t before = net_counts()->aead_attempts;

		count = net_receive();
		assert_true(count >= 0 && net_counts()->aead_attempts - before <= 4096);
		received += (unsigned)count;
		rounds++;
	} while (!net.dry);
	assert_int_equal(received, 20);
	assert_true(rounds > 2);
	assert_int_equal(net_counts()->aead_attempts, 20 * BELAY__KEYS_MAX);

	/* With few keys a batch is whole; when it is full there may be more. */
	NET_SET(net_shared(0, ""));
	for (uint32_t i = 0; i < BELAY__UDP_BATCH + 1; i++)
		net_post_sealed(i == 0 ? 1 : 0, PID, 1, i);
	assert_int_equal(net_receive(), BELAY__UDP_BATCH - 1);
	assert_false(net.dry);
	assert_int_equal(net_receive(), 1);
	assert_true(net.dry);
}

static void derived_keys_are_those_of_the_masters_in_force(void **state)
{
	(void)state;
	(void)net_end(NULL);
	net_begin_with(4096, false);

	NET_SET(net_master(9), net_master(8));
	for (uint32_t counter = 0; counter < 2; counter++)
		for (uint32_t pid = 2; pid < 2002; pid++) {
			net_post_derived(pid % 2 ? 9 : 8, pid, 1, counter);
			assert_int_equal(net_receive(), 1);
			net_assert_beat(&net.beats[0], pid, counter + 1);
		}
	NET_SET(net_master(8));
	for (uint32_t pid = 2; pid < 2002; pid++) {
		net_post_derived(pid % 2 ? 9 : 8, pid, 1, 2);
		assert_int_equal(net_receive(), pid % 2 == 0);
	}
	assert_int_equal(net_counts()->decrypt_failures, 1000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, net_begin, net_end)
	const struct CMUnitTest tests[] = {
		TEST(every_key_is_tried_whichever_fits),
		TEST(the_first_of_equal_keys_counts),
		TEST(keys_that_stay_keep_what_is_known),
		TEST(another_name_makes_no_frame_new),
		TEST(a_nameless_key_stays_where_it_was),
		TEST(too_many_change_nothing),
		TEST(one_call_works_a_bounded_time),
		TEST(derived_keys_are_those_of_the_masters_in_force),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
