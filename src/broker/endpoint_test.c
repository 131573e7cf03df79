#include <belay/endpoint.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/missing.h"
#include "ipc/testing.h"

#define OTHER_UID 65534

static char base[64], path[BELAY_ENDPOINT_PATH_SIZE];
static int fds_before;

static int remove_entry(const char *name, const struct stat *status, int kind, struct FTW *where)
{
	(void)status;
	(void)kind;
	(void)where;
	return remove(name);
}

static int set_up(void **state)
{
	(void)state;
	fds_before = belay__fd_count();
	memcpy(base, "/tmp/rp-XXXXXX", sizeof("/tmp/rp-XXXXXX"));
	assert_non_null(mkdtemp(base));
	(void)snprintf(path, sizeof(path), "%s/a/broker/app.sock", base);
	return setenv("XDG_RUNTIME_DIR", base, 1);
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(belay__fd_count(), fds_before);
	return nftw(base, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static struct belay_listener *listen_there(unsigned flags)
{
	struct belay_listener *listener = NULL;
	struct belay_error error;

	if (belay_endpoint_listen(path, flags, &listener, &error) < 0)
		fail_msg("%s", error.text);
	return listener;
}

static int dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, sizeof(path));
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static bool readable(int fd)
{
	struct pollfd waiting = { .fd = fd, .events = POLLIN };

	return poll(&waiting, 1, 0) == 1;
}

/* FD's other end hung up without a word. */
static void hung_up(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	(void)close(fd);
}

static int option(int fd, int name)
{
	int on = -1;
	socklen_t len = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, name, &on, &len) < 0 ? -errno : on;
}

static int passes_rights(int fd)
{
	return option(fd, SO_PASSRIGHTS);
}

static void a_client_is_accepted_without_waiting(void **state)
{
	struct belay_listener *listener = listen_there(0);
	struct belay_error error;
	int client, accepted;

	(void)state;
	assert_false(readable(belay_endpoint_fd(listener)));
	assert_int_equal(belay_endpoint_accept(listener, &error), -EAGAIN);
	client = dial();
	assert_true(readable(belay_endpoint_fd(listener)));
	accepted = belay_endpoint_accept(listener, NULL);
	assert_true(accepted >= 0);
	assert_true((fcntl(accepted, F_GETFL) & O_NONBLOCK) != 0);
	assert_true((fcntl(accepted, F_GETFD) & FD_CLOEXEC) != 0);
	assert_int_equal(option(accepted, SO_OOBINLINE), 1);
	assert_int_equal(belay_endpoint_accept(listener, NULL), -EAGAIN);
	(void)close(accepted);
	hung_up(client);
	assert_null(belay_endpoint_close(listener));
	assert_int_equal(access(path, F_OK), -1);
	assert_null(belay_endpoint_close(NULL));
}

static void descriptors_come_only_where_they_are_wanted(void **state)
{
	(void)state;
	for (unsigned flags = 0; flags <= BELAY_ENDPOINT_TAKES_FDS; flags++) {
		struct belay_listener *listener = listen_there(flags);
		int client = dial(), accepted = belay_endpoint_accept(listener, NULL);

		assert_true(accepted >= 0);
		if (passes_rights(client) != -ENOPROTOOPT)
			assert_int_equal(passes_rights(accepted), flags);
		(void)close(client);
		(void)close(accepted);
		belay_endpoint_close(listener);
	}
}

static void a_served_endpoint_is_not_taken_over(void **state)
{
	struct belay_listener *listener = listen_there(0), *other = NULL;
	struct belay_error error;

	(void)state;
	assert_int_equal(belay_endpoint_listen(path, 0, &other, &error), -EADDRINUSE);
	assert_int_equal(error.code, -EADDRINUSE);
	assert_non_null(strstr(error.text, path));
	assert_null(other);
	belay_endpoint_close(listener);
	belay_endpoint_close(listen_there(0));
}

static void only_sensible_paths_and_flags_are_tried(void **state)
{
	struct belay_listener *listener = NULL;
	struct belay_error error;
	char text[200];

	(void)state;
	assert_int_equal(belay_endpoint_listen(path, 2, &listener, &error), -EINVAL);
	assert_int_equal(belay_endpoint_listen("app.sock", 0, &listener, &error), -EINVAL);
	assert_int_equal(belay_endpoint_listen("", 0, &listener, &error), -EINVAL);
	assert_int_equal(belay_endpoint_listen("/app.sock", 0, &listener, &error), -EINVAL);
	(void)snprintf(text, sizeof(text), "%s/%0100d", base, 0);
	assert_int_equal(belay_endpoint_listen(text, 0, &listener, &error), -ENAMETOOLONG);
	(void)snprintf(text, sizeof(text), "%s/d/", base);
	assert_int_equal(belay_endpoint_listen(text, 0, &listener, &error), -EINVAL);
	assert_null(listener);
}

static void a_umask_that_takes_the_owners_rights_spoils_nothing(void **state)
{
	struct belay_listener *listener = NULL;
	struct belay_error error;
	char lock[BELAY_ENDPOINT_PATH_SIZE + 8];
	struct stat status;
	mode_t before;

	(void)state;
	belay_endpoint_close(listen_there(0));
	(void)snprintf(lock, sizeof(lock), "%s.lock", path);
	assert_int_equal(unlink(lock), 0);

	before = umask(0600);
	assert_int_equal(belay_endpoint_listen(path, 0, &listener, &error), -EPERM);
	(void)umask(before);
	assert_non_null(strstr(error.text, "umask"));
	assert_null(listener);
	assert_int_equal(stat(lock, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	belay_endpoint_close(listen_there(0));
}

static void the_directory_must_be_private(void **state)
{
	struct belay_listener *listener = NULL;
	struct belay_error error;
	char dir[96], link[96];

	(void)state;
	belay_endpoint_close(listen_there(0));
	(void)snprintf(dir, sizeof(dir), "%s/a/broker", base);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(belay_endpoint_listen(path, 0, &listener, &error), -EPERM);
	assert_int_equal(chmod(dir, 0700), 0);

	(void)snprintf(link, sizeof(link), "%s/link", base);
	assert_int_equal(symlink(dir, link), 0);
	(void)snprintf(path, sizeof(path), "%s/app.sock", link);
	assert_int_equal(belay_endpoint_listen(path, 0, &listener, &error), -ELOOP);
	assert_null(listener);
}

static void wait_for_fds(int count)
{
	uint64_t give_up_ns = belay__clock_ns(CLOCK_MONOTONIC) + 10 * BELAY__NS_PER_S;

	while (belay__fd_count() != count) {
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) < give_up_ns);
		(void)sched_yield();
	}
}

/* Dials as another user from a child, who passes a socket that takes its time to close, is hung up
 * on and leaves. */
static pid_t foreign_client(void)
{
	int sent[2], r = pipe2(sent, O_CLOEXEC);
	pid_t pid = fork();
	char byte;

	assert_int_equal(r, 0);
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd, peer;

		if (setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
			setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
			_exit(2);
		fd = dial();
		if (test_send(fd, "x", 1, test_lingering_socket(&peer), 1) < 0)
			_exit(3);
		(void)!write(sent[1], "x", 1);
		_exit(recv(fd, &byte, 1, 0) <= 0 ? 0 : 1);
	}
	(void)close(sent[1]);
	assert_int_equal(read(sent[0], &byte, 1), 1);
	(void)close(sent[0]);
	return pid;
}

static void a_foreign_process_is_hung_up_on_and_skipped(void **state)
{
	struct belay_listener *listener;
	char dir[96];
	int status, client;
	uint64_t start_ns;
	pid_t foreign;

	(void)state;
	if (geteuid() != 0)
		skip();
	listener = listen_there(BELAY_ENDPOINT_TAKES_FDS);
	/* As if somebody had opened all doors since. */
	(void)snprintf(dir, sizeof(dir), "%s/a/broker", base);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	(void)snprintf(dir, sizeof(dir), "%s/a", base);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(chmod(base, 0755), 0);

	foreign = foreign_client();
	assert_true(readable(belay_endpoint_fd(listener)));
	client = dial();
	start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	status = belay_endpoint_accept(listener, NULL);
	assert_true(status >= 0);
	assert_true(belay__clock_ns(CLOCK_MONOTONIC) - start_ns < 500 * BELAY__NS_PER_MS);
	(void)close(status);
	hung_up(client);
	assert_int_equal(waitpid(foreign, &status, 0), foreign);
	assert_int_equal(status, 0);
	assert_int_equal(belay_endpoint_accept(listener, NULL), -EAGAIN);
	belay_endpoint_close(listener);
	wait_for_fds(fds_before);
}

/* Lowers the limit to the descriptors that are open; gives back what it was. */
static rlim_t use_up(int lowest_free)
{
	struct rlimit limit;
	rlim_t before;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	before = limit.rlim_cur;
	limit.rlim_cur = (rlim_t)lowest_free;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return before;
}

static void without_a_descriptor_left_clients_are_hung_up_on_at_once(void **state)
{
	struct belay_listener *listener = listen_there(0);
	int clients[3], lowest, accepted;
	struct rlimit limit;
	struct belay_error error;

	(void)state;
	for (int i = 0; i < 3; i++)
		clients[i] = dial();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	lowest = fcntl(0, F_DUPFD_CLOEXEC, 3);
	(void)close(lowest);
	limit.rlim_cur = use_up(lowest);

	for (int i = 0; i < 2; i++) {
		assert_int_equal(belay_endpoint_accept(listener, &error), -EMFILE);
		assert_non_null(strstr(error.text, "RLIMIT_NOFILE"));
		hung_up(clients[i]);
		/* One descriptor came free, and must not be what the next one finds. */
		clients[i] = fcntl(0, F_DUPFD_CLOEXEC, 3);
		assert_true(clients[i] >= 0);
	}
	(void)close(clients[0]);
	(void)close(clients[1]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(readable(belay_endpoint_fd(listener)));
	accepted = belay_endpoint_accept(listener, NULL);
	assert_true(accepted >= 0);
	(void)close(accepted);
	hung_up(clients[2]);
	assert_false(readable(belay_endpoint_fd(listener)));
	belay_endpoint_close(listener);
}

/* Who hands over is heard, so that he can be told no. */
static void a_hand_over_endpoint_hands_its_reserve_out_before_it_refuses(void **state)
{
	struct belay_listener *listener = listen_there(BELAY_ENDPOINT_TAKES_FDS);
	int clients[2], lowest, accepted;
	struct rlimit limit;
	struct belay_error error;

	(void)state;
	clients[0] = dial();
	clients[1] = dial();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	lowest = fcntl(0, F_DUPFD_CLOEXEC, 3);
	(void)close(lowest);
	limit.rlim_cur = use_up(lowest);

	accepted = belay_endpoint_accept(listener, NULL);
	assert_true(accepted >= 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(belay_endpoint_accept(listener, &error), -EMFILE);
		assert_true(readable(belay_endpoint_fd(listener)));
	}
	(void)close(accepted);
	accepted = belay_endpoint_accept(listener, NULL);
	assert_true(accepted >= 0);
	assert_int_equal(belay_endpoint_accept(listener, &error), -EMFILE);
	(void)close(accepted);
	/* The reserve is back. */
	assert_int_equal(belay_endpoint_accept(listener, &error), -EAGAIN);
	assert_int_equal(fcntl(0, F_DUPFD_CLOEXEC, 3), -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	hung_up(clients[0]);
	hung_up(clients[1]);
	belay_endpoint_close(listener);
}

/* Somebody passed a socket that takes its time to close, and was never accepted. */
static void whoever_was_not_accepted_does_not_hold_up_the_end(void **state)
{
	(void)state;
	for (int left = 1; left >= 0; left--) {
		struct belay_listener *listener = listen_there(BELAY_ENDPOINT_TAKES_FDS);
		int first = dial(), hostile = dial(), last = dial(), peer;
		int lingering = test_lingering_socket(&peer);
		struct rlimit limit;
		uint64_t start_ns;

		assert_int_equal(test_send(hostile, "x", 1, lingering, 1), 0);
		(void)close(lingering);
		assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
		if (left == 0) /* not even for one to be accepted with */
			limit.rlim_cur = use_up(0);
		start_ns = belay__clock_ns(CLOCK_MONOTONIC);
		belay_endpoint_close(listener);
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) - start_ns < 500 * BELAY__NS_PER_MS);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		/* The others are not held up either. */
		if (left == 1) {
			hung_up(first);
			hung_up(last);
		} else {
			(void)close(first);
			(void)close(last);
		}
		(void)close(hostile);
		(void)close(peer);
		wait_for_fds(fds_before);
		assert_int_equal(access(path, F_OK), -1);
	}
}

static void a_forked_child_takes_nothing_from_its_parent(void **state)
{
	struct belay_listener *listener = listen_there(0), *other = NULL;
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		belay_endpoint_close(listener);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(access(path, F_OK), 0);
	(void)close(dial());
	assert_int_equal(belay_endpoint_listen(path, 0, &other, NULL), -EADDRINUSE);
	belay_endpoint_close(listener);
}

static void a_service_has_the_same_places_each_time(void **state)
{
	struct belay_endpoint_paths paths, again, other;
	char prefix[160];
	struct belay_listener *listener;

	(void)state;
	assert_int_equal(belay_endpoint_paths_for("build-cache", &paths, NULL), 0);
	assert_int_equal(belay_endpoint_paths_for("build-cache", &again, NULL), 0);
	assert_int_equal(belay_endpoint_paths_for("build-cachf", &other, NULL), 0);
	assert_string_equal(paths.endpoint.path, again.endpoint.path);
	assert_string_not_equal(paths.endpoint.path, other.endpoint.path);
	assert_string_equal(paths.handoff, again.handoff);
	assert_string_not_equal(paths.handoff, other.handoff);
	assert_string_equal(paths.endpoint.namespace_id, "private:build-cache");

	(void)snprintf(prefix, sizeof(prefix), "%s/running-process/broker/rpb-v1-", base);
	assert_memory_equal(paths.endpoint.path, prefix, strlen(prefix));
	assert_non_null(strstr(paths.endpoint.path, "-be-"));
	(void)snprintf(prefix, sizeof(prefix), "%s/running-process/broker/daemon-build-cache.json",
		base);
	assert_string_equal(paths.sidecar, prefix);

	/* They can be had. */
	memcpy(path, paths.handoff, sizeof(path));
	listener = listen_there(BELAY_ENDPOINT_TAKES_FDS);
	belay_endpoint_close(listener);
}

static void places_fit_under_the_longest_runtime_directory(void **state)
{
	struct belay_endpoint_paths paths;
	char handoff[BELAY_ENDPOINT_PATH_SIZE], runtime[96], dir[128];

	(void)state;
	(void)snprintf(runtime, sizeof(runtime), "%s/long5", base);
	assert_int_equal(strlen(runtime), strlen("/run/user/4294967295"));
	assert_int_equal(mkdir(runtime, 0700), 0);
	(void)snprintf(dir, sizeof(dir), "%s/running-process/broker/", runtime);
	(void)setenv("XDG_RUNTIME_DIR", runtime, 1);
	assert_int_equal(belay_endpoint_paths_for("build-cache", &paths, NULL), 0);
	assert_int_equal(strlen(paths.endpoint.path), strlen(dir) + 2 + 16 + 5);
	assert_memory_equal(paths.endpoint.path, dir, strlen(dir));
	assert_true(strlen(paths.handoff) <= 107);
	assert_memory_equal(paths.handoff, dir, strlen(dir));
	assert_int_equal(belay_endpoint_handoff_path(paths.endpoint.path, handoff, NULL), 0);
	assert_string_equal(handoff, paths.handoff);
}

static void bad_services_and_places_without_room_are_refused(void **state)
{
	struct belay_endpoint_paths paths, untouched;
	struct belay_error error;
	char runtime[120];

	(void)state;
	memset(&paths, 0x5a, sizeof(paths));
	untouched = paths;
	assert_int_equal(belay_endpoint_paths_for("../x", &paths, &error), -EINVAL);
	assert_int_equal(belay_endpoint_paths_for(NULL, &paths, &error), -EINVAL);
	(void)snprintf(runtime, sizeof(runtime), "/%099d", 0);
	(void)setenv("XDG_RUNTIME_DIR", runtime, 1);
	assert_int_equal(belay_endpoint_paths_for("x", &paths, &error), -ENAMETOOLONG);
	(void)snprintf(runtime, sizeof(runtime), "%s/%055d", base, 0);
	assert_int_equal(mkdir(runtime, 0700), 0);
	(void)setenv("XDG_RUNTIME_DIR", runtime, 1);
	assert_int_equal(belay_endpoint_paths_for("x", &paths, &error), -ENAMETOOLONG);
	assert_memory_equal(&paths, &untouched, sizeof(paths));
}

static void places_are_sought_only_in_a_directory_of_this_user(void **state)
{
	struct belay_endpoint_paths paths, untouched;
	char missing[96], file[96], link[96];
	const struct {
		const char *runtime;
		int r;
	} cases[] = {
		{ "relative", -EINVAL },
		{ missing, -ENOENT },
		{ file, -ENOTDIR },
		/* Root's, or somebody else's. */
		{ geteuid() == 0 ? base : "/", -EPERM },
		{ "", 0 },
		{ NULL, 0 },
		{ link, 0 },
	};

	(void)state;
	(void)snprintf(missing, sizeof(missing), "%s/missing", base);
	(void)snprintf(file, sizeof(file), "%s/file", base);
	(void)snprintf(link, sizeof(link), "%s/link", base);
	(void)close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(symlink(".", link), 0);
	memset(&untouched, 0x5a, sizeof(untouched));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay_error error = { .text = "" };

		if (geteuid() == 0)
			assert_int_equal(chown(base, cases[i].r == -EPERM ? OTHER_UID : 0, 0), 0);
		if (cases[i].runtime == NULL)
			(void)unsetenv("XDG_RUNTIME_DIR");
		else
			(void)setenv("XDG_RUNTIME_DIR", cases[i].runtime, 1);
		memcpy(&paths, &untouched, sizeof(paths));
		assert_int_equal(belay_endpoint_paths_for("x", &paths, &error), cases[i].r);
		if (cases[i].r == 0)
			continue;
		assert_memory_equal(&paths, &untouched, sizeof(paths));
		assert_non_null(strstr(error.text, cases[i].runtime));
		assert_non_null(strstr(error.text, "XDG_RUNTIME_DIR"));
	}
	assert_int_equal(access(missing, F_OK), -1);
}

#define CASE(test_) cmocka_unit_test_setup_teardown(test_, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_client_is_accepted_without_waiting),
		CASE(descriptors_come_only_where_they_are_wanted),
		CASE(a_served_endpoint_is_not_taken_over),
		CASE(only_sensible_paths_and_flags_are_tried),
		CASE(a_umask_that_takes_the_owners_rights_spoils_nothing),
		CASE(the_directory_must_be_private),
		CASE(a_foreign_process_is_hung_up_on_and_skipped),
		CASE(without_a_descriptor_left_clients_are_hung_up_on_at_once),
		CASE(a_hand_over_endpoint_hands_its_reserve_out_before_it_refuses),
		CASE(whoever_was_not_accepted_does_not_hold_up_the_end),
		CASE(a_forked_child_takes_nothing_from_its_parent),
		CASE(a_service_has_the_same_places_each_time),
		CASE(places_fit_under_the_longest_runtime_directory),
		CASE(bad_services_and_places_without_room_are_refused),
		CASE(places_are_sought_only_in_a_directory_of_this_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
