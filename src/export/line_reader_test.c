#include "export/line_reader.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/file.h"

static struct belay__line_reader reader;

static int make_file(const char *bytes, size_t len)
{
	int fd = memfd_create("lines", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(belay__write_all(fd, bytes, len), 0);
	return fd;
}

static void lines_are_given_whole_or_torn(void **state)
{
	static const struct {
		const char *file, *given; /* a whole line ends in '|', a torn one in '~' */
	} cases[] = {
		{ "", "" },
		{ "\n", "|" },
		{ "a", "a~" },
		{ "a\n", "a|" },
		{ "a\n\nbc\nd", "a||bc|d~" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_close_ int fd = make_file(cases[i].file, strlen(cases[i].file));
		char given[64] = "";
		const char *line;
		size_t len;
		int r;

		belay__line_reader_init(&reader, fd, 0);
		while ((r = belay__line_reader_next(&reader, &line, &len)) != BELAY__LINE_NONE) {
			size_t used = strlen(given);

			assert_true(r > 0);
			(void)snprintf(given + used, sizeof(given) - used, "%.*s%s", (int)len, line,
				r == BELAY__LINE_WHOLE ? "|" : "~");
		}
		assert_string_equal(given, cases[i].given);
	}
}

static void lines_that_are_too_long_are_skipped_and_counted(void **state)
{
	static const size_t lengths[] = { 0, 1, BELAY__LINE_MAX - 1, BELAY__LINE_MAX,
		BELAY__LINE_MAX + 1, 4 * BELAY__LINE_MAX, 4 * BELAY__LINE_MAX + 4,
		9 * BELAY__LINE_MAX };
	static char bytes[9 * BELAY__LINE_MAX + 16];
	(void)state;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		_cleanup_close_ int fd = -EBADF;
		bool fits = lengths[i] <= BELAY__LINE_MAX;
		const char *line;
		size_t len;

		memset(bytes, 'x', sizeof(bytes));
		memcpy(bytes + lengths[i], "\nabc\nd", 6);
		fd = make_file(bytes, lengths[i] + 6);
		belay__line_reader_init(&reader, fd, 0);
		assert_int_equal(belay__line_reader_next(&reader, &line, &len),
			fits ? BELAY__LINE_WHOLE : -EMSGSIZE);
		if (fits)
			assert_int_equal(len, lengths[i]);
		assert_int_equal(reader.number, 1);
		assert_int_equal(belay__line_reader_next(&reader, &line, &len), BELAY__LINE_WHOLE);
		assert_int_equal(len, 3);
		assert_memory_equal(line, "abc", 3);
		assert_int_equal(belay__line_reader_next(&reader, &line, &len), BELAY__LINE_TORN);
		assert_int_equal(reader.number, 3);
		assert_int_equal(belay__line_reader_next(&reader, &line, &len), BELAY__LINE_NONE);

		/* The same as the end of a file. */
		assert_int_equal(ftruncate(fd, (off_t)lengths[i]), 0);
		belay__line_reader_init(&reader, fd, 0);
		assert_int_equal(belay__line_reader_next(&reader, &line, &len),
			lengths[i] == 0 ? BELAY__LINE_NONE
				: fits  ? BELAY__LINE_TORN
					: -EMSGSIZE);
		assert_int_equal(belay__line_reader_next(&reader, &line, &len), BELAY__LINE_NONE);
	}
}

static void the_last_newline_is_found_wherever_it_is(void **state)
{
	static char bytes[12000];
	(void)state;

	for (size_t size = 0; size <= sizeof(bytes); size += 1000) {
		static const size_t places[] = { 0, 1, 4095, 4096, 4097, 7999, 8000, 11999 };

		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			_cleanup_close_ int fd = -EBADF;
			uint64_t end = 77;

			memset(bytes, 'x', sizeof(bytes));
			bytes[places[i]] = '\n';
			fd = make_file(bytes, size);
			assert_int_equal(belay__last_line_end(fd, size, &end), 0);
			assert_int_equal(end, places[i] < size ? places[i] + 1 : 0);
		}
	}
}

static void what_cannot_be_read_is_an_error(void **state)
{
	_cleanup_close_ int fd = -EBADF;
	uint64_t end = 77;
	const char *line;
	size_t len;
	(void)state;

	belay__line_reader_init(&reader, fd, 0);
	assert_int_equal(belay__line_reader_next(&reader, &line, &len), -EBADF);
	assert_int_equal(belay__last_line_end(fd, 10, &end), -EBADF);
	assert_int_equal(end, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_given_whole_or_torn),
		cmocka_unit_test(lines_that_are_too_long_are_skipped_and_counted),
		cmocka_unit_test(the_last_newline_is_found_wherever_it_is),
		cmocka_unit_test(what_cannot_be_read_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
