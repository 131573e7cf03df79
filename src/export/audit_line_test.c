#include "export/audit_line.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "export/audit_golden.inc"

static struct belay__audit_hasher hasher;
static unsigned allocations, freed;

static void *counting_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	allocations++;
	return malloc(size);
}

static void *counting_realloc(void *old, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	allocations++;
	return realloc(old, size);
}

static void plain_free(void *old, const char *file, int line)
{
	(void)file;
	(void)line;
	freed++;
	free(old);
}

static void lines_and_chains_are_those_computed_independently(void **state)
{
	uint8_t chain[BELAY__AUDIT_CHAIN_SIZE] = { 0 };
	(void)state;

	for (size_t i = 0; i < GOLDEN_COUNT; i++) {
		struct belay__audit_record record = golden_records[i];
		char line[1024];
		int len;

		record.seq = i + 1;
		if (i == GOLDEN_COUNT - 1) {
			record.boot.has_previous = true;
			memcpy(record.boot.previous, chain, sizeof(chain));
		}
		len = belay__audit_format(&hasher, &record, chain, line, sizeof(line), chain);
		assert_int_equal(len, strlen(golden[i]));
		assert_memory_equal(line, golden[i], (size_t)len);
	}
}

static void what_is_read_is_written_again_the_same(void **state)
{
	uint8_t chain[BELAY__AUDIT_CHAIN_SIZE] = { 0 };
	(void)state;

	for (size_t i = 0; i < GOLDEN_COUNT; i++) {
		struct belay__audit_line parsed;
		char line[1024];
		size_t len = strlen(golden[i]) - 1;

		assert_int_equal(belay__audit_parse(golden[i], len, &parsed, NULL), 0);
		assert_int_equal(parsed.record.seq, i + 1);
		assert_true(parsed.has_chain);
		assert_int_equal(parsed.body_len, len - 65);
		assert_int_equal(belay__audit_format(&hasher, &parsed.record, chain, line,
					 sizeof(line), chain),
			(int)len + 1);
		assert_memory_equal(line, golden[i], len + 1);
		assert_memory_equal(chain, parsed.chain, sizeof(chain));
	}
}

static void a_line_fits_or_is_refused_whole(void **state)
{
	uint8_t zeros[BELAY__AUDIT_CHAIN_SIZE] = { 0 }, chain[BELAY__AUDIT_CHAIN_SIZE] = { 0 };
	struct belay__audit_record record = golden_records[0];
	size_t wanted = strlen(golden[0]);
	(void)state;

	record.seq = 1;
	for (size_t size = 1; size < wanted + 8; size++) {
		char *line = malloc(size);
		int len;

		assert_non_null(line);
		len = belay__audit_format(&hasher, &record, zeros, line, size, chain);
		if (len >= 0)
			assert_memory_equal(line, golden[0], wanted);
		else
			assert_int_equal(len, -EMSGSIZE);
		assert_int_equal(len >= 0, size > wanted);
		free(line);
	}
}

static void what_is_no_record_is_refused_with_a_reason(void **state)
{
#define CHAIN "\t0000000000000000000000000000000000000000000000000000000000000000"
	static const struct {
		const char *line, *why;
	} cases[] = {
		{ "", "it is no record of a known kind" },
		{ "1\t2\t3", "it is no record of a known kind" },
		{ "1\t2\t3\tbot\t4\t-\tfresh" CHAIN, "it is no record of a known kind" },
		{ "1\t2\t3\tboot\t4\t-\tfresh", "it has not the columns of its kind" },
		{ "1\t2\t3\tboot\t4\t-\tfresh\tx" CHAIN, "it has not the columns of its kind" },
		{ "1\t2\t3\tboot\t\t\t\t\t\t\t\t\t\t\t\t\t\t",
			"it has more columns than any record" },
		{ "0\t2\t3\tboot\t4\t-\tfresh" CHAIN, "its sequence number is none" },
		{ "01\t2\t3\tboot\t4\t-\tfresh" CHAIN, "its sequence number is none" },
		{ "+1\t2\t3\tboot\t4\t-\tfresh" CHAIN, "its sequence number is none" },
		{ "9223372036854775808\t2\t3\tboot\t4\t-\tfresh" CHAIN,
			"its sequence number is none" },
		{ "18446744073709551617\t2\t3\tboot\t4\t-\tfresh" CHAIN,
			"its sequence number is none" },
		{ "1\t\t3\tboot\t4\t-\tfresh" CHAIN, "its time is no number" },
		{ "1\t2\t-3\tboot\t4\t-\tfresh" CHAIN, "its observer's time is no number" },
		{ "1\t2\t3\tboot\t4294967296\t-\tfresh" CHAIN, "a pid in it is none" },
		{ "1\t2\t3\tboot\t4\tabc\tfresh" CHAIN, "the previous chain that it names is none" },
		{ "1\t2\t3\tboot\t4\t-\tFresh" CHAIN, "its reason for a start is unknown" },
		{ "1\t2\t3\tboot\t4\t-\tfresh\tABCDEF0000000000000000000000000000000000000000000000"
		  "000000000000",
			"its chain is none" },
		{ "1\t2\t3\tboot\t4\t-\tfresh\t", "its chain is none" },
		{ "1\t2\t3\tspawn\t4\t5\t\tp\ts\t6" CHAIN, "it has no mode" },
		{ "1\t2\t3\tspawn\t4\t5\texec\tp\rq\ts\t6" CHAIN,
			"a text in it holds a character that no writer lets through" },
		{ "1\t2\t3\tspawn\t4\t5\texec\tp\ts\t" CHAIN, "its template's length is no number" },
		{ "1\t2\t3\tcomplete\t4\t5\tgone\t-\t-\t1\t2\t3\ttrue" CHAIN,
			"its outcome is unknown" },
		{ "1\t2\t3\tcomplete\t4\t5\tkilled\t2147483648\t-\t1\t2\t3\ttrue" CHAIN,
			"its exit code is none" },
		{ "1\t2\t3\tcomplete\t4\t5\tkilled\t-\tTERM\t1\t2\t3\ttrue" CHAIN,
			"its signal is none" },
		{ "1\t2\t3\tcomplete\t4\t5\tkilled\t-\t-\t1s\t2\t3\ttrue" CHAIN,
			"its duration is no number" },
		{ "1\t2\t3\tcomplete\t4\t5\tkilled\t-\t-\t1\tx\t3\ttrue" CHAIN,
			"its length of output is no number" },
		{ "1\t2\t3\tcomplete\t4\t5\tkilled\t-\t-\t1\t2\t\ttrue" CHAIN,
			"its length of errors is no number" },
		{ "1\t2\t3\tcomplete\t4\t5\tkilled\t-\t-\t1\t2\t3\t1" CHAIN,
			"whether it was truncated is neither true nor false" },
		{ "1\t2\t3\trefused\t4\t" CHAIN, "it has no reason" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__audit_line parsed = { .body_len = 77 };
		const char *why = "";

		assert_int_equal(
			belay__audit_parse(cases[i].line, strlen(cases[i].line), &parsed, &why),
			-EINVAL);
		assert_string_equal(why, cases[i].why);
		assert_int_equal(parsed.body_len, 77);
	}
}

static void a_line_without_chain_is_read_as_such(void **state)
{
	static const char line[] = "9\t2\t3\trefused\t4\tdebounced\t-";
	struct belay__audit_line parsed;
	(void)state;

	assert_int_equal(belay__audit_parse(line, sizeof(line) - 1, &parsed, NULL), 0);
	assert_false(parsed.has_chain);
	assert_int_equal(parsed.record.seq, 9);
}

/* libcrypto 3.0 makes its own state anew at each start of a digest; newer ones keep it. */
static void a_chain_leaves_no_allocation_behind(void **state)
{
	uint8_t chain[BELAY__AUDIT_CHAIN_SIZE] = { 0 };
	unsigned allocated_before, freed_before;
	(void)state;

	assert_int_equal(belay__audit_chain(&hasher, BELAY__AUDIT_SPAWN, chain, "x", 1, chain), 0);
	allocated_before = allocations;
	freed_before = freed;
	assert_true(allocated_before > 0); /* the counting works */
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(
			belay__audit_chain(&hasher, BELAY__AUDIT_SPAWN, chain, "x", 1, chain), 0);
	assert_in_range(allocations - allocated_before, 0, 1000);
	assert_int_equal(allocations - allocated_before, freed - freed_before);
}

static int make_hasher(void **state)
{
	(void)state;
	return belay__audit_hasher_init(&hasher);
}

static int drop_hasher(void **state)
{
	(void)state;
	belay__audit_hasher_done(&hasher);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_and_chains_are_those_computed_independently),
		cmocka_unit_test(what_is_read_is_written_again_the_same),
		cmocka_unit_test(a_line_fits_or_is_refused_whole),
		cmocka_unit_test(what_is_no_record_is_refused_with_a_reason),
		cmocka_unit_test(a_line_without_chain_is_read_as_such),
		cmocka_unit_test(a_chain_leaves_no_allocation_behind),
	};

	if (CRYPTO_set_mem_functions(counting_malloc, counting_realloc, plain_free) != 1)
		return 1;
	return cmocka_run_group_tests(tests, make_hasher, drop_hasher);
}
