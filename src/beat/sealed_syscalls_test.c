#include <belay/sealed.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "beat/test_far.h"
#include "beat/test_syscalls.h"

enum { BEATS = 1000 };

static struct test_far far;

static void drain(void)
{
	(void)test_far_drain(&far);
}

static void assert_bare(struct belay *belay)
{
	struct test_counts counts;

	assert_non_null(belay);
	if (test_count_syscalls(belay, BEATS, drain, &counts)) {
		assert_int_equal(counts.sends, BEATS);
		assert_in_range(counts.others, 0, counts.seconds);
	}
	belay_close(belay);
}

/* No getrandom(2), no getpid(2), no brk(2). */
static void a_sealed_beat_is_one_system_call_too(void **state)
{
	const struct belay_key key = { .bytes = { 1 } };
	(void)state;

	assert_true(test_far_init(&far, AF_INET));
	assert_bare(belay_open_sealed(far.address, &key));
	assert_bare(belay_open_sealed_master(far.address, &key));
	test_far_done(&far);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sealed_beat_is_one_system_call_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
