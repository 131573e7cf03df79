#include "observe/keys.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define A "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd01"
#define B "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd02"
#define C "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd03"
#define E "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd05"
#define D "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd04"

static struct belay__observe_options options;
static struct belay_error error;
static char directory[64];

static int begin(void **state)
{
	(void)state;
	belay__observe_defaults(&options);
	memset(&error, 0, sizeof(error));
	(void)snprintf(directory, sizeof(directory), "/tmp/belay-keys-XXXXXX");
	return mkdtemp(directory) == NULL;
}

static int end(void **state)
{
	static const char *const names[] = { "key", "accepted", "master" };
	char path[128];
	(void)state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		(void)unlink(path);
	}
	return rmdir(directory);
}

/* Writes NAME in the directory and gives its path to MEMBER. */
static void give(char *member, const char *name, const char *text)
{
	FILE *file;

	(void)snprintf(member, BELAY__PATH_SIZE, "%s/%s", directory, name);
	file = fopen(member, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(member, 0600), 0);
}

static void keys_stand_in_the_order_of_the_reference(void **state)
{
	static const struct {
		uint8_t last;
		enum belay__key_kind kind;
		const char *host;
	} wanted[] = {
		{ 1, BELAY__KEY_SHARED, "" },
		{ 2, BELAY__KEY_SHARED, "web-1" },
		{ 3, BELAY__KEY_SHARED, "" },
		{ 4, BELAY__KEY_MASTER, "" },
		{ 5, BELAY__KEY_MASTER, "rack" },
	};
	struct belay__keys *keys = NULL;
	(void)state;

	give(options.key_file, "key", A "\n");
	give(options.accepted_key_file, "accepted", "# spare\n\n" B " web-1\n" C "\n");
	give(options.master_key_file, "master", D "\n" E " rack");
	assert_int_equal(belay__keys_read(&options, &keys, &error), 0);
	assert_int_equal(keys->count, 5);
	for (uint32_t i = 0; i < keys->count; i++) {
		assert_int_equal(keys->keys[i].key[0], 0x01);
		assert_int_equal(keys->keys[i].key[31], wanted[i].last);
		assert_int_equal(keys->keys[i].kind, wanted[i].kind);
		assert_string_equal(keys->keys[i].host, wanted[i].host);
	}
	assert_null(belay__keys_free(keys));
	assert_null(belay__keys_free(NULL));
}

static void a_key_that_stands_twice_is_refused_with_both_places(void **state)
{
	static const struct {
		const char *key, *accepted, *master, *says; /* NULL: it is right */
	} cases[] = {
		{ A, B "\n" C "\n", D, NULL },
		{ A, B "\n" A "\n", NULL, "key 2 of " },
		{ NULL, B " a\n" C "\n" B " b\n", NULL, "key 3 of " },
		{ A, NULL, A, "/master is key 1 of " },
		{ NULL, B "\n" C "\n", C, "/master is key 2 of " },
		{ A, B, C "\n" B, "key 2 of " },
		{ A, NULL, B "\n" C " rack\n" C "\n", "/master is key 2 of " },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__keys *keys = NULL;
		int r;

		belay__observe_defaults(&options);
		if (cases[i].key != NULL)
			give(options.key_file, "key", cases[i].key);
		if (cases[i].accepted != NULL)
			give(options.accepted_key_file, "accepted", cases[i].accepted);
		if (cases[i].master != NULL)
			give(options.master_key_file, "master", cases[i].master);
		r = belay__keys_read(&options, &keys, &error);
		assert_int_equal(r, cases[i].says == NULL ? 0 : -EINVAL);
		assert_int_equal(keys != NULL, r == 0);
		if (r < 0 && strstr(error.text, cases[i].says) == NULL)
			fail_msg("case %zu: %s", i, error.text);
		assert_null(strstr(error.text, "0123456789abcdef"));
		belay__keys_free(keys);
	}
}

static void there_is_room_for_512_keys(void **state)
{
	static char text[BELAY__KEYS_MAX * 66 + 16];
	struct belay__keys *keys = NULL;
	size_t at = 0;
	(void)state;

	for (unsigned i = 0; i < BELAY__KEYS_MAX - 1; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%064x%s\n", i + 1,
			i < 2 ? " web" : "");
	give(options.accepted_key_file, "accepted", text);
	give(options.key_file, "key", A);
	assert_int_equal(belay__keys_read(&options, &keys, &error), 0);
	assert_int_equal(keys->count, BELAY__KEYS_MAX);
	keys = belay__keys_free(keys);

	give(options.master_key_file, "master", D);
	assert_int_equal(belay__keys_read(&options, &keys, &error), -E2BIG);
	options.master_key_file[0] = '\0';
	(void)snprintf(text + at, sizeof(text) - at, "%s\n", B);
	give(options.accepted_key_file, "accepted", text);
	assert_int_equal(belay__keys_read(&options, &keys, &error), -E2BIG);
	assert_null(keys);
}

/* There are fewer numbers for hosts than places for keys. */
static void keys_of_too_many_hosts_are_refused(void **state)
{
	static char text[BELAY__KEYS_MAX * 66 + 16];
	struct belay__keys *keys = NULL;
	size_t at = 0;
	(void)state;

	for (unsigned i = 0; i < BELAY__HOSTS_MAX; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%064x\n", i + 1);
	give(options.accepted_key_file, "accepted", text);
	assert_int_equal(belay__keys_read(&options, &keys, &error), 0);
	keys = belay__keys_free(keys);
	give(options.master_key_file, "master", D);
	assert_int_equal(belay__keys_read(&options, &keys, &error), -E2BIG);
	assert_non_null(strstr(error.text, "512 hosts"));

	/* Two keys of one host are of one host. */
	at -= 2 * strlen("\n") + 2 * 64;
	(void)snprintf(text + at, sizeof(text) - at, "%064x twin\n%064x twin\n", 1000u, 1001u);
	give(options.accepted_key_file, "accepted", text);
	assert_int_equal(belay__keys_read(&options, &keys, &error), 0);
	belay__keys_free(keys);
}

static void names_that_the_observer_gives_are_no_hosts(void **state)
{
	static const struct {
		const char *line;
		bool taken;
	} cases[] = { { B " udp\n", false }, { B " master\n", false }, { B " key0\n", false },
		{ B " key12\n", false }, { B " key\n", true }, { B " key1a\n", true },
		{ B " masters\n", true } };
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__keys *keys = NULL;
		int r;

		give(options.accepted_key_file, "accepted", cases[i].line);
		r = belay__keys_read(&options, &keys, &error);
		assert_int_equal(r, cases[i].taken ? 0 : -EINVAL);
		if (r < 0)
			assert_non_null(strstr(error.text, "no host can be called"));
		belay__keys_free(keys);
	}
}

static void a_file_that_others_can_read_holds_no_key(void **state)
{
	struct belay__keys *keys = NULL;
	(void)state;

	give(options.key_file, "key", A);
	give(options.accepted_key_file, "accepted", B);
	assert_int_equal(chmod(options.accepted_key_file, 0640), 0);
	assert_int_equal(belay__keys_read(&options, &keys, &error), -EPERM);
	assert_non_null(strstr(error.text, "/accepted"));
	assert_int_equal(chmod(options.accepted_key_file, 0400), 0);
	assert_int_equal(belay__keys_read(&options, &keys, &error), 0);
	keys = belay__keys_free(keys);
	assert_int_equal(unlink(options.key_file), 0);
	assert_int_equal(belay__keys_read(&options, &keys, &error), -ENOENT);
	assert_int_equal(symlink(options.accepted_key_file, options.key_file), 0);
	assert_int_equal(belay__keys_read(&options, &keys, &error), -ELOOP);
	assert_null(keys);
}

static void the_file_of_one_key_has_one_that_may_have_a_name(void **state)
{
	static const struct {
		const char *text, *host; /* NULL: refused */
	} cases[] = { { A, "" }, { A " web", "web" }, { "# new\n" A " web\n\n", "web" },
		{ A "\n" B "\n", NULL }, { A " master", NULL }, { "\n", NULL } };
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__keys *keys = NULL;
		int r;

		give(options.key_file, "key", cases[i].text);
		r = belay__keys_read(&options, &keys, &error);
		assert_int_equal(r, cases[i].host != NULL ? 0 : -EINVAL);
		if (r == 0)
			assert_string_equal(keys->keys[0].host, cases[i].host);
		belay__keys_free(keys);
	}
}

/* What is told to a gate when the files are gone. */
static void hosts_stay_when_their_keys_cannot_be_read(void **state)
{
	static struct belay__key_hosts hosts;
	struct belay__keys *keys = NULL;
	(void)state;

	give(options.key_file, "key", A " web");
	assert_int_equal(belay__key_hosts_init(&hosts), 0);
	assert_int_equal(belay__keys_read(&options, &keys, &error), 0);
	assert_int_equal(
		belay__key_hosts_assign(&hosts, keys->keys, keys->count, /* now_ns= */ 1, &error),
		0);
	keys = belay__keys_free(keys);
	assert_int_equal(belay__keys_absent(&hosts, &keys), 0);
	assert_int_equal(keys->count, 2);
	assert_string_equal(keys->keys[1].host, "web");
	belay__keys_free(keys);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(keys_stand_in_the_order_of_the_reference),
		TEST(a_key_that_stands_twice_is_refused_with_both_places),
		TEST(there_is_room_for_512_keys),
		TEST(keys_of_too_many_hosts_are_refused),
		TEST(names_that_the_observer_gives_are_no_hosts),
		TEST(a_file_that_others_can_read_holds_no_key),
		TEST(the_file_of_one_key_has_one_that_may_have_a_name),
		TEST(hosts_stay_when_their_keys_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
