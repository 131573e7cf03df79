#include "wire/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct crc_vector {
	const char *id;
	uint32_t crc;
	size_t len;
	uint8_t bytes[32];
};

#include "wire/crc32c_vectors.inc"

#define VECTORS (sizeof(crc_vectors) / sizeof(crc_vectors[0]))

/* The definition itself: long division, one bit at a time. */
static uint32_t divide_bit_by_bit(const uint8_t *bytes, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

static void assert_all_ways_give(uint32_t crc, const uint8_t *bytes, size_t len)
{
	assert_int_equal(belay__crc32c(bytes, len), crc);
	assert_int_equal(belay__crc32c_portable(bytes, len), crc);
	if (belay__crc32c_has_hardware())
		assert_int_equal(belay__crc32c_hardware(bytes, len), crc);
}

static void the_published_vectors_hold(void **state)
{
	(void)state;

	assert_int_equal(VECTORS, 5);
	for (size_t i = 0; i < VECTORS; i++) {
		print_message("%s\n", crc_vectors[i].id);
		assert_all_ways_give(crc_vectors[i].crc, crc_vectors[i].bytes, crc_vectors[i].len);
	}
}

static void no_bytes_need_no_address(void **state)
{
	(void)state;

	assert_all_ways_give(0, NULL, 0);
}

/* A checksum is linear: its table is right when each single bit of a word, and the empty word, come
 * out right; and each entry is used when every nibble takes every value. */
static void every_entry_of_the_table_is_right(void **state)
{
	(void)state;

	for (unsigned nibble = 0; nibble < 8; nibble++) {
		for (unsigned value = 0; value < 16; value++) {
			uint8_t word[4];

			memset(word, 0xff, sizeof(word)); /* meets the preset: the register is 0 */
			word[nibble / 2] ^= (uint8_t)(value << (nibble % 2 * 4));
			assert_all_ways_give(divide_bit_by_bit(word, sizeof(word)), word,
				sizeof(word));
		}
	}
}

static void every_length_and_alignment_agrees_with_the_definition(void **state)
{
	enum { LONGEST = 80, ALIGNMENTS = 8 };
	uint8_t bytes[LONGEST + ALIGNMENTS];
	unsigned seed = 20261121;
	(void)state;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)rand_r(&seed);
	for (size_t start = 0; start < ALIGNMENTS; start++)
		for (size_t len = 0; len <= LONGEST; len++)
			assert_all_ways_give(divide_bit_by_bit(bytes + start, len), bytes + start,
				len);
}

static void the_cpu_gives_the_same_answer_twice(void **state)
{
	(void)state;

	assert_int_equal(belay__crc32c_has_hardware(), belay__crc32c_has_hardware());
	if (!belay__crc32c_has_hardware())
		print_message("no CRC-32C instruction here: only the table was tested\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_published_vectors_hold),
		cmocka_unit_test(no_bytes_need_no_address),
		cmocka_unit_test(every_entry_of_the_table_is_right),
		cmocka_unit_test(every_length_and_alignment_agrees_with_the_definition),
		cmocka_unit_test(the_cpu_gives_the_same_answer_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
