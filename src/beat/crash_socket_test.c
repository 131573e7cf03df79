#include <belay/crash.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "beat/crash_testing.h"

static struct test_observer observer;

/* An observer across the network, which may go and come back to the same port. */
static struct sockaddr_in far_address;
static char far_name[32];
static int far_fd = -EBADF;

static void far_leave(void)
{
	far_fd = belay__close(far_fd);
}

static void far_listen(void)
{
	socklen_t len = sizeof(far_address);

	far_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(far_fd >= 0);
	assert_int_equal(bind(far_fd, (const struct sockaddr *)&far_address, len), 0);
	assert_int_equal(getsockname(far_fd, (struct sockaddr *)&far_address, &len), 0);
	(void)snprintf(far_name, sizeof(far_name), "127.0.0.1:%u",
		(unsigned)ntohs(far_address.sin_port));
}

static unsigned far_drain(void)
{
	char bytes[64];
	unsigned count = 0;

	while (recv(far_fd, bytes, sizeof(bytes), MSG_DONTWAIT) == BELAY_FRAME_LEN)
		count++;
	return count;
}

static void fault(void)
{
	volatile char *volatile nowhere = NULL;

	(void)nowhere[8];
}

static void install(bool far)
{
	if (!far)
		(void)crash_install(NULL);
	else if (belay_crash_install_udp(far_name, NULL, NULL, NULL) < 0)
		_exit(99);
}

/* [0] is the child's end, [1] the test's: somebody's connection. */
static int stream[2];
static int far_way = 1;

/* Installs the hook; returns the number of its socket. */
static int install_and_find(bool far)
{
	bool was_open[1024];
	int found = -1;

	for (int fd = 0; fd < 1024; fd++)
		was_open[fd] = fcntl(fd, F_GETFD) >= 0;
	install(far);
	for (int fd = 0; fd < 1024; fd++)
		if (!was_open[fd] && fcntl(fd, F_GETFD) >= 0)
			found = fd;
	return found;
}

/* As a daemon does: all that is not known is closed, and then connections are taken. */
static void give_its_number_to_a_connection(void *far)
{
	const int number = install_and_find(far != NULL);

	if (dup2(stream[0], STDIN_FILENO) < 0 || close_range(3, ~0U, 0) < 0 ||
		dup2(STDIN_FILENO, number) != number)
		_exit(98);
	fault();
}

static void a_connection_that_took_the_sockets_number_gets_no_frame(void **state)
{
	void *const ways[] = { NULL, &far_way };
	(void)state;

	for (size_t i = 0; i < 2; i++) {
		const struct crash_child child = {
			.run = give_its_number_to_a_connection,
			.argument = ways[i],
		};
		struct death death;
		char bytes[64];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
		death = crash_watch(&observer, &child);
		assert_true(WIFSIGNALED(death.status));
		assert_int_equal(WTERMSIG(death.status), SIGSEGV);
		assert_int_equal(death.heard, 0);
		(void)belay__close(stream[0]);
		assert_int_equal(recv(stream[1], bytes, sizeof(bytes), MSG_DONTWAIT), 0);
		(void)belay__close(stream[1]);
	}
}

static void crash_when_told(void *argument)
{
	(void)argument;
	(void)belay__close(observer.fd); /* it would keep the first one alive */
	(void)crash_install(NULL);
	crash_ready();
	fault();
}

static void listen_anew(pid_t pid, void *argument)
{
	(void)pid;
	(void)argument;
	test_observer_listen(&observer);
}

static void close_and_listen_anew(pid_t pid, void *argument)
{
	test_observer_leave(&observer);
	listen_anew(pid, argument);
}

static void an_observer_that_was_restarted_hears_the_last_word(void **state)
{
	void (*const restarts[])(pid_t, void *) = { listen_anew, close_and_listen_anew };
	(void)state;

	for (size_t i = 0; i < 2; i++) {
		const struct crash_child child = {
			.run = crash_when_told,
			.from_outside = restarts[i],
		};
		struct death death = crash_watch(&observer, &child);

		assert_last_word(&death);
		assert_int_equal(WTERMSIG(death.status), SIGSEGV);
	}
}

static void crash_in_child(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		fault();
		_exit(1);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		_exit(98);
}

/* One child crashes without an observer and leaves the refusal on the socket that all share. */
static void crash_after_another(void *argument)
{
	(void)argument;
	far_leave();
	install(/* far= */ true);
	crash_ready();
	crash_in_child();
	crash_ready();
	fault();
}

static void go_or_come_back(pid_t pid, void *argument)
{
	(void)pid;
	(void)argument;
	if (far_fd >= 0)
		far_leave();
	else
		far_listen();
}

static void a_refusal_of_somebody_elses_last_word_is_not_ours(void **state)
{
	const struct crash_child child = {
		.run = crash_after_another,
		.from_outside = go_or_come_back,
	};
	struct death death;
	(void)state;

	death = crash_watch(&observer, &child);
	assert_int_equal(WTERMSIG(death.status), SIGSEGV);
	assert_int_equal(far_drain(), 1);
}

static int begin(void **state)
{
	(void)state;
	test_observer_init(&observer);
	test_observer_listen(&observer);
	far_address.sin_family = AF_INET;
	far_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	far_listen();
	return 0;
}

static int end(void **state)
{
	(void)state;
	far_leave();
	test_observer_done(&observer);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_that_took_the_sockets_number_gets_no_frame),
		cmocka_unit_test(an_observer_that_was_restarted_hears_the_last_word),
		cmocka_unit_test(a_refusal_of_somebody_elses_last_word_is_not_ours),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
