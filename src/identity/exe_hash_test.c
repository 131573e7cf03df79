#include "identity/exe_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/blake3.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"

#define BOTH (BELAY__HASH_BLAKE3 | BELAY__HASH_SHA256)

/* What the code under test calls: reads are counted and may find the file changed, and the wall
 * clock runs ahead. */
static unsigned reads;
static int change_fd = -EBADF;
static unsigned changes_left;
static long ahead_s, ahead_ns, more_s_per_read;

#ifdef __GLIBC__
#define WRAP_PREAD __wrap_pread64
#define REAL_PREAD __real_pread64
#else
#define WRAP_PREAD __wrap_pread
#define REAL_PREAD __real_pread
#endif

ssize_t WRAP_PREAD(int fd, void *bytes, size_t len, off_t at);
ssize_t REAL_PREAD(int fd, void *bytes, size_t len, off_t at);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __real_clock_gettime(clockid_t clock, struct timespec *now);

ssize_t WRAP_PREAD(int fd, void *bytes, size_t len, off_t at)
{
	ssize_t n = REAL_PREAD(fd, bytes, len, at);

	reads++;
	if (ahead_s != 0)
		ahead_s += more_s_per_read;
	if (n == 0 && changes_left > 0) {
		changes_left--;
		assert_int_equal(write(change_fd, "c", 1), 1);
	}
	return n;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int r = __real_clock_gettime(clock, now);

	if (clock == CLOCK_REALTIME && ahead_s != 0) {
		now->tv_sec = ahead_s;
		now->tv_nsec = ahead_ns;
	}
	return r;
}

/* From now on the wall clock stands NS after STAT's last change (whole seconds in S). */
static void stand_after(const struct stat *stat, long s, long ns)
{
	ahead_s = stat->st_ctim.tv_sec + s;
	ahead_ns = stat->st_ctim.tv_nsec + ns;
	if (ahead_ns < 0) {
		ahead_ns += 1000000000;
		ahead_s--;
	} else if (ahead_ns >= 1000000000) {
		ahead_ns -= 1000000000;
		ahead_s++;
	}
}

static int before(void **state)
{
	static int count;

	count = belay__fd_count();
	*state = &count;
	reads = changes_left = 0;
	ahead_s = ahead_ns = more_s_per_read = 0;
	return 0;
}

static int after(void **state)
{
	return belay__fd_count() == *(const int *)*state ? 0 : -1;
}

/* A file without a name that holds LEN bytes of a pattern. */
static int file_of(size_t len)
{
	char path[] = "/tmp/belay-hash-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC | O_APPEND);
	uint8_t bytes[4096];

	assert_return_code(fd, errno);
	assert_int_equal(unlink(path), 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i % 251);
	while (len > 0) {
		size_t n = len < sizeof(bytes) ? len : sizeof(bytes);

		assert_int_equal(belay__write_all(fd, bytes, n), 0);
		len -= n;
	}
	return fd;
}

static struct stat stat_of(int fd)
{
	struct stat stat;

	assert_int_equal(fstat(fd, &stat), 0);
	return stat;
}

static void assert_hex(const uint8_t hash[BELAY_HASH_LEN], const char *expected)
{
	char hex[2 * BELAY_HASH_LEN + 1];

	for (size_t i = 0; i < BELAY_HASH_LEN; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	assert_string_equal(hex, expected);
}

static void published_hashes_come_out(void **state)
{
	_cleanup_close_ int empty = file_of(0), abc = file_of(0);
	struct belay__exe_hash hash;
	(void)state;

	assert_int_equal(belay__exe_hash(empty, BOTH, NULL, UINT64_MAX, &hash), 0);
	assert_int_equal(hash.kinds, BOTH);
	assert_hex(hash.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_hex(hash.blake3, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");

	assert_int_equal(belay__write_all(abc, "abc", 3), 0);
	assert_int_equal(belay__exe_hash(abc, BOTH, NULL, UINT64_MAX, &hash), 0);
	assert_hex(hash.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_hex(hash.blake3, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
}

static void one_pass_makes_what_two_would(void **state)
{
	static const size_t sizes[] = { 1, 4095, 131071, 131072, 131073, 262144, 300001 };
	(void)state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		_cleanup_close_ int fd = file_of(sizes[i]);
		struct belay__exe_hash both, blake3, sha256;
		unsigned once;

		assert_int_equal(lseek(fd, 1, SEEK_SET), 1); /* wherever the descriptor stands */
		reads = 0;
		assert_int_equal(belay__exe_hash(fd, BOTH, NULL, UINT64_MAX, &both), 0);
		once = reads;
		assert_int_equal(belay__exe_hash(fd, BELAY__HASH_BLAKE3, NULL, UINT64_MAX, &blake3),
			0);
		assert_int_equal(belay__exe_hash(fd, BELAY__HASH_SHA256, NULL, UINT64_MAX, &sha256),
			0);
		assert_int_equal(reads, 3 * once);
		assert_int_equal(blake3.kinds, BELAY__HASH_BLAKE3);
		assert_int_equal(sha256.kinds, BELAY__HASH_SHA256);
		assert_memory_equal(both.blake3, blake3.blake3, BELAY_HASH_LEN);
		assert_memory_equal(both.sha256, sha256.sha256, BELAY_HASH_LEN);
		assert_int_equal(lseek(fd, 0, SEEK_CUR), 1);
	}
}

static void what_is_remembered_is_not_read_again(void **state)
{
	_cleanup_close_ int fd = file_of(200000);
	struct belay__exe_hash first, second;
	struct belay_hashes *hashes = NULL;
	struct stat stat = stat_of(fd);
	(void)state;

	assert_int_equal(belay_hashes_new(&hashes), 0);
	stand_after(&stat, 1, 0);
	assert_int_equal(belay__exe_hash(fd, BELAY__HASH_BLAKE3, hashes, UINT64_MAX, &first), 0);
	assert_true(reads > 0);
	reads = 0;
	assert_int_equal(belay__exe_hash(fd, BELAY__HASH_BLAKE3, hashes, UINT64_MAX, &second), 0);
	assert_int_equal(reads, 0);
	assert_memory_equal(first.blake3, second.blake3, BELAY_HASH_LEN);

	/* The other hash is not known by that, and then both are. */
	assert_int_equal(belay__exe_hash(fd, BOTH, hashes, UINT64_MAX, &second), 0);
	assert_true(reads > 0);
	reads = 0;
	assert_int_equal(belay__exe_hash(fd, BELAY__HASH_BLAKE3, hashes, UINT64_MAX, &second), 0);
	assert_int_equal(belay__exe_hash(fd, BELAY__HASH_SHA256, hashes, UINT64_MAX, &second), 0);
	assert_int_equal(reads, 0);
	assert_null(belay_hashes_free(hashes));
}

static void another_file_or_time_is_not_remembered(void **state)
{
	_cleanup_close_ int fd = file_of(10);
	struct belay__exe_hash hash, untouched = { .kinds = 77 };
	struct belay_hashes *hashes = NULL;
	struct stat stat = stat_of(fd), other[8];
	(void)state;

	assert_int_equal(belay_hashes_new(&hashes), 0);
	stand_after(&stat, 5, 0);
	assert_int_equal(belay__exe_hash(fd, BOTH, hashes, UINT64_MAX, &hash), 0);
	assert_true(belay__hashes_find(hashes, &stat, BOTH, &hash));
	assert_false(belay__hashes_find(NULL, &stat, BOTH, &untouched));
	for (size_t i = 0; i < 8; i++)
		other[i] = stat;
	other[0].st_dev++;
	other[1].st_ino++;
	other[2].st_size++;
	other[3].st_mtim.tv_sec--;
	other[4].st_mtim.tv_nsec ^= 1;
	other[5].st_ctim.tv_sec++;
	other[6].st_ctim.tv_nsec ^= 1;
	for (size_t i = 0; i < 7; i++)
		assert_false(belay__hashes_find(hashes, &other[i], BOTH, &untouched));
	assert_int_equal(untouched.kinds, 77);
	other[7].st_mode = 0; /* the rest does not count */
	other[7].st_nlink = 9;
	other[7].st_atim.tv_sec = 0;
	assert_true(belay__hashes_find(hashes, &other[7], BOTH, &hash));
	(void)belay_hashes_free(hashes);
}

static void what_changed_within_a_second_is_not_remembered(void **state)
{
	static const struct {
		long s, ns;
		bool remembered;
	} cases[] = {
		{ -5, 0, false }, /* a clock that was set back */
		{ 0, 0, false },
		{ 1, -1, false },
		{ 1, 0, true },
		{ 2, 0, true },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_close_ int fd = file_of(10);
		struct belay_hashes *hashes = NULL;
		struct stat stat = stat_of(fd);
		struct belay__exe_hash hash;

		assert_int_equal(belay_hashes_new(&hashes), 0);
		stand_after(&stat, cases[i].s, cases[i].ns);
		assert_int_equal(belay__exe_hash(fd, BOTH, hashes, UINT64_MAX, &hash), 0);
		assert_int_equal(belay__hashes_find(hashes, &stat, BOTH, &hash),
			cases[i].remembered);
		(void)belay_hashes_free(hashes);
	}
}

/* A change that leaves the times as they are can come until a second after the last one: a reading that began
 * before may have missed it, however long it took. */
static void a_slow_reading_does_not_make_a_change_older(void **state)
{
	_cleanup_close_ int fd = file_of(10);
	struct belay_hashes *hashes = NULL;
	struct stat stat = stat_of(fd);
	struct belay__exe_hash hash;
	(void)state;

	assert_int_equal(belay_hashes_new(&hashes), 0);
	stand_after(&stat, 1, -1);
	more_s_per_read = 5;
	assert_int_equal(belay__exe_hash(fd, BOTH, hashes, UINT64_MAX, &hash), 0);
	assert_true(reads > 0);
	assert_false(belay__hashes_find(hashes, &stat, BOTH, &hash));
	(void)belay_hashes_free(hashes);
}

/* Records with one kind each, of the same file, do not push each other out. */
static void both_kinds_of_one_file_are_remembered(void **state)
{
	_cleanup_close_ int fd = file_of(5000);
	struct belay__exe_hash blake3, sha256, both;
	struct belay_hashes *hashes = NULL;
	struct stat stat = stat_of(fd);
	(void)state;

	assert_int_equal(belay_hashes_new(&hashes), 0);
	stand_after(&stat, 5, 0);
	assert_int_equal(belay__exe_hash(fd, BELAY__HASH_BLAKE3, hashes, UINT64_MAX, &blake3), 0);
	assert_int_equal(belay__exe_hash(fd, BELAY__HASH_SHA256, hashes, UINT64_MAX, &sha256), 0);
	reads = 0;
	assert_int_equal(belay__exe_hash(fd, BOTH, hashes, UINT64_MAX, &both), 0);
	assert_int_equal(reads, 0);
	assert_memory_equal(both.blake3, blake3.blake3, BELAY_HASH_LEN);
	assert_memory_equal(both.sha256, sha256.sha256, BELAY_HASH_LEN);

	/* Other bytes of the same inode are another file. */
	assert_int_equal(write(fd, "x", 1), 1);
	stat = stat_of(fd);
	stand_after(&stat, 5, 0);
	assert_int_equal(belay__exe_hash(fd, BELAY__HASH_BLAKE3, hashes, UINT64_MAX, &blake3), 0);
	assert_true(belay__hashes_find(hashes, &stat, BELAY__HASH_BLAKE3, &both));
	assert_false(belay__hashes_find(hashes, &stat, BOTH, &both));
	(void)belay_hashes_free(hashes);
}

static void what_is_too_large_is_not_read(void **state)
{
	_cleanup_close_ int fd = file_of(10);
	struct belay__exe_hash hash = { .kinds = 77 };
	(void)state;

	assert_int_equal(ftruncate(fd, BELAY_EXE_MAX + 1), 0);
	assert_int_equal(belay__exe_hash(fd, BELAY__HASH_BLAKE3, NULL, UINT64_MAX, &hash), -EFBIG);
	assert_int_equal(reads, 0);
	assert_int_equal(hash.kinds, 77);
}

static void reading_ends_at_the_deadline(void **state)
{
	_cleanup_close_ int fd = file_of(10);
	struct belay__exe_hash hash = { .kinds = 77 };
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC), until_ns;
	(void)state;

	assert_int_equal(belay__exe_hash(fd, BOTH, NULL, now_ns, &hash), -ETIMEDOUT);
	assert_int_equal(reads, 0);
	assert_int_equal(belay__exe_hash(fd, BOTH, NULL, now_ns + 600 * BELAY__NS_PER_S, &hash), 0);

	hash.kinds = 77;
	assert_int_equal(ftruncate(fd, BELAY_EXE_MAX), 0);
	until_ns = belay__clock_ns(CLOCK_MONOTONIC) + 30 * BELAY__NS_PER_MS;
	assert_int_equal(belay__exe_hash(fd, BOTH, NULL, until_ns, &hash), -ETIMEDOUT);
	now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	assert_true(now_ns >= until_ns && now_ns < until_ns + 5 * BELAY__NS_PER_S);
	assert_int_equal(hash.kinds, 77);
}

static void of_sixty_five_the_oldest_is_forgotten(void **state)
{
	struct belay_hashes *hashes = NULL;
	struct belay__exe_hash hash;
	static struct stat stat[65];
	int fds[65];
	(void)state;

	assert_int_equal(belay_hashes_new(&hashes), 0);
	for (size_t i = 0; i < 65; i++) {
		fds[i] = file_of(i);
		stat[i] = stat_of(fds[i]);
		stand_after(&stat[i], 1, 0);
		assert_int_equal(
			belay__exe_hash(fds[i], BELAY__HASH_BLAKE3, hashes, UINT64_MAX, &hash), 0);
		assert_true(belay__hashes_find(hashes, &stat[0], BELAY__HASH_BLAKE3, &hash) ==
			(i < 64));
	}
	for (size_t i = 1; i < 65; i++) {
		uint8_t bytes[64], expected[BELAY_HASH_LEN];

		for (size_t k = 0; k < i; k++)
			bytes[k] = (uint8_t)k;
		assert_true(belay__hashes_find(hashes, &stat[i], BELAY__HASH_BLAKE3, &hash));
		belay__blake3(bytes, i, expected);
		assert_memory_equal(hash.blake3, expected, BELAY_HASH_LEN);
	}
	for (size_t i = 0; i < 65; i++)
		(void)close(fds[i]);
	(void)belay_hashes_free(hashes);
}

static void a_file_that_changes_meanwhile_is_read_again(void **state)
{
	_cleanup_close_ int fd = file_of(0);
	struct belay__exe_hash hash = { .kinds = 77 };
	uint8_t expected[BELAY_HASH_LEN];
	struct belay_hashes *hashes = NULL;
	struct stat stat;
	(void)state;

	assert_int_equal(belay_hashes_new(&hashes), 0);
	change_fd = fd;
	changes_left = 3;
	assert_int_equal(belay__exe_hash(fd, BOTH, hashes, UINT64_MAX, &hash), 0);
	belay__blake3("ccc", 3, expected);
	assert_memory_equal(hash.blake3, expected, BELAY_HASH_LEN);

	/* One that never rests is given up, and nothing of it kept, however late it is. */
	hash.kinds = 77;
	changes_left = 100;
	stat = stat_of(fd);
	stand_after(&stat, 1000, 0);
	assert_int_equal(belay__exe_hash(fd, BOTH, hashes, UINT64_MAX, &hash), -EBUSY);
	assert_int_equal(hash.kinds, 77);
	stat = stat_of(fd);
	assert_false(belay__hashes_find(hashes, &stat, BOTH, &hash));
	(void)belay_hashes_free(hashes);
}

static void only_regular_files_are_read(void **state)
{
	struct belay__exe_hash hash = { .kinds = 77 };
	_cleanup_close_ int null = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)state;

	assert_int_equal(belay__exe_hash(null, BOTH, NULL, UINT64_MAX, &hash), -EINVAL);
	assert_int_equal(belay__exe_hash(directory, BOTH, NULL, UINT64_MAX, &hash), -EINVAL);
	assert_int_equal(belay__exe_hash(-1, BOTH, NULL, UINT64_MAX, &hash), -EBADF);
	assert_int_equal(hash.kinds, 77);
	assert_int_equal(reads, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(published_hashes_come_out),
		TEST(one_pass_makes_what_two_would),
		TEST(what_is_remembered_is_not_read_again),
		TEST(another_file_or_time_is_not_remembered),
		TEST(what_changed_within_a_second_is_not_remembered),
		TEST(a_slow_reading_does_not_make_a_change_older),
		TEST(both_kinds_of_one_file_are_remembered),
		TEST(what_is_too_large_is_not_read),
		TEST(reading_ends_at_the_deadline),
		TEST(of_sixty_five_the_oldest_is_forgotten),
		TEST(a_file_that_changes_meanwhile_is_read_again),
		TEST(only_regular_files_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
