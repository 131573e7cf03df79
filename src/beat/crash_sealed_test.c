#include <belay/crash.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <belay/sealed.h>

#include "base/fd.h"
#include "beat/crash_internal.h"
#include "beat/test_observer.h"
#include "wire/seal.h"

/* This program is linked so that this stands before the C library's. */
ssize_t __real_getrandom(void *bytes, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags);

static bool no_entropy;

ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags)
{
	if (no_entropy) {
		errno = ENOSYS;
		return -1;
	}
	return __real_getrandom(bytes, len, flags);
}

static const struct belay_key key = { .bytes = { 1, 2, 3 } };
static int receiver = -EBADF;
static char address[32];

static int listen_at(uint16_t port)
{
	const struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in in = { 0 };
	socklen_t len = sizeof(in);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	return ntohs(in.sin_port);
}

/* A frame as it came. */
struct heard {
	uint8_t bytes[BELAY__SEALED_LEN + 1];
	struct belay_frame frame;
};

static struct heard hear(void)
{
	struct heard heard;
	uint8_t bytes[BELAY_FRAME_LEN];

	assert_int_equal(recv(receiver, heard.bytes, sizeof(heard.bytes), MSG_DONTWAIT),
		BELAY__SEALED_LEN);
	assert_true(belay__unseal(key.bytes, heard.bytes, NULL, 0, bytes));
	assert_true(belay_frame_decode(bytes, &heard.frame, NULL));
	assert_int_equal(heard.frame.nonce, BELAY_NONCE_TERMINAL);
	assert_int_equal(heard.frame.status, BELAY_CRITICAL);
	return heard;
}

static void assert_silent(void)
{
	uint8_t bytes[128];

	assert_int_equal(recv(receiver, bytes, sizeof(bytes), MSG_DONTWAIT), -1);
}

static void fault(void)
{
	volatile char *volatile nowhere = NULL;

	(void)nowhere[8];
}

static void crash_in_child_and_parent(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		fault();
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		_exit(1);
	fault();
}

/* Two children and their parent, from one installation. */
static void crash_thrice(bool degraded)
{
	int status;
	pid_t pid;

	(void)signal(SIGSEGV, SIG_DFL);
	if ((degraded ? belay_crash_install_sealed_accept_degraded_entropy
		      : belay_crash_install_sealed)(address, &key, NULL, NULL, NULL) < 0)
		_exit(99);
	pid = fork();
	if (pid == 0)
		crash_in_child_and_parent();
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		_exit(1);
	fault();
}

static void assert_prefixes_differ(const struct heard *a, const struct heard *b)
{
	assert_int_not_equal(memcmp(a->bytes, b->bytes, BELAY__PREFIX_LEN), 0);
	assert_int_not_equal(a->frame.pid, b->frame.pid);
}

static void check_three(bool degraded)
{
	struct heard heard[3];
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		crash_thrice(degraded);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	for (int i = 0; i < 3; i++)
		heard[i] = hear();
	assert_silent();
	assert_prefixes_differ(&heard[0], &heard[1]);
	assert_prefixes_differ(&heard[0], &heard[2]);
	assert_prefixes_differ(&heard[1], &heard[2]);
	assert_int_equal(heard[2].frame.pid, pid);
}

static void each_process_seals_under_a_prefix_of_its_own(void **state)
{
	(void)state;
	check_three(false);
}

static void without_entropy_it_is_not_installed(void **state)
{
	struct belay_crash_report report;
	struct belay_error error;
	int descriptors = belay__fd_count();
	(void)state;

	no_entropy = true;
	assert_int_equal(belay_crash_install_sealed(address, &key, NULL, &report, &error), -ENOSYS);
	no_entropy = false;
	assert_int_equal(report.step, BELAY_CRASH_ENTROPY);
	assert_int_equal(report.installed, 0);
	assert_non_null(strstr(error.text, "entropy"));
	assert_int_equal(belay__fd_count(), descriptors);
}

static void degraded_entropy_has_to_be_asked_for(void **state)
{
	(void)state;
	no_entropy = true;
	check_three(true);
	no_entropy = false;
	check_three(true);
}

static void a_wrong_address_or_no_key_is_refused(void **state)
{
	struct belay_crash_report report;
	int descriptors = belay__fd_count();
	(void)state;

	assert_int_equal(belay_crash_install_sealed("nowhere", &key, NULL, &report, NULL), -EINVAL);
	assert_int_equal(report.step, BELAY_CRASH_SOCKET);
	assert_int_equal(belay_crash_install_sealed(NULL, &key, NULL, &report, NULL), -EINVAL);
	assert_int_equal(report.step, BELAY_CRASH_SOCKET);
	assert_int_equal(belay_crash_install_sealed("127.0.0.1:0", &key, NULL, &report, NULL),
		-EINVAL);
	assert_int_equal(report.step, BELAY_CRASH_SOCKET);
	assert_int_equal(belay_crash_install_udp("127.0.0.1:0", NULL, &report, NULL), -EINVAL);
	assert_int_equal(report.step, BELAY_CRASH_SOCKET);
	assert_int_equal(belay_crash_install_sealed(address, NULL, NULL, &report, NULL), -EINVAL);
	assert_int_equal(report.step, BELAY_CRASH_OPTIONS);
	assert_int_equal(belay__fd_count(), descriptors);
}

static bool come_and_go(void *argument)
{
	int descriptors = belay__fd_count();
	(void)argument;

	for (int i = 0; i < 3; i++)
		if (belay_crash_install_sealed(address, &key, NULL, NULL, NULL) != 0 ||
			belay__fd_count() != descriptors + 1)
			return false;
	belay_crash_uninstall();
	return belay__fd_count() == descriptors;
}

static void nothing_is_left_of_a_way_that_was_replaced(void **state)
{
	(void)state;
	assert_in_child(come_and_go, NULL);
}

enum { THREADS = 4, WORDS_EACH = 20, ROUNDS = 3, WORDS = ROUNDS * THREADS * WORDS_EACH };

static void *say_all(void *argument)
{
	(void)argument;
	for (int i = 0; i < WORDS_EACH; i++)
		belay__crash_say(SIGSEGV, NULL, NULL);
	return NULL;
}

/* More words than a process can say that dies of the first. */
static bool say_in_threads_and_after_reinstalling(void *argument)
{
	pthread_t threads[THREADS];
	(void)argument;

	for (int round = 0; round < ROUNDS; round++) {
		if (belay_crash_install_sealed(address, &key, NULL, NULL, NULL) != 0)
			return false;
		for (int i = 0; i < THREADS; i++)
			if (pthread_create(&threads[i], NULL, say_all, NULL) != 0)
				return false;
		for (int i = 0; i < THREADS; i++)
			(void)pthread_join(threads[i], NULL);
	}
	return true;
}

static int by_nonce(const void *a, const void *b)
{
	return memcmp(((const struct heard *)a)->bytes, ((const struct heard *)b)->bytes,
		BELAY__PREFIX_LEN);
}

static int by_time(const void *a, const void *b)
{
	const struct heard *left = a, *right = b;

	return (left->frame.timestamp_ns > right->frame.timestamp_ns) -
		(left->frame.timestamp_ns < right->frame.timestamp_ns);
}

static void no_two_words_of_one_process_share_a_prefix_or_a_time(void **state)
{
	static struct heard heard[WORDS];
	(void)state;

	assert_in_child(say_in_threads_and_after_reinstalling, NULL);
	for (int i = 0; i < WORDS; i++)
		heard[i] = hear();
	assert_silent();
	qsort(heard, WORDS, sizeof(heard[0]), by_nonce);
	for (int i = 1; i < WORDS; i++)
		assert_memory_not_equal(heard[i - 1].bytes, heard[i].bytes, BELAY__PREFIX_LEN);
	qsort(heard, WORDS, sizeof(heard[0]), by_time);
	for (int i = 1; i < WORDS; i++)
		assert_true(heard[i - 1].frame.timestamp_ns < heard[i].frame.timestamp_ns);
}

static bool crashes_in_child(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		fault();
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
}

/* One worker's word is refused; the refusal waits at the socket that all of them share. */
static bool workers_crash(void *port)
{
	(void)signal(SIGSEGV, SIG_DFL);
	if (belay_crash_install_sealed(address, &key, NULL, NULL, NULL) != 0 || !crashes_in_child())
		return false;
	receiver = listen_at(*(const uint16_t *)port);
	if (!crashes_in_child())
		return false;
	(void)hear();
	assert_silent();
	return true;
}

static void what_was_refused_to_one_worker_does_not_silence_the_next(void **state)
{
	uint16_t port = port_of(receiver);
	(void)state;

	receiver = belay__close(receiver);
	assert_in_child(workers_crash, &port);
	receiver = listen_at(port);
}

/* libsodium is started by the installations alone. */
static int begin(void **state)
{
	(void)state;

	receiver = listen_at(0);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port_of(receiver));
	return 0;
}

static int end(void **state)
{
	(void)state;
	receiver = belay__close(receiver);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_process_seals_under_a_prefix_of_its_own),
		cmocka_unit_test(without_entropy_it_is_not_installed),
		cmocka_unit_test(degraded_entropy_has_to_be_asked_for),
		cmocka_unit_test(a_wrong_address_or_no_key_is_refused),
		cmocka_unit_test(nothing_is_left_of_a_way_that_was_replaced),
		cmocka_unit_test(no_two_words_of_one_process_share_a_prefix_or_a_time),
		cmocka_unit_test(what_was_refused_to_one_worker_does_not_silence_the_next),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
