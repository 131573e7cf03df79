/* Nothing is allocated after the last belay_observer_listen(), whatever comes. */

#include <belay/observer.h>

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "observe/testing.h"

/* This program is linked so that these stand before the C library's for every object of ours. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static unsigned calls;
static unsigned refuse_at; /* the call of this number, from 1, finds no memory; 0: none */

static bool refused(void)
{
	return ++calls == refuse_at;
}

void *__wrap_malloc(size_t size)
{
	return refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return refused() ? NULL : __real_realloc(memory, size);
}

static struct house house;

static void nothing_is_allocated_once_it_listens(void **state)
{
	struct belay_observer *observer;
	struct puppet first, second;
	struct belay__hello hello = { .magic = BELAY__HELLO_MAGIC, .version = BELAY__HELLO_VERSION };
	(void)state;

	house_open(&house);
	observer = observer_start(&house, NULL);
	first = puppet_start(&house);
	second = puppet_start(&house);
	calls = 0;

	puppet_beat(&first, BELAY_OK);
	puppet_beat(&second, BELAY_OK);
	(void)puppet_send(&first, "garbage", 7, 0);
	puppet_frame(&first, &(struct belay_frame){ .pid = 2, .nonce = 1 });
	assert_int_equal(event_drain(observer), 3);
	test_now_ns += 2 * TEST_S;
	assert_int_equal(event_drain(observer), 2); /* both stall */
	puppet_beat(&first, BELAY_CRITICAL);
	assert_int_equal(event_drain(observer), 1);
	for (uint8_t type = BELAY__HELLO_WITHIN; type <= BELAY__HELLO_SELF; type++) {
		hello.type = type;
		assert_int_equal(puppet_say(&first, &hello), 0);
		(void)event_drain(observer);
		(void)event_drain(observer);
	}
	puppet_signal(&second, SIGKILL);
	(void)event_take(observer, BELAY_EVENT_END);
	(void)event_drain(observer);
	(void)counter_of(observer, "beats_total", "");
	assert_int_equal(calls, 0);

	puppet_done(&first);
	puppet_reap(&second);
	belay_observer_free(observer);
	house_close(&house);
}

static void without_memory_there_is_no_observer_and_nothing_is_left(void **state)
{
	int fds_before = belay__fd_count();
	unsigned nth;
	(void)state;

	for (nth = 1; nth < 100; nth++) {
		struct belay_observer *observer = NULL;
		struct belay_error error = { .text = "" };
		int r;

		calls = 0;
		refuse_at = nth;
		r = belay_observer_new(&(struct belay_observer_options){ .capacity = 16 },
			&observer, &error);
		refuse_at = 0;
		if (r == 0) {
			belay_observer_free(observer);
			break;
		}
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(error.code, -ENOMEM);
		assert_true(error.text[0] != '\0');
		assert_null(observer);
		assert_int_equal(belay__fd_count(), fds_before);
	}
	assert_in_range(nth, 5, 99);
	assert_int_equal(belay__fd_count(), fds_before);
}

static void without_memory_it_does_not_listen_and_can_try_again(void **state)
{
	struct belay_observer *observer = NULL;
	unsigned nth;
	int r = -ENOMEM;
	(void)state;

	house_open(&house);
	assert_int_equal(belay_observer_new(&(struct belay_observer_options){ .capacity = 16 },
				 &observer, NULL),
		0);
	for (nth = 1; nth < 100 && r < 0; nth++) {
		calls = 0;
		refuse_at = nth;
		r = belay_observer_listen(observer, house.path, NULL);
		refuse_at = 0;
		assert_true(r == 0 || r == -ENOMEM);
		assert_int_equal(access(house.path, F_OK), r == 0 ? 0 : -1);
		assert_int_equal(access(house.door, F_OK), r == 0 ? 0 : -1);
	}
	assert_int_equal(r, 0);
	belay_observer_free(observer);
	house_close(&house);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_allocated_once_it_listens),
		cmocka_unit_test(without_memory_there_is_no_observer_and_nothing_is_left),
		cmocka_unit_test(without_memory_it_does_not_listen_and_can_try_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
