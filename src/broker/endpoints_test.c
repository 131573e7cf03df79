#include "broker/names.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HASH "0123456789abcdef"

/* What comes out of a script: 16 times each byte of it. */
struct script {
	const char *bytes;
	size_t next;
	int code;
};

static int scripted(void *data, uint8_t ret_random[16])
{
	struct script *script = data;

	if (script->bytes[script->next] == '\0')
		return script->code;
	memset(ret_random, script->bytes[script->next++], 16);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	return setenv("XDG_RUNTIME_DIR", "/r", 1);
}

static void endpoints_are_random_and_differ(void **state)
{
	struct belay__endpoints *endpoints;
	char paths[3][BELAY__BROKER_PATH_SIZE];

	(void)state;
	assert_int_equal(belay__endpoints_new(3, NULL, NULL, &endpoints), 0);
	for (int i = 0; i < 3; i++) {
		static const char prefix[] = "/r/running-process/broker/rpb-v1-" HASH "-be-";

		assert_int_equal(belay__endpoints_allocate(endpoints, HASH, paths[i], NULL), 0);
		assert_int_equal(strlen(paths[i]), sizeof(prefix) - 1 + 32 + strlen(".sock"));
		assert_memory_equal(paths[i], prefix, sizeof(prefix) - 1);
	}
	assert_string_not_equal(paths[0], paths[1]);
	assert_string_not_equal(paths[0], paths[2]);
	assert_string_not_equal(paths[1], paths[2]);
	assert_null(belay__endpoints_free(endpoints));
	assert_null(belay__endpoints_free(NULL));
}

static void more_than_can_be_counted_in_bytes_are_refused(void **state)
{
	struct belay__endpoints *endpoints = NULL;

	(void)state;
	assert_int_equal(belay__endpoints_new(1048577, NULL, NULL, &endpoints), -EINVAL);
	assert_int_equal(belay__endpoints_new(UINT_MAX, NULL, NULL, &endpoints), -EINVAL);
	assert_null(endpoints);
	assert_int_equal(belay__endpoints_new(1048576, NULL, NULL, &endpoints), 0);
	assert_null(belay__endpoints_free(endpoints));
}

static void a_name_that_was_given_out_is_drawn_again_15_times(void **state)
{
	struct script script = { .bytes = "aaaaaaaaaaaaaaaab"
					  "aaaaaaaaaaaaaaaa"
					  "c",
		.code = -EIO };
	struct belay__endpoints *endpoints;
	char path[BELAY__BROKER_PATH_SIZE];
	struct belay_error error;

	(void)state;
	assert_int_equal(belay__endpoints_new(8, scripted, &script, &endpoints), 0);
	assert_int_equal(belay__endpoints_allocate(endpoints, HASH, path, NULL), 0);
	assert_non_null(strstr(path, "-be-61616161616161616161616161616161.sock"));
	/* 15 collisions, and the last try is good. */
	assert_int_equal(belay__endpoints_allocate(endpoints, HASH, path, NULL), 0);
	assert_non_null(strstr(path, "-be-62626262626262626262626262626262.sock"));
	assert_int_equal(belay__endpoints_allocate(endpoints, HASH, path, &error), -EEXIST);
	assert_non_null(strstr(error.text, "CollisionExhausted"));
	assert_non_null(strstr(path, "-be-6262"));
	assert_int_equal(belay__endpoints_allocate(endpoints, HASH, path, NULL), 0);
	assert_int_equal(belay__endpoints_allocate(endpoints, HASH, path, &error), -EIO);
	assert_int_equal(error.code, -EIO);
	belay__endpoints_free(endpoints);
}

static void no_more_are_given_out_than_allowed(void **state)
{
	struct script script = { .bytes = "abc", .code = -EIO };
	struct belay__endpoints *endpoints;
	char path[BELAY__BROKER_PATH_SIZE];
	struct belay_error error;

	(void)state;
	assert_int_equal(belay__endpoints_new(2, scripted, &script, &endpoints), 0);
	assert_int_equal(belay__endpoints_allocate(endpoints, HASH, path, NULL), 0);
	assert_int_equal(belay__endpoints_allocate(endpoints, HASH, path, NULL), 0);
	assert_int_equal(belay__endpoints_allocate(endpoints, HASH, path, &error), -ENOSPC);
	assert_int_equal(script.next, 2);
	belay__endpoints_free(endpoints);
	assert_int_equal(belay__endpoints_new(0, scripted, &script, &endpoints), 0);
	assert_int_equal(belay__endpoints_allocate(endpoints, HASH, path, NULL), -ENOSPC);
	belay__endpoints_free(endpoints);
}

static void what_could_not_be_named_is_not_given_out(void **state)
{
	struct script script = { .bytes = "aaa", .code = -EIO };
	struct belay__endpoints *endpoints;
	char path[BELAY__BROKER_PATH_SIZE] = "untouched";
	struct belay_error error;

	(void)state;
	assert_int_equal(belay__endpoints_new(1, scripted, &script, &endpoints), 0);
	assert_int_equal(belay__endpoints_allocate(endpoints, "HASH", path, &error), -EINVAL);
	(void)setenv("XDG_RUNTIME_DIR", "/a-directory-that-leaves-no-room-for-broker-v1s-names", 1);
	assert_int_equal(belay__endpoints_allocate(endpoints, HASH, path, &error), -ENAMETOOLONG);
	assert_string_equal(path, "untouched");
	(void)setenv("XDG_RUNTIME_DIR", "/r", 1);
	assert_int_equal(belay__endpoints_allocate(endpoints, HASH, path, NULL), 0);
	belay__endpoints_free(endpoints);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(endpoints_are_random_and_differ),
		cmocka_unit_test(more_than_can_be_counted_in_bytes_are_refused),
		cmocka_unit_test(a_name_that_was_given_out_is_drawn_again_15_times),
		cmocka_unit_test(no_more_are_given_out_than_allowed),
		cmocka_unit_test(what_could_not_be_named_is_not_given_out),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
