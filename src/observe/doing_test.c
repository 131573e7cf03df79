/* doing_test.c - what is done about silences and ends, as options and rules say it */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "identity/verdict.h"
#include "observe/options.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MASK(id)     (1u << BELAY__VERDICT_##id)

static struct belay__observe_options options;
static struct belay__rule rule;
static struct belay__doing doing;

static int fresh(void **state)
{
	(void)state;
	belay__observe_defaults(&options);
	belay__rule_defaults(&rule);
	memset(&doing, 'x', sizeof(doing));
	return 0;
}

static void set(char *member, size_t size, const char *value)
{
	assert_true((size_t)snprintf(member, size, "%s", value) < size);
}
#define SET(member, value) set(member, sizeof(member), value)

static void nothing_is_done_unless_it_is_said(void **state)
{
	(void)state;
	assert_int_equal(belay__doing_check(&options, NULL), 0);
	belay__doing_of(&options, NULL, &doing);
	assert_string_equal(doing.on_stall, "");
	assert_string_equal(doing.on_exit, "");
	assert_int_equal(doing.act_on, MASK(BLOCKED) | MASK(SILENT));
	assert_int_equal(doing.limit_count, 5);
	assert_int_equal(doing.limit_window_ns, 60 * BELAY__NS_PER_S);
	assert_false(doing.run_as_root);
}

static void a_rule_says_more_than_the_observer(void **state)
{
	(void)state;
	SET(options.on_stall, "report");
	SET(options.on_exit, "/bin/true {pid}");
	SET(rule.on_stall, "term 10s, kill");
	SET(rule.act_on, "stopped");
	SET(rule.action_limit, "0");
	belay__doing_of(&options, &rule, &doing);
	assert_string_equal(doing.on_stall, "term 10s, kill");
	assert_string_equal(doing.on_exit, "/bin/true {pid}");
	assert_int_equal(doing.act_on, MASK(STOPPED));
	assert_int_equal(doing.limit_count, 0);

	SET(rule.on_stall, "none");
	SET(rule.on_exit, "none");
	belay__doing_of(&options, &rule, &doing);
	assert_string_equal(doing.on_stall, "");
	assert_string_equal(doing.on_exit, "");
}

static void the_originals_command_is_a_ladder_of_one_step(void **state)
{
	(void)state;
	SET(options.recovery_exec, "restart a,b {pid}");
	assert_int_equal(belay__doing_check(&options, NULL), 0);
	belay__doing_of(&options, NULL, &doing);
	assert_string_equal(doing.on_stall, "command restart a\\,b {pid}");
	SET(rule.on_stall, "report");
	belay__doing_of(&options, &rule, &doing);
	assert_string_equal(doing.on_stall, "report");
}

static void what_cannot_be_read_is_named(void **state)
{
	static const struct {
		size_t offset;
		const char *value, *words; /* NULL: it is right */
	} cases[] = {
#define OF(member) offsetof(struct belay__observe_options, member)
		{ OF(on_stall), "report, term 10s, kill", NULL },
		{ OF(on_stall), "none", NULL },
		{ OF(on_stall), "explode", "on-stall: there is no step 'explode'" },
		{ OF(on_exit), "/bin/true {pid}", NULL },
		{ OF(on_exit), "/bin/true {who}", "on-exit: there is no key '{who}'" },
		{ OF(act_on), "none", NULL },
		{ OF(act_on), "blocked, silent,stopped", NULL },
		{ OF(act_on), "blocked,hung", "act-on: there is no verdict 'hung'" },
		{ OF(action_limit), "0", NULL },
		{ OF(action_limit), "1/250ms", NULL },
		{ OF(action_limit), "5", "action-limit: '5' is not like 5/60s" },
		{ OF(action_limit), "5/", "is not like 5/60s" },
		{ OF(action_limit), "5/0s", "is not like 5/60s" },
		{ OF(action_limit), "-1/60s", "is not like 5/60s" },
		{ OF(action_limit), "100001/60s", "is not like 5/60s" },
		{ OF(recovery_exec), "run {pid}", NULL },
		{ OF(recovery_exec), "{pid}", "--recovery-exec" },
		{ OF(alert), "/bin/cat", NULL },
		{ OF(alert), "/bin/cat {pid}", "--alert" },
		{ OF(deadman), "curl https://example.org/ping", NULL },
		{ OF(deadman), "./ping", "--deadman" },
		{ OF(metrics_token_file), "/etc/token", "without --metrics-addr" },
#undef OF
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay_error error = { 0 };
		int r;

		belay__observe_defaults(&options);
		memcpy((char *)&options + cases[i].offset, cases[i].value,
			strlen(cases[i].value) + 1);
		r = belay__doing_check(&options, &error);
		assert_int_equal(r, cases[i].words == NULL ? 0 : -EINVAL);
		if (r < 0 && strstr(error.text, cases[i].words) == NULL)
			fail_msg("'%s' is not in: %s", cases[i].words, error.text);
	}
}

static void sizes_and_times_have_the_originals_limits(void **state)
{
	(void)state;
	options.recovery_timeout_ns = 99 * BELAY__NS_PER_MS;
	assert_int_equal(belay__doing_check(&options, NULL), -EINVAL);
	options.recovery_timeout_ns = 100 * BELAY__NS_PER_MS;
	assert_int_equal(belay__doing_check(&options, NULL), 0);
	options.audit_bytes_max = 4095;
	assert_int_equal(belay__doing_check(&options, NULL), -EINVAL);
	options.audit_bytes_max = 4096;
	options.export_bytes_max = 4095;
	assert_int_equal(belay__doing_check(&options, NULL), -EINVAL);
	options.export_bytes_max = 4096;
	assert_int_equal(belay__doing_check(&options, NULL), 0);
}

static void one_thing_is_said_in_one_way(void **state)
{
	struct belay_error error;
	(void)state;

	SET(options.recovery_exec, "run");
	SET(options.recovery_exec_file, "/run");
	assert_int_equal(belay__doing_check(&options, &error), -EINVAL);
	assert_non_null(strstr(error.text, "mutually exclusive"));
	options.recovery_exec_file[0] = '\0';
	SET(options.on_stall, "report");
	assert_int_equal(belay__doing_check(&options, &error), -EINVAL);
	assert_non_null(strstr(error.text, "mutually exclusive"));
}

static void root_is_asked_for_with_exe_and_uid_only(void **state)
{
	(void)state;
	SET(rule.on_stall, "command /bin/true");
	assert_int_equal(belay__rule_check(&rule, NULL), 0);
	rule.run_as = BELAY__RUN_AS_ROOT;
	assert_int_equal(belay__rule_check(&rule, NULL), -EINVAL);
	SET(rule.exe, "/usr/sbin/x");
	assert_int_equal(belay__rule_check(&rule, NULL), -EINVAL);
	rule.uid = 1000;
	assert_int_equal(belay__rule_check(&rule, NULL), geteuid() == 0 ? 0 : -EINVAL);
	rule.exe[0] = '\0';
	assert_int_equal(belay__rule_check(&rule, NULL), -EINVAL);
}

static void a_command_comes_from_a_private_file_only(void **state)
{
	static const struct {
		const char *text;
		mode_t mode;
		int code;
		const char *command;
	} cases[] = {
		{ " \n run {pid}\n\n", 0600, 0, "run {pid}" },
		{ "run", 0400, 0, "run" },
		{ "run", 0640, -EPERM, "" },
		{ "run", 0602, -EPERM, "" },
		{ " \n", 0600, -EINVAL, "" },
		{ "", 0600, -EINVAL, "" },
	};
	char path[] = "/tmp/belay-doing-XXXXXX", other[64];
	int fd = mkstemp(path);
	struct belay_error error;
	(void)state;

	assert_true(fd >= 0);
	for (size_t i = 0; i < COUNT(cases); i++) {
		belay__observe_defaults(&options);
		SET(options.recovery_exec_file, path);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, cases[i].text, strlen(cases[i].text), 0),
			strlen(cases[i].text));
		assert_int_equal(fchmod(fd, cases[i].mode), 0);
		assert_int_equal(belay__doing_check(&options, &error), cases[i].code);
		assert_string_equal(options.recovery_exec, cases[i].command);
	}
	close(fd);
	(void)snprintf(other, sizeof(other), "%s.link", path);
	assert_int_equal(symlink(path, other), 0);
	belay__observe_defaults(&options);
	SET(options.recovery_exec_file, other);
	assert_int_equal(belay__doing_check(&options, &error), -ELOOP);
	unlink(other);
	unlink(path);
}

static void variables_are_gathered_and_replaced(void **state)
{
	static const struct {
		const char *value;
		int code;
	} values[] = { { "A=1", 0 }, { "B=2", 0 }, { "A=3=4", 0 }, { "=1", -EINVAL },
		{ "A", -EINVAL }, { "C=", 0 } };
	static const char entries[] = "B=2\0A=3=4\0C=";
	const struct belay__option *row = belay__option_find(belay__observe_table,
		belay__observe_table_count, "recovery-env", 12);
	char large[BELAY__ACTION_SIZE + 8];
	(void)state;

	for (size_t i = 0; i < COUNT(values); i++)
		assert_int_equal(belay__option_set(row, &options, values[i].value, NULL),
			values[i].code);
	assert_int_equal(options.recovery_env_len, sizeof(entries));
	assert_memory_equal(options.recovery_env, entries, sizeof(entries));
	memset(large, 'L', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	large[1] = '=';
	assert_int_equal(belay__option_set(row, &options, large, NULL), -EINVAL);
	assert_int_equal(options.recovery_env_len, sizeof(entries));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_is_done_unless_it_is_said, fresh),
		cmocka_unit_test_setup(a_rule_says_more_than_the_observer, fresh),
		cmocka_unit_test_setup(the_originals_command_is_a_ladder_of_one_step, fresh),
		cmocka_unit_test_setup(what_cannot_be_read_is_named, fresh),
		cmocka_unit_test_setup(sizes_and_times_have_the_originals_limits, fresh),
		cmocka_unit_test_setup(one_thing_is_said_in_one_way, fresh),
		cmocka_unit_test_setup(root_is_asked_for_with_exe_and_uid_only, fresh),
		cmocka_unit_test_setup(a_command_comes_from_a_private_file_only, fresh),
		cmocka_unit_test_setup(variables_are_gathered_and_replaced, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
