#include <belay/identity.h>

#include "identity/boot_id.h"
#include "identity/exe_hash.h"
#include "identity/test_daemon.h"

#define BOTH (BELAY__HASH_BLAKE3 | BELAY__HASH_SHA256)

/* Whom the next look at an executable finds ending. */
static struct child *to_end;

ssize_t __wrap_readlinkat(int dirfd, const char *path, char *link, size_t size);
ssize_t __real_readlinkat(int dirfd, const char *path, char *link, size_t size);

ssize_t __wrap_readlinkat(int dirfd, const char *path, char *link, size_t size)
{
	if (to_end != NULL && strcmp(path, "exe") == 0) {
		child_signal(to_end, SIGKILL);
		child_wait_end(to_end);
		to_end = NULL;
	}
	return __real_readlinkat(dirfd, path, link, size);
}

static void a_process_writes_itself_down(void **state)
{
	const struct belay_endpoint endpoint = { "shared", "/run/app/d.sock" };
	struct belay_daemon self = { 0 };
	struct belay__exe_hash hash;
	struct belay__stat stat;
	static char path[4096];
	const char *boot_id;
	int fd;
	(void)state;

	assert_int_equal(belay_daemon_capture_self(&endpoint, &self, NULL), 0);
	assert_int_equal(self.pid, getpid());
	assert_true(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
	assert_string_equal(self.exe_path, path);
	assert_int_equal(belay__read_stat(getpid(), &stat), 0);
	assert_int_equal(self.start_ticks, stat.start_ticks);
	assert_int_equal(belay__boot_id_text(&boot_id), 0);
	assert_string_equal(self.boot_id, boot_id);
	assert_int_equal(strlen(self.boot_id), 36);
	assert_true(belay_endpoint_equal(&self.endpoint, &endpoint));
	assert_true(self.started_at_ms / 10000 ==
			belay__clock_ns(CLOCK_REALTIME) / BELAY__NS_PER_MS / 10000 ||
		self.started_at_ms % 10000 > 5000);
	assert_false(self.has_idle_timeout);
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(belay__exe_hash(fd, BOTH, NULL, UINT64_MAX, &hash), 0);
	(void)close(fd);
	assert_true(self.has_blake3 && self.has_sha256);
	assert_memory_equal(self.blake3, hash.blake3, BELAY_HASH_LEN);
	assert_memory_equal(self.sha256, hash.sha256, BELAY_HASH_LEN);
}

static void another_process_is_written_down_as_itself(void **state)
{
	const char *path = in_dir("other");
	static struct belay_daemon self, other;
	struct belay_hashes *hashes = NULL;
	struct child child;
	(void)state;

	copy_self(path, 1);
	child = child_execute(path);
	assert_int_equal(belay_hashes_new(&hashes), 0);
	assert_int_equal(belay_daemon_capture_self(NULL, &self, NULL), 0);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(belay_daemon_capture(child.pid, NULL, hashes, &other, NULL), 0);
		assert_int_equal(other.pid, child.pid);
		assert_string_equal(other.exe_path, path);
		assert_int_equal(other.start_ticks, child.start_ticks);
		assert_string_equal(other.endpoint.path, "");
		assert_memory_not_equal(other.blake3, self.blake3, BELAY_HASH_LEN);
		assert_memory_not_equal(other.sha256, self.sha256, BELAY_HASH_LEN);
	}
	(void)belay_hashes_free(hashes);
	child_end(&child);
	assert_int_equal(unlink(path), 0);
}

/* Whoever starts again from the record starts the new file. */
static void the_path_of_a_replaced_file_is_written_without_a_mark(void **state)
{
	const char *path = in_dir("daemon"), *kept = in_dir("kept"), *odd = in_dir("x (deleted)");
	struct belay_daemon daemon;
	struct child child;
	(void)state;

	copy_self(path, 0);
	child = child_execute(path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(belay_daemon_capture(child.pid, NULL, NULL, &daemon, NULL), 0);
	assert_string_equal(daemon.exe_path, path);
	child_end(&child);

	/* The same of a file that has another name left. */
	copy_self(path, 0);
	child = child_execute(path);
	assert_int_equal(link(path, kept), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(belay_daemon_capture(child.pid, NULL, NULL, &daemon, NULL), 0);
	assert_string_equal(daemon.exe_path, path);
	child_end(&child);
	assert_int_equal(unlink(kept), 0);

	/* And a file may be called so. */
	copy_self(odd, 0);
	child = child_execute(odd);
	assert_int_equal(belay_daemon_capture(child.pid, NULL, NULL, &daemon, NULL), 0);
	assert_string_equal(daemon.exe_path, odd);
	child_end(&child);
	assert_int_equal(unlink(odd), 0);
}

static void nobody_is_written_down_as_somebody(void **state)
{
	struct belay_daemon daemon = { .pid = 77 };
	struct belay_error error = { 0 };
	struct child child;
	int code = 0;
	(void)state;

	assert_int_equal(belay_daemon_capture(0, NULL, NULL, &daemon, &error), -EINVAL);
	assert_int_equal(error.code, -EINVAL);
	assert_int_equal(belay_daemon_capture(-1, NULL, NULL, &daemon, NULL), -EINVAL);
	assert_int_equal(
		belay_daemon_capture((pid_t)belay__read_pid_max(), NULL, NULL, &daemon, NULL),
		-ESRCH);
	child = child_start(body_ends, &code);
	child_wait_end(&child);
	assert_int_equal(belay_daemon_capture(child.pid, NULL, NULL, &daemon, &error), -ESRCH);
	assert_non_null(strstr(error.text, "has ended"));
	(void)child_reap(&child);
	assert_int_equal(daemon.pid, 77);
}

static void who_ends_meanwhile_is_not_written_down(void **state)
{
	struct belay_daemon daemon = { .pid = 77 };
	struct belay_error error = { 0 };
	struct child child;
	(void)state;

	child = child_start(body_sleeps, NULL);
	to_end = &child;
	assert_int_equal(belay_daemon_capture(child.pid, NULL, NULL, &daemon, &error), -ESRCH);
	assert_non_null(strstr(error.text, "while it was looked at"));
	assert_int_equal(daemon.pid, 77);
	(void)child_reap(&child);
}

static void endpoints_are_equal_byte_by_byte(void **state)
{
	const struct belay_endpoint a = { "shared", "/run/d.sock" }, same = a;
	const struct belay_endpoint other[] = { { "Shared", "/run/d.sock" },
		{ "shared", "/run/./d.sock" }, { "", "/run/d.sock" }, { "shared", "" } };
	(void)state;

	assert_true(belay_endpoint_equal(&a, &same));
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		assert_false(belay_endpoint_equal(&a, &other[i]));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_process_writes_itself_down),
		TEST(another_process_is_written_down_as_itself),
		TEST(the_path_of_a_replaced_file_is_written_without_a_mark),
		TEST(nobody_is_written_down_as_somebody),
		TEST(who_ends_meanwhile_is_not_written_down),
		TEST(endpoints_are_equal_byte_by_byte),
	};

	sleep_if_told(argc, argv);
	return cmocka_run_group_tests(tests, test_make_dir, test_remove_dir);
}
