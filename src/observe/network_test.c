#include "observe/network.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/file.h"
#include "observe/network_testing.h"
#include "observe/slot.h"
#include "wire/bytes.h"

enum { LONG = 1400 };

/* This program is linked so that these stand before the C library's for every object of ours. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static unsigned calls;
static unsigned refuse_at; /* the call of this number, from 1, finds no memory; 0: none */

static bool refused(void)
{
	return ++calls == refuse_at;
}

void *__wrap_malloc(size_t size)
{
	return refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return refused() ? NULL : __real_aligned_alloc(alignment, size);
}

static void without_keys_plain_frames_come_from_udp(void **state)
{
	static const size_t wrong[] = { 0, 1, 31, 33, 60, 64, 65, LONG };
	uint8_t frame[LONG] = { 0 };
	(void)state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		net_post(frame, wrong[i]);
	net_frame(PID, 1, frame);
	net_post(frame, BELAY_FRAME_LEN);
	net_post(frame, BELAY_FRAME_LEN); /* whether it is old is the observer's affair */
	assert_int_equal(net_receive(), 2);
	assert_true(net.dry);
	net_assert_beat(&net.beats[0], PID, 1);
	net_assert_beat(&net.beats[1], PID, 1);
	assert_string_equal(net_host_of(&net.beats[0]), "udp");
	assert_int_equal(net.beats[1].host, net.beats[0].host);
	assert_int_equal(net_counts()->truncated, 8);
	assert_int_equal(net_counts()->aead_attempts, 0);
}

static void who_had_keys_reads_nothing_plain(void **state)
{
	uint8_t frame[BELAY_FRAME_LEN];
	(void)state;

	net_frame(PID, 1, frame);
	NET_SET(net_shared(0, ""));
	net_post(frame, sizeof(frame));
	assert_int_equal(net_receive(), 0);
	assert_int_equal(belay__network_set_keys(net.network, NULL, 0), 0);
	net_post(frame, sizeof(frame));
	net_post_sealed(0, PID, 1, 0);
	assert_int_equal(net_receive(), 0);
	assert_int_equal(net_counts()->truncated, 2);
	assert_int_equal(net_counts()->decrypt_failures, 1);
}

static void every_form_is_handed_on_with_its_host(void **state)
{
	static const char *hosts[] = { "key0", "web", "key1", "master", "web" };
	uint8_t loose[BELAY__SEALED_MASTER_LEN] = { 0xff, 0xff, 0xff, 0xff };
	(void)state;

	NET_SET(net_shared(0, ""), net_shared(1, "web"), net_master(9), net_shared(2, ""));
	net_post_sealed(0, PID, 1, 0);
	net_post_sealed(1, PID, 1, 0);
	net_post_sealed(2, PID, 1, 0);
	net_post_derived(9, PID, 1, 0);
	net_seal(1, PID, 1, 1, loose + 4);
	net_post(loose, sizeof(loose));
	assert_int_equal(net_receive(), 5);
	for (size_t i = 0; i < 5; i++) {
		net_assert_beat(&net.beats[i], PID, i == 4 ? 2 : 1);
		assert_string_equal(net_host_of(&net.beats[i]), hosts[i]);
	}
	assert_int_equal(net_counts()->aead_attempts, 3 + 3 + 3 + 4 + 4);
	assert_int_equal(net_counts()->decrypt_failures + net_counts()->replays_refused, 0);
	assert_int_equal(net.clock_reads, 1);
}

static void other_lengths_are_not_tried(void **state)
{
	static const size_t lengths[] = { 0, 1, 31, 32, 33, 59, 61, 62, 63, 65, LONG };
	uint8_t bytes[LONG] = { 0 };
	(void)state;

	NET_SET(net_shared(0, ""), net_master(9));
	net_seal_derived(9, PID, PID, 1, 0, bytes);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		net_post(bytes, lengths[i]);
		assert_int_equal(net_receive(), 0);
		assert_true(net.dry);
		assert_int_equal(net_counts()->truncated, i + 1);
	}
	assert_int_equal(net_counts()->aead_attempts, 0);
	assert_int_equal(net_counts()->decrypt_failures, 0);
}

static void no_bit_may_change(void **state)
{
	uint8_t sealed[BELAY__SEALED_LEN], derived[BELAY__SEALED_MASTER_LEN];
	unsigned wrong = 0;
	(void)state;

	NET_SET(net_shared(0, ""), net_master(9));
	net_seal(0, PID, 1, 0, sealed);
	net_seal_derived(9, PID, PID, 1, 0, derived);
	for (size_t i = 0; i < 8 * sizeof(derived); i++) {
		const uint8_t bit = (uint8_t)(1 << i % 8);

		derived[i / 8] ^= bit;
		net_post(derived, sizeof(derived));
		derived[i / 8] ^= bit;
		assert_int_equal(net_receive(), 0);
		assert_int_equal(net_counts()->decrypt_failures, ++wrong);
		if (i >= 8 * sizeof(sealed))
			continue;
		sealed[i / 8] ^= bit;
		net_post(sealed, sizeof(sealed));
		sealed[i / 8] ^= bit;
		assert_int_equal(net_receive(), 0);
		assert_int_equal(net_counts()->decrypt_failures, ++wrong);
	}
	net_post(sealed, sizeof(sealed));
	net_post(derived, sizeof(derived));
	assert_int_equal(net_receive(), 2);
}

static void no_key_opens_what_another_closed(void **state)
{
	uint8_t derived[BELAY__SEALED_MASTER_LEN], sealed[BELAY__SEALED_LEN];
	uint8_t crossed[BELAY__SEALED_MASTER_LEN];
	(void)state;

	NET_SET(net_shared(0, "a"), net_shared(1, "b"), net_master(9));
	net_post_sealed(9, PID, 1, 0);  /* the master key itself, as a shared one */
	net_post_derived(0, PID, 1, 0); /* derived from a shared one */
	net_post_sealed(7, PID, 1, 0);
	net_seal_derived(9, PID, PID, 1, 0, derived);
	net_post(derived + 4, BELAY__SEALED_LEN); /* without its pid */
	belay__put_le32(derived, PID + 1);
	net_post(derived, sizeof(derived)); /* with another's */
	net_seal_derived(9, PID, PID + 1, 1, 0, crossed);
	net_post(crossed, sizeof(crossed)); /* who has one's key speaks for another */
	assert_int_equal(net_receive(), 0);
	assert_int_equal(net_counts()->decrypt_failures, 6);

	/* A's frame is A's in every disguise. */
	net_seal(0, PID, 1, 0, sealed);
	memcpy(crossed + 4, sealed, sizeof(sealed));
	net_post(crossed, sizeof(crossed));
	assert_int_equal(net_receive(), 1);
	assert_string_equal(net_host_of(&net.beats[0]), "a");
	net_post(sealed, sizeof(sealed));
	assert_int_equal(net_receive(), 0);
	assert_int_equal(net_counts()->replays_refused, 1);
}

static void a_replay_is_one_wherever_it_comes_from(void **state)
{
	uint8_t sealed[BELAY__SEALED_LEN], derived[BELAY__SEALED_MASTER_LEN];
	(void)state;

	NET_SET(net_shared(0, ""), net_master(9));
	net_seal(0, PID, 1, 5, sealed);
	net_seal_derived(9, PID, PID, 1, 5, derived);
	net_post(sealed, sizeof(sealed));
	net_post(sealed, sizeof(sealed));
	net_post(derived, sizeof(derived));
	assert_int_equal(net_receive(), 2);

	(void)close(net.sender);
	net.sender = net_new_sender();
	net_post(sealed, sizeof(sealed));
	net_post(derived, sizeof(derived));
	net_post_sealed(0, PID, 1, 4);
	assert_int_equal(net_receive(), 0);
	assert_true(net.dry);
	assert_int_equal(net_counts()->replays_refused, 4);
	net_post_sealed(0, PID, 1, 6);
	assert_int_equal(net_receive(), 1);
	net_assert_beat(&net.beats[0], PID, 7);
	assert_int_equal(net_counts()->decrypt_failures, 0);
}

static void a_silence_as_long_as_the_gap_lets_a_session_begin(void **state)
{
	(void)state;

	NET_SET(net_shared(0, ""));
	net_post_sealed(0, PID, 1, 5);
	assert_int_equal(net_receive(), 1);
	belay__network_set_restart_gap(net.network, 2 * NET_GAP_NS);
	net.now_ns += 2 * NET_GAP_NS - 1;
	net_post_sealed(0, PID, 2, 0);
	assert_int_equal(net_receive(), 0);
	net.now_ns++;
	net_post_sealed(0, PID, 2, 0);
	assert_int_equal(net_receive(), 1);
	net_assert_beat(&net.beats[0], PID, 1);
}

static void equal_pids_of_two_hosts_are_two_senders(void **state)
{
	(void)state;

	NET_SET(net_shared(0, "a"), net_shared(1, "b"), net_shared(2, "a"));
	for (unsigned n = 0; n < 3; n++)
		net_post_sealed(n, PID, 1, 0);
	assert_int_equal(net_receive(), 3);
	assert_string_equal(net_host_of(&net.beats[0]), "a");
	assert_string_equal(net_host_of(&net.beats[1]), "b");
	assert_int_equal(net.beats[2].host, net.beats[0].host);
	assert_int_not_equal(belay__process_key(net.beats[0].host, PID),
		belay__process_key(net.beats[1].host, PID));
	assert_int_equal(belay__network_hosts(net.network)->count, 2);
}

/* Seals what is no frame at all (or one of PID_) under key 0. */
static void post_odd(bool is_frame, uint32_t pid, uint32_t counter)
{
	const uint8_t prefix[BELAY__PREFIX_LEN] = { 1 };
	uint8_t key[BELAY__KEY_LEN], sealed[BELAY__SEALED_LEN], frame[BELAY_FRAME_LEN] = "no frame";

	memcpy(key, net_shared(0, "").key, sizeof(key));
	if (is_frame)
		net_frame(pid, 1, frame);
	belay__seal(key, prefix, counter, frame, sealed);
	net_post(sealed, sizeof(sealed));
}

static void what_is_nobodys_frame_takes_no_place(void **state)
{
	(void)state;
	(void)net_end(NULL);
	net_begin_with(1, false);

	NET_SET(net_shared(0, ""));
	for (int i = 0; i < 2; i++) {
		post_odd(false, 0, 3);
		post_odd(true, 0, 3);
		post_odd(true, 1, 3);
		post_odd(true, BELAY__PID_LIMIT, 3);
	}
	assert_int_equal(net_receive(), 8);
	assert_memory_equal(net.beats[0].bytes, "no frame", 8);
	post_odd(true, BELAY__PID_LIMIT - 1, 3);
	assert_int_equal(net_receive(), 1);
	post_odd(true, BELAY__PID_LIMIT - 1, 3);
	post_odd(true, PID, 3);
	assert_int_equal(net_receive(), 0);
	assert_int_equal(net_counts()->replays_refused, 1);
	assert_int_equal(net_counts()->sender_state_full, 1);
}

static void attested_beats_say_so(void **state)
{
	uint8_t frame[BELAY_FRAME_LEN];
	(void)state;
	(void)net_end(NULL);
	net_begin_with(1, true);

	net_frame(PID, 1, frame);
	net_post(frame, sizeof(frame));
	assert_int_equal(net_receive(), 1);
	assert_int_equal(net.beats[0].origin, BELAY__OPERATOR_ATTESTED);
	NET_SET(net_shared(0, ""));
	net_post_sealed(0, PID, 1, 0);
	assert_int_equal(net_receive(), 1);
	assert_int_equal(net.beats[0].origin, BELAY__OPERATOR_ATTESTED);
}

static void nothing_is_allocated_once_it_is_there(void **state)
{
	unsigned before = calls;
	int fds = belay__fd_count();
	(void)state;

	assert_true(calls > 0);
	for (unsigned n = 0; n < 3; n++) {
		NET_SET(net_shared(n, "a"), net_shared(7, ""), net_master(9));
		for (uint32_t pid = 2; pid < 2 + 2 * NET_SENDERS; pid++) {
			net_post_sealed(n, pid, 1, n);
			net_post_derived(9, pid, 1, n);
			net_post_sealed(100, pid, 1, n);
			assert_true(net_receive() >= 0);
		}
	}
	assert_int_equal(calls, before);
	assert_int_equal(belay__fd_count(), fds);
}

static void without_memory_there_is_no_network(void **state)
{
	struct belay__network *none = NULL;
	int r = -ENOMEM;
	(void)state;

	for (unsigned nth = 1; r == -ENOMEM && nth < 100; nth++) {
		calls = 0;
		refuse_at = nth;
		r = belay__network_new(NET_SENDERS, NET_GAP_NS, false, net_now, &net.now_ns, &none);
		assert_int_equal(r < 0, none == NULL);
	}
	refuse_at = 0;
	assert_int_equal(r, 0);
	assert_null(belay__network_free(none));
	assert_null(belay__network_free(NULL));
}

/* How many KiB of this process are locked. */
static unsigned long locked_kib(void)
{
	char text[4096], *line;

	assert_true(belay__read_file(AT_FDCWD, "/proc/self/status", text, sizeof(text)) > 0);
	line = strstr(text, "VmLck:");
	assert_non_null(line);
	return strtoul(line + strlen("VmLck:"), NULL, 10);
}

static void secrets_are_locked_in_memory(void **state)
{
	static uint8_t page[2 * 4096];
	unsigned long before = locked_kib();
	(void)state;

	(void)net_end(NULL);
	assert_true(locked_kib() < before || before == 0);
	(void)mlock(page, sizeof(page));
	if (locked_kib() == 0) { /* a sanitizer, or a limit */
		net_begin_with(1, false);
		skip();
	}
	(void)munlock(page, sizeof(page));
	before = locked_kib();
	net_begin_with(1, false);
	assert_in_range(locked_kib() - before, BELAY__KEYS_MAX * BELAY__KEY_LEN / 1024, 64);
}

static void what_the_socket_says_is_handed_on(void **state)
{
	(void)state;

	NET_SET(net_shared(0, ""));
	assert_int_equal(net_receive(), 0);
	assert_true(net.dry);
	assert_int_equal(belay__network_receive(net.network, -EBADF, &net.beats, &net.dry), -EBADF);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, net_begin, net_end)
	const struct CMUnitTest tests[] = {
		TEST(every_form_is_handed_on_with_its_host),
		TEST(without_keys_plain_frames_come_from_udp),
		TEST(who_had_keys_reads_nothing_plain),
		TEST(other_lengths_are_not_tried),
		TEST(no_bit_may_change),
		TEST(no_key_opens_what_another_closed),
		TEST(a_replay_is_one_wherever_it_comes_from),
		TEST(a_silence_as_long_as_the_gap_lets_a_session_begin),
		TEST(equal_pids_of_two_hosts_are_two_senders),
		TEST(what_is_nobodys_frame_takes_no_place),
		TEST(attested_beats_say_so),
		TEST(nothing_is_allocated_once_it_is_there),
		TEST(without_memory_there_is_no_network),
		TEST(secrets_are_locked_in_memory),
		TEST(what_the_socket_says_is_handed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
