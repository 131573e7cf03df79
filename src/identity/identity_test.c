#include "identity/identity.h"

#include <errno.h>
#include <sys/resource.h>

#include "identity/evidence.h"
#include "identity/test_child.h"

static void an_identity_holds_what_belongs_together(void **state)
{
	struct child child = child_start(body_sleeps, NULL);
	(void)state;

	for (int want_pidfd = 0; want_pidfd <= 1; want_pidfd++) {
		struct belay__identity identity;

		assert_int_equal(belay__identity_open(child.pid, want_pidfd != 0, &identity), 0);
		assert_int_equal(identity.pid, child.pid);
		assert_int_equal(identity.pidfd >= 0, want_pidfd);
		assert_int_equal(identity.start_ticks, child.start_ticks);
		assert_int_equal(identity.inner_pid, child.pid);
		assert_int_equal(identity.uid, getuid());
		assert_true(identity.pid_ns > 0);
		if (want_pidfd)
			assert_int_equal(fcntl(identity.pidfd, F_GETFD), FD_CLOEXEC);
		assert_int_equal(belay__identity_alive(&identity), 1);
		belay__identity_done(&identity);
		assert_int_equal(identity.pidfd, -EBADF);
	}
	child_end(&child);
}

static void the_end_is_seen_before_and_after_it_is_reaped(void **state)
{
	struct child child = child_start(body_sleeps, NULL);
	struct belay__identity by_pidfd, by_time, none = { .pid = 5 };
	(void)state;

	assert_int_equal(belay__identity_open(child.pid, true, &by_pidfd), 0);
	assert_int_equal(belay__identity_open(child.pid, false, &by_time), 0);
	child_signal(&child, SIGKILL);
	child_wait_end(&child);

	for (int reaped = 0; reaped <= 1; reaped++) {
		assert_int_equal(belay__identity_alive(&by_pidfd), 0);
		assert_int_equal(belay__identity_alive(&by_time), 0);
		assert_int_equal(belay__identity_open(child.pid, true, &none), -ESRCH);
		assert_int_equal(belay__identity_open(child.pid, false, &none), -ESRCH);
		assert_int_equal(none.pid, 5);
		if (reaped == 0)
			(void)child_reap(&child);
	}
	belay__identity_done(&by_pidfd);
	belay__identity_done(&by_time);
}

static void numbers_that_are_no_processes_are_refused(void **state)
{
	struct belay__identity identity = { .pid = 5 };
	const struct belay__identity unknown = { .pid = getpid(), .pidfd = -EBADF };
	(void)state;

	assert_int_equal(belay__identity_open(0, true, &identity), -ESRCH);
	assert_int_equal(belay__identity_open(-1, false, &identity), -ESRCH);
	assert_int_equal(identity.pid, 5);
	assert_int_equal(belay__identity_alive(&unknown), -EINVAL);
}

static void a_full_descriptor_table_is_told_as_such(void **state)
{
	struct belay__identity identity = { .pid = 5 };
	struct rlimit old, none;
	int r;
	(void)state;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = belay__identity_open(getpid(), true, &identity);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_int_equal(identity.pid, 5);
}

/* Start times have ticks; two processes are told apart by them only when a tick lies between. */
static void wait_for_another_tick(uint64_t start_ticks)
{
	const uint64_t tick_ns = BELAY__NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);

	while (belay__clock_ns(CLOCK_BOOTTIME) / tick_ns <= start_ticks)
		turn();
}

static void a_recycled_number_is_another_process(void **state)
{
	struct child first = child_start(body_sleeps, NULL), second;
	struct belay__identity by_pidfd, by_time, now;
	struct belay__evidence evidence;
	int status = 5;
	(void)state;

	assert_int_equal(belay__identity_open(first.pid, true, &by_pidfd), 0);
	assert_int_equal(belay__identity_open(first.pid, false, &by_time), 0);
	child_end(&first);
	wait_for_another_tick(first.start_ticks);

	second = child_start_as(first.pid, 1, body_sleeps, NULL);
	if (second.pid > 0) {
		assert_int_equal(second.pid, first.pid);
		assert_int_equal(belay__identity_alive(&by_pidfd), 0);
		assert_int_equal(belay__identity_alive(&by_time), 0);
		assert_int_equal(belay__read_exit_status(first.pid, first.start_ticks, &status),
			-ESRCH);
		assert_int_equal(belay__evidence_look(first.pid, first.start_ticks, 1, &evidence),
			-ESRCH);
		assert_int_equal(belay__identity_open(first.pid, false, &now), 0);
		assert_int_not_equal(now.start_ticks, by_time.start_ticks);
		child_end(&second);
	}
	belay__identity_done(&by_pidfd);
	if (second.pid < 0)
		skip(); /* not permitted, or the number was given away already */
}

static int body_knows_no_more_than_the_pidfd(void *argument)
{
	struct belay__identity identity = { .pid = 5 };
	(void)argument;

	if (belay__identity_open(getpid(), true, &identity) != 0 || identity.pidfd < 0)
		return 1;
	if (identity.start_ticks != 0 || identity.pid_ns != 0 || identity.inner_pid != 0 ||
		identity.uid != (uid_t)-1)
		return 2;
	return belay__identity_alive(&identity) == 1 ? 0 : 3;
}

static void what_another_namespace_tells_of_a_number_is_not_believed(void **state)
{
	struct child inside;
	(void)state;

	if (geteuid() != 0)
		skip();
	inside = child_start_with(CLONE_NEWPID, body_knows_no_more_than_the_pidfd, NULL);
	child_wait_end(&inside);
	assert_int_equal(child_reap(&inside), 0);
}

static void this_boot_has_an_id(void **state)
{
	static const uint8_t zero[16];
	uint8_t id[16] = { 0 }, again[16] = { 0 };
	(void)state;

	assert_int_equal(belay__boot_id(id), 0);
	assert_int_equal(belay__boot_id(again), 0);
	assert_memory_equal(id, again, sizeof(id));
	assert_memory_not_equal(id, zero, sizeof(id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_identity_holds_what_belongs_together),
		TEST(the_end_is_seen_before_and_after_it_is_reaped),
		TEST(numbers_that_are_no_processes_are_refused),
		TEST(a_full_descriptor_table_is_told_as_such),
		TEST(a_recycled_number_is_another_process),
		TEST(what_another_namespace_tells_of_a_number_is_not_believed),
		TEST(this_boot_has_an_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
