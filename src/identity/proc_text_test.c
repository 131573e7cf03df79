#include "identity/proc_text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TAIL                                                                                       \
	" S 7 1 1 0 -1 64 1 2 3 4 11 12 0 0 20 0 3 0 777 5 6 18446744073709551615 1 2 3 0 0 0 0 "  \
	"0 0 1 0 0 17 1 0 0 0 0 0 1 2 3 4 5 6 7 "
#define STAT(comm) "42 (" comm ")" TAIL "1792\n"

static void a_stat_line_is_read_from_its_last_parenthesis(void **state)
{
	static const struct {
		const char *line, *comm;
	} cases[] = {
		{ STAT("worker"), "worker" },
		{ STAT(""), "" },
		{ STAT("a) S 1 1"), "a) S 1 1" },
		{ STAT("((()"), "((()" },
		{ STAT("two\nlines"), "two\nlines" },
		{ STAT("sixteen-letters-and-more"), "sixteen-letters-" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__stat stat;

		assert_int_equal(belay__parse_stat(cases[i].line, strlen(cases[i].line), &stat), 0);
		assert_string_equal(stat.comm, cases[i].comm);
		assert_int_equal(stat.state, 'S');
		assert_int_equal(stat.ppid, 7);
		assert_int_equal(stat.user_ticks, 11);
		assert_int_equal(stat.system_ticks, 12);
		assert_int_equal(stat.threads, 3);
		assert_int_equal(stat.start_ticks, 777);
		assert_int_equal(stat.exit_status, 1792);
	}
}

static void what_is_no_stat_line_leaves_the_result_alone(void **state)
{
	static const char *const cases[] = {
		"",
		"42 worker S 1",
		")(",
		"42 (worker)",
		"42 (worker)" TAIL,
		"42 (worker) SS 7 1 1 0 -1 64 1 2 3 4 11 12 0 0 20 0 3 0 777 5 6 7 1 2 3 0 0 0 0 0 "
		"0 1 0 0 17 1 0 0 0 0 0 1 2 3 4 5 6 7 0",
		"42 (worker) S -7 1 1 0 -1 64 1 2 3 4 11 12 0 0 20 0 3 0 777 5 6 7 1 2 3 0 0 0 0 0 "
		"0 1 0 0 17 1 0 0 0 0 0 1 2 3 4 5 6 7 0",
		"42 (worker) S 7 1 1 0 -1 64 1 2 3 4 11 12 0 0 20 0 3 0 18446744073709551616 5 6 7 "
		"1 2 3 0 0 0 0 0 0 1 0 0 17 1 0 0 0 0 0 1 2 3 4 5 6 7 0",
		"42 (worker)" TAIL "2147483648",
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__stat stat = { .ppid = 5 };

		assert_int_equal(belay__parse_stat(cases[i], strlen(cases[i]), &stat), -EBADMSG);
		assert_int_equal(stat.ppid, 5);
	}
}

static void a_status_line_gives_its_first_or_last_number(void **state)
{
	static const struct {
		const char *line, *key;
		bool last;
		int result;
		uint64_t number;
	} cases[] = {
		{ "Uid:\t1000\t0\t0\t0", "Uid:", false, 1, 1000 },
		{ "NSpid:\t90\t12\t1", "NSpid:", true, 1, 1 },
		{ "NSpid:\t90", "NSpid:", true, 1, 90 },
		{ "TracerPid:\t0", "TracerPid:", false, 1, 0 },
		{ "Uid2:\t1000", "Uid:", false, 0, 9 },
		{ "Name:\tUid: 3", "Uid:", false, 0, 9 },
		{ "", "Uid:", false, 0, 9 },
		{ "Uid:", "Uid:", false, -EBADMSG, 9 },
		{ "Uid:\t-1", "Uid:", false, -EBADMSG, 9 },
		{ "NSpid:\t1\tx", "NSpid:", true, -EBADMSG, 9 },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t number = 9;

		assert_int_equal(belay__parse_status_line(cases[i].line, strlen(cases[i].line),
					 cases[i].key, cases[i].last, &number),
			cases[i].result);
		assert_int_equal(number, cases[i].number);
	}
}

static void a_namespace_link_gives_its_inode(void **state)
{
	uint64_t inode = 9;
	(void)state;

	assert_int_equal(belay__parse_namespace("pid:[4026531836]", 16, &inode), 0);
	assert_int_equal(inode, 4026531836);
	inode = 9;
	assert_int_equal(belay__parse_namespace("pid:[]", 6, &inode), -EBADMSG);
	assert_int_equal(belay__parse_namespace("pid:[1", 6, &inode), -EBADMSG);
	assert_int_equal(belay__parse_namespace("pid:1]", 6, &inode), -EBADMSG);
	assert_int_equal(belay__parse_namespace("", 0, &inode), -EBADMSG);
	assert_int_equal(inode, 9);
}

static void schedstat_is_three_numbers(void **state)
{
	struct belay__schedstat schedstat = { .slices = 9 };
	(void)state;

	assert_int_equal(belay__parse_schedstat("1 2\n", 4, &schedstat), -EBADMSG);
	assert_int_equal(schedstat.slices, 9);
	assert_int_equal(belay__parse_schedstat("1 2 3\n", 6, &schedstat), 0);
	assert_int_equal(schedstat.cpu_ns, 1);
	assert_int_equal(schedstat.run_delay_ns, 2);
	assert_int_equal(schedstat.slices, 3);
}

static void a_system_call_is_told_from_running_and_from_none(void **state)
{
	static const struct {
		const char *text;
		int result;
		int32_t nr;
		uint64_t argument;
	} cases[] = {
		{ "0 0x3 0x7f 0x20 0x7f 0xf 0x0 0x7ffc 0x7f69\n", 0, 0, 3 },
		{ "202 0x7fffffffffffffff 0x1\n", 0, 202, INT64_MAX },
		{ "running\n", 0, -1, 0 },
		{ "-1 0x7ffc 0x7f69\n", 0, -1, 0 },
		{ "", -EBADMSG, 9, 9 },
		{ "7", -EBADMSG, 9, 9 },
		{ "7 3", -EBADMSG, 9, 9 },
		{ "7 0x", -EBADMSG, 9, 9 },
		{ "7 0x10000000000000000", -EBADMSG, 9, 9 },
		{ "2147483648 0x1", -EBADMSG, 9, 9 },
		{ "walking", -EBADMSG, 9, 9 },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int32_t nr = 9;
		uint64_t argument = 9;

		assert_int_equal(
			belay__parse_syscall(cases[i].text, strlen(cases[i].text), &nr, &argument),
			cases[i].result);
		assert_int_equal(nr, cases[i].nr);
		assert_int_equal(argument, cases[i].argument);
	}
}

static void a_wchan_is_a_symbol_or_nothing(void **state)
{
	char wchan[8] = "before";
	(void)state;

	assert_int_equal(belay__parse_wchan("", 0, wchan, sizeof(wchan)), -EBADMSG);
	assert_int_equal(belay__parse_wchan("a b", 3, wchan, sizeof(wchan)), -EBADMSG);
	assert_string_equal(wchan, "before");
	assert_int_equal(belay__parse_wchan("0", 1, wchan, sizeof(wchan)), 0);
	assert_string_equal(wchan, "");
	assert_int_equal(belay__parse_wchan("do_wait\n", 8, wchan, sizeof(wchan)), 0);
	assert_string_equal(wchan, "do_wait");
	assert_int_equal(belay__parse_wchan("futex_wait_queue", 16, wchan, sizeof(wchan)), 0);
	assert_string_equal(wchan, "futex_w");
}

static void pressure_is_in_thousandths(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint32_t milli;
	} cases[] = {
		{ "some avg10=0.00 avg60=0.87 avg300=0.62 total=6885790\nfull avg10=9.00", 0, 0 },
		{ "some avg10=12.39 avg60=0.00", 0, 123 },
		{ "some avg10=100.00 avg60=0.00", 0, 1000 },
		{ "some avg10=101.00", -EBADMSG, 9 },
		{ "some avg10=1.0", -EBADMSG, 9 },
		{ "some avg10=1", -EBADMSG, 9 },
		{ "some avg10=", -EBADMSG, 9 },
		{ "full avg10=1.00", -EBADMSG, 9 },
		{ "", -EBADMSG, 9 },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t milli = 9;

		assert_int_equal(belay__parse_pressure(cases[i].text, strlen(cases[i].text), &milli),
			cases[i].result);
		assert_int_equal(milli, cases[i].milli);
	}
}

static void a_cgroup_line_has_three_parts(void **state)
{
	static const struct {
		const char *line;
		int result;
		const char *controllers, *path;
		bool unified;
	} cases[] = {
		{ "0::/", 0, "", "/", true },
		{ "0::/a:b/c", 0, "", "/a:b/c", true },
		{ "4:cpu,cpuacct:/x", 0, "cpu,cpuacct", "/x", false },
		{ "10::/x", 0, "", "/x", false },
		{ "1:name=systemd:/", 0, "name=systemd", "/", false },
		{ "0::", -EBADMSG, NULL, NULL, false },
		{ "0:/", -EBADMSG, NULL, NULL, false },
		{ "0::x", -EBADMSG, NULL, NULL, false },
		{ "", -EBADMSG, NULL, NULL, false },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__cgroup_line line = { 0 };

		assert_int_equal(
			belay__parse_cgroup_line(cases[i].line, strlen(cases[i].line), &line),
			cases[i].result);
		if (cases[i].result < 0)
			continue;
		assert_int_equal(line.controllers_len, strlen(cases[i].controllers));
		assert_memory_equal(line.controllers, cases[i].controllers, line.controllers_len);
		assert_int_equal(line.path_len, strlen(cases[i].path));
		assert_memory_equal(line.path, cases[i].path, line.path_len);
		assert_int_equal(line.unified, cases[i].unified);
	}
}

static void a_list_has_whole_members_only(void **state)
{
	(void)state;

	assert_true(belay__list_has("cpu,freezer", 11, "freezer"));
	assert_true(belay__list_has("freezer,cpu", 11, "freezer"));
	assert_false(belay__list_has("freezers,cpu", 12, "freezer"));
	assert_false(belay__list_has("", 0, "freezer"));
}

static void a_mount_line_is_found_by_type_and_option(void **state)
{
	static const struct {
		const char *line, *type, *option;
		int result;
		const char *point;
	} cases[] = {
		{ "cgroup /run/fr cgroup rw,freezer 0 0", "cgroup", "freezer", 1, "/run/fr" },
		{ "cgroup2 /a\\040b\\134 cgroup2 rw 0 0", "cgroup2", NULL, 1, "/a b\\" },
		{ "cgroup /run/cpu cgroup rw,cpu 0 0", "cgroup", "freezer", 0, NULL },
		{ "cgroup2 /x cgroup2 rw 0 0", "cgroup", NULL, 0, NULL },
		{ "cgroup2 /x\\04 cgroup2 rw 0 0", "cgroup2", NULL, 0, NULL },
		{ "cgroup2 /x\\9 cgroup2 rw 0 0", "cgroup2", NULL, 0, NULL },
		{ "cgroup2 /123456789012345 cgroup2 rw 0 0", "cgroup2", NULL, 0, NULL },
		{ "cgroup2 /12345678901234 cgroup2 rw 0 0", "cgroup2", NULL, 1, "/12345678901234" },
		{ "cgroup2 /x", "cgroup2", NULL, 0, NULL },
		{ "", "cgroup2", NULL, 0, NULL },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char point[16];

		assert_int_equal(belay__parse_mount_line(cases[i].line, strlen(cases[i].line),
					 cases[i].type, cases[i].option, point, sizeof(point)),
			cases[i].result);
		if (cases[i].result == 1)
			assert_string_equal(point, cases[i].point);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stat_line_is_read_from_its_last_parenthesis),
		cmocka_unit_test(what_is_no_stat_line_leaves_the_result_alone),
		cmocka_unit_test(a_status_line_gives_its_first_or_last_number),
		cmocka_unit_test(a_namespace_link_gives_its_inode),
		cmocka_unit_test(schedstat_is_three_numbers),
		cmocka_unit_test(a_system_call_is_told_from_running_and_from_none),
		cmocka_unit_test(a_wchan_is_a_symbol_or_nothing),
		cmocka_unit_test(pressure_is_in_thousandths),
		cmocka_unit_test(a_cgroup_line_has_three_parts),
		cmocka_unit_test(a_list_has_whole_members_only),
		cmocka_unit_test(a_mount_line_is_found_by_type_and_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
