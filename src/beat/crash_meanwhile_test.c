#include <belay/crash.h>

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "beat/crash_testing.h"

static struct test_observer observer;

static void fault(void)
{
	volatile char *volatile nowhere = NULL;

	(void)nowhere[8];
}

static void kill_itself(void)
{
	(void)kill(getpid(), SIGABRT);
}

static void install_with(void (*send)(void *, const uint8_t *, uint32_t, uint64_t))
{
	const struct belay_crash_transport transport = { .send = send };

	if (belay_crash_install_with(&transport, NULL, NULL, NULL) < 0)
		_exit(99);
}

/* Signals of lower and of higher numbers than the one that the process dies of. */
static void be_sent_others(void *data, const uint8_t frame[BELAY_FRAME_LEN], uint32_t pid,
	uint64_t timestamp_ns)
{
	static const int others[] = { SIGHUP, SIGQUIT, SIGTERM, SIGXFSZ, SIGSYS };
	(void)data;
	(void)frame;
	(void)pid;
	(void)timestamp_ns;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		(void)kill(getpid(), others[i]);
}

static void leave(int number)
{
	(void)number;
	_exit(0);
}

struct interrupted {
	void (*die)(void);
	int number;
	bool handled; /* the others have handlers that end the process well */
};

static void be_interrupted(void *argument)
{
	const struct interrupted *interrupted = argument;

	if (interrupted->handled) {
		(void)signal(SIGHUP, leave);
		(void)signal(SIGTERM, leave);
	}
	install_with(be_sent_others);
	interrupted->die();
}

static void signals_that_come_while_it_is_told_do_not_decide_the_death(void **state)
{
	static struct interrupted cases[] = {
		{ fault, SIGSEGV, false },
		{ fault, SIGSEGV, true },
		{ abort, SIGABRT, false },
		{ abort, SIGABRT, true },
		{ kill_itself, SIGABRT, false },
		{ kill_itself, SIGABRT, true },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct crash_child child = { .run = be_interrupted, .argument = &cases[i] };
		struct death death = crash_watch(&observer, &child);

		assert_true(WIFSIGNALED(death.status));
		assert_int_equal(WTERMSIG(death.status), cases[i].number);
		assert_int_equal(death.told, 2);
	}
}

static void crash_where_no_file_may_grow(void *note)
{
	const struct belay_crash_options options = { .note = note };
	const struct rlimit none = { 0, 0 };

	(void)crash_install(note != NULL ? &options : NULL);
	(void)setrlimit(RLIMIT_FSIZE, &none);
	fault();
}

/* The kernel sends SIGXFSZ for the write that it refuses. */
static void a_note_that_may_not_be_written_changes_nothing(void **state)
{
	static char note[] = "note";
	const struct crash_child with = { .run = crash_where_no_file_may_grow, .argument = note };
	const struct crash_child without = { .run = crash_where_no_file_may_grow };
	struct death with_note = crash_watch(&observer, &with);
	struct death without_note = crash_watch(&observer, &without);
	char path[80];
	(void)state;

	assert_last_word(&with_note);
	assert_int_equal(WTERMSIG(with_note.status), SIGSEGV);
	assert_same_death(&with_note, &without_note);
	(void)snprintf(path, sizeof(path), "%s/%s", observer.directory, note);
	assert_int_equal(unlink(path), 0);
}

/* Both system calls fail with EPERM from now on. */
static void forbid(unsigned one, unsigned other)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, one, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(97);
}

static void die_without_queueing(void *argument)
{
	(void)argument;
	(void)crash_install(NULL);
	forbid(SYS_rt_tgsigqueueinfo, SYS_tgkill);
	kill_itself();
}

static void die_without_the_default(void *argument)
{
	(void)argument;
	(void)crash_install(NULL);
	forbid(SYS_rt_sigaction, SYS_rt_sigaction);
	fault();
}

static void die_without_looking_at_the_socket(void *argument)
{
	(void)argument;
	(void)crash_install(NULL);
	forbid(SYS_getsockopt, SYS_getsockopt);
	fault();
}

static void a_filter_makes_no_normal_end_of_a_crash(void **state)
{
	void (*const runs[])(void *) = { die_without_queueing, die_without_the_default,
		die_without_looking_at_the_socket };
	(void)state;

	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		const struct crash_child child = { .run = runs[i] };
		struct death death = crash_watch(&observer, &child);

		assert_last_word(&death);
		assert_true(WIFSIGNALED(death.status));
	}
}

/* Seen by the child that crashes and by who watches it. */
static struct {
	atomic_uint inside;
	_Atomic uint64_t timestamps_ns[2];
	atomic_bool forked;
} * shared;

static void wait_for_the_other(void *data, const uint8_t frame[BELAY_FRAME_LEN], uint32_t pid,
	uint64_t timestamp_ns)
{
	(void)data;
	(void)frame;
	(void)pid;
	atomic_store(&shared->timestamps_ns[atomic_fetch_add(&shared->inside, 1) % 2], timestamp_ns);
	while (atomic_load(&shared->inside) < 2 || atomic_load(&shared->timestamps_ns[0]) == 0 ||
		atomic_load(&shared->timestamps_ns[1]) == 0)
		;
}

static void *crash_in_thread(void *argument)
{
	(void)argument;
	fault();
	return NULL;
}

static void crash_in_two_threads(void *argument)
{
	pthread_t threads[2];
	(void)argument;

	install_with(wait_for_the_other);
	for (int i = 0; i < 2; i++)
		(void)pthread_create(&threads[i], NULL, crash_in_thread, NULL);
	for (;;)
		(void)pause();
}

static void two_handlers_at_once_have_timestamps_of_their_own(void **state)
{
	const struct crash_child child = { .run = crash_in_two_threads, .untraced = true };
	struct death death;
	(void)state;

	death = crash_watch(&observer, &child);
	assert_true(WIFSIGNALED(death.status));
	assert_int_equal(WTERMSIG(death.status), SIGSEGV);
	assert_int_equal(shared->inside, 2);
	assert_true(shared->timestamps_ns[0] != shared->timestamps_ns[1]);
}

static void wait_for_a_fork(void *data, const uint8_t frame[BELAY_FRAME_LEN], uint32_t pid,
	uint64_t timestamp_ns)
{
	(void)data;
	(void)frame;
	(void)pid;
	(void)timestamp_ns;
	atomic_store(&shared->inside, 1);
	while (!atomic_load(&shared->forked))
		;
}

static unsigned closed;

static void count_closing(void *data)
{
	(void)data;
	closed++;
}

/* Nobody speaks in the child: what is replaced there is closed. */
static void fork_while_a_thread_crashes(void *argument)
{
	const struct belay_crash_transport transport = {
		.send = wait_for_a_fork,
		.close = count_closing,
	};
	pthread_t thread;
	int status;
	pid_t pid;
	(void)argument;

	atomic_store(&shared->inside, 0);
	if (belay_crash_install_with(&transport, NULL, NULL, NULL) < 0)
		_exit(99);
	(void)pthread_create(&thread, NULL, crash_in_thread, NULL);
	while (atomic_load(&shared->inside) == 0)
		;
	pid = fork();
	if (pid == 0) {
		belay_crash_uninstall();
		_exit(closed == 1 ? 10 : 11);
	}
	_exit(waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void a_child_forked_while_it_is_told_may_close_what_it_has(void **state)
{
	const struct crash_child child = { .run = fork_while_a_thread_crashes, .untraced = true };
	struct death death;
	(void)state;

	death = crash_watch(&observer, &child);
	assert_true(WIFEXITED(death.status));
	assert_int_equal(WEXITSTATUS(death.status), 10);
}

static int begin(void **state)
{
	(void)state;
	test_observer_init(&observer);
	test_observer_listen(&observer);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		0);
	return shared == MAP_FAILED;
}

static int end(void **state)
{
	(void)state;
	test_observer_done(&observer);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signals_that_come_while_it_is_told_do_not_decide_the_death),
		cmocka_unit_test(a_note_that_may_not_be_written_changes_nothing),
		cmocka_unit_test(a_filter_makes_no_normal_end_of_a_crash),
		cmocka_unit_test(two_handlers_at_once_have_timestamps_of_their_own),
		cmocka_unit_test(a_child_forked_while_it_is_told_may_close_what_it_has),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
