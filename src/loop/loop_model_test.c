#include "loop/loop.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"

enum { MEMBERS = 13 };

/* What the loop should do, kept by searching through everything. */
static struct model {
	uint64_t due_ns[MEMBERS]; /* UINT64_MAX: not armed */
	bool watched[MEMBERS], ready[MEMBERS], deferred[MEMBERS];
	uint64_t last_due_ns;
	struct belay__timer timer[MEMBERS];
	struct belay__io io[MEMBERS];
	struct belay__deferred work[MEMBERS];
	int fd[MEMBERS];
} model;

static void model_due(struct belay__timer *timer, uint64_t now_ns)
{
	size_t i = (size_t)(timer - model.timer);

	assert_int_equal(model.due_ns[i], timer->due_ns);
	assert_true(model.due_ns[i] <= now_ns && model.due_ns[i] >= model.last_due_ns);
	model.last_due_ns = model.due_ns[i];
	model.due_ns[i] = UINT64_MAX;
}

static void model_ready(struct belay__io *io, uint32_t events)
{
	size_t i = (size_t)(io - model.io);
	eventfd_t value;

	assert_int_equal(events, EPOLLIN);
	assert_true(model.watched[i] && model.ready[i]);
	assert_int_equal(eventfd_read(io->fd, &value), 0);
	model.ready[i] = false;
}

static void model_run(struct belay__deferred *deferred)
{
	size_t i = (size_t)(deferred - model.work);

	assert_true(model.deferred[i]);
	model.deferred[i] = false;
}

static void random_io(struct belay__loop *loop, size_t i, int choice)
{
	if (choice == 0 && !model.ready[i]) {
		assert_int_equal(eventfd_write(model.fd[i], 1), 0);
		model.ready[i] = true;
	} else if (choice == 1 && model.watched[i]) {
		belay__io_remove(&model.io[i]);
		model.watched[i] = false;
	} else if (!model.watched[i]) {
		assert_int_equal(
			belay__io_add(loop, &model.io[i], model.fd[i], EPOLLIN, model_ready, NULL),
			0);
		model.watched[i] = true;
	}
}

static void turn_and_compare(struct belay__loop *loop)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct pollfd readable = { .fd = belay__loop_fd(loop), .events = POLLIN };
	bool expected = false;

	for (size_t i = 0; i < MEMBERS; i++)
		expected |= model.due_ns[i] <= now_ns || (model.watched[i] && model.ready[i]) ||
			model.deferred[i];
	if (expected)
		assert_int_equal(poll(&readable, 1, 5000), 1);

	model.last_due_ns = 0;
	assert_true(belay__loop_turn(loop, 0) >= (expected ? 1 : 0));
	now_ns = belay__loop_now_ns(loop);
	for (size_t i = 0; i < MEMBERS; i++) {
		assert_true(model.due_ns[i] > now_ns);
		assert_false(model.watched[i] && model.ready[i]);
		assert_false(model.deferred[i]);
	}
}

static void agrees_with_a_model_under_random_use(void **state)
{
	struct belay__loop *loop;
	unsigned seed = 20261121;

	(void)state;
	assert_int_equal(belay__loop_new(&loop), 0);
	for (size_t i = 0; i < MEMBERS; i++) {
		model.due_ns[i] = UINT64_MAX;
		model.fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(model.fd[i] >= 0);
	}
	for (int step = 0; step < 1 << 16; step++) {
		size_t i = (size_t)rand_r(&seed) % MEMBERS;

		switch (rand_r(&seed) % 6) {
		case 0:
		case 1:
			model.due_ns[i] = belay__clock_ns(CLOCK_MONOTONIC) +
				(uint64_t)rand_r(&seed) % 100000 - 20000;
			belay__timer_set(loop, &model.timer[i], model.due_ns[i], model_due, NULL);
			break;
		case 2:
			model.due_ns[i] = UINT64_MAX;
			belay__timer_clear(&model.timer[i]);
			break;
		case 3:
			random_io(loop, i, rand_r(&seed) % 3);
			break;
		case 4:
			model.deferred[i] = true;
			belay__defer(loop, &model.work[i], model_run, NULL);
			break;
		default:
			turn_and_compare(loop);
		}
	}
	turn_and_compare(loop);
	for (size_t i = 0; i < MEMBERS; i++) {
		belay__timer_clear(&model.timer[i]);
		belay__io_remove(&model.io[i]);
		(void)belay__close(model.fd[i]);
	}
	loop = belay__loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_a_model_under_random_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
