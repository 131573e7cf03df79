#include "wire/payload_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <belay/envelope.h>
#include <cmocka.h>

#include "wire/testing.h"

static void whoever_has_registered_is_named(void **state)
{
	static const struct {
		uint32_t protocol;
		const char *name;
	} cases[] = {
		{ 0x0000, "control" },
		{ 0xad01, "admin" },
		{ 0xb232, "probe" },
		{ 0xd0ff, "handoff" },
		{ 0x5350, "session" },
		{ 0x7a63, "zccache" },
		{ 0x7c4c, "clud" },
		{ 0x7eb1, "fbuild" },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT(cases); i++)
		assert_string_equal(belay_payload_protocol_name(cases[i].protocol), cases[i].name);
}

static void every_other_number_has_its_range(void **state)
{
	static const struct {
		uint32_t first, last;
		const char *name;
	} ranges[] = {
		{ 0x0001, 0x6fff, "first-party" },
		{ 0x7000, 0x7eff, "consumer" },
		{ 0x7f00, 0xefff, "reserved" },
		{ 0xf000, 0xffff, "private" },
		{ 0x10000, UINT32_MAX, "invalid" },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT(ranges); i++) {
		assert_string_equal(belay_payload_protocol_name(ranges[i].first), ranges[i].name);
		assert_string_equal(belay_payload_protocol_name(ranges[i].last), ranges[i].name);
		if (i > 0)
			assert_int_equal(ranges[i].first, ranges[i - 1].last + 1);
	}
}

static void numbers_belong_to_who_registered_them_or_to_their_range(void **state)
{
	static const struct {
		uint32_t protocol;
		enum belay__protocol_owner owner;
	} cases[] = {
		{ BELAY_PROTOCOL_CONTROL, BELAY__FIRST_PARTY },
		{ BELAY_PROTOCOL_ADMIN, BELAY__FIRST_PARTY },
		{ BELAY_PROTOCOL_PROBE, BELAY__FIRST_PARTY },
		{ BELAY_PROTOCOL_HANDOFF, BELAY__FIRST_PARTY },
		{ BELAY_PROTOCOL_SESSION, BELAY__FIRST_PARTY },
		{ 0x6fff, BELAY__FIRST_PARTY },
		{ 0x7000, BELAY__CONSUMER },
		{ 0x7a63, BELAY__CONSUMER },
		{ BELAY_PROTOCOL_ADMIN + 1, BELAY__CONSUMER },
		{ 0xffff, BELAY__CONSUMER },
		{ UINT32_MAX, BELAY__CONSUMER },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT(cases); i++)
		assert_int_equal(belay__payload_protocol_owner(cases[i].protocol), cases[i].owner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_has_registered_is_named),
		cmocka_unit_test(numbers_belong_to_who_registered_them_or_to_their_range),
		cmocka_unit_test(every_other_number_has_its_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
