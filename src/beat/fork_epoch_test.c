#include "beat/fork_epoch.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "beat/test_observer.h"

/* This program is linked so that these two stand before the real ones. */
int __real_madvise(void *address, size_t len, int advice);
int __wrap_madvise(void *address, size_t len, int advice);
int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

static bool refuse_madvise, refuse_atfork, no_atfork;

int __wrap_madvise(void *address, size_t len, int advice)
{
	if (refuse_madvise) {
		errno = EINVAL;
		return -1;
	}
	return __real_madvise(address, len, advice);
}

int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	if (refuse_atfork)
		return ENOMEM;
	return no_atfork ? 0 : __real_pthread_atfork(prepare, parent, child);
}

/* Everything happens in children, so that each test meets a process that was never asked. */
static bool is_another_epoch(void *former)
{
	uint32_t epoch = *(uint32_t *)former;
	uint32_t mine;

	if (belay__fork_epoch_is(epoch))
		return false;
	mine = belay__fork_epoch();
	return mine != 0 && mine != epoch && belay__fork_epoch_is(mine) &&
		belay__fork_epoch() == mine;
}

static bool child_differs(void)
{
	uint32_t epoch = belay__fork_epoch();

	assert_in_child(is_another_epoch, &epoch);
	return belay__fork_epoch_is(epoch); /* and the parent's stays */
}

static bool handler_alone(void *argument)
{
	(void)argument;
	refuse_madvise = true;
	return belay__fork_epoch_init() == 0 && child_differs();
}

static bool page_alone(void *argument)
{
	(void)argument;
	no_atfork = true;
	return belay__fork_epoch_init() == 0 && child_differs();
}

static bool no_handler_to_be_had(void *argument)
{
	(void)argument;
	refuse_atfork = true;
	if (belay__fork_epoch_init() != -EAGAIN)
		return false;
	refuse_atfork = false;
	return belay__fork_epoch_init() == 0 && child_differs();
}

static void the_handler_alone_is_enough(void **state)
{
	(void)state;
	assert_in_child(handler_alone, NULL);
}

static void the_page_alone_is_enough(void **state)
{
	(void)state;
	assert_in_child(page_alone, NULL);
}

static void no_handler_is_an_error_that_may_pass(void **state)
{
	(void)state;
	assert_in_child(no_handler_to_be_had, NULL);
}

static bool grandchild_differs(void *grandparents)
{
	uint32_t mine = belay__fork_epoch();

	assert_in_child(is_another_epoch, &mine);
	assert_in_child(is_another_epoch, grandparents);
	return true;
}

static void every_generation_has_its_own(void **state)
{
	uint32_t epoch;
	(void)state;

	assert_int_equal(belay__fork_epoch_init(), 0);
	assert_int_equal(belay__fork_epoch_init(), 0);
	epoch = belay__fork_epoch();
	assert_in_child(grandchild_differs, &epoch);
	assert_true(belay__fork_epoch_is(epoch));
}

static void a_clone_without_handlers_is_noticed(void **state)
{
	uint32_t epoch;
	int status;
	(void)state;

	assert_int_equal(belay__fork_epoch_init(), 0);
	epoch = belay__fork_epoch();
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(is_another_epoch(&epoch) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_vfork_changes_nothing(void **state)
{
	uint32_t epoch;
	int status;
	(void)state;

	assert_int_equal(belay__fork_epoch_init(), 0);
	epoch = belay__fork_epoch();
	pid_t pid = vfork();
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(belay__fork_epoch_is(epoch));
}

static void *ask(void *argument)
{
	*(uint32_t *)argument = belay__fork_epoch();
	return NULL;
}

static bool all_threads_agree(void *argument)
{
	enum { THREADS = 8 };
	pthread_t thread[THREADS];
	uint32_t epoch[THREADS];
	(void)argument;

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, ask, &epoch[i]) != 0)
			return false;
	for (int i = 0; i < THREADS; i++)
		(void)pthread_join(thread[i], NULL);
	for (int i = 1; i < THREADS; i++)
		if (epoch[i] != epoch[0])
			return false;
	return epoch[0] != 0;
}

static void threads_of_a_child_get_one_epoch(void **state)
{
	(void)state;
	assert_int_equal(belay__fork_epoch_init(), 0);
	assert_in_child(all_threads_agree, NULL);
}

int main(void)
{
	/* The first three leave this process itself untouched. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_handler_alone_is_enough),
		cmocka_unit_test(the_page_alone_is_enough),
		cmocka_unit_test(no_handler_is_an_error_that_may_pass),
		cmocka_unit_test(every_generation_has_its_own),
		cmocka_unit_test(a_clone_without_handlers_is_noticed),
		cmocka_unit_test(a_vfork_changes_nothing),
		cmocka_unit_test(threads_of_a_child_get_one_epoch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
