#include "broker/names.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HASH "0123456789abcdef"

static const uint8_t counting[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

/* COUNT times the letter a. */
static const char *many(size_t count)
{
	static char text[4096];

	memset(text, 'a', count);
	text[count] = '\0';
	return text;
}

/* COUNT times the letter a between BEFORE and AFTER. */
static const char *around(const char *before, size_t count, const char *after)
{
	static char text[4200];

	memcpy(text, before, strlen(before));
	memset(text + strlen(before), 'a', count);
	memcpy(text + strlen(before) + count, after, strlen(after) + 1);
	return text;
}

static void refused(int r, const struct belay_error *error, int code)
{
	assert_int_equal(r, code);
	assert_int_equal(error->code, code);
	assert_true(strlen(error->text) > 20);
}

static void a_user_hash_is_of_uid_and_machine(void **state)
{
	static const struct {
		unsigned uid;
		const char *machine, *hash;
	} cases[] = {
		{ 1000, "0123456789abcdef0123456789abcdef", "9bfab56ad37b16cc" },
		{ 1000, " \t0123456789abcdef0123456789abcdef\n", "9bfab56ad37b16cc" },
		{ 0, "x", "03a17886b3ae8332" },
		{ 4294967295, "boot:6f1cd7e5-4c35-4c0f-9c1d-3f2a1b0c9d8e", "2170f808b67a5f11" },
	};
	char hash[BELAY__USER_HASH_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		belay__user_hash_of(cases[i].uid, cases[i].machine, hash);
		assert_string_equal(hash, cases[i].hash);
		assert_int_equal(belay__user_hash_check(hash, NULL), 0);
	}
}

static void the_user_hash_of_this_process_is_stable(void **state)
{
	char first[BELAY__USER_HASH_SIZE], second[BELAY__USER_HASH_SIZE];
	char expected[BELAY__USER_HASH_SIZE], id[80];

	(void)state;
	assert_int_equal(belay__user_hash(first, NULL), 0);
	assert_int_equal(belay__user_hash(second, NULL), 0);
	assert_string_equal(first, second);
	assert_int_equal(belay__machine_id("", id, NULL), 0);
	belay__user_hash_of(getuid(), id, expected);
	assert_string_equal(first, expected);
}

static void a_user_hash_has_sixteen_lowercase_digits(void **state)
{
	static const char *const bad[] = { NULL, "", "0123456789abcde", "0123456789abcdef0",
		"0123456789ABCDEF", "0123456789abcdeg", "0123456789abcde ", "0123456789abcde/" };
	struct belay_error error;

	(void)state;
	assert_int_equal(belay__user_hash_check(HASH, NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(belay__user_hash_check(bad[i], &error), &error, -EINVAL);
}

static void names_are_those_of_broker_v1(void **state)
{
	char name[BELAY__BROKER_NAME_SIZE];

	(void)state;
	assert_int_equal(belay__name_shared(HASH, name, NULL), 0);
	assert_string_equal(name, "rpb-v1-0123456789abcdef-shared");
	assert_int_equal(belay__name_service(HASH, "build-cache", name, NULL), 0);
	assert_string_equal(name, "rpb-v1-0123456789abcdef-svc-build-cache");
	assert_int_equal(belay__name_instance(HASH, "7", name, NULL), 0);
	assert_string_equal(name, "rpb-v1-0123456789abcdef-inst-7");
	assert_int_equal(belay__name_backend(HASH, counting, name, NULL), 0);
	assert_string_equal(name, "rpb-v1-0123456789abcdef-be-000102030405060708090a0b0c0d0e0f");
}

static void a_refused_name_leaves_nothing_behind(void **state)
{
	char name[BELAY__BROKER_NAME_SIZE] = "untouched";
	struct belay_error error;

	(void)state;
	refused(belay__name_shared("short", name, &error), &error, -EINVAL);
	refused(belay__name_service(HASH, "Upper", name, &error), &error, -EINVAL);
	refused(belay__name_service("short", "good", name, &error), &error, -EINVAL);
	refused(belay__name_instance(HASH, "", name, &error), &error, -EINVAL);
	refused(belay__name_backend("", counting, name, &error), &error, -EINVAL);
	assert_string_equal(name, "untouched");
}

static void service_and_instance_take_lowercase_digits_and_dashes(void **state)
{
	static const char *const good[] = { "a", "0", "-", "build-cache", "zccache", "a-0-z-9" };
	static const char *const bad[] = { NULL, "", "a_b", "a.b", "a b", "../a", "a/b", "a;b",
		"a\n", "a\x7f", "\xc3\xa4", "a`", "{", "a:", "a@" };
	struct belay_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(belay__service_check(good[i], NULL), 0);
		assert_int_equal(belay__instance_check(good[i], NULL), 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		refused(belay__service_check(bad[i], &error), &error, -EINVAL);
		assert_non_null(strstr(error.text, "service"));
		refused(belay__instance_check(bad[i], &error), &error, -EINVAL);
		assert_non_null(strstr(error.text, "instance"));
	}
}

static void names_have_at_most_64_bytes(void **state)
{
	struct belay_error error;

	(void)state;
	assert_int_equal(belay__service_check(many(64), NULL), 0);
	assert_int_equal(belay__instance_check(many(64), NULL), 0);
	refused(belay__service_check(many(65), &error), &error, -EINVAL);
	refused(belay__instance_check(many(65), &error), &error, -EINVAL);
	refused(belay__service_check(many(4000), &error), &error, -EINVAL);
}

static void a_capital_is_refused_by_a_sentence_of_its_own(void **state)
{
	static const char *const names[] = { "A", "buildCache", "cachE", "Z" };
	struct belay_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		refused(belay__service_check(names[i], &error), &error, -EINVAL);
		assert_non_null(strstr(error.text, "capital"));
	}
}

static void versions_have_three_numbers_and_perhaps_a_suffix(void **state)
{
	static const char *const good[] = { "0.0.0", "1.2.3", "10.20.30", "1.2.3-rc.1", "1.2.3-0",
		"1.2.3-.", "00.1.2", "1.2.3-a..b" };
	static const char *const bad[] = { NULL, "", "1", "1.2", "1.2.", "1.2.3.", "1.2.3.4",
		".1.2.3", "1..3", "v1.2.3", "1.2.3-", "1.2.3-RC", "1.2.3-rc_1", "1.2.3+b", "1.2.3 ",
		" 1.2.3", "1.2.3-a-b", "1.2.x", "1,2,3", "1.2.3\n" };
	struct belay_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(belay__version_check(good[i], NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(belay__version_check(bad[i], &error), &error, -EINVAL);
}

static void a_version_has_at_most_64_bytes(void **state)
{
	struct belay_error error;

	(void)state;
	assert_int_equal(belay__version_check(around("1.2.3-", 64 - 6, ""), NULL), 0);
	refused(belay__version_check(around("1.2.3-", 65 - 6, ""), &error), &error, -EINVAL);
}

static void namespaces_say_who_shares_a_broker(void **state)
{
	char id[80] = "untouched", small[8] = "no";
	struct belay_error error;

	(void)state;
	refused(belay__namespace_id(BELAY__ISOLATION_PRIVATE, "B", id, sizeof(id), &error), &error,
		-EINVAL);
	refused(belay__namespace_id(BELAY__ISOLATION_EXPLICIT, NULL, id, sizeof(id), &error),
		&error, -EINVAL);
	assert_string_equal(id, "untouched");

	assert_int_equal(belay__namespace_id(BELAY__ISOLATION_SHARED, NULL, id, sizeof(id), NULL),
		0);
	assert_string_equal(id, "shared");
	assert_int_equal(
		belay__namespace_id(BELAY__ISOLATION_PRIVATE, "build", id, sizeof(id), NULL), 0);
	assert_string_equal(id, "private:build");
	assert_int_equal(
		belay__namespace_id(BELAY__ISOLATION_EXPLICIT, "seven", id, sizeof(id), NULL), 0);
	assert_string_equal(id, "explicit:seven");
	assert_int_equal(
		belay__namespace_id(BELAY__ISOLATION_PRIVATE, many(64), id, sizeof(id), NULL), 0);

	assert_int_equal(belay__namespace_id(BELAY__ISOLATION_SHARED, NULL, small, 7, NULL), 0);
	assert_string_equal(small, "shared");
	refused(belay__namespace_id(BELAY__ISOLATION_SHARED, NULL, small, 6, &error), &error,
		-ENAMETOOLONG);
	assert_string_equal(small, "shared");
}

static void the_directory_lies_in_the_runtime_directory_or_in_tmp(void **state)
{
	char dir[BELAY__BROKER_PATH_SIZE], expected[BELAY__BROKER_PATH_SIZE];
	static const char *const unusable[] = { NULL, "", "relative/path" };

	(void)state;
	(void)setenv("XDG_RUNTIME_DIR", "/run/user/1000", 1);
	assert_int_equal(belay__broker_dir(dir, NULL), 0);
	assert_string_equal(dir, "/run/user/1000/running-process/broker");
	(void)setenv("XDG_RUNTIME_DIR", "/run/user/1000/", 1);
	assert_int_equal(belay__broker_dir(dir, NULL), 0);
	assert_string_equal(dir, "/run/user/1000/running-process/broker");

	(void)snprintf(expected, sizeof(expected), "/tmp/running-process-%u/broker",
		(unsigned)getuid());
	for (size_t i = 0; i < sizeof(unusable) / sizeof(unusable[0]); i++) {
		if (unusable[i] == NULL)
			(void)unsetenv("XDG_RUNTIME_DIR");
		else
			(void)setenv("XDG_RUNTIME_DIR", unusable[i], 1);
		assert_int_equal(belay__broker_dir(dir, NULL), 0);
		assert_string_equal(dir, expected);
	}
}

/* A runtime directory of LEN bytes. */
static void set_runtime(size_t len)
{
	(void)setenv("XDG_RUNTIME_DIR", around("/", len - 1, ""), 1);
}

static void a_runtime_directory_that_is_too_long_is_refused(void **state)
{
	char dir[BELAY__BROKER_PATH_SIZE] = "untouched";
	struct belay_error error;

	(void)state;
	set_runtime(107 - 23 + 1);
	refused(belay__broker_dir(dir, &error), &error, -ENAMETOOLONG);
	set_runtime(3000);
	refused(belay__broker_dir(dir, &error), &error, -ENAMETOOLONG);
	assert_string_equal(dir, "untouched");
	set_runtime(107 - 23);
	assert_int_equal(belay__broker_dir(dir, NULL), 0);
	assert_int_equal(strlen(dir), 107);
}

static void a_socket_path_has_at_most_107_bytes(void **state)
{
	char path[BELAY__BROKER_PATH_SIZE] = "untouched";
	struct belay_error error;

	(void)state;
	(void)setenv("XDG_RUNTIME_DIR", "/r", 1);
	refused(belay__broker_path(many(108 - 31), path, &error), &error, -ENAMETOOLONG);
	assert_non_null(strstr(error.text, "107"));
	refused(belay__broker_path(many(200), path, &error), &error, -EINVAL);
	refused(belay__broker_path("", path, &error), &error, -EINVAL);
	refused(belay__broker_path("a/b", path, &error), &error, -EINVAL);
	assert_string_equal(path, "untouched");
	assert_int_equal(belay__broker_path(many(107 - 31), path, NULL), 0);
	assert_int_equal(strlen(path), 107);
	assert_int_equal(belay__broker_path("x", path, NULL), 0);
	assert_string_equal(path, "/r/running-process/broker/x.sock");
}

/* What the path of the backend `counting` comes to for the user of RUNTIME, and how long it is. */
static int backend_path(const char *runtime, size_t *ret_len)
{
	char name[BELAY__BROKER_NAME_SIZE], path[BELAY__BROKER_PATH_SIZE] = "";
	int r;

	(void)setenv("XDG_RUNTIME_DIR", runtime, 1);
	assert_int_equal(belay__name_backend(HASH, counting, name, NULL), 0);
	r = belay__broker_path(name, path, NULL);
	*ret_len = strlen(path);
	return r;
}

/* Broker v1's names of backends leave room for nine digits; a tenth is one byte too many. */
static void a_backends_path_fits_for_uids_of_up_to_nine_digits(void **state)
{
	size_t len;

	(void)state;
	assert_int_equal(backend_path("/run/user/1000", &len), 0);
	assert_int_equal(len, 102);
	assert_int_equal(backend_path("/run/user/999999999", &len), 0);
	assert_int_equal(len, 107);
	assert_int_equal(backend_path("/run/user/4294967295", &len), -ENAMETOOLONG);
}

static void a_handoff_endpoint_lies_beside_its_backend(void **state)
{
	static const struct {
		const char *backend, *handoff;
	} cases[] = {
		{ "/r/a.sock", "/r/a.handoff.sock" },
		{ "/r/a", "/r/a.handoff.sock" },
		{ "/a.sock", "/a.handoff.sock" },
		{ "/r/.sock", "/r/.sock.handoff.sock" },
		{ "/r/a.sock.sock", "/r/a.sock.handoff.sock" },
		{ "/r/a.socket", "/r/a.socket.handoff.sock" },
	};
	char path[BELAY__BROKER_PATH_SIZE];
	struct belay_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(belay__handoff_path(cases[i].backend, path, NULL), 0);
		assert_string_equal(path, cases[i].handoff);
	}
	refused(belay__handoff_path("", path, &error), &error, -EINVAL);
	refused(belay__handoff_path("a.sock", path, &error), &error, -EINVAL);
	refused(belay__handoff_path("r/a.sock", path, &error), &error, -EINVAL);
	refused(belay__handoff_path("./a.sock", path, &error), &error, -EINVAL);
	refused(belay__handoff_path("/r/", path, &error), &error, -EINVAL);
}

static void a_handoff_endpoint_that_would_not_fit_gets_a_short_name(void **state)
{
	char path[BELAY__BROKER_PATH_SIZE], other[BELAY__BROKER_PATH_SIZE];
	struct belay_error error;

	(void)state;
	/* The last that fits, and the first that does not. */
	assert_int_equal(belay__handoff_path(around("/r/", 107 - 13 - 3, ".sock"), path, NULL), 0);
	assert_int_equal(strlen(path), 107);
	assert_int_equal(belay__handoff_path(around("/r/", 108 - 13 - 3, ".sock"), path, NULL), 0);
	assert_int_equal(strlen(path), strlen("/r/h-0123456789abcdef.sock"));
	assert_memory_equal(path, "/r/h-", 5);
	assert_int_equal(belay__handoff_path(around("/r/", 108 - 13 - 3, ".sock"), other, NULL), 0);
	assert_string_equal(path, other);

	/* Under the longest runtime directory that a user has. */
	assert_int_equal(
		belay__handoff_path("/run/user/4294967295/running-process/broker/rpb-v1-"
				    "0123456789abcdef-be-000102030405060708090a0b0c0d0e0f.sock",
			path, NULL),
		0);
	assert_string_equal(path,
		"/run/user/4294967295/running-process/broker/h-bc71743937ceb757.sock");

	/* The short form has 23 bytes and a slash. */
	assert_int_equal(
		belay__handoff_path(around("/", 82, "/a-name-of-a-backend.sock"), path, NULL), 0);
	assert_int_equal(strlen(path), 107);
	memcpy(other, path, sizeof(other));
	refused(belay__handoff_path(around("/", 83, "/a-name-of-a-backend.sock"), path, &error),
		&error, -ENAMETOOLONG);
	refused(belay__handoff_path(around("/", 4000, "/a.sock"), path, &error), &error,
		-ENAMETOOLONG);
	assert_string_equal(path, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_hash_is_of_uid_and_machine),
		cmocka_unit_test(the_user_hash_of_this_process_is_stable),
		cmocka_unit_test(a_user_hash_has_sixteen_lowercase_digits),
		cmocka_unit_test(names_are_those_of_broker_v1),
		cmocka_unit_test(a_refused_name_leaves_nothing_behind),
		cmocka_unit_test(service_and_instance_take_lowercase_digits_and_dashes),
		cmocka_unit_test(names_have_at_most_64_bytes),
		cmocka_unit_test(a_capital_is_refused_by_a_sentence_of_its_own),
		cmocka_unit_test(versions_have_three_numbers_and_perhaps_a_suffix),
		cmocka_unit_test(a_version_has_at_most_64_bytes),
		cmocka_unit_test(namespaces_say_who_shares_a_broker),
		cmocka_unit_test(the_directory_lies_in_the_runtime_directory_or_in_tmp),
		cmocka_unit_test(a_runtime_directory_that_is_too_long_is_refused),
		cmocka_unit_test(a_socket_path_has_at_most_107_bytes),
		cmocka_unit_test(a_backends_path_fits_for_uids_of_up_to_nine_digits),
		cmocka_unit_test(a_handoff_endpoint_lies_beside_its_backend),
		cmocka_unit_test(a_handoff_endpoint_that_would_not_fit_gets_a_short_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
