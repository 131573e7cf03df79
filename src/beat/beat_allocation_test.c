#include <belay/beat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "beat/beat_internal.h"
#include "beat/test_allocations.h"
#include "beat/test_far.h"
#include "beat/test_observer.h"

static void opening_allocates_once_and_nothing_else_does(void **state)
{
	struct test_observer observer;
	struct belay *belay;
	unsigned sent = 0;
	(void)state;

	test_observer_init(&observer);
	test_observer_listen(&observer);
	test_allocations = 0;
	belay = belay_open(observer.path);
	assert_int_equal(test_allocations, 1);

	test_allocations = 0;
	while (belay_beat(belay, BELAY_OK, sent).sent == BELAY_SENT)
		sent++;
	test_observer_leave(&observer);
	assert_dropped(belay_beat(belay, BELAY_OK, 0), BELAY_DROP_NO_OBSERVER);
	assert_failed(belay_beat(belay, BELAY_STALL, 0), EINVAL);
	test_observer_listen(&observer);
	belay->reconnect_not_before_ns = 0;
	assert_sent(belay_beat(belay, BELAY_OK, 0)); /* over a new connection */
	assert_int_equal(belay_reconnect(belay), 0);
	assert_int_equal(belay_beat_within(belay, 1), -ENOTSUP);
	belay->epoch++; /* as in a child */
	assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_int_equal(belay_fork_recoveries(belay), 1);
	assert_int_equal(test_allocations, 0);

	belay_close(belay);
	assert_int_equal(test_allocations, 1);
	test_observer_done(&observer);
}

static void over_udp_it_is_the_same(void **state)
{
	struct test_far far;
	struct belay *belay;
	(void)state;

	assert_true(test_far_init(&far, AF_INET));
	test_allocations = 0;
	belay = belay_open_udp(far.address);
	assert_int_equal(test_allocations, 1);

	test_allocations = 0;
	assert_sent(belay_beat(belay, BELAY_OK, 0));
	test_far_leave(&far);
	assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_dropped(belay_beat(belay, BELAY_OK, 0), BELAY_DROP_NO_OBSERVER);
	assert_int_equal(belay_reconnect(belay), 0);
	belay->epoch++; /* as in a child */
	assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_int_equal(belay_fork_recoveries(belay), 1);
	assert_int_equal(test_allocations, 0);

	belay_close(belay);
	assert_int_equal(test_allocations, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opening_allocates_once_and_nothing_else_does),
		cmocka_unit_test(over_udp_it_is_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
