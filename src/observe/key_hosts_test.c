#include "observe/key_hosts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define REST_NS BELAY__HOST_REST_NS

enum { MANY = BELAY__KEYS_MAX };

static struct belay__key_hosts hosts;
static struct belay__msg_key keys[MANY];
static struct belay_error error;

static int begin(void **state)
{
	(void)state;
	memset(&error, 0, sizeof(error));
	return belay__key_hosts_init(&hosts);
}

static struct belay__msg_key key_of(unsigned n, enum belay__key_kind kind, const char *host)
{
	struct belay__msg_key key = { .kind = (uint8_t)kind };

	memcpy(key.key, &n, sizeof(n));
	(void)snprintf(key.host, sizeof(key.host), "%s", host);
	return key;
}

/* A list like "0 1=web 2": key numbers with names; 'm' before one makes it a master. */
static uint32_t parse(const char *list)
{
	uint32_t count = 0;
	char text[256], *rest = text;
	const char *word;

	(void)snprintf(text, sizeof(text), "%s", list);
	while ((word = strtok_r(rest, " ", &rest)) != NULL) {
		enum belay__key_kind kind = *word == 'm' ? BELAY__KEY_MASTER : BELAY__KEY_SHARED;
		const char *name = strchr(word, '=');
		unsigned n = (unsigned)word[*word == 'm'] - '0';

		keys[count++] = key_of(n, kind, name != NULL ? name + 1 : "");
	}
	return count;
}

/* What LIST's keys become at NOW_NS: "1:key0 2:web ..." */
static const char *given(const char *list, uint64_t now_ns)
{
	static char text[512];
	uint32_t count = parse(list);
	size_t at = 0;

	text[0] = '\0';
	assert_int_equal(belay__key_hosts_assign(&hosts, keys, count, now_ns, &error), 0);
	for (uint32_t i = 0; i < count; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u:%s", i > 0 ? " " : "",
			keys[i].number, keys[i].host);
	return text;
}

static void every_key_gets_a_name_and_a_number(void **state)
{
	(void)state;

	assert_string_equal(given("0 1=web 2 3=web m4 m5 m6=db", 1),
		"4:key0 1:web 5:key1 1:web 2:master 2:master 3:db");
	assert_int_equal(hosts.hosts.count, 5);
}

static void order_says_nothing_afterwards(void **state)
{
	(void)state;

	(void)given("0 1 2=web m3", 1);
	assert_string_equal(given("m3 2=web 1 0", 2), "2:master 1:web 4:key1 3:key0");
}

static void no_key_gets_a_name_that_another_had(void **state)
{
	(void)state;

	assert_string_equal(given("0 1", 1), "1:key0 2:key1");
	assert_string_equal(given("1 2", 2), "2:key1 3:key2");
	assert_string_equal(given("3", 3), "4:key3");
	/* It is the same key that comes back. */
	assert_string_equal(given("0 3", 4), "1:key0 4:key3");
	/* Also when all is forgotten. */
	assert_string_equal(given("0", 5), "1:key0");
	assert_string_equal(given("4 0 2", 5 + REST_NS), "2:key4 1:key0 3:key2");
	assert_string_equal(given("1 5 0", 6 + REST_NS), "4:key5 5:key6 1:key0");
}

static void a_name_that_an_operator_took_is_passed_over(void **state)
{
	(void)state;

	assert_string_equal(given("0=key0 1 2=key1", 1), "1:key0 3:key2 2:key1");
}

static void a_number_rests_before_another_gets_it(void **state)
{
	(void)state;

	assert_string_equal(given("0=a 1=b 2=c", 10), "1:a 2:b 3:c");
	assert_string_equal(given("2=c 3=d", 20), "3:c 4:d");
	assert_string_equal(given("2=c 3=d 4=e", 19 + REST_NS), "3:c 4:d 5:e");
	assert_string_equal(given("1=b 4=e 5=f", 20 + REST_NS), "2:b 5:e 1:f");
	/* Who has just left has not rested, however long he was there. */
	assert_string_equal(given("6=g", 20 + 9 * REST_NS), "3:g");
	assert_string_equal(given("5=f 1=b 4=e", 20 + 9 * REST_NS), "1:f 2:b 5:e");
}

static void name_many(unsigned first, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char name[BELAY__HOST_SIZE];

		(void)snprintf(name, sizeof(name), "host-%u", first + i);
		keys[i] = key_of(first + i, BELAY__KEY_SHARED, name);
	}
}

static void too_many_change_nothing_and_it_is_said_why(void **state)
{
	static struct belay__key_hosts before;
	(void)state;

	name_many(0, BELAY__HOSTS_MAX);
	assert_int_equal(belay__key_hosts_assign(&hosts, keys, BELAY__HOSTS_MAX, 1, &error), 0);
	assert_int_equal(keys[BELAY__HOSTS_MAX - 1].number, BELAY__HOSTS_MAX);
	before = hosts;
	name_many(1, BELAY__HOSTS_MAX);
	assert_int_equal(belay__key_hosts_assign(&hosts, keys, BELAY__HOSTS_MAX, 2, &error), -E2BIG);
	assert_non_null(strstr(error.text, "had a key in the last hour"));
	assert_memory_equal(&hosts, &before, sizeof(hosts));

	name_many(0, 1);
	assert_int_equal(belay__key_hosts_assign(&hosts, keys, 1, 3, &error), 0);
	name_many(1000, 10);
	assert_int_equal(belay__key_hosts_assign(&hosts, keys, 10, 2 + REST_NS, &error), -E2BIG);
	name_many(1000, 10);
	assert_int_equal(belay__key_hosts_assign(&hosts, keys, 10, 3 + REST_NS, &error), 0);
	assert_int_equal(keys[0].number, 2);
	assert_string_equal(hosts.hosts.name[2], "host-1000");
}

static void hosts_are_told_without_their_keys(void **state)
{
	static struct belay__msg_key absent[BELAY__KEYS_MAX];
	static const uint8_t zeros[BELAY__SECRET_LEN];
	(void)state;

	assert_int_equal(belay__key_hosts_absent(&hosts, absent), 1);
	assert_int_equal(absent[0].kind, BELAY__KEY_ABSENT);
	assert_int_equal(absent[0].number, 0);
	(void)given("0 1=gone 2=web", 1);
	(void)given("0 2=web", 2);
	assert_int_equal(belay__key_hosts_absent(&hosts, absent), 3);
	assert_int_equal(absent[1].number, 2);
	assert_string_equal(absent[1].host, "web");
	assert_int_equal(absent[2].number, 3);
	assert_string_equal(absent[2].host, "key0");
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(absent[i].kind, BELAY__KEY_ABSENT);
		assert_memory_equal(absent[i].key, zeros, sizeof(zeros));
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
	const struct CMUnitTest tests[] = {
		TEST(every_key_gets_a_name_and_a_number),
		TEST(order_says_nothing_afterwards),
		TEST(no_key_gets_a_name_that_another_had),
		TEST(a_name_that_an_operator_took_is_passed_over),
		TEST(a_number_rests_before_another_gets_it),
		TEST(too_many_change_nothing_and_it_is_said_why),
		TEST(hosts_are_told_without_their_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
