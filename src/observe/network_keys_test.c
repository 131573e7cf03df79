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
	assert_string_equal(belay__network_hosts(net.network)->name[4], "c"); /* behind master */
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

static void a_nameless_key_speaks_for_no_other(void **state)
{
	static const char *hosts[] = { "key2", "key1" };
	uint16_t host_b;
	(void)state;

	NET_SET(net_shared(0, ""), net_shared(1, ""));
	net_post_sealed(1, PID, 1, 0);
	assert_int_equal(net_receive(), 1);
	host_b = net.beats[0].host;
	NET_SET(net_shared(2, ""), net_shared(1, ""));
	net_post_sealed(2, PID, 1, 0);
	net_post_sealed(1, PID, 1, 1);
	assert_int_equal(net_receive(), 2);
	for (unsigned i = 0; i < 2; i++)
		assert_string_equal(net_host_of(&net.beats[i]), hosts[i]);
	assert_int_equal(net.beats[1].host, host_b);
	assert_string_equal(belay__network_hosts(net.network)->name[1], ""); /* key0 is gone */
}

static struct belay__msg_key numbered(unsigned n, uint16_t number, const char *host)
{
	struct belay__msg_key key = net_shared(n, host);

	key.number = number;
	return key;
}

static void keys_that_make_no_sense_change_nothing(void **state)
{
	static struct belay__msg_key many[BELAY__KEYS_MAX + 1];
	const struct belay__msg_key wrong[][2] = {
		{ numbered(0, 1, "a"), numbered(1, 0, "b") },
		{ numbered(0, 1, "a"), numbered(1, BELAY__HOSTS_MAX + 1, "b") },
		{ numbered(0, 1, "a"), numbered(1, 2, "") },
		{ numbered(0, 1, "a"), numbered(1, 1, "b") },
	};
	(void)state;

	NET_SET(net_shared(1000, "kept"));
	net_post_sealed(1000, PID, 1, 5);
	assert_int_equal(net_receive(), 1);
	for (unsigned n = 0; n <= BELAY__KEYS_MAX; n++)
		many[n] = numbered(n, 7, "same");
	assert_int_equal(belay__network_set_keys(net.network, many, BELAY__KEYS_MAX + 1), -E2BIG);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(belay__network_set_keys(net.network, wrong[i], 2), -EINVAL);
	assert_int_equal(belay__network_hosts(net.network)->count, 1);
	assert_int_equal(belay__network_keys(net.network), 1);
	net_post_sealed(1000, PID, 1, 5);
	net_post_sealed(1000, PID, 1, 6);
	assert_int_equal(net_receive(), 1);
	assert_int_equal(net_counts()->replays_refused, 1);
	assert_int_equal(belay__network_set_keys(net.network, many, BELAY__KEYS_MAX), 0);
	assert_string_equal(belay__network_hosts(net.network)->name[7], "same");
}

static void without_its_keys_a_host_is_known_and_not_heard(void **state)
{
	const struct belay__msg_key absent[] = { { .kind = BELAY__KEY_ABSENT },
		{ .kind = BELAY__KEY_ABSENT, .number = 3, .host = "web" } };
	const uint8_t plain[BELAY_FRAME_LEN] = { 0 };
	(void)state;

	assert_int_equal(belay__network_set_keys(net.network, absent, 2), 0);
	assert_string_equal(belay__network_hosts(net.network)->name[3], "web");
	assert_int_equal(belay__network_keys(net.network), 0);
	net_post(plain, sizeof(plain));
	net_post_sealed(0, PID, 1, 0);
	net_post_derived(0, PID, 1, 0);
	assert_int_equal(net_receive(), 0);
	assert_int_equal(net_counts()->truncated, 1);
	assert_int_equal(net_counts()->decrypt_failures, 2);
	assert_int_equal(net_counts()->aead_attempts, 0);
	NET_SET(net_shared(0, "web"));
	net_post_sealed(0, PID, 1, 0);
	assert_int_equal(net_receive(), 1);
}

static void a_master_is_replaced_while_both_count(void **state)
{
	struct belay__msg_key named = net_master(7);
	uint16_t host;
	(void)state;

	NET_SET(net_master(9));
	net_post_derived(9, PID, 1, 0);
	assert_int_equal(net_receive(), 1);
	host = net.beats[0].host;
	(void)snprintf(named.host, sizeof(named.host), "rack");
	NET_SET(net_master(8), net_master(9), named);
	net_post_derived(9, PID, 1, 1);
	net_post_derived(8, PID, 1, 2);
	net_post_derived(7, PID, 1, 0);
	assert_int_equal(net_receive(), 3);
	assert_int_equal(net.beats[0].host, host);
	assert_int_equal(net.beats[1].host, host);
	assert_string_equal(net_host_of(&net.beats[2]), "rack");
	NET_SET(net_master(8));
	net_post_derived(9, PID, 1, 3);
	net_post_derived(8, PID, 1, 3);
	assert_int_equal(net_receive(), 1);
	assert_int_equal(net.beats[0].host, host);
}

static void one_key_does_not_fill_the_places_of_another(void **state)
{
	(void)state;

	NET_SET(net_shared(0, "loud"), net_shared(1, "web"), net_master(9));
	for (uint32_t pid = 2; pid < 2 + 2 * NET_SENDERS; pid++) {
		net_post_sealed(0, pid, 1, 0);
		assert_true(net_receive() >= 0);
	}
	/* A sixth of 64 each. */
	assert_int_equal(net_counts()->sender_state_full, NET_SENDERS + 2 * 10);
	for (uint32_t pid = 2; pid < 12; pid++) {
		net_post_sealed(1, pid, 1, 0);
		net_post_derived(9, pid, 1, 0);
		assert_int_equal(net_receive(), 2);
	}
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
		TEST(a_nameless_key_speaks_for_no_other),
		TEST(keys_that_make_no_sense_change_nothing),
		TEST(without_its_keys_a_host_is_known_and_not_heard),
		TEST(a_master_is_replaced_while_both_count),
		TEST(one_key_does_not_fill_the_places_of_another),
		TEST(one_call_works_a_bounded_time),
		TEST(derived_keys_are_those_of_the_masters_in_force),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
