#include "ipc/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "ipc/testing.h"

#define OTHER_UID 65534

static bool exists(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

/* Binding fails with CODE and a sentence that names the path; nothing is returned and no
 * descriptor is left open. */
static void refuse(const struct belay__bind *bind, int code)
{
	struct belay__bound bound, untouched;
	struct belay_error error = { 0 };
	int fds = test_fd_count();

	memset(&bound, 0x5a, sizeof(bound));
	untouched = bound;
	assert_int_equal(belay__bind_guarded(bind, &bound, &error), code);
	assert_int_equal(error.code, code);
	assert_true(strlen(error.text) > 20);
	assert_memory_equal(&bound, &untouched, sizeof(bound));
	assert_int_equal(test_fd_count(), fds);
	assert_int_equal(belay__bind_guarded(bind, &bound, NULL), code);
}

/* Leaves a socket file of TYPE without an owner. */
static void leave_stale(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	(void)close(fd);
}

static void a_bound_socket_is_what_was_asked_for(void **state)
{
	static const unsigned modes[] = { 0600, 0660, 0666, 0622, 0777 };
	static const mode_t umasks[] = { 0, 022, 077 };
	struct test_place *f = *state;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		for (size_t k = 0; k < sizeof(umasks) / sizeof(umasks[0]); k++) {
			struct belay__bound bound;
			struct stat status;
			mode_t before = umask(umasks[k]);

			f->bind.mode = modes[i];
			test_bind(&f->bind, &bound);
			assert_int_equal(umask(before), umasks[k]);
			assert_int_equal(lstat(f->path, &status), 0);
			assert_int_equal(status.st_mode, S_IFSOCK | modes[i]);
			assert_int_equal(status.st_ino, bound.ino);
			assert_int_equal(status.st_dev, bound.dev);
			assert_string_equal(bound.path, f->path);
			assert_int_equal(bound.rcvbuf_bytes, 0);
			assert_false(bound.directory_sync_failed);
			assert_false(bound.qlen_refused);
			belay__unbind(&bound);
			assert_false(exists(f->path));
			belay__unbind(&bound); /* twice does no harm */
		}
	}
}

static void a_bound_socket_does_not_block_and_asks_for_credentials(void **state)
{
	struct test_place *f = *state;
	struct belay__bound bound;
	int on = 0;
	socklen_t len = sizeof(on);

	f->bind.rcvbuf_bytes = 65536;
	test_bind(&f->bind, &bound);
	assert_true((fcntl(bound.fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_true((fcntl(bound.fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_true((fcntl(bound.lock_fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_int_equal(getsockopt(bound.fd, SOL_SOCKET, SO_PASSCRED, &on, &len), 0);
	assert_int_equal(on, 1);
	assert_true(bound.rcvbuf_bytes >= 65536);
	belay__unbind(&bound);
}

static void rights_are_refused_where_the_kernel_can(void **state)
{
	struct test_place *f = *state;
	struct belay__bound bound;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, f->path, sizeof(address.sun_path));
	for (int without = 0; without < 2; without++) {
		belay__ipc_without_passrights = without == 1;
		test_bind(&f->bind, &bound);
		assert_int_equal(connect(sender, (struct sockaddr *)&address, sizeof(address)), 0);
		assert_int_equal(test_send(sender, "x", 1, sender, 1),
			bound.rights_refused ? -EPERM : 0);
		if (without == 1)
			assert_false(bound.rights_refused);
		belay__unbind(&bound);
	}
	(void)close(sender);
}

static void packet_and_stream_sockets_listen(void **state)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_STREAM };
	struct test_place *f = *state;

	f->bind.lock = false;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct belay__bound bound;
		int listening = 0;
		socklen_t len = sizeof(listening);

		f->bind.type = types[i];
		test_bind(&f->bind, &bound);
		assert_int_equal(getsockopt(bound.fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len),
			0);
		assert_int_equal(listening, 1);
		assert_int_equal(bound.lock_fd, -EBADF);
		refuse(&f->bind, -EADDRINUSE);
		belay__unbind(&bound);
	}
}

static void a_second_observer_is_refused_with_and_without_lock(void **state)
{
	struct test_place *f = *state;
	struct belay__bound bound;

	test_bind(&f->bind, &bound);
	refuse(&f->bind, -EADDRINUSE);
	f->bind.lock = false;
	refuse(&f->bind, -EADDRINUSE);
	/* Another kind of socket there is not taken for a dead one. */
	f->bind.type = SOCK_SEQPACKET;
	refuse(&f->bind, -EADDRINUSE);
	assert_true(exists(f->path));
	belay__unbind(&bound);
}

static void the_lock_alone_keeps_others_out_and_stays_on_disk(void **state)
{
	struct test_place *f = *state;
	struct belay__bound bound;
	char lock[108];

	test_path(f->dir, "beat.sock.lock", lock);
	test_bind(&f->bind, &bound);
	assert_int_equal(unlink(f->path), 0);
	refuse(&f->bind, -EADDRINUSE);
	belay__unbind(&bound);
	assert_true(exists(lock));
	test_bind(&f->bind, &bound);
	belay__unbind(&bound);
}

static void a_socket_without_owner_is_replaced(void **state)
{
	static const int types[] = { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM };
	struct test_place *f = *state;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct belay__bound bound;

		leave_stale(f->path, types[i]);
		test_bind(&f->bind, &bound);
		refuse(&f->bind, -EADDRINUSE);
		belay__unbind(&bound);
	}
}

static void what_is_no_socket_is_left_alone(void **state)
{
	struct test_place *f = *state;
	char target[108];

	assert_int_equal(mkdir(f->path, 0700), 0);
	refuse(&f->bind, -EADDRINUSE);
	assert_int_equal(rmdir(f->path), 0);

	assert_int_equal(mkfifo(f->path, 0600), 0);
	refuse(&f->bind, -EADDRINUSE);
	assert_int_equal(unlink(f->path), 0);

	/* A link, also to a socket that nobody owns. */
	test_path(f->dir, "target", target);
	leave_stale(target, SOCK_DGRAM);
	assert_int_equal(symlink(target, f->path), 0);
	refuse(&f->bind, -EADDRINUSE);
	assert_true(exists(target) && exists(f->path));
}

static void a_lock_that_is_no_plain_file_is_refused(void **state)
{
	struct test_place *f = *state;
	char lock[108], other[108];

	test_path(f->dir, "beat.sock.lock", lock);
	test_path(f->dir, "other", other);

	assert_int_equal(symlink(other, lock), 0);
	refuse(&f->bind, -ELOOP);
	assert_false(exists(other));
	assert_int_equal(unlink(lock), 0);

	assert_int_equal(mkdir(lock, 0700), 0);
	refuse(&f->bind, -EISDIR);
	assert_int_equal(rmdir(lock), 0);

	assert_int_equal(mkfifo(lock, 0600), 0);
	refuse(&f->bind, -EPERM);
	assert_int_equal(unlink(lock), 0);

	assert_int_equal(close(open(lock, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	assert_int_equal(link(lock, other), 0);
	refuse(&f->bind, -EPERM);
	assert_false(exists(f->path));
}

static void the_directory_must_keep_others_out(void **state)
{
	static const struct {
		mode_t mode;
		int code;
	} cases[] = {
		{ 0700, 0 },
		{ 0755, 0 },
		{ 0770, -EPERM },
		{ 0702, -EPERM },
		{ 0777, -EPERM },
		{ 01777, 0 },
		{ 01770, 0 },
	};
	struct test_place *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__bound bound;

		assert_int_equal(chmod(f->dir, cases[i].mode), 0);
		if (cases[i].code < 0) {
			refuse(&f->bind, cases[i].code);
			continue;
		}
		test_bind(&f->bind, &bound);
		belay__unbind(&bound);
	}
}

static void a_foreign_directory_is_refused(void **state)
{
	struct test_place *f = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(f->dir, OTHER_UID, OTHER_UID), 0);
	refuse(&f->bind, -EPERM);
}

static void a_foreign_lock_is_refused(void **state)
{
	struct test_place *f = *state;
	char lock[108];

	if (geteuid() != 0)
		skip();
	test_path(f->dir, "beat.sock.lock", lock);
	assert_int_equal(close(open(lock, O_CREAT | O_WRONLY | O_CLOEXEC, 0666)), 0);
	assert_int_equal(chown(lock, OTHER_UID, OTHER_UID), 0);
	refuse(&f->bind, -EPERM);
}

static void a_directory_must_be_one_and_no_link(void **state)
{
	struct test_place *f = *state;
	char real[108], link[108], path[108];

	test_path(f->dir, "real", real);
	test_path(f->dir, "link", link);
	assert_int_equal(mkdir(real, 0700), 0);
	assert_int_equal(symlink("real", link), 0);

	f->bind.path = path;
	test_path(f->dir, "link/s", path);
	refuse(&f->bind, -ELOOP);
	test_path(f->dir, "link//s", path);
	refuse(&f->bind, -ELOOP);
	test_path(f->dir, "absent/s", path);
	refuse(&f->bind, -ENOENT);
	assert_int_equal(close(open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	test_path(f->dir, "beat.sock/s", path);
	refuse(&f->bind, -ENOTDIR);
}

static void a_path_must_be_a_file_name_that_fits(void **state)
{
	struct test_place *f = *state;
	char path[200];
	struct belay__bound bound;
	size_t dir_len = strlen(f->dir);

	f->bind.path = path;
	memset(path, 'x', sizeof(path));
	memcpy(path, f->dir, dir_len);
	path[dir_len] = '/';

	path[108] = '\0';
	refuse(&f->bind, -ENAMETOOLONG);
	path[107] = '\0'; /* its lock's is longer, and no socket's */
	test_bind(&f->bind, &bound);
	belay__unbind(&bound);

	path[dir_len + 1] = '\0';
	refuse(&f->bind, -EINVAL);
	path[0] = '\0';
	refuse(&f->bind, -EINVAL);
	memcpy(path, "..", 3);
	refuse(&f->bind, -EINVAL);
}

static void only_sensible_requests_are_tried(void **state)
{
	struct test_place *f = *state;

	f->bind.mode = 04600;
	refuse(&f->bind, -EINVAL);
	f->bind.mode = 0600;
	f->bind.type = SOCK_RAW;
	refuse(&f->bind, -EINVAL);
	assert_false(exists(f->path));
}

static void a_read_only_directory_is_reported(void **state)
{
	struct test_place *f = *state;

	if (geteuid() == 0)
		skip(); /* root can write everywhere */
	assert_int_equal(chmod(f->dir, 0500), 0);
	refuse(&f->bind, -EACCES);
	f->bind.lock = false;
	refuse(&f->bind, -EACCES);
	assert_int_equal(chmod(f->dir, 0700), 0);
}

static void *wait_for_end(void *data)
{
	char byte;

	assert_int_equal(read(*(int *)data, &byte, 1), 0);
	return NULL;
}

static void a_process_with_threads_is_refused(void **state)
{
	struct test_place *f = *state;
	pthread_t thread;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_end, &ends[0]), 0);
	refuse(&f->bind, -EBUSY);
	(void)close(ends[1]);
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)close(ends[0]);
}

static void unbind_leaves_what_replaced_it(void **state)
{
	struct test_place *f = *state;
	struct belay__bound bound;

	test_bind(&f->bind, &bound);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(close(open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	belay__unbind(&bound);
	assert_true(exists(f->path));
	assert_int_equal(unlink(f->path), 0);

	test_bind(&f->bind, &bound);
	assert_int_equal(unlink(f->path), 0);
	leave_stale(f->path, SOCK_DGRAM);
	/* The kernel may hand the number of the inode out again at once; then there is nothing
	 * to tell them apart. */
	struct stat status;
	assert_int_equal(lstat(f->path, &status), 0);
	bool told_apart = status.st_ino != bound.ino;
	belay__unbind(&bound);
	assert_int_equal(exists(f->path), told_apart);
}

static void a_half_made_socket_can_be_unbound(void **state)
{
	struct belay__bound bound = { .fd = -EBADF, .lock_fd = -EBADF };

	(void)state;
	belay__unbind(&bound);
	assert_int_equal(bound.fd, -EBADF);
}

/* Starts when GO ends, reports its result through REPORT, holds what it has until HOLD ends. */
static void start_observer(const struct belay__bind *bind, int go, int report, int hold, bool tidy)
{
	struct belay__bound bound;
	char byte;
	int r;

	(void)!read(go, &byte, 1);
	r = belay__bind_guarded(bind, &bound, NULL);
	byte = r == 0 ? 'w' : r == -EADDRINUSE ? 'l' : '?';
	(void)!write(report, &byte, 1);
	(void)!read(hold, &byte, 1);
	if (r == 0 && tidy)
		belay__unbind(&bound);
	_exit(0);
}

static void two_starters_leave_exactly_one(void **state)
{
	struct test_place *f = *state;

	for (int round = 0; round < 50; round++) {
		int go[2], report[2], hold[2];
		pid_t children[2];
		char results[2];

		assert_int_equal(pipe2(go, O_CLOEXEC), 0);
		assert_int_equal(pipe2(report, O_CLOEXEC), 0);
		assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
		for (int i = 0; i < 2; i++) {
			children[i] = fork();
			assert_true(children[i] >= 0);
			if (children[i] == 0) {
				(void)close(go[1]);
				(void)close(hold[1]);
				/* Every other round leaves a stale socket to the next one. */
				start_observer(&f->bind, go[0], report[1], hold[0], round % 2 == 0);
			}
		}
		(void)close(go[1]);
		for (int i = 0; i < 2; i++)
			assert_int_equal(read(report[0], &results[i], 1), 1);
		(void)close(hold[1]);
		for (int i = 0; i < 2; i++)
			assert_int_equal(test_wait_child(children[i]), 0);
		assert_true((results[0] == 'w' && results[1] == 'l') ||
			(results[0] == 'l' && results[1] == 'w'));
		(void)close(go[0]);
		(void)close(hold[0]);
		(void)close(report[0]);
		(void)close(report[1]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_place_set_up, test_place_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_bound_socket_is_what_was_asked_for),
		TEST(a_bound_socket_does_not_block_and_asks_for_credentials),
		TEST(rights_are_refused_where_the_kernel_can),
		TEST(packet_and_stream_sockets_listen),
		TEST(a_second_observer_is_refused_with_and_without_lock),
		TEST(the_lock_alone_keeps_others_out_and_stays_on_disk),
		TEST(a_socket_without_owner_is_replaced),
		TEST(what_is_no_socket_is_left_alone),
		TEST(a_lock_that_is_no_plain_file_is_refused),
		TEST(the_directory_must_keep_others_out),
		TEST(a_foreign_directory_is_refused),
		TEST(a_foreign_lock_is_refused),
		TEST(a_directory_must_be_one_and_no_link),
		TEST(a_path_must_be_a_file_name_that_fits),
		TEST(only_sensible_requests_are_tried),
		TEST(a_read_only_directory_is_reported),
		TEST(a_process_with_threads_is_refused),
		TEST(unbind_leaves_what_replaced_it),
		TEST(a_half_made_socket_can_be_unbound),
		TEST(two_starters_leave_exactly_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
