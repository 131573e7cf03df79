#include <belay/identity.h>

#include <limits.h>
#include <pthread.h>
#include <sys/resource.h>

#include "identity/boot_id.h"
#include "identity/test_daemon.h"

enum step { AT_NO_STEP, AT_READLINK, AT_FIRST_STAT };

/* What the code under test calls: at one step the child that it looks at ends; executables that
 * are read are counted; and the kernel may have no pidfds. */
static struct child *to_end;
static enum step end_at;
static unsigned big_reads;
static int pidfd_error;
static int second_stat_error; /* what the second look at the process's stat says */
static bool stat_was_read;

#ifdef __GLIBC__
#define WRAP_PREAD __wrap_pread64
#define REAL_PREAD __real_pread64
#else
#define WRAP_PREAD __wrap_pread
#define REAL_PREAD __real_pread
#endif

ssize_t __wrap_readlinkat(int dirfd, const char *path, char *link, size_t size);
ssize_t __real_readlinkat(int dirfd, const char *path, char *link, size_t size);
ssize_t WRAP_PREAD(int fd, void *bytes, size_t len, off_t at);
ssize_t REAL_PREAD(int fd, void *bytes, size_t len, off_t at);
long __wrap_syscall(long number, ...);
long __real_syscall(long number, ...);

static void end_child(enum step step)
{
	if (step != end_at)
		return;
	end_at = AT_NO_STEP;
	child_signal(to_end, SIGKILL);
	child_wait_end(to_end);
}

ssize_t __wrap_readlinkat(int dirfd, const char *path, char *link, size_t size)
{
	ssize_t n;

	if (strcmp(path, "exe") != 0)
		return __real_readlinkat(dirfd, path, link, size);
	n = __real_readlinkat(dirfd, path, link, size);
	end_child(AT_READLINK);
	return n;
}

ssize_t WRAP_PREAD(int fd, void *bytes, size_t len, off_t at)
{
	ssize_t n = REAL_PREAD(fd, bytes, len, at);

	big_reads += len > 4096;
	if (len <= 4096 && second_stat_error != 0 && stat_was_read) {
		errno = second_stat_error;
		return -1;
	}
	stat_was_read = true;
	end_child(AT_FIRST_STAT);
	return n;
}

/* How many arguments the system calls of this program pass. */
static int argument_count(long number)
{
	switch (number) {
	case SYS_gettid:
		return 0;
	case SYS_pidfd_open:
	case SYS_clone3:
		return 2;
	case SYS_pidfd_send_signal:
		return 4;
	default:
		assert_int_equal(number, SYS_clone);
		return 5;
	}
}

long __wrap_syscall(long number, ...)
{
	long a[5] = { 0 };
	va_list arguments;

	va_start(arguments, number);
	for (int i = 0; i < argument_count(number); i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == SYS_pidfd_open && pidfd_error != 0) {
		errno = pidfd_error;
		return -1;
	}
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4]);
}

/* This process as it is. */
static struct belay_daemon self(void)
{
	static struct belay_daemon daemon;

	assert_int_equal(belay_daemon_capture_self(NULL, &daemon, NULL), 0);
	return daemon;
}

static struct belay_daemon captured(const struct child *child)
{
	static struct belay_daemon daemon;

	assert_int_equal(belay_daemon_capture(child->pid, NULL, NULL, &daemon, NULL), 0);
	return daemon;
}

static void assert_verified(const struct belay_daemon *daemon)
{
	enum belay_verify_error class = BELAY_VERIFY_HANDLE;
	struct belay_error error = { 0 };

	assert_int_equal(belay_daemon_verify(daemon, NULL, NULL, &class, &error), 0);
	assert_int_equal(class, BELAY_VERIFIED);
	assert_int_equal(error.code, 0);
}

static void assert_refused(const struct belay_daemon *daemon, int code,
	enum belay_verify_error expected)
{
	struct belay_handle handle = { .pid = 77, .pidfd = -77 };
	enum belay_verify_error class = BELAY_VERIFIED;
	struct belay_error error = { 0 };

	assert_int_equal(belay_daemon_verify(daemon, NULL, &handle, &class, &error), code);
	assert_string_equal(belay_verify_error_name(class), belay_verify_error_name(expected));
	assert_int_equal(error.code, code);
	assert_true(strlen(error.text) > 10);
	assert_int_equal(handle.pid, 77);
	assert_int_equal(handle.pidfd, -77);
	assert_int_equal(belay_daemon_verify(daemon, NULL, NULL, NULL, NULL), code);
}

static void a_process_verifies_itself(void **state)
{
	struct belay_handle handle = { .pidfd = -EBADF };
	struct belay_daemon daemon = self();
	(void)state;

	assert_verified(&daemon);
	assert_int_equal(belay_daemon_verify(&daemon, NULL, &handle, NULL, NULL), 0);
	assert_int_equal(handle.pid, getpid());
	assert_int_equal(handle.start_ticks, daemon.start_ticks);
	assert_int_equal(belay_handle_alive(&handle), 1);
	assert_int_equal(fcntl(handle.pidfd, F_GETFD), FD_CLOEXEC);
	belay_handle_close(&handle);
	assert_int_equal(handle.pidfd, -EBADF);
	belay_handle_close(&handle);
}

static void a_handle_signals_whom_it_was_made_for(void **state)
{
	struct child child = child_start(body_sleeps, NULL);
	struct belay_daemon daemon = captured(&child);
	struct belay_handle handle;
	(void)state;

	assert_int_equal(belay_daemon_verify(&daemon, NULL, &handle, NULL, NULL), 0);
	assert_int_equal(belay_handle_signal(&handle, 0), 0);
	assert_int_equal(belay_handle_signal(&handle, 12345), -EINVAL);
	assert_int_equal(belay_handle_alive(&handle), 1);
	assert_int_equal(belay_handle_signal(&handle, SIGTERM), 0);
	child_wait_end(&child);
	assert_int_equal(belay_handle_alive(&handle), 0); /* a zombie */
	assert_int_equal(belay_handle_signal(&handle, SIGTERM), -ESRCH);
	assert_int_equal(WTERMSIG(child_reap(&child)), SIGTERM);
	assert_int_equal(belay_handle_alive(&handle), 0);
	assert_int_equal(belay_handle_signal(&handle, SIGTERM), -ESRCH);
	belay_handle_close(&handle);
}

static void numbers_of_nobody_are_refused(void **state)
{
	struct belay_daemon daemon = self();
	(void)state;

	daemon.pid = 0;
	assert_refused(&daemon, -EINVAL, BELAY_VERIFY_INVALID_PID);
	daemon.pid = (uint32_t)INT_MAX + 1;
	assert_refused(&daemon, -EINVAL, BELAY_VERIFY_INVALID_PID);
	daemon.pid = UINT32_MAX;
	assert_refused(&daemon, -EINVAL, BELAY_VERIFY_INVALID_PID);
	daemon.pid = INT_MAX;
	assert_refused(&daemon, -ESRCH, BELAY_VERIFY_NOT_FOUND);
	daemon.pid = (uint32_t)belay__read_pid_max(); /* the first that is never given */
	assert_refused(&daemon, -ESRCH, BELAY_VERIFY_NOT_FOUND);
}

static pthread_barrier_t barrier;

static void *stay(void *ret_tid)
{
	*(pid_t *)ret_tid = (pid_t)syscall(SYS_gettid);
	(void)pthread_barrier_wait(&barrier);
	(void)pthread_barrier_wait(&barrier);
	return NULL;
}

static void a_thread_is_no_process(void **state)
{
	struct belay_daemon daemon = self();
	pthread_t thread;
	pid_t tid = 0;
	(void)state;

	assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
	assert_int_equal(pthread_create(&thread, NULL, stay, &tid), 0);
	(void)pthread_barrier_wait(&barrier);
	daemon.pid = (uint32_t)tid;
	daemon.start_ticks = 0;
	assert_refused(&daemon, -ESRCH, BELAY_VERIFY_NOT_FOUND);
	(void)pthread_barrier_wait(&barrier);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(pthread_barrier_destroy(&barrier), 0);
}

static void a_zombie_is_nobody(void **state)
{
	struct child child = child_start(body_sleeps, NULL);
	struct belay_daemon daemon = captured(&child);
	(void)state;

	assert_verified(&daemon);
	child_signal(&child, SIGKILL);
	child_wait_end(&child);
	assert_refused(&daemon, -ESRCH, BELAY_VERIFY_NOT_FOUND);
	(void)child_reap(&child);
}

static void records_of_another_boot_are_refused(void **state)
{
	struct belay_daemon daemon = self();
	const char *boot_id;
	(void)state;

	assert_int_equal(belay__boot_id_text(&boot_id), 0);
	daemon.boot_id[0] = daemon.boot_id[0] == 'a' ? 'b' : 'a';
	assert_refused(&daemon, -ESTALE, BELAY_VERIFY_BOOT_ID_MISMATCH);
	(void)strcpy(daemon.boot_id, "unknown");
	assert_refused(&daemon, -ESTALE, BELAY_VERIFY_BOOT_ID_MISMATCH);
	(void)snprintf(daemon.boot_id, sizeof(daemon.boot_id), " %s\n", boot_id);
	assert_verified(&daemon);
	(void)snprintf(daemon.boot_id, sizeof(daemon.boot_id), "%sx", boot_id);
	assert_refused(&daemon, -ESTALE, BELAY_VERIFY_BOOT_ID_MISMATCH);
	daemon.boot_id[0] = '\0';
	assert_verified(&daemon);
	(void)strcpy(daemon.boot_id, " \n");
	assert_verified(&daemon);

	/* It comes behind pid 0 and before all else. */
	(void)strcpy(daemon.boot_id, "unknown");
	daemon.pid = UINT32_MAX;
	assert_refused(&daemon, -ESTALE, BELAY_VERIFY_BOOT_ID_MISMATCH);
	daemon.pid = 0;
	assert_refused(&daemon, -EINVAL, BELAY_VERIFY_INVALID_PID);
}

static void other_bytes_of_the_same_pid_are_refused(void **state)
{
	static struct belay_daemon right, daemon;
	(void)state;

	daemon = right = self();
	daemon.blake3[31] ^= 1;
	assert_refused(&daemon, -ESTALE, BELAY_VERIFY_EXE_HASH_MISMATCH);
	daemon.has_blake3 = false; /* then the other counts */
	assert_verified(&daemon);
	daemon.sha256[0] ^= 1;
	assert_refused(&daemon, -ESTALE, BELAY_VERIFY_EXE_HASH_MISMATCH);
	daemon.has_sha256 = false;
	assert_refused(&daemon, -EINVAL, BELAY_VERIFY_EXE_HASH);
	daemon = right;
	daemon.has_sha256 = false;
	assert_verified(&daemon);
	daemon.has_sha256 = true; /* the newer hash is preferred */
	daemon.sha256[0] ^= 1;
	assert_verified(&daemon);
}

static void a_copy_elsewhere_is_another_executable(void **state)
{
	const char *path = in_dir("daemon"), *copy = in_dir("copy"), *way = in_dir("way");
	static struct belay_daemon daemon;
	struct child child;
	(void)state;

	copy_self(path, 0);
	copy_self(copy, 0);
	child = child_execute(path);
	daemon = captured(&child);
	(void)snprintf(daemon.exe_path, sizeof(daemon.exe_path), "%s", copy);
	assert_refused(&daemon, -ESTALE, BELAY_VERIFY_EXE_PATH_MISMATCH);
	(void)snprintf(daemon.exe_path, sizeof(daemon.exe_path), "%s/nowhere", test_dir);
	assert_refused(&daemon, -ESTALE, BELAY_VERIFY_EXE_PATH_MISMATCH);
	daemon.exe_path[0] = '\0';
	assert_refused(&daemon, -ESTALE, BELAY_VERIFY_EXE_PATH_MISMATCH);

	/* Another way to the same place is none. */
	assert_int_equal(symlink(path, way), 0);
	(void)snprintf(daemon.exe_path, sizeof(daemon.exe_path), "%s", way);
	assert_verified(&daemon);
	(void)snprintf(daemon.exe_path, sizeof(daemon.exe_path), "%s/./daemon", test_dir);
	assert_verified(&daemon);
	child_end(&child);
	assert_int_equal(unlink(path) | unlink(copy) | unlink(way), 0);
}

static void a_running_daemon_whose_file_was_swapped_still_verifies(void **state)
{
	const char *path = in_dir("daemon"), *new = in_dir("new");
	struct child old, young;
	static struct belay_daemon daemon, late;
	(void)state;

	copy_self(path, 0);
	old = child_execute(path);
	daemon = captured(&old);
	copy_self(new, 1);
	assert_int_equal(rename(new, path), 0);
	assert_verified(&daemon);
	late = captured(&old);
	assert_string_equal(late.exe_path, path);
	assert_memory_equal(late.blake3, daemon.blake3, BELAY_HASH_LEN);

	/* Who runs the new file is not who the record is about, and the other way round. */
	young = child_execute(path);
	late = captured(&young);
	daemon.pid = (uint32_t)young.pid;
	daemon.start_ticks = 0;
	assert_refused(&daemon, -ESTALE, BELAY_VERIFY_EXE_HASH_MISMATCH);
	assert_verified(&late);
	late.pid = (uint32_t)old.pid;
	late.start_ticks = 0;
	assert_refused(&late, -ESTALE, BELAY_VERIFY_EXE_HASH_MISMATCH);

	assert_int_equal(unlink(path), 0);
	daemon.pid = (uint32_t)old.pid;
	assert_verified(&daemon);
	child_end(&old);
	child_end(&young);
}

static void another_start_is_another_process(void **state)
{
	struct belay_daemon daemon = self();
	(void)state;

	daemon.start_ticks++;
	assert_refused(&daemon, -ESTALE, BELAY_VERIFY_START_MISMATCH);
	daemon.start_ticks = 0; /* of broker v1: not known */
	assert_verified(&daemon);
}

static void wait_for_another_tick(uint64_t start_ticks)
{
	const uint64_t tick_ns = BELAY__NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);

	while (belay__clock_ns(CLOCK_BOOTTIME) / tick_ns <= start_ticks)
		turn();
}

/* What broker v1 takes for the same daemon: the same number, path and bytes. */
static void a_recycled_number_of_the_same_executable_is_refused(void **state)
{
	struct child first = child_start(body_sleeps, NULL), second;
	struct belay_daemon daemon = captured(&first);
	struct belay_handle handle;
	(void)state;

	assert_int_equal(belay_daemon_verify(&daemon, NULL, &handle, NULL, NULL), 0);
	child_end(&first);
	wait_for_another_tick(daemon.start_ticks);
	second = child_start_as(first.pid, 1, body_sleeps, NULL);
	if (second.pid < 0) {
		print_message("no permission to choose a pid: %s\n", strerror(errno));
		belay_handle_close(&handle);
		skip();
	}
	assert_refused(&daemon, -ESTALE, BELAY_VERIFY_START_MISMATCH);
	assert_int_equal(belay_handle_alive(&handle), 0);
	assert_int_equal(belay_handle_signal(&handle, SIGKILL), -ESRCH);
	handle.pidfd = belay__close(handle.pidfd); /* by the start time alone */
	assert_int_equal(belay_handle_alive(&handle), 0);
	daemon.start_ticks = 0;
	assert_verified(&daemon);
	child_end(&second);
}

static void who_ends_meanwhile_is_not_verified(void **state)
{
	static const enum step steps[] = { AT_READLINK, AT_FIRST_STAT };
	(void)state;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		for (unsigned without_pidfd = 0; without_pidfd < 2; without_pidfd++) {
			struct child child = child_start(body_sleeps, NULL);
			struct belay_daemon daemon = captured(&child);
			enum belay_verify_error class = BELAY_VERIFIED;
			struct belay_handle handle = { .pid = 77 };

			to_end = &child;
			end_at = steps[i];
			pidfd_error = without_pidfd != 0 ? ENOSYS : 0;
			assert_int_equal(belay_daemon_verify(&daemon, NULL, &handle, &class, NULL),
				-ESRCH);
			pidfd_error = 0;
			assert_int_equal(class, BELAY_VERIFY_ENDED);
			assert_int_equal(end_at, AT_NO_STEP);
			assert_int_equal(handle.pid, 77);
			(void)child_reap(&child);
		}
}

static void without_pidfds_the_start_time_has_to_do(void **state)
{
	static const int refusals[] = { ENOSYS, EPERM, EACCES };
	(void)state;

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct child child = child_start(body_sleeps, NULL);
		struct belay_daemon daemon = captured(&child);
		struct belay_handle handle;

		pidfd_error = refusals[i];
		assert_verified(&daemon);
		assert_int_equal(belay_daemon_verify(&daemon, NULL, &handle, NULL, NULL), 0);
		assert_int_equal(handle.pidfd, -EBADF);
		assert_int_equal(belay_handle_alive(&handle), 1);
		assert_int_equal(belay_handle_signal(&handle, SIGKILL), -ENOTSUP);
		child_signal(&child, SIGKILL);
		child_wait_end(&child);
		assert_int_equal(belay_handle_alive(&handle), 0);
		assert_refused(&daemon, -ESRCH, BELAY_VERIFY_NOT_FOUND);
		(void)child_reap(&child);
		assert_int_equal(belay_handle_alive(&handle), 0);
		assert_int_equal(belay_handle_signal(&handle, SIGKILL), -ESRCH);
		assert_refused(&daemon, -ESRCH, BELAY_VERIFY_NOT_FOUND);
		belay_handle_close(&handle);
		pidfd_error = 0;
	}
}

static void a_lack_of_descriptors_is_told_as_such(void **state)
{
	struct belay_daemon daemon = self();
	enum belay_verify_error class = BELAY_VERIFIED;
	struct rlimit old, none;
	int r;
	(void)state;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = belay_daemon_verify(&daemon, NULL, NULL, &class, NULL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_int_equal(class, BELAY_VERIFY_HANDLE);
}

/* With one descriptor fewer than it takes, wherever that is missing. */
static void a_lack_of_the_last_descriptor_is_told_as_such(void **state)
{
	struct belay_daemon daemon = self();
	unsigned lacks = 0;
	struct rlimit old;
	int lowest = dup(STDERR_FILENO);
	(void)state;

	assert_return_code(lowest, errno);
	(void)close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (unsigned spare = 0; spare < 12; spare++) {
		struct rlimit few = old;
		enum belay_verify_error class = BELAY_VERIFIED;
		int r;

		few.rlim_cur = (rlim_t)lowest + spare;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		r = belay_daemon_verify(&daemon, NULL, NULL, &class, NULL);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		if (r == 0)
			break;
		lacks++;
		assert_int_equal(r, -EMFILE);
		assert_int_equal(class, BELAY_VERIFY_HANDLE);
	}
	assert_int_equal(lacks, 4); /* pidfd, directory, stat, executable */
}

static void what_cannot_be_read_has_not_ended(void **state)
{
	static const struct {
		int error;
		enum belay_verify_error class;
	} cases[] = {
		{ EIO, BELAY_VERIFY_EXE_PATH },
		{ ENOMEM, BELAY_VERIFY_HANDLE },
		{ ESRCH, BELAY_VERIFY_ENDED },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay_daemon daemon = self();
		enum belay_verify_error class = BELAY_VERIFIED;
		int r;

		stat_was_read = false;
		second_stat_error = cases[i].error;
		r = belay_daemon_verify(&daemon, NULL, NULL, &class, NULL);
		second_stat_error = 0;
		assert_int_equal(r, -cases[i].error);
		assert_int_equal(class, cases[i].class);
	}
}

static int body_looks_at_parent(void *daemon)
{
	enum belay_verify_error class = BELAY_VERIFIED;

	if (setresgid(TEST_NOBODY, TEST_NOBODY, TEST_NOBODY) < 0 ||
		setresuid(TEST_NOBODY, TEST_NOBODY, TEST_NOBODY) < 0)
		return 10;
	if (belay_daemon_verify(daemon, NULL, NULL, &class, NULL) != -EACCES)
		return 11;
	return (int)class;
}

static void a_process_that_is_hidden_is_not_proved(void **state)
{
	struct belay_daemon daemon = self();
	struct child child;
	(void)state;

	if (geteuid() != 0)
		skip();
	child = child_start(body_looks_at_parent, &daemon);
	child_wait_end(&child);
	assert_int_equal(WEXITSTATUS(child_reap(&child)), BELAY_VERIFY_EXE_PATH);
}

/* 0, or which of these it does not keep to: nobody is proved, and it says why. */
static int body_refuses_all(void *argument)
{
	const struct belay_daemon *daemon = argument;
	const int pidfd_errors[] = { 0, ENOSYS };
	struct belay_handle handle = { .pid = 77, .pidfd = -77 };
	static struct belay_daemon captured_one;

	for (size_t i = 0; i < sizeof(pidfd_errors) / sizeof(pidfd_errors[0]); i++) {
		enum belay_verify_error class = BELAY_VERIFIED;
		struct belay_error error = { 0 };

		pidfd_error = pidfd_errors[i];
		if (belay_daemon_verify(daemon, NULL, &handle, &class, &error) != -EXDEV)
			return 10;
		if (class != BELAY_VERIFY_EXE_PATH || handle.pidfd != -77)
			return 11;
		if (strstr(error.text, "/proc shows another pid namespace") == NULL ||
			strstr(error.text, "mount") == NULL)
			return 12;
		if (belay_daemon_capture((pid_t)daemon->pid, NULL, NULL, &captured_one, &error) !=
			-EXDEV)
			return 13;
	}
	pidfd_error = 0;
	return 0;
}

struct outside {
	struct belay_daemon daemon;
	pid_t unused; /* a number */
};

static int wait_status(const struct child *child)
{
	int status = 0;

	return waitpid(child->pid, &status, 0) == child->pid && WIFEXITED(status)
		? WEXITSTATUS(status)
		: 20;
}

/* As the first process of a pid namespace that has no /proc of its own. */
static int body_is_misled(void *argument)
{
	struct outside *outside = argument;
	struct child stranger, namesake;
	int r = body_refuses_all(&outside->daemon); /* nobody has its number here */

	if (r != 0)
		return r;
	stranger = child_start_as((pid_t)outside->daemon.pid, 1, body_sleeps, NULL);
	if (stranger.pid < 0)
		return 77;
	r = body_refuses_all(&outside->daemon);
	if (r != 0)
		return r + 20;
	/* Whose own number is by chance the same outside. */
	namesake = child_start_as(outside->unused, 2, body_refuses_all, &outside->daemon);
	if (namesake.pid < 0)
		return 77;
	r = wait_status(&namesake);
	return r == 0 ? 0 : r + 40;
}

static void numbers_of_another_namespace_prove_nobody(void **state)
{
	struct child daemon = child_start(body_sleeps, NULL), gone = child_start(body_sleeps, NULL);
	static struct outside outside;
	struct child inside;
	int status;
	(void)state;

	if (geteuid() != 0) {
		child_end(&daemon);
		child_end(&gone);
		skip();
	}
	outside = (struct outside){ captured(&daemon), gone.pid };
	child_end(&gone);
	inside = child_start_with(CLONE_NEWPID, body_is_misled, &outside);
	child_wait_end(&inside);
	status = child_reap(&inside);
	assert_verified(&outside.daemon); /* and nothing was done to it */
	child_end(&daemon);
	if (WEXITSTATUS(status) == 77)
		skip(); /* numbers cannot be chosen */
	assert_int_equal(status, 0);
}

static void a_warm_look_reads_no_executable(void **state)
{
	struct belay_hashes *hashes = NULL;
	struct belay_daemon daemon = self();
	struct stat stat_;
	(void)state;

	/* Only what has not changed for a second is remembered; a test may just have been built. */
	assert_int_equal(stat("/proc/self/exe", &stat_), 0);
	while (belay__clock_ns(CLOCK_REALTIME) <=
		((uint64_t)stat_.st_ctim.tv_sec + 2) * BELAY__NS_PER_S)
		turn();
	assert_int_equal(belay_hashes_new(&hashes), 0);
	big_reads = 0;
	assert_int_equal(belay_daemon_verify(&daemon, hashes, NULL, NULL, NULL), 0);
	assert_true(big_reads > 0);
	big_reads = 0;
	assert_int_equal(belay_daemon_verify(&daemon, hashes, NULL, NULL, NULL), 0);
	assert_int_equal(big_reads, 0);
	daemon.blake3[0] ^= 1; /* and decides nothing less */
	assert_int_equal(belay_daemon_verify(&daemon, hashes, NULL, NULL, NULL), -ESTALE);
	assert_int_equal(big_reads, 0);
	(void)belay_hashes_free(hashes);
}

static void errors_have_the_names_of_broker_v1(void **state)
{
	static const char *const names[] = { "Verified", "InvalidPid", "BootIdMismatch", "NotFound",
		"StartTimeMismatch", "ExePath", "ExePathMismatch", "ExeHash",
		"ExecutableHashMismatch", "Ended", "Handle" };
	(void)state;

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_string_equal(belay_verify_error_name((enum belay_verify_error)i), names[i]);
	assert_string_equal(belay_verify_error_name((enum belay_verify_error)99), "Unknown");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_process_verifies_itself),
		TEST(a_handle_signals_whom_it_was_made_for),
		TEST(numbers_of_nobody_are_refused),
		TEST(a_thread_is_no_process),
		TEST(a_zombie_is_nobody),
		TEST(records_of_another_boot_are_refused),
		TEST(other_bytes_of_the_same_pid_are_refused),
		TEST(a_copy_elsewhere_is_another_executable),
		TEST(a_running_daemon_whose_file_was_swapped_still_verifies),
		TEST(another_start_is_another_process),
		TEST(a_recycled_number_of_the_same_executable_is_refused),
		TEST(who_ends_meanwhile_is_not_verified),
		TEST(without_pidfds_the_start_time_has_to_do),
		TEST(a_lack_of_descriptors_is_told_as_such),
		TEST(a_lack_of_the_last_descriptor_is_told_as_such),
		TEST(what_cannot_be_read_has_not_ended),
		TEST(a_process_that_is_hidden_is_not_proved),
		TEST(numbers_of_another_namespace_prove_nobody),
		TEST(a_warm_look_reads_no_executable),
		TEST(errors_have_the_names_of_broker_v1),
	};

	sleep_if_told(argc, argv);
	return cmocka_run_group_tests(tests, test_make_dir, test_remove_dir);
}
