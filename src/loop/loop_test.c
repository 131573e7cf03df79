#include "loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/missing.h"

#define MS    BELAY__NS_PER_MS
#define NEVER UINT64_MAX

static int new_loop(void **state)
{
	return belay__loop_new((struct belay__loop **)state);
}

static int free_loop(void **state)
{
	return belay__loop_free(*state) == NULL ? 0 : -1;
}

/* What happened, in order: one letter a callback. */
static char journal[64];

static void note(char letter)
{
	size_t len = strlen(journal);

	assert_true(len < sizeof(journal) - 1);
	journal[len] = letter;
	journal[len + 1] = '\0';
}

static void assert_journal(const char *expected)
{
	assert_string_equal(journal, expected);
	journal[0] = '\0';
}

/* The data that stands for a letter. */
static void *letter(char wanted)
{
	static char letters[] = "abcdefghijklmnopqrstuvwxyz";

	return strchr(letters, wanted);
}

/* Data of every source in these tests is a letter to note. */
static void note_timer_due(struct belay__timer *timer, uint64_t now_ns)
{
	assert_true(now_ns >= timer->due_ns);
	assert_null(timer->next);
	note(*(const char *)timer->data);
}

static void note_io_ready(struct belay__io *io, uint32_t events)
{
	assert_int_not_equal(events, 0);
	note(*(const char *)io->data);
}

static void note_deferred_run(struct belay__deferred *deferred)
{
	assert_false(deferred->queued);
	note(*(const char *)deferred->data);
}

static int readable_event(void)
{
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

static bool is_readable(const struct belay__loop *loop, int timeout_ms)
{
	struct pollfd host = { .fd = belay__loop_fd(loop), .events = POLLIN };

	return poll(&host, 1, timeout_ms) == 1;
}

static void timers_run_when_due_and_in_their_order(void **state)
{
	struct belay__timer a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct belay__loop *loop = *state;

	belay__timer_set(loop, &a, now_ns - 1, note_timer_due, letter('a'));
	belay__timer_set(loop, &b, now_ns - 3, note_timer_due, letter('b'));
	belay__timer_set(loop, &c, now_ns - 3, note_timer_due, letter('c'));
	belay__timer_set(loop, &d, now_ns + 3600 * BELAY__NS_PER_S, note_timer_due, letter('d'));
	assert_int_equal(belay__loop_turn(loop, NEVER), 3);
	assert_journal("bca");
	assert_true(belay__loop_now_ns(loop) >= now_ns);
	assert_int_equal(belay__loop_turn(loop, 0), 0);
	belay__timer_clear(&d);
	belay__timer_clear(&d);
}

static void a_turn_waits_for_the_first_timer(void **state)
{
	struct belay__timer a = { 0 }, b = { 0 };
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct belay__loop *loop = *state;

	belay__timer_set(loop, &b, start_ns + 3600 * BELAY__NS_PER_S, note_timer_due, letter('b'));
	belay__timer_set(loop, &a, start_ns + 5 * MS, note_timer_due, letter('a'));
	assert_int_equal(belay__loop_turn(loop, NEVER), 1);
	assert_true(belay__clock_ns(CLOCK_MONOTONIC) >= start_ns + 5 * MS);
	assert_journal("a");
	belay__timer_clear(&b);
}

static void a_timer_can_be_moved_and_disarmed(void **state)
{
	struct belay__timer a = { 0 }, b = { 0 };
	struct belay__loop *loop = *state;

	belay__timer_set(loop, &a, 1, note_timer_due, letter('a'));
	belay__timer_set(loop, &b, 2, note_timer_due, letter('b'));
	belay__timer_set(loop, &a, 3, note_timer_due, letter('a'));
	assert_int_equal(belay__loop_turn(loop, NEVER), 2);
	assert_journal("ba");

	belay__timer_set(loop, &a, 0, note_timer_due, letter('a'));
	belay__timer_set(loop, &b, 0, note_timer_due, letter('b'));
	belay__timer_set(loop, &a, UINT64_MAX, note_timer_due, letter('a'));
	assert_int_equal(belay__loop_turn(loop, NEVER), 1);
	assert_journal("b");

	belay__timer_set(loop, &a, UINT64_MAX - 1, note_timer_due, letter('a'));
	assert_int_equal(belay__loop_turn(loop, 0), 0);
	belay__timer_clear(&a);
}

static void run_again(struct belay__timer *timer, uint64_t now_ns)
{
	note('r');
	belay__timer_set(timer->loop, timer, now_ns, run_again, NULL);
}

static void a_timer_that_sets_itself_runs_once_a_turn(void **state)
{
	struct belay__timer timer = { 0 };
	struct belay__loop *loop = *state;

	belay__timer_set(loop, &timer, 1, run_again, NULL);
	for (int turn = 0; turn < 3; turn++)
		assert_int_equal(belay__loop_turn(loop, NEVER), 1);
	assert_journal("rrr");
	belay__timer_clear(&timer);
}

static void clear_other(struct belay__timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	note('c');
	belay__timer_clear(timer->data);
}

static void a_timer_can_take_off_another_that_is_due(void **state)
{
	struct belay__timer a = { 0 }, b = { 0 };
	struct belay__loop *loop = *state;

	belay__timer_set(loop, &a, 1, clear_other, &b);
	belay__timer_set(loop, &b, 2, note_timer_due, letter('b'));
	assert_int_equal(belay__loop_turn(loop, NEVER), 1);
	assert_journal("c");
}

static void a_turn_runs_timers_then_descriptors_then_deferred_work(void **state)
{
	_cleanup_close_ int fd = readable_event();
	struct belay__deferred deferred = { 0 };
	struct belay__timer timer = { 0 };
	struct belay__io io = { 0 };
	struct belay__loop *loop = *state;

	belay__defer(loop, &deferred, note_deferred_run, letter('d'));
	belay__defer(loop, &deferred, note_deferred_run, letter('d'));
	assert_int_equal(belay__io_add(loop, &io, fd, EPOLLIN, note_io_ready, letter('i')), 0);
	belay__timer_set(loop, &timer, 1, note_timer_due, letter('t'));
	assert_int_equal(belay__loop_turn(loop, NEVER), 3);
	assert_journal("tid");
	belay__io_remove(&io);
	assert_int_equal(io.fd, -EBADF);
	belay__io_remove(&io);
	assert_int_equal(belay__loop_turn(loop, 0), 0);
}

static void defer_again(struct belay__deferred *deferred)
{
	note('d');
	belay__defer(deferred->data, deferred, defer_again, deferred->data);
}

static void work_deferred_by_deferred_work_waits_for_the_next_turn(void **state)
{
	struct belay__deferred deferred = { 0 };
	struct belay__loop *loop = *state;

	belay__defer(loop, &deferred, defer_again, loop);
	for (int turn = 0; turn < 3; turn++) {
		assert_true(is_readable(loop, 5000));
		assert_int_equal(belay__loop_turn(loop, NEVER), 1);
	}
	assert_journal("ddd");
	belay__defer(loop, &deferred, note_deferred_run, letter('e'));
	assert_int_equal(belay__loop_turn(loop, NEVER), 1);
	assert_journal("e");
}

static void remove_other(struct belay__io *io, uint32_t events)
{
	struct belay__io *other = io->data;

	(void)events;
	note('x');
	belay__io_remove(other);
	memset(other, 0xEE, sizeof(*other)); /* its memory is gone */
	other->loop = NULL;
}

static void a_callback_can_remove_a_source_that_is_ready_too(void **state)
{
	_cleanup_close_ int first = readable_event(), second = readable_event();
	struct belay__io a = { 0 }, b = { 0 };
	struct belay__loop *loop = *state;

	/* Whichever comes first removes the other. */
	assert_int_equal(belay__io_add(loop, &a, first, EPOLLIN, remove_other, &b), 0);
	assert_int_equal(belay__io_add(loop, &b, second, EPOLLIN, remove_other, &a), 0);
	assert_int_equal(belay__loop_turn(loop, NEVER), 1);
	assert_journal("x");
	belay__io_remove(&a);
	belay__io_remove(&b);
}

static void lose_interest(struct belay__io *io, uint32_t events)
{
	(void)events;
	note('x');
	assert_int_equal(belay__io_change(io->data, 0), 0);
}

static void a_callback_can_end_the_interest_of_another(void **state)
{
	_cleanup_close_ int first = readable_event(), second = readable_event();
	struct belay__io a = { 0 }, b = { 0 };
	struct belay__loop *loop = *state;

	assert_int_equal(belay__io_add(loop, &a, first, EPOLLIN, lose_interest, &b), 0);
	assert_int_equal(belay__io_add(loop, &b, second, EPOLLIN, lose_interest, &a), 0);
	assert_int_equal(belay__loop_turn(loop, NEVER), 1);
	assert_int_equal(belay__loop_turn(loop, NEVER), 1);
	assert_journal("xx");
	belay__io_remove(&a);
	belay__io_remove(&b);
}

static void a_source_that_cannot_be_watched_stays_off(void **state)
{
	_cleanup_close_ int fd = readable_event();
	struct belay__io io = { 0 }, twice = { 0 };
	struct belay__loop *loop = *state;

	assert_int_equal(belay__io_add(loop, &io, -1, EPOLLIN, note_io_ready, letter('i')), -EBADF);
	assert_null(io.loop);
	assert_int_equal(belay__io_add(loop, &io, fd, EPOLLIN, note_io_ready, letter('i')), 0);
	assert_int_equal(belay__io_add(loop, &twice, fd, EPOLLIN, note_io_ready, letter('j')),
		-EEXIST);
	assert_null(twice.loop);
	belay__io_remove(&io);
}

static void count_io_ready(struct belay__io *io, uint32_t events)
{
	(void)events;
	(*(int *)io->data)++;
}

static void a_busy_crowd_does_not_starve_the_rest(void **state)
{
	enum { CROWD = 3 * BELAY__LOOP_BATCH };
	struct belay__loop *loop = *state;
	static struct belay__io crowd[CROWD];
	int fds[CROWD], served[CROWD] = { 0 };

	for (int i = 0; i < CROWD; i++) {
		fds[i] = readable_event();
		assert_int_equal(
			belay__io_add(loop, &crowd[i], fds[i], EPOLLIN, count_io_ready, &served[i]),
			0);
	}
	/* All stay ready all the time, yet each has its turn. */
	for (int turn = 0; turn < 6; turn++)
		assert_int_equal(belay__loop_turn(loop, NEVER), BELAY__LOOP_BATCH);
	assert_false(belay__loop_saw_all(loop));
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(served[i], 2);
		belay__io_remove(&crowd[i]);
		(void)belay__close(fds[i]);
	}
	assert_int_equal(belay__loop_turn(loop, 0), 0);
	assert_true(belay__loop_saw_all(loop));
}

static void the_loop_fd_is_readable_when_a_turn_would_do_something(void **state)
{
	_cleanup_close_ int fd = readable_event();
	struct belay__deferred deferred = { 0 };
	struct belay__timer timer = { 0 };
	struct belay__io io = { 0 };
	struct belay__loop *loop = *state;

	assert_false(is_readable(loop, 0));
	belay__timer_set(loop, &timer, belay__clock_ns(CLOCK_MONOTONIC) + MS, note_timer_due,
		letter('t'));
	assert_true(is_readable(loop, 5000));
	assert_int_equal(belay__loop_turn(loop, 0), 1);
	assert_false(is_readable(loop, 0));

	assert_int_equal(belay__io_add(loop, &io, fd, EPOLLIN, note_io_ready, letter('i')), 0);
	assert_true(is_readable(loop, 0));
	assert_int_equal(belay__loop_turn(loop, 0), 1);
	belay__io_remove(&io);
	assert_false(is_readable(loop, 0));

	belay__defer(loop, &deferred, note_deferred_run, letter('d'));
	assert_true(is_readable(loop, 5000));
	assert_int_equal(belay__loop_turn(loop, 0), 1);
	assert_journal("tid");
	/* The wake-up was for the work that ran; one turn for nothing may follow it, no more. */
	assert_int_equal(belay__loop_turn(loop, 0), 0);
	assert_false(is_readable(loop, 0));
}

static void a_bounded_wait_ends_not_before_its_bound(void **state)
{
	static const uint64_t waits_ns[] = { 1, MS - 1, MS, MS + 1, 3 * MS / 2 };
	struct belay__loop *loop = *state;

	for (size_t i = 0; i < sizeof(waits_ns) / sizeof(waits_ns[0]); i++) {
		uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);

		assert_int_equal(belay__loop_turn(loop, waits_ns[i]), 0);
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) >= start_ns + waits_ns[i]);
	}
}

static void note_signal(struct belay__io *io, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		note(info.ssi_signo == SIGUSR1 ? '1' : '2');
}

static void signals_come_as_events(void **state)
{
	static const int wanted[] = { SIGUSR1, SIGUSR2, 0 }, wrong[] = { 4711, 0 };
	struct belay__loop *loop = *state;
	struct belay__io io = { 0 };
	_cleanup_close_ int fd = -EBADF;
	sigset_t before, after;

	assert_int_equal(belay__signals_add(loop, &io, wrong, note_signal, NULL), -EINVAL);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
	fd = belay__signals_add(loop, &io, wanted, note_signal, NULL);
	assert_true(fd >= 0);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
	assert_true(sigismember(&after, SIGUSR1) && sigismember(&after, SIGUSR2));
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(raise(SIGUSR2), 0);
	assert_int_equal(belay__loop_turn(loop, NEVER), 1);
	assert_journal("12");
	belay__io_remove(&io);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

static void interrupt(int signal)
{
	(void)signal;
	note('s');
}

static void an_interrupted_wait_is_a_turn_without_callbacks(void **state)
{
	const struct sigaction action = { .sa_handler = interrupt };
	struct sigaction before;
	/* Again and again: the first may come before the wait. */
	const struct itimerspec soon = { .it_value.tv_nsec = MS, .it_interval.tv_nsec = 10 * MS };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct belay__loop *loop = *state;
	timer_t timer;

	assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &soon, NULL), 0);
	assert_int_equal(belay__loop_turn(loop, NEVER), 0);
	assert_int_equal(timer_delete(timer), 0);
	assert_int_equal(journal[0], 's');
	journal[0] = '\0';
	assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

static void a_loop_leaves_no_descriptor(void **state)
{
	int before = belay__fd_count();
	struct belay__loop *loop;
	(void)state;

	assert_int_equal(belay__loop_new(&loop), 0);
	assert_int_equal(belay__fd_count(), before + 2);
	assert_null(belay__loop_free(loop));
	assert_null(belay__loop_free(NULL));
	assert_int_equal(belay__fd_count(), before);
}

/* Makes the kernel answer one system call with ACTION from now on. */
static void filter_syscall(uint32_t number, uint32_t action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(77);
}

/* Runs TEST in a process of its own, which may be filtered; it returns its exit status. */
static int in_child(int (*test)(struct belay__loop *loop), struct belay__loop *loop)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(test(loop));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	return status;
}

static int waits_without_pwait2(struct belay__loop *loop)
{
	filter_syscall(SYS_epoll_pwait2, SECCOMP_RET_ERRNO | ENOSYS);
	for (uint64_t wait_ns = 1; wait_ns < 4 * MS; wait_ns += MS / 3) {
		uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);

		if (belay__loop_turn(loop, wait_ns) != 0 ||
			belay__clock_ns(CLOCK_MONOTONIC) < start_ns + wait_ns)
			return 1;
	}
	return 0;
}

static void without_epoll_pwait2_waits_are_rounded_up(void **state)
{
	assert_int_equal(in_child(waits_without_pwait2, *state), 0);
}

/* Setting the timer descriptor kills the process: it must not happen for a timer that only moves
 * later. */
static int moves_timers_later(struct belay__loop *loop)
{
	uint64_t due_ns = belay__clock_ns(CLOCK_MONOTONIC) + 3600 * BELAY__NS_PER_S;
	struct belay__timer first = { 0 }, second = { 0 };

	belay__timer_set(loop, &first, due_ns, note_timer_due, letter('f'));
	belay__timer_set(loop, &second, due_ns + 1, note_timer_due, letter('s'));
	filter_syscall(SYS_timerfd_settime, SECCOMP_RET_KILL_PROCESS);
	for (uint64_t later_ns = 1; later_ns < 1000; later_ns++) {
		belay__timer_set(loop, &first, due_ns + later_ns, note_timer_due, letter('f'));
		belay__timer_set(loop, &second, due_ns + 2 * later_ns, note_timer_due, letter('s'));
		if (belay__loop_turn(loop, 0) != 0)
			return 1;
	}
	return 0;
}

static void timers_that_move_later_cost_no_system_call(void **state)
{
	assert_int_equal(in_child(moves_timers_later, *state), 0);
}

#define with_loop(test) cmocka_unit_test_setup_teardown(test, new_loop, free_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_loop(timers_run_when_due_and_in_their_order),
		with_loop(a_turn_waits_for_the_first_timer),
		with_loop(a_timer_can_be_moved_and_disarmed),
		with_loop(a_timer_that_sets_itself_runs_once_a_turn),
		with_loop(a_timer_can_take_off_another_that_is_due),
		with_loop(a_turn_runs_timers_then_descriptors_then_deferred_work),
		with_loop(work_deferred_by_deferred_work_waits_for_the_next_turn),
		with_loop(a_callback_can_remove_a_source_that_is_ready_too),
		with_loop(a_callback_can_end_the_interest_of_another),
		with_loop(a_source_that_cannot_be_watched_stays_off),
		with_loop(a_busy_crowd_does_not_starve_the_rest),
		with_loop(the_loop_fd_is_readable_when_a_turn_would_do_something),
		with_loop(a_bounded_wait_ends_not_before_its_bound),
		with_loop(signals_come_as_events),
		with_loop(an_interrupted_wait_is_a_turn_without_callbacks),
		cmocka_unit_test(a_loop_leaves_no_descriptor),
		with_loop(without_epoll_pwait2_waits_are_rounded_up),
		with_loop(timers_that_move_later_cost_no_system_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
