#include "base/random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

/* What the next calls do: at most so many bytes, or a negative errno; 0 at the end: none ever come. */
static const int *script;
static unsigned calls;

ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags);

ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags)
{
	int step = script[calls++];
	size_t give = step > 0 && (size_t)step < len ? (size_t)step : len;

	assert_int_equal(flags, 0);
	if (step < 0) {
		errno = -step;
		return -1;
	}
	if (step == 0)
		return 0;
	memset(bytes, (int)calls, give);
	return (ssize_t)give;
}

static void it_comes_whole_however_it_comes(void **state)
{
	static const struct {
		int script[4];
		uint8_t bytes[8];
		int r;
	} cases[] = {
		{ { 8 }, { 1, 1, 1, 1, 1, 1, 1, 1 }, 0 },
		{ { -EINTR, -EINTR, 8 }, { 3, 3, 3, 3, 3, 3, 3, 3 }, 0 },
		{ { 3, -EINTR, 4, 8 }, { 1, 1, 1, 3, 3, 3, 3, 4 }, 0 },
		{ { -ENOSYS }, { 0 }, -ENOSYS },
		{ { 2, -EIO }, { 1, 1 }, -EIO },
		{ { 2, 0 }, { 1, 1 }, -EIO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[9] = { [8] = 0x5a };

		script = cases[i].script;
		calls = 0;
		errno = ENOENT; /* what a short read leaves behind must not be taken for its error */
		assert_int_equal(belay__random(bytes, 8), cases[i].r);
		assert_memory_equal(bytes, cases[i].bytes, 8);
		assert_int_equal(bytes[8], 0x5a);
	}
}

static void nothing_needs_no_call(void **state)
{
	(void)state;
	calls = 0;
	assert_int_equal(belay__random(NULL, 0), 0);
	assert_int_equal(calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_comes_whole_however_it_comes),
		cmocka_unit_test(nothing_needs_no_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
