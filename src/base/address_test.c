#include "base/address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static union belay__address parsed(const char *text)
{
	union belay__address address;

	assert_int_equal(belay__address_parse(text, &address), 0);
	return address;
}

static void what_was_read_is_written_the_same_way(void **state)
{
	static const struct {
		const char *text;
		int family;
		uint16_t port;
	} cases[] = {
		{ "127.0.0.1:0", AF_INET, 0 },
		{ "0.0.0.0:1", AF_INET, 1 },
		{ "255.255.255.255:65535", AF_INET, 65535 },
		{ "[::]:7000", AF_INET6, 7000 },
		{ "[::1]:65535", AF_INET6, 65535 },
		{ "[2001:db8::7]:80", AF_INET6, 80 },
		{ "[::ffff:127.0.0.1]:80", AF_INET6, 80 },
		{ "[1111:2222:3333:4444:5555:6666:7777:8888]:65535", AF_INET6, 65535 },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		union belay__address address = parsed(cases[i].text);
		char text[BELAY__ADDRESS_SIZE];

		assert_int_equal(address.any.sa_family, cases[i].family);
		assert_int_equal(belay__address_port(&address), cases[i].port);
		assert_int_equal(belay__address_len(&address),
			cases[i].family == AF_INET ? sizeof(struct sockaddr_in)
						   : sizeof(struct sockaddr_in6));
		belay__address_text(&address, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const wrong[] = { "", ":", "127.0.0.1", "127.0.0.1:", ":9478", "9478",
		"localhost:9478", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 1",
		"127.0.0.1:1x", "127.1:80", "256.0.0.1:80", "::1:80", "[::1]", "[::1]:", "[::1:80",
		"[]:80", "[:80", "]:80", "[127.0.0.1]:80", "[::1%lo]:80", " 127.0.0.1:80",
		"[::1]x:80", "127.0.0.1:18446744073709551616",
		"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80" };
	(void)state;

	for (size_t i = 0; i < COUNT(wrong); i++) {
		union belay__address address, before;

		memset(&before, 0xa5, sizeof(before));
		memset(&address, 0xa5, sizeof(address));
		assert_int_equal(belay__address_parse(wrong[i], &address), -EINVAL);
		assert_memory_equal(&address, &before, sizeof(address));
	}
}

static void nobody_is_at_port_0(void **state)
{
	static const struct {
		const char *text;
		int r;
	} cases[] = { { "127.0.0.1:0", -EINVAL }, { "[::1]:0", -EINVAL },
		{ "127.0.0.1:00", -EINVAL }, { "127.0.0.1", -EINVAL }, { "127.0.0.1:1", 0 },
		{ "[::1]:65535", 0 } };
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		union belay__address address, before;

		memset(&before, 0xa5, sizeof(before));
		memset(&address, 0xa5, sizeof(address));
		assert_int_equal(belay__address_parse_peer(cases[i].text, &address), cases[i].r);
		if (cases[i].r < 0)
			assert_memory_equal(&address, &before, sizeof(address));
		else
			assert_int_not_equal(belay__address_port(&address), 0);
	}
}

static void an_ip_alone_stands_without_brackets(void **state)
{
	static const struct {
		const char *ip, *text;
	} cases[] = {
		{ "127.0.0.1", "127.0.0.1:7000" },
		{ "0.0.0.0", "0.0.0.0:7000" },
		{ "::", "[::]:7000" },
		{ "fe80::1", "[fe80::1]:7000" },
		{ "", NULL },
		{ "[::1]", NULL },
		{ "127.0.0.1:80", NULL },
		{ "localhost", NULL },
		{ "127.0.0", NULL },
		{ ":", NULL },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		union belay__address address, before;
		char text[BELAY__ADDRESS_SIZE];

		memset(&before, 0xa5, sizeof(before));
		memset(&address, 0xa5, sizeof(address));
		if (cases[i].text == NULL) {
			assert_int_equal(belay__address_parse_ip(cases[i].ip, 7000, &address),
				-EINVAL);
			assert_memory_equal(&address, &before, sizeof(address));
			continue;
		}
		assert_int_equal(belay__address_parse_ip(cases[i].ip, 7000, &address), 0);
		belay__address_text(&address, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void only_this_host_is_loopback(void **state)
{
	static const struct {
		const char *text;
		bool wanted;
	} cases[] = {
		{ "126.255.255.255:1", false },
		{ "127.0.0.0:1", true },
		{ "127.255.255.255:1", true },
		{ "128.0.0.0:1", false },
		{ "0.0.0.0:1", false },
		{ "[::]:1", false },
		{ "[::1]:1", true },
		{ "[::2]:1", false },
		{ "[::ffff:127.9.9.9]:1", true },
		{ "[::ffff:10.0.0.1]:1", false },
		{ "[::127.0.0.1]:1", false },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		union belay__address address = parsed(cases[i].text);

		assert_int_equal(belay__address_is_loopback(&address), cases[i].wanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_read_is_written_the_same_way),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(nobody_is_at_port_0),
		cmocka_unit_test(an_ip_alone_stands_without_brackets),
		cmocka_unit_test(only_this_host_is_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
