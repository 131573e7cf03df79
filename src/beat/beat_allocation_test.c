#include <belay/beat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "beat/beat_internal.h"
#include "beat/test_observer.h"

/* This program is linked so that these stand before the C library's for every object of ours. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __real_free(void *memory);
void __wrap_free(void *memory);

static unsigned calls;

void *__wrap_malloc(size_t size)
{
	calls++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	calls++;
	return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	calls++;
	return __real_realloc(memory, size);
}

void __wrap_free(void *memory)
{
	calls++;
	__real_free(memory);
}

static void opening_allocates_once_and_nothing_else_does(void **state)
{
	struct test_observer observer;
	struct belay *belay;
	unsigned sent = 0;
	(void)state;

	test_observer_init(&observer);
	test_observer_listen(&observer);
	calls = 0;
	belay = belay_open(observer.path);
	assert_int_equal(calls, 1);

	calls = 0;
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
	assert_int_equal(calls, 0);

	belay_close(belay);
	assert_int_equal(calls, 1);
	test_observer_done(&observer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opening_allocates_once_and_nothing_else_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
