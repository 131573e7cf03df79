#include <belay/beat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "beat/test_far.h"
#include "beat/test_observer.h"
#include "beat/test_syscalls.h"

enum { BEATS = 1000 };

static struct test_observer observer;
static struct test_far far;

static void drain(void)
{
	(void)test_observer_drain(&observer);
}

static void drain_far(void)
{
	(void)test_far_drain(&far);
}

/* One send a beat, and a look at the descriptor a second. */
static void assert_bare(struct belay *belay, void (*drain_it)(void))
{
	struct test_counts counts;

	if (test_count_syscalls(belay, BEATS, drain_it, &counts)) {
		assert_int_equal(counts.sends, BEATS);
		assert_in_range(counts.others, 0, counts.seconds);
	}
	belay_close(belay);
}

static void a_beat_is_one_system_call_and_a_second_one_more(void **state)
{
	(void)state;

	test_observer_init(&observer);
	test_observer_listen(&observer);
	assert_bare(belay_open(observer.path), drain);
	test_observer_done(&observer);
}

static void so_it_is_over_udp(void **state)
{
	(void)state;

	assert_true(test_far_init(&far, AF_INET));
	assert_bare(belay_open_udp(far.address), drain_far);
	test_far_done(&far);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_beat_is_one_system_call_and_a_second_one_more),
		cmocka_unit_test(so_it_is_over_udp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
