#include "export/http_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"

static void what_is_no_address_is_refused(void **state)
{
	static const char *const wrong[] = { "", ":", "127.0.0.1", "127.0.0.1:", ":9478", "9478",
		"localhost:9478", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 1",
		"127.0.0.1:1x", "127.1:80", "256.0.0.1:80", "::1:80", "[::1]", "[::1]:", "[::1:80",
		"[]:80", "[:80", "]:80", "[127.0.0.1]:80", "[::1%lo]:80",
		"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80" };
	(void)state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char bound[BELAY__HTTP_BOUND_SIZE] = "untouched";
		struct belay_error error = { 0 };

		assert_int_equal(belay__http_listen(wrong[i], true, bound, &error), -EINVAL);
		assert_string_equal(bound, "untouched");
		assert_non_null(strstr(error.text, "127.0.0.1:PORT"));
	}
}

static void only_loopback_needs_no_token(void **state)
{
	static const struct {
		const char *address;
		bool has_token;
		int wanted;
	} cases[] = {
		{ "127.0.0.1:0", false, 0 },
		{ "127.9.9.9:0", false, 0 },
		{ "0.0.0.0:0", false, -EPERM },
		{ "128.0.0.1:0", false, -EPERM },
		{ "[::]:0", false, -EPERM },
		{ "[::2]:0", false, -EPERM },
		{ "[::ffff:10.0.0.1]:0", false, -EPERM },
		{ "0.0.0.0:0", true, 0 },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char bound[BELAY__HTTP_BOUND_SIZE];
		_cleanup_close_ int fd = belay__http_listen(cases[i].address, cases[i].has_token,
			bound, NULL);

		assert_int_equal(fd < 0 ? fd : 0, cases[i].wanted);
	}
}

static void the_port_that_was_given_is_reported(void **state)
{
	char first[BELAY__HTTP_BOUND_SIZE], second[BELAY__HTTP_BOUND_SIZE] = "untouched";
	struct belay_error error = { 0 };
	_cleanup_close_ int fd = belay__http_listen("127.0.0.1:0", false, first, NULL);
	(void)state;

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_memory_equal(first, "127.0.0.1:", 10);
	assert_string_not_equal(first, "127.0.0.1:0");

	assert_int_equal(belay__http_listen(first, false, second, &error), -EADDRINUSE);
	assert_string_equal(second, "untouched");
	assert_non_null(strstr(error.text, first));
}

static void an_ipv6_address_stands_in_brackets(void **state)
{
	char bound[BELAY__HTTP_BOUND_SIZE];
	_cleanup_close_ int fd = belay__http_listen("[::1]:0", false, bound, NULL);
	(void)state;

	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		skip();
	assert_true(fd >= 0);
	assert_memory_equal(bound, "[::1]:", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(only_loopback_needs_no_token),
		cmocka_unit_test(the_port_that_was_given_is_reported),
		cmocka_unit_test(an_ipv6_address_stands_in_brackets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
