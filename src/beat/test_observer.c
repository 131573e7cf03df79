#include "beat/test_observer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

static int bind_socket(int type, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	(void)unlink(path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void test_observer_init(struct test_observer *observer)
{
	*observer = (struct test_observer){
		.fd = -EBADF,
		.door = -EBADF,
		.directory = "/tmp/belay-test-XXXXXX",
	};
	assert_non_null(mkdtemp(observer->directory));
	(void)snprintf(observer->path, sizeof(observer->path), "%s/s", observer->directory);
	(void)snprintf(observer->door_path, sizeof(observer->door_path), "%s%s", observer->path,
		BELAY__HELLO_SUFFIX);
}

void test_observer_listen(struct test_observer *observer)
{
	test_observer_leave(observer);
	observer->fd = bind_socket(SOCK_DGRAM, observer->path);
}

void test_observer_open_door(struct test_observer *observer)
{
	observer->door = bind_socket(SOCK_SEQPACKET, observer->door_path);
	assert_int_equal(listen(observer->door, 4), 0);
}

void test_observer_leave(struct test_observer *observer)
{
	observer->fd = belay__close(observer->fd);
	(void)unlink(observer->path);
}

void test_observer_done(struct test_observer *observer)
{
	test_observer_leave(observer);
	observer->door = belay__close(observer->door);
	(void)unlink(observer->door_path);
	assert_int_equal(rmdir(observer->directory), 0);
}

bool test_observer_take(struct test_observer *observer, struct belay_frame *ret_frame)
{
	uint8_t bytes[BELAY_FRAME_LEN + 1];
	ssize_t n = recv(observer->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return false;
	}
	assert_int_equal(n, BELAY_FRAME_LEN);
	assert_true(belay_frame_decode(bytes, ret_frame, NULL));
	return true;
}

struct belay_frame test_observer_take_only(struct test_observer *observer)
{
	struct belay_frame frame = { 0 }, second;

	assert_true(test_observer_take(observer, &frame));
	assert_false(test_observer_take(observer, &second));
	return frame;
}

unsigned test_observer_drain(struct test_observer *observer)
{
	struct belay_frame frame;
	unsigned count = 0;

	while (test_observer_take(observer, &frame))
		count++;
	return count;
}

bool test_observer_hear(struct test_observer *observer, struct belay__hello *ret_hello)
{
	_cleanup_close_ int fd = accept4(observer->door, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0) {
		assert_int_equal(errno, EAGAIN);
		return false;
	}
	assert_int_equal(recv(fd, ret_hello, sizeof(*ret_hello), MSG_TRUNC), sizeof(*ret_hello));
	assert_int_equal(ret_hello->magic, BELAY__HELLO_MAGIC);
	assert_int_equal(ret_hello->version, BELAY__HELLO_VERSION);
	return true;
}

static void assert_outcome(struct belay_outcome outcome, struct belay_outcome expected)
{
	char text[64], expected_text[64];

	(void)belay_outcome_text(&outcome, text, sizeof(text));
	(void)belay_outcome_text(&expected, expected_text, sizeof(expected_text));
	assert_string_equal(text, expected_text);
	assert_int_equal(outcome.sent, expected.sent);
	assert_int_equal(outcome.reason, expected.reason);
}

void assert_sent(struct belay_outcome outcome)
{
	assert_outcome(outcome, (struct belay_outcome){ .sent = BELAY_SENT });
	assert_int_equal(outcome.error, 0);
}

void assert_dropped(struct belay_outcome outcome, enum belay_drop_reason reason)
{
	assert_outcome(outcome,
		(struct belay_outcome){ .sent = BELAY_DROPPED, .reason = (uint8_t)reason });
	assert_int_not_equal(outcome.error, 0);
}

void assert_failed(struct belay_outcome outcome, int error)
{
	assert_outcome(outcome, (struct belay_outcome){ .sent = BELAY_FAILED, .error = error });
	assert_int_equal(outcome.error, error);
}

void assert_in_child(bool (*child)(void *argument), void *argument)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(child(argument) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}
