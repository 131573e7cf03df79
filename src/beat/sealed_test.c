#include <belay/sealed.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "beat/test_observer.h"
#include "beat/test_sealed.h"

static struct test_far far;
static struct belay *belay;

static int set_up_form(bool master)
{
	test_calls = (struct test_calls){ 0 };
	assert_true(test_far_init(&far, AF_INET));
	belay = master ? belay_open_sealed_master(far.address, &test_key)
		       : belay_open_sealed(far.address, &test_key);
	assert_non_null(belay);
	test_calls = (struct test_calls){ 0 };
	return 0;
}

static int shared(void **state)
{
	(void)state;
	return set_up_form(false);
}

static int master(void **state)
{
	(void)state;
	return set_up_form(true);
}

static int clean_up(void **state)
{
	(void)state;
	belay_close(belay);
	test_far_done(&far);
	return 0;
}

static struct belay_outcome beat(void)
{
	return belay_beat(belay, BELAY_OK, 0);
}

static struct belay__position *position(void)
{
	return &test_sealed_of(belay)->now.position;
}

static void assert_nonce(const struct test_opened *opened, const uint8_t *prefix, uint32_t counter)
{
	assert_memory_equal(opened->prefix, prefix, BELAY__PREFIX_LEN);
	assert_int_equal(opened->counter, counter);
}

/* The next beat's nonce is the first under prefix INDEX of the session that it is sent in. */
static void assert_first_of(uint32_t index)
{
	uint8_t prefix[BELAY__PREFIX_LEN];
	struct test_opened opened;

	assert_sent(beat());
	belay__derive_prefix(test_sealed_of(belay)->now.salt, index, prefix);
	opened = test_opened_take_only(&far);
	assert_nonce(&opened, prefix, 0);
}

static void a_beat_opens_with_the_key_to_the_frame_it_was(void **state)
{
	uint8_t bytes[BELAY__SEALED_LEN + 1], frame[BELAY_FRAME_LEN];
	struct belay_key other = test_key;
	struct test_opened opened;
	(void)state;

	assert_sent(belay_beat(belay, BELAY_DEGRADED, 4711));
	opened = test_opened_take_only(&far);
	assert_int_equal(opened.pid, 0);
	assert_int_equal(opened.counter, 0);
	assert_int_equal(opened.frame.status, BELAY_DEGRADED);
	assert_int_equal(opened.frame.pid, getpid());
	assert_int_equal(opened.frame.nonce, 1);
	assert_int_equal(opened.frame.payload, 4711);

	assert_sent(beat());
	assert_int_equal(test_far_take(&far, bytes, sizeof(bytes)), BELAY__SEALED_LEN);
	other.bytes[0] ^= 1;
	assert_false(belay__unseal(other.bytes, bytes, NULL, 0, frame));
	bytes[20] ^= 1;
	assert_false(belay__unseal(test_key.bytes, bytes, NULL, 0, frame));
}

static void the_master_form_tells_the_pid_and_vouches_for_it(void **state)
{
	uint8_t bytes[BELAY__SEALED_MASTER_LEN], key[BELAY__KEY_LEN], frame[BELAY_FRAME_LEN];
	struct test_opened opened;
	(void)state;

	assert_sent(beat());
	opened = test_opened_take_only(&far);
	assert_int_equal(opened.pid, getpid());
	assert_int_equal(opened.frame.pid, getpid());
	assert_int_equal(opened.counter, 0);

	assert_sent(beat());
	assert_int_equal(test_far_take(&far, bytes, sizeof(bytes)), sizeof(bytes));
	belay__derive_agent_key(test_key.bytes, (uint32_t)getpid(), key);
	assert_true(belay__unseal(key, bytes + 4, bytes, 4, frame));
	bytes[0] ^= 1;
	assert_false(belay__unseal(key, bytes + 4, bytes, 4, frame));
	assert_false(belay__unseal(test_key.bytes, bytes + 4, NULL, 0, frame));
}

static void the_prefix_is_derived_of_the_salt_and_the_counter_goes_up(void **state)
{
	uint8_t prefix[BELAY__PREFIX_LEN];
	struct test_opened opened;
	(void)state;

	belay__derive_prefix(test_sealed_of(belay)->now.salt, 0, prefix);
	for (uint32_t counter = 0; counter < 100; counter++) {
		assert_sent(beat());
		opened = test_opened_take_only(&far);
		assert_nonce(&opened, prefix, counter);
		assert_int_equal(opened.frame.nonce, counter + 1);
	}
	assert_int_equal(test_calls.asked, 0);
}

static void the_last_counter_is_never_used(void **state)
{
	struct test_opened opened;
	(void)state;

	position()->counter = UINT32_MAX - 1;
	assert_sent(beat());
	opened = test_opened_take_only(&far);
	assert_nonce(&opened, position()->prefix, UINT32_MAX - 1);
	assert_first_of(1);
	assert_int_equal(position()->index, 1);

	position()->index = UINT32_MAX - 1;
	position()->counter = UINT32_MAX;
	assert_first_of(UINT32_MAX);
	assert_int_equal(test_calls.asked, 0);
}

static void a_prefix_that_was_not_sent_is_not_used_up(void **state)
{
	(void)state;

	position()->counter = UINT32_MAX;
	test_calls.send_errors[0] = test_calls.send_errors[1] = ENOBUFS;
	assert_dropped(beat(), BELAY_DROP_QUEUE_FULL);
	assert_dropped(beat(), BELAY_DROP_QUEUE_FULL);
	assert_int_equal(position()->index, 0);
	assert_int_equal(position()->counter, UINT32_MAX);
	assert_first_of(1);
}

static void after_the_last_prefix_comes_a_new_session(void **state)
{
	struct belay__sealed *sealed = test_sealed_of(belay);
	struct belay__session before;
	(void)state;

	position()->index = position()->counter = UINT32_MAX;
	before = sealed->now;
	test_calls.entropy[0] = -EPERM;
	assert_failed(beat(), EPERM);
	assert_memory_equal(&sealed->now, &before, sizeof(before));
	assert_int_equal(test_far_drain(&far), 0);

	assert_first_of(0);
	assert_memory_not_equal(sealed->now.salt, before.salt, BELAY__SALT_LEN);
}

static void what_was_not_sent_uses_up_no_nonce(void **state)
{
	static const struct {
		int error;
		enum belay_drop_reason reason;
	} rows[] = { { ENOBUFS, BELAY_DROP_QUEUE_FULL }, { EAGAIN, BELAY_DROP_QUEUE_FULL },
		{ ECONNREFUSED, BELAY_DROP_NO_OBSERVER }, { EPERM, BELAY_DROP_NONE },
		{ ENETUNREACH, BELAY_DROP_NONE }, { EMSGSIZE, BELAY_DROP_NONE } };
	struct belay__session before;
	struct test_opened opened;
	(void)state;

	for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		before = test_sealed_of(belay)->now;
		test_calls = (struct test_calls){ .send_errors = { rows[i].error } };
		errno = ERANGE;
		if (rows[i].reason != BELAY_DROP_NONE)
			assert_dropped(beat(), rows[i].reason);
		else
			assert_failed(beat(), rows[i].error);
		assert_int_equal(errno, ERANGE);
		assert_int_equal(test_calls.sends, 1);
		assert_memory_equal(&test_sealed_of(belay)->now, &before, sizeof(before));

		assert_sent(beat());
		opened = test_opened_take_only(&far);
		assert_nonce(&opened, before.position.prefix, i);
		assert_int_equal(opened.frame.nonce, i + 1);
	}
	test_calls = (struct test_calls){ .send_errors = { EINTR, EINTR } };
	assert_sent(beat());
	assert_int_equal(test_calls.sends, 3);
}

static void a_closed_port_drops_beats_until_it_is_open(void **state)
{
	struct belay__session before = test_sealed_of(belay)->now;
	struct test_opened opened;
	(void)state;

	test_far_leave(&far);
	assert_sent(beat()); /* whether somebody listens is told later */
	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	test_far_return(&far);
	assert_sent(beat());
	opened = test_opened_take_only(&far);
	assert_nonce(&opened, before.position.prefix, 1);
	assert_int_equal(opened.frame.nonce, 2);
	assert_int_equal(test_calls.asked, 0);
}

static void a_reconnect_is_a_new_session(void **state)
{
	struct belay__session before = test_sealed_of(belay)->now;
	int fds = belay__fd_count();
	(void)state;

	assert_sent(beat());
	(void)test_far_drain(&far);
	assert_int_equal(belay_reconnect(belay), 0);
	assert_memory_not_equal(test_sealed_of(belay)->now.salt, before.salt, BELAY__SALT_LEN);
	assert_int_not_equal(test_sealed_of(belay)->now.connection.inode, before.connection.inode);
	assert_first_of(0);
	assert_int_equal(belay__fd_count(), fds);

	/* Whoever asks for it gets one for a drop. */
	belay_set_reconnect_after(belay, 1);
	test_calls = (struct test_calls){ .send_errors = { ENOBUFS } };
	assert_sent(beat());
	assert_int_equal(test_calls.asked, 1);
	assert_int_equal(test_opened_take_only(&far).counter, 0);
}

static void a_reconnect_that_fails_leaves_the_session_whole(void **state)
{
	static const uint8_t zeroes[sizeof(struct belay__session)];
	struct belay__sealed *sealed = test_sealed_of(belay);
	struct belay__session before;
	struct test_opened opened;
	int fds = belay__fd_count();
	(void)state;

	assert_sent(beat());
	(void)test_far_drain(&far);
	before = sealed->now;
	test_calls = (struct test_calls){ .entropy = { -ENOSYS } };
	assert_int_equal(belay_reconnect(belay), -ENOSYS);
	test_calls = (struct test_calls){ .connect_error = ENETUNREACH };
	assert_int_equal(belay_reconnect(belay), -ENETUNREACH);

	assert_memory_equal(&sealed->now, &before, sizeof(before));
	assert_memory_equal(&sealed->next, zeroes, sizeof(zeroes));
	assert_int_equal(belay__fd_count(), fds);
	assert_sent(beat());
	opened = test_opened_take_only(&far);
	assert_nonce(&opened, before.position.prefix, 1);
}

static void entropy_that_comes_in_pieces_is_awaited(void **state)
{
	(void)state;

	test_calls = (struct test_calls){ .entropy = { -EINTR, 5, -EINTR, 1 } };
	assert_int_equal(belay_reconnect(belay), 0);
	assert_int_equal(test_calls.asked, 5);
	test_calls = (struct test_calls){ .entropy = { 15, -INT_MAX } };
	assert_int_equal(belay_reconnect(belay), -EIO);
	assert_first_of(0);
}

static void without_entropy_no_handle_is_opened(void **state)
{
	int fds = belay__fd_count();
	(void)state;

	test_calls = (struct test_calls){ .entropy = { -ENOSYS } };
	assert_null(belay_open_sealed(far.address, &test_key));
	assert_int_equal(errno, ENOSYS);
	assert_true(test_calls.unmapped_is_zero);
	assert_int_equal(belay__fd_count(), fds);
}

static void what_is_no_address_or_no_key_is_refused(void **state)
{
	static const char *const texts[] = { "", "127.0.0.1", "localhost:7000", "127.0.0.1:70000",
		"127.0.0.1:0", "[::1]:0" };
	(void)state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_null(belay_open_sealed(texts[i], &test_key));
		assert_int_equal(errno, EINVAL);
	}
	assert_null(belay_open_sealed(NULL, &test_key));
	assert_int_equal(errno, EINVAL);
	assert_null(belay_open_sealed_master(far.address, NULL));
	assert_int_equal(errno, EINVAL);
}

static void a_network_may_come_later(void **state)
{
	struct belay *handle;
	(void)state;

	test_calls = (struct test_calls){ .connect_error = ENETUNREACH };
	handle = belay_open_sealed(far.address, &test_key);
	assert_non_null(handle);
	test_calls = (struct test_calls){ .connect_error = ENETUNREACH };
	assert_failed(belay_beat(handle, BELAY_OK, 0), ENETUNREACH);
	assert_failed(belay_beat(handle, BELAY_OK, 0), ENETUNREACH); /* not tried so soon */
	test_sealed_of(handle)->not_before_ns = 0;
	assert_sent(belay_beat(handle, BELAY_OK, 0));
	assert_int_equal(test_opened_take_only(&far).counter, 0);
	belay_close(handle);

	test_calls = (struct test_calls){ .connect_error = EAFNOSUPPORT };
	assert_null(belay_open_sealed(far.address, &test_key));
	assert_int_equal(errno, EAFNOSUPPORT);
}

/* The same session goes on: a lost socket costs no entropy, and no nonce sees two frames. */
static void a_lost_socket_is_replaced_within_the_session(void **state)
{
	struct belay__sealed *sealed = test_sealed_of(belay);
	struct test_opened opened;
	uint8_t prefix[BELAY__PREFIX_LEN];
	(void)state;

	memcpy(prefix, sealed->now.position.prefix, sizeof(prefix));
	assert_int_equal(close(sealed->now.connection.fd), 0);
	assert_sent(beat());
	opened = test_opened_take_only(&far);
	assert_nonce(&opened, prefix, 0);

	sealed->not_before_ns = 0;
	test_calls = (struct test_calls){ .send_errors = { EINVAL } };
	assert_sent(beat());
	assert_int_equal(test_calls.sends, 2);
	opened = test_opened_take_only(&far);
	assert_nonce(&opened, prefix, 1);

	test_calls = (struct test_calls){ .send_errors = { EADDRNOTAVAIL } };
	assert_failed(beat(), EADDRNOTAVAIL); /* at most every 100 ms */
	assert_int_equal(test_calls.sends, 1);
	assert_int_equal(test_calls.asked, 0);
}

static void after_a_second_no_frame_lands_in_a_stranger(void **state)
{
	struct belay__sealed *sealed = test_sealed_of(belay);
	int pair[2], fd = sealed->now.connection.fd;
	char byte;
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(dup3(pair[0], fd, O_CLOEXEC), fd);
	sealed->checked_ns -= UINT64_C(1000000000);
	assert_sent(beat());
	assert_int_equal(test_opened_take_only(&far).counter, 0);
	assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(close(fd), 0); /* it is still there */
	assert_int_equal(close(pair[0]), 0);
	assert_int_equal(close(pair[1]), 0);
}

static void a_key_is_wiped_when_the_handle_is_closed(void **state)
{
	struct belay_key key = test_key;
	(void)state;

	belay_close(belay);
	belay = NULL;
	assert_true(test_calls.unmapped_is_zero);

	belay_key_wipe(&key);
	assert_memory_equal(key.bytes, (uint8_t[BELAY_KEY_LEN]){ 0 }, BELAY_KEY_LEN);
	belay_key_wipe(NULL);
}

/* The flags of the mapping that MEMORY lies in, as /proc tells them: " rd wr lo dd ". */
static void flags_of(const void *memory, char *flags, int size)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	char line[256];
	uintptr_t from = 0, to = 0;

	flags[0] = '\0';
	while (fgets(line, sizeof(line), maps) != NULL) {
		char *dash = NULL, *space = NULL;
		uintptr_t low = strtoul(line, &dash, 16);
		uintptr_t high = *dash == '-' ? strtoul(dash + 1, &space, 16) : 0;

		if (high != 0 && *space == ' ') {
			from = low;
			to = high;
		}
		if ((uintptr_t)memory >= from && (uintptr_t)memory < to &&
			strncmp(line, "VmFlags:", 8) == 0)
			(void)snprintf(flags, (size_t)size, "%s", line + 8);
	}
	(void)fclose(maps);
}

/* Whether mlock(2) does here what it says; under a sanitizer, or beyond the limit, it does not. */
static bool locking_works(void)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char flags[256];

	assert_ptr_not_equal(page, MAP_FAILED);
	(void)mlock(page, size);
	(void)madvise(page, size, MADV_DONTFORK); /* so that it is a mapping of its own */
	flags_of(page, flags, sizeof(flags));
	assert_int_equal(munmap(page, size), 0);
	return strstr(flags, " lo ") != NULL;
}

static void keys_lie_in_locked_memory_that_is_not_dumped(void **state)
{
	char flags[256];
	(void)state;

	flags_of(test_sealed_of(belay), flags, sizeof(flags));
	if (flags[0] == '\0')
		skip();
	assert_non_null(strstr(flags, " dd "));
	if (locking_works())
		assert_non_null(strstr(flags, " lo "));
}

static bool open_without_a_lock(void *argument)
{
	const struct rlimit none = { 0, 0 };
	struct belay *handle;
	(void)argument;

	if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || (getuid() == 0 && setuid(65534) < 0))
		return false;
	handle = belay_open_sealed(far.address, &test_key);
	return handle != NULL && belay_beat(handle, BELAY_OK, 0).sent == BELAY_SENT;
}

static void memory_that_cannot_be_locked_is_no_reason_to_fail(void **state)
{
	(void)state;
	assert_in_child(open_without_a_lock, NULL);
	assert_int_equal(test_far_drain(&far), 1);
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, BELAY__PREFIX_LEN);
}

static void no_two_handles_share_a_prefix(void **state)
{
	enum { HANDLES = 200 };
	static uint8_t prefixes[HANDLES][BELAY__PREFIX_LEN];
	(void)state;

	for (unsigned i = 0; i < HANDLES; i++) {
		struct belay *handle = belay_open_sealed(far.address, &test_key);

		assert_sent(belay_beat(handle, BELAY_OK, 0));
		struct test_opened opened = test_opened_take_only(&far);
		memcpy(prefixes[i], opened.prefix, sizeof(opened.prefix));
		belay_close(handle);
	}
	qsort(prefixes, HANDLES, BELAY__PREFIX_LEN, by_bytes);
	for (unsigned i = 1; i < HANDLES; i++)
		assert_memory_not_equal(prefixes[i - 1], prefixes[i], BELAY__PREFIX_LEN);
}

static void there_is_no_door(void **state)
{
	(void)state;
	assert_sent(beat());
	assert_int_equal(belay_beat_within(belay, 1000), -ENOTSUP);
	belay_close(belay);
	belay = NULL;
	assert_int_equal(test_far_drain(&far), 1);
}

static void a_key_is_read_from_a_private_file_only(void **state)
{
	static const char digits[] =
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
	char path[] = "/tmp/belay-key-XXXXXX";
	struct belay_key key;
	struct belay_error error;
	int fd = mkostemp(path, O_CLOEXEC);
	(void)state;

	assert_int_equal(write(fd, digits, sizeof(digits) - 1), sizeof(digits) - 1);
	assert_int_equal(belay_key_read(path, &key, &error), 0);
	for (unsigned i = 0; i < BELAY_KEY_LEN; i++)
		assert_int_equal(key.bytes[i], i);

	assert_int_equal(fchmod(fd, 0640), 0);
	key = test_key;
	assert_true(belay_key_read(path, &key, &error) < 0);
	assert_memory_equal(&key, &test_key, sizeof(key));
	assert_null(strstr(error.text, "000102"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(close(fd), 0);
}

static void what_is_no_plain_file_is_refused_at_once(void **state)
{
	char directory[] = "/tmp/belay-key-XXXXXX", path[64];
	struct belay_key key = test_key;
	int fd;
	(void)state;

	assert_non_null(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/key", directory);
	assert_int_equal(belay_key_read(directory, &key, NULL), -EINVAL);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(belay_key_read(path, &key, NULL), -EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/zero", path), 0);
	assert_int_equal(belay_key_read(path, &key, NULL), -ELOOP);
	assert_int_equal(belay_key_read("/dev/zero", &key, NULL), -EINVAL);
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, INT64_C(1) << 40), 0);
	assert_int_equal(belay_key_read(path, &key, NULL), -EINVAL);
	assert_int_equal(close(fd), 0);
	assert_memory_equal(&key, &test_key, sizeof(key));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
#define WITH(setup, test) cmocka_unit_test_setup_teardown(test, setup, clean_up)
	const struct CMUnitTest tests[] = {
		WITH(shared, a_beat_opens_with_the_key_to_the_frame_it_was),
		WITH(master, the_master_form_tells_the_pid_and_vouches_for_it),
		WITH(shared, the_prefix_is_derived_of_the_salt_and_the_counter_goes_up),
		WITH(shared, the_last_counter_is_never_used),
		WITH(master, the_last_counter_is_never_used),
		WITH(shared, a_prefix_that_was_not_sent_is_not_used_up),
		WITH(shared, after_the_last_prefix_comes_a_new_session),
		WITH(shared, what_was_not_sent_uses_up_no_nonce),
		WITH(shared, a_closed_port_drops_beats_until_it_is_open),
		WITH(shared, a_reconnect_is_a_new_session),
		WITH(shared, a_reconnect_that_fails_leaves_the_session_whole),
		WITH(master, a_reconnect_that_fails_leaves_the_session_whole),
		WITH(shared, entropy_that_comes_in_pieces_is_awaited),
		WITH(shared, without_entropy_no_handle_is_opened),
		WITH(shared, what_is_no_address_or_no_key_is_refused),
		WITH(shared, a_network_may_come_later),
		WITH(shared, a_lost_socket_is_replaced_within_the_session),
		WITH(shared, after_a_second_no_frame_lands_in_a_stranger),
		WITH(master, a_key_is_wiped_when_the_handle_is_closed),
		WITH(shared, keys_lie_in_locked_memory_that_is_not_dumped),
		WITH(shared, memory_that_cannot_be_locked_is_no_reason_to_fail),
		WITH(shared, no_two_handles_share_a_prefix),
		WITH(shared, there_is_no_door),
		WITH(shared, a_key_is_read_from_a_private_file_only),
		WITH(shared, what_is_no_plain_file_is_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
