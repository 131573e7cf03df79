#include "export/http_rate.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

#define START (1000 * BELAY__NS_PER_S)

static struct belay__http_rate rate;

static struct belay__http_address number(uint64_t n)
{
	return (struct belay__http_address){ { 1, n } };
}

/* How many tokens in a row ADDRESS gets at NOW_NS, at most 1000. */
static unsigned drain(struct belay__http_address address, uint64_t now_ns)
{
	unsigned count = 0;

	while (count < 1000 && belay__http_rate_take(&rate, address, now_ns))
		count++;
	return count;
}

static void a_burst_is_had_at_once_and_then_the_rate(void **state)
{
	const uint64_t fifth_ns = BELAY__NS_PER_S / 5;
	(void)state;

	belay__http_rate_init(&rate, 5, 10);
	assert_int_equal(drain(number(1), START), 10);
	assert_int_equal(drain(number(1), START + fifth_ns - 1), 0);
	assert_int_equal(drain(number(1), START + fifth_ns), 1);
	assert_int_equal(drain(number(1), START + 2 * fifth_ns), 1);
	assert_int_equal(drain(number(1), START + 2 * fifth_ns + BELAY__NS_PER_S), 5);
	assert_int_equal(drain(number(1), START + 50 * BELAY__NS_PER_S), 10);
	assert_int_equal(rate.evicted, 0);
}

static void one_address_does_not_use_up_what_another_has(void **state)
{
	(void)state;

	belay__http_rate_init(&rate, 1, 3);
	assert_int_equal(drain(number(1), START), 3);
	assert_int_equal(drain(number(2), START), 3);
	assert_int_equal(drain(number(1), START), 0);
}

static void without_rate_or_burst_there_is_no_limit(void **state)
{
	(void)state;

	belay__http_rate_init(&rate, 5, 0);
	assert_int_equal(drain(number(1), START), 1000);
	belay__http_rate_init(&rate, 0, 10);
	assert_int_equal(drain(number(1), START), 1000);
	belay__http_rate_init(&rate, BELAY__HTTP_RATE_MAX, BELAY__HTTP_RATE_MAX);
	assert_int_equal(drain(number(1), START), 1000);
	assert_int_equal(drain(number(1), START + BELAY__HTTP_RATE_TTL_NS - 1), 1000);
}

static void the_oldest_makes_room_when_all_are_in_use(void **state)
{
	(void)state;

	belay__http_rate_init(&rate, 1, 1);
	for (uint64_t i = 0; i < BELAY__HTTP_RATE_ADDRESSES; i++)
		assert_true(belay__http_rate_take(&rate, number(i), START + i));
	assert_int_equal(rate.evicted, 0);
	assert_false(belay__http_rate_take(&rate, number(1), START + 2000));

	/* Number 0 was away for the longest time. */
	assert_true(belay__http_rate_take(&rate, number(5000), START + 2001));
	assert_int_equal(rate.evicted, 1);
	assert_false(belay__http_rate_take(&rate, number(1), START + 2002));
	assert_true(belay__http_rate_take(&rate, number(0), START + 2003));
	assert_int_equal(rate.evicted, 2);
	assert_true(belay__http_rate_take(&rate, number(2), START + 2004));
}

static void who_was_away_for_a_minute_is_not_evicted_but_forgotten(void **state)
{
	(void)state;

	belay__http_rate_init(&rate, 1, 1);
	for (uint64_t i = 0; i < BELAY__HTTP_RATE_ADDRESSES; i++)
		assert_true(belay__http_rate_take(&rate, number(i), START));
	assert_true(belay__http_rate_take(&rate, number(5000), START + BELAY__HTTP_RATE_TTL_NS));
	assert_int_equal(rate.evicted, 0);
}

static struct belay__http_address parse(const char *text)
{
	struct sockaddr_storage address;
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = 1 };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = 2 };

	memset(&address, 0, sizeof(address));
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		memcpy(&address, &in, sizeof(in));
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
		memcpy(&address, &in6, sizeof(in6));
	}
	return belay__http_address_of(&address);
}

static void addresses_of_one_owner_are_one(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "192.0.2.1", "::ffff:192.0.2.1", true },
		{ "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
		{ "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true },
		{ "2001:db8::1", "2001:db8:0:1::1", false },
		{ "::1", "127.0.0.1", false },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__http_address a = parse(cases[i].a), b = parse(cases[i].b);

		assert_int_equal(memcmp(&a, &b, sizeof(a)) == 0, cases[i].same);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_is_had_at_once_and_then_the_rate),
		cmocka_unit_test(one_address_does_not_use_up_what_another_has),
		cmocka_unit_test(without_rate_or_burst_there_is_no_limit),
		cmocka_unit_test(the_oldest_makes_room_when_all_are_in_use),
		cmocka_unit_test(who_was_away_for_a_minute_is_not_evicted_but_forgotten),
		cmocka_unit_test(addresses_of_one_owner_are_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
