#include <belay/sealed.h>

#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "beat/beat_internal.h"
#include "beat/test_observer.h"
#include "beat/test_sealed.h"

static struct test_far far;
static struct belay *belay;
static uint8_t parents_prefix[BELAY__PREFIX_LEN];

static int set_up_form(bool master)
{
	test_calls = (struct test_calls){ 0 };
	assert_true(test_far_init(&far, AF_INET));
	belay = master ? belay_open_sealed_master(far.address, &test_key)
		       : belay_open_sealed(far.address, &test_key);
	assert_non_null(belay);
	memcpy(parents_prefix, test_sealed_of(belay)->now.position.prefix, BELAY__PREFIX_LEN);
	for (unsigned i = 0; i < 3; i++)
		assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_int_equal(test_far_drain(&far), 3);
	test_calls = (struct test_calls){ 0 };
	return 0;
}

static int shared(void **state)
{
	(void)state;
	return set_up_form(false);
}

static int master(void **state)
{
	(void)state;
	return set_up_form(true);
}

static int clean_up(void **state)
{
	(void)state;
	belay_close(belay);
	test_far_done(&far);
	return 0;
}

static struct belay_outcome beat(void)
{
	return belay_beat(belay, BELAY_OK, 0);
}

static bool beat_twice(void *argument)
{
	(void)argument;
	for (int i = 0; i < 2; i++)
		if (beat().sent != BELAY_SENT)
			return false;
	return test_calls.asked == 1 && belay_fork_recoveries(belay) == 1;
}

static void assert_two_beats_of_a_child(void)
{
	struct test_opened opened;

	for (uint32_t i = 0; i < 2; i++) {
		assert_true(test_opened_take(&far, &opened));
		assert_memory_not_equal(opened.prefix, parents_prefix, BELAY__PREFIX_LEN);
		assert_int_equal(opened.counter, i);
		assert_int_equal(opened.frame.nonce, i + 1);
		assert_int_not_equal(opened.frame.pid, getpid());
		if (opened.pid != 0)
			assert_int_equal(opened.pid, opened.frame.pid);
	}
}

static void assert_parent_goes_on(uint32_t counter)
{
	struct test_opened opened;

	assert_sent(beat());
	opened = test_opened_take_only(&far);
	assert_memory_equal(opened.prefix, parents_prefix, BELAY__PREFIX_LEN);
	assert_int_equal(opened.counter, counter);
	assert_int_equal(opened.frame.pid, getpid());
	assert_int_equal(belay_fork_recoveries(belay), 0);
	assert_int_equal(test_calls.asked, 0);
}

static void a_child_has_a_session_of_its_own(void **state)
{
	(void)state;
	assert_in_child(beat_twice, NULL);
	assert_two_beats_of_a_child();
	assert_parent_goes_on(3);
}

static void a_child_of_a_raw_clone_has_one_too(void **state)
{
	int status;
	(void)state;

	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(beat_twice(NULL) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_two_beats_of_a_child();
	assert_parent_goes_on(3);
}

/* It shares its parent's memory, and so the count. It is not allowed to beat. */
static void a_child_of_vfork_uses_no_nonce_twice(void **state)
{
	struct test_opened opened;
	int status;
	(void)state;

	pid_t pid = vfork();
	if (pid == 0) {
		(void)beat();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(test_opened_take(&far, &opened));
	assert_int_equal(opened.counter, 3);
	assert_parent_goes_on(4);
}

/* The frame is given to the transport as if the core had noticed nothing. */
static bool send_past_the_core(void *argument)
{
	uint8_t bytes[BELAY_FRAME_LEN];
	const struct belay_frame frame = { .pid = (uint32_t)getpid(), .nonce = 1 };
	(void)argument;

	belay_frame_encode(&frame, bytes);
	test_calls.entropy[0] = -ENOSYS;
	if (belay__sealed_send(test_sealed_of(belay), bytes) != -ENOSYS || test_calls.sends != 0)
		return false;
	return belay__sealed_send(test_sealed_of(belay), bytes) == 0;
}

static void the_transport_notices_by_itself(void **state)
{
	struct test_opened opened;
	(void)state;

	assert_in_child(send_past_the_core, NULL);
	opened = test_opened_take_only(&far);
	assert_memory_not_equal(opened.prefix, parents_prefix, BELAY__PREFIX_LEN);
	assert_int_equal(opened.counter, 0);
	assert_parent_goes_on(3);
}

static bool cannot_begin_at_first(void *argument)
{
	struct belay_outcome outcome;
	(void)argument;

	test_calls.entropy[0] = -ENOSYS;
	outcome = beat();
	if (outcome.sent != BELAY_FAILED || outcome.error != ENOSYS || test_calls.sends != 0)
		return false;
	outcome = beat();
	if (outcome.sent != BELAY_FAILED || outcome.error != ENOSYS || test_calls.asked != 1)
		return false; /* not tried so soon */
	belay->reconnect_not_before_ns = 0;
	test_calls.connect_error = ENETUNREACH;
	outcome = beat();
	if (outcome.sent != BELAY_FAILED || outcome.error != ENETUNREACH || test_calls.sends != 0)
		return false;
	belay->reconnect_not_before_ns = 0;
	return beat().sent == BELAY_SENT && belay_fork_recoveries(belay) == 1;
}

static void a_child_that_cannot_begin_sends_nothing(void **state)
{
	struct test_opened opened;
	(void)state;

	assert_in_child(cannot_begin_at_first, NULL);
	opened = test_opened_take_only(&far);
	assert_memory_not_equal(opened.prefix, parents_prefix, BELAY__PREFIX_LEN);
	assert_int_equal(opened.frame.nonce, 1);
	assert_parent_goes_on(3);
}

static bool fork_again(void *argument)
{
	int status;
	(void)argument;

	if (beat().sent != BELAY_SENT)
		return false;
	pid_t pid = fork();
	if (pid == 0)
		_exit(beat().sent == BELAY_SENT ? 0 : 1);
	return waitpid(pid, &status, 0) == pid && status == 0 && beat().sent == BELAY_SENT;
}

struct used {
	uint8_t prefix[BELAY__PREFIX_LEN];
	uint32_t counter;
};
static_assert(sizeof(struct used) == 12, "compared as bytes");

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct used));
}

static void of_a_thousand_children_no_two_share_a_nonce(void **state)
{
	enum { CHILDREN = 1000, EACH = 4 }; /* a child, its child, the child again, the parent */
	static struct used used[CHILDREN * EACH];
	struct test_opened opened;
	size_t count = 0;
	(void)state;

	for (unsigned i = 0; i < CHILDREN; i++) {
		assert_in_child(fork_again, NULL);
		assert_sent(beat());
		while (test_opened_take(&far, &opened)) {
			assert_true(count < CHILDREN * EACH);
			used[count].counter = opened.counter;
			memcpy(used[count++].prefix, opened.prefix, sizeof(opened.prefix));
		}
	}
	assert_int_equal(count, CHILDREN * EACH);
	qsort(used, count, sizeof(used[0]), by_bytes);
	for (size_t i = 1; i < count; i++)
		assert_memory_not_equal(&used[i - 1], &used[i], sizeof(used[0]));
}

int main(void)
{
#define WITH(setup, test) cmocka_unit_test_setup_teardown(test, setup, clean_up)
	const struct CMUnitTest tests[] = {
		WITH(shared, a_child_has_a_session_of_its_own),
		WITH(master, a_child_has_a_session_of_its_own),
		WITH(shared, a_child_of_a_raw_clone_has_one_too),
		WITH(master, a_child_of_a_raw_clone_has_one_too),
		WITH(shared, a_child_of_vfork_uses_no_nonce_twice),
		WITH(shared, the_transport_notices_by_itself),
		WITH(shared, a_child_that_cannot_begin_sends_nothing),
		WITH(master, a_child_that_cannot_begin_sends_nothing),
		WITH(shared, of_a_thousand_children_no_two_share_a_nonce),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
