#include <belay/sealed.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "beat/beat_internal.h"
#include "beat/sealed_session.h"
#include "beat/test_allocations.h"
#include "beat/test_far.h"
#include "beat/test_observer.h"

/* The one is the handle; a session lies in a page of its own. */
static void opening_allocates_once_and_nothing_else_does(void **state)
{
	const struct belay_key key = { .bytes = { 1 } };
	struct test_far far;
	struct belay *belay;
	struct belay__sealed *sealed;
	(void)state;

	assert_true(test_far_init(&far, AF_INET));
	test_allocations = 0;
	belay = belay_open_sealed_master(far.address, &key);
	assert_int_equal(test_allocations, 1);

	test_allocations = 0;
	sealed = belay->transport.data;
	for (unsigned i = 0; i < 100; i++)
		assert_sent(belay_beat(belay, BELAY_OK, i));
	sealed->now.position.counter = UINT32_MAX;
	assert_sent(belay_beat(belay, BELAY_OK, 0)); /* under a new prefix */
	sealed->now.position.counter = sealed->now.position.index = UINT32_MAX;
	assert_sent(belay_beat(belay, BELAY_OK, 0)); /* in a new session */
	test_far_leave(&far);
	assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_dropped(belay_beat(belay, BELAY_OK, 0), BELAY_DROP_NO_OBSERVER);
	assert_int_equal(belay_reconnect(belay), 0);
	assert_int_equal(test_allocations, 0);

	belay_close(belay);
	assert_int_equal(test_allocations, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opening_allocates_once_and_nothing_else_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
