#include "identity/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "identity/syscall_name.h"

#define SEEN_ALL  0xffu
#define SEEN_HALF (SEEN_ALL & ~(uint32_t)(BELAY__SEEN_RUN_DELAY | BELAY__SEEN_CPU_TIME))

/* One row per verdict and edge. Times are in any unit: only their ratios count. */
static const struct {
	struct belay__evidence evidence;
	struct belay__silence silence;
	enum belay__verdict verdict;
} rows[] = {
#define HELD .seen = SEEN_HALF, .threads = 4
	/* order: each of these is also all that follows it */
	{ { HELD, .state = 'T', .tracer_pid = 9, .frozen = 1 }, { 0 }, BELAY__VERDICT_STOPPED },
	{ { HELD, .state = 't', .frozen = 1 }, { 0 }, BELAY__VERDICT_TRACED },
	{ { HELD, .state = 'S', .tracer_pid = 9, .frozen = 2 }, { 0 }, BELAY__VERDICT_TRACED },
	{ { HELD, .state = 'D', .frozen = 1 }, { .suspended_ns = 9 }, BELAY__VERDICT_FROZEN },
	{ { HELD, .state = 'S', .frozen = 2 }, { .suspended_ns = 9 }, BELAY__VERDICT_FROZEN },

#define RUNS(waited, ran, threads_)                                                                \
	.seen = SEEN_ALL, .state = 'R', .threads = 4, .apart_ns = 100, .runnable = (threads_),     \
	.run_delay_ns = (waited), .cpu_ns = (ran)
	/* starved: half of the time of all runnable threads, and longer than they ran */
	{ { RUNS(50, 0, 1) }, { .suspended_ns = 9 }, BELAY__VERDICT_STARVED },
	{ { RUNS(49, 0, 1) }, { 0 }, BELAY__VERDICT_SILENT },
	{ { RUNS(50, 49, 1) }, { 0 }, BELAY__VERDICT_STARVED },
	{ { RUNS(50, 50, 1) }, { 0 }, BELAY__VERDICT_SILENT },
	{ { RUNS(100, 0, 2) }, { 0 }, BELAY__VERDICT_STARVED },
	{ { RUNS(99, 0, 2) }, { 0 }, BELAY__VERDICT_SILENT },
	{ { RUNS(500, 0, 1) }, { 0 }, BELAY__VERDICT_STARVED },
	{ { RUNS(90, 0, 0) }, { 0 }, BELAY__VERDICT_BLOCKED },
	{ { RUNS(UINT64_MAX, 0, UINT32_MAX) }, { 0 }, BELAY__VERDICT_STARVED },
	/* one look, or waits unknown: nobody is starved */
	{ { .seen = SEEN_ALL, .state = 'R', .runnable = 1, .run_delay_ns = 90 }, { 0 },
		BELAY__VERDICT_SILENT },
	{ { .seen = SEEN_HALF, .state = 'R', .runnable = 1, .run_delay_ns = 90, .apart_ns = 100 },
		{ 0 }, BELAY__VERDICT_SILENT },

#define SLEEPS .seen = SEEN_HALF, .state = 'S', .threads = 1
	/* suspended, observer-late: half of the threshold, odd ones rounded up */
	{ { SLEEPS }, { .threshold_ns = 100, .suspended_ns = 50, .observer_late_ns = 90 },
		BELAY__VERDICT_SUSPENDED },
	{ { SLEEPS }, { .threshold_ns = 100, .suspended_ns = 49, .observer_late_ns = 50 },
		BELAY__VERDICT_OBSERVER_LATE },
	{ { SLEEPS }, { .threshold_ns = 101, .suspended_ns = 50, .observer_late_ns = 50 },
		BELAY__VERDICT_BLOCKED },
	{ { SLEEPS }, { .threshold_ns = 101, .suspended_ns = 51 }, BELAY__VERDICT_SUSPENDED },
	{ { SLEEPS }, { .threshold_ns = UINT64_MAX, .suspended_ns = UINT64_MAX / 2 },
		BELAY__VERDICT_BLOCKED },
	{ { SLEEPS }, { 0 }, BELAY__VERDICT_BLOCKED },

	/* blocked and silent */
	{ { .seen = SEEN_HALF, .state = 'D', .runnable = 0 }, { 0 }, BELAY__VERDICT_BLOCKED },
	{ { .seen = SEEN_HALF, .state = 'D', .runnable = 3 }, { 0 }, BELAY__VERDICT_BLOCKED },
	{ { .seen = SEEN_HALF, .state = 'S', .runnable = 1 }, { 0 }, BELAY__VERDICT_SILENT },
	{ { .seen = BELAY__SEEN_STATE, .state = 'S' }, { 0 }, BELAY__VERDICT_BLOCKED },
	{ { .seen = SEEN_HALF & ~(uint32_t)BELAY__SEEN_STATE }, { 0 }, BELAY__VERDICT_SILENT },
	{ { 0 }, { 0 }, BELAY__VERDICT_SILENT },
};

static void each_verdict_has_its_rows(void **state)
{
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (belay__judge(&rows[i].evidence, &rows[i].silence) != rows[i].verdict)
			print_error("row %zu\n", i);
		assert_int_equal(belay__judge(&rows[i].evidence, &rows[i].silence), rows[i].verdict);
	}
}

static void without_evidence_the_observer_may_still_know(void **state)
{
	const struct belay__silence suspended = { .threshold_ns = 100, .suspended_ns = 50 };
	const struct belay__silence late = { .threshold_ns = 100, .observer_late_ns = 50 };
	const struct belay__silence neither = { .threshold_ns = 100, .observer_late_ns = 49 };
	(void)state;

	assert_int_equal(belay__judge(NULL, &suspended), BELAY__VERDICT_SUSPENDED);
	assert_int_equal(belay__judge(NULL, &late), BELAY__VERDICT_OBSERVER_LATE);
	assert_int_equal(belay__judge(NULL, &neither), BELAY__VERDICT_SILENT);
}

static void verdicts_have_names(void **state)
{
	(void)state;

	assert_string_equal(belay__verdict_name(BELAY__VERDICT_NONE), "none");
	assert_string_equal(belay__verdict_name(BELAY__VERDICT_OBSERVER_LATE), "observer-late");
	assert_string_equal(belay__verdict_name(BELAY__VERDICT_SILENT), "silent");
	assert_string_equal(belay__verdict_name(BELAY__VERDICT_COUNT), "none");
}

static void system_calls_that_wait_have_names(void **state)
{
	(void)state;

	assert_string_equal(belay__syscall_name(SYS_futex), "futex");
	assert_string_equal(belay__syscall_name(SYS_read), "read");
	assert_string_equal(belay__syscall_name(SYS_ppoll), "ppoll");
	assert_null(belay__syscall_name(-1));
	assert_null(belay__syscall_name(INT32_MAX));
	assert_true(belay__syscall_find(SYS_read)->on_fd);
	assert_false(belay__syscall_find(SYS_futex)->on_fd);
}

static const struct {
	enum belay__verdict verdict;
	struct belay__evidence evidence;
	const char *text;
} explained[] = {
	{ BELAY__VERDICT_BLOCKED,
		{ .seen = SEEN_HALF,
			.state = 'S',
			.threads = 4,
			.syscall_nr = SYS_futex,
			.wchan = "futex_wait_queue" },
		"waits in futex (futex_wait_queue), 4 threads, none runnable" },
	{ BELAY__VERDICT_BLOCKED,
		{ .seen = SEEN_HALF,
			.state = 'S',
			.threads = 1,
			.syscall_nr = SYS_read,
			.syscall_arg = 3 },
		"waits in read on fd 3, 1 thread, none runnable" },
	{ BELAY__VERDICT_BLOCKED,
		{ .seen = SEEN_HALF,
			.state = 'D',
			.threads = 1,
			.uninterruptible = 1,
			.syscall_nr = 99999 },
		"waits in system call 99999, 1 thread, none runnable, 1 uninterruptible" },
	{ BELAY__VERDICT_BLOCKED,
		{ .seen = SEEN_HALF, .state = 'S', .threads = 1, .syscall_nr = -1 },
		"waits in the kernel, in no system call, 1 thread, none runnable" },
	{ BELAY__VERDICT_BLOCKED,
		{ .seen = BELAY__SEEN_STATE | BELAY__SEEN_TRACER, .threads = 1, .syscall_nr = -1 },
		"waits in the kernel, 1 thread, none runnable, freezer, CPU pressure, "
		"system call, wchan not readable" },
	{ BELAY__VERDICT_STOPPED, { .seen = SEEN_HALF, .state = 'T', .threads = 1 },
		"stopped by a signal; SIGCONT would resume it, 1 thread, none runnable" },
	{ BELAY__VERDICT_TRACED, { .seen = SEEN_HALF, .state = 't', .threads = 1, .tracer_pid = 77 },
		"held by a debugger or tracer, tracer is pid 77, 1 thread, none runnable" },
	{ BELAY__VERDICT_FROZEN, { .seen = SEEN_HALF, .frozen = 1, .threads = 1 },
		"frozen by its cgroup, version 1 freezer, 1 thread, none runnable" },
	{ BELAY__VERDICT_STARVED,
		{ .seen = SEEN_ALL,
			.state = 'R',
			.threads = 2,
			.runnable = 1,
			.apart_ns = 50000000,
			.run_delay_ns = 48000000,
			.cpu_ns = 2000000,
			.pressure_milli = 421 },
		"runnable, but gets no CPU, 2 threads, 1 runnable, in 50ms ran 2ms and "
		"waited 48ms for a CPU, CPU pressure 42.1%" },
	{ BELAY__VERDICT_SILENT,
		{ .seen = SEEN_HALF, .state = 'R', .threads = 1, .runnable = 1, .apart_ns = 50000000 },
		"runs, but does not beat, 1 thread, 1 runnable, CPU pressure 0.0%, run "
		"delay, CPU time not readable" },
	{ BELAY__VERDICT_SILENT, { .seen = 0 }, "does not beat, nothing of it was readable" },
	{ BELAY__VERDICT_SUSPENDED, { .seen = 0 },
		"the host was suspended during the silence, nothing of it was readable" },
};

static void people_are_told_what_was_seen(void **state)
{
	char buffer[256];
	struct belay__text text;
	(void)state;

	for (size_t i = 0; i < sizeof(explained) / sizeof(explained[0]); i++) {
		belay__text_init(&text, buffer, sizeof(buffer));
		belay__evidence_explain(explained[i].verdict, &explained[i].evidence, &text);
		assert_string_equal(buffer, explained[i].text);
		assert_false(text.overflowed);
	}
	belay__text_init(&text, buffer, sizeof(buffer));
	belay__evidence_explain(BELAY__VERDICT_SILENT, NULL, &text);
	assert_string_equal(buffer, "does not beat, nothing of it was readable");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_verdict_has_its_rows),
		cmocka_unit_test(without_evidence_the_observer_may_still_know),
		cmocka_unit_test(verdicts_have_names),
		cmocka_unit_test(system_calls_that_wait_have_names),
		cmocka_unit_test(people_are_told_what_was_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
