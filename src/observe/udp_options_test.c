#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "observe/options.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct belay__observe_options options;

/* What the cases below set; all else is as by default. */
struct given {
	const char *bind, *key, *accepted, *master, *exec, *exec_file, *on_stall, *on_exit;
	unsigned port;
	bool plain_ok, far_ok, sealed_recovery, plain_recovery;
};

#define SET(member, value)                                                                         \
	do {                                                                                       \
		if ((value) != NULL)                                                               \
			memcpy(options.member, value, strlen(value) + 1);                          \
	} while (0)

static void set(const struct given *given)
{
	belay__observe_defaults(&options);
	options.udp_port = given->port;
	SET(udp_bind_addr, given->bind);
	SET(key_file, given->key);
	SET(accepted_key_file, given->accepted);
	SET(master_key_file, given->master);
	SET(recovery_exec, given->exec);
	SET(recovery_exec_file, given->exec_file);
	SET(on_stall, given->on_stall);
	SET(on_exit, given->on_exit);
	options.accept_plaintext_udp = given->plain_ok;
	options.accept_secure_non_loopback = given->far_ok;
	options.secure_recovery = given->sealed_recovery;
	options.plaintext_recovery = given->plain_recovery;
}

#define SEALED   .port = 7000, .key = "/k"
#define PLAIN    .port = 7000, .plain_ok = true
#define RECOVERY "-udp-i-accept-recovery-on-unauthenticated-transport"

static void each_gate_names_its_flag_and_opens_with_it(void **state)
{
	static const struct {
		struct given given;
		const char *begins, *says; /* NULL: it is right */
	} cases[] = {
		{ { .port = 0 }, NULL, NULL },
		/* an address */
		{ { .bind = "127.0.0.1" }, "--udp-bind-addr", "--udp-port" },
		{ { SEALED, .bind = "127.0.0.1" }, NULL, NULL },
		{ { SEALED, .bind = "::1" }, NULL, NULL },
		{ { SEALED, .bind = "localhost" }, "--udp-bind-addr", "no IP address" },
		{ { SEALED, .bind = "127.0.0.1:7000" }, "--udp-bind-addr", "no IP address" },
		{ { SEALED, .bind = "[::1]" }, "--udp-bind-addr", "no IP address" },
		{ { .bind = "localhost" }, "--udp-bind-addr", "no IP address" },
		/* keys, or none */
		{ { .port = 7000 }, "--udp-port", "--i-accept-plaintext-udp" },
		{ { PLAIN }, NULL, NULL },
		{ { PLAIN, .bind = "10.0.0.1" }, NULL, NULL },
		{ { .port = 65535, .accepted = "/a" }, NULL, NULL },
		{ { .port = 1, .master = "/m" }, NULL, NULL },
		{ { .key = "/k", .master = "/m" }, NULL, NULL },
		/* sealed, where others reach it */
		{ { SEALED, .bind = "0.0.0.0" }, "--udp-bind-addr",
			"--i-accept-secure-udp-non-loopback" },
		{ { SEALED, .bind = "::" }, "--udp-bind-addr", "non-loopback" },
		{ { SEALED, .bind = "0.0.0.0", .far_ok = true }, NULL, NULL },
		{ { SEALED, .bind = "0.0.0.0", .plain_ok = true }, "--udp-bind-addr", "secure" },
		{ { .port = 7000, .bind = "0.0.0.0", .far_ok = true }, "--udp-port", "plaintext" },
		/* commands: each transport has its own acknowledgement */
		{ { .exec = "true" }, NULL, NULL },
		{ { SEALED, .exec = "true" }, "--recovery-exec ", "--secure" RECOVERY },
		{ { SEALED, .exec = "true", .plain_recovery = true }, "--recovery-exec ",
			"--secure" },
		{ { SEALED, .exec = "true", .sealed_recovery = true }, NULL, NULL },
		{ { PLAIN, .exec = "true" }, "--recovery-exec ", "--plaintext" RECOVERY },
		{ { PLAIN, .exec = "true", .sealed_recovery = true }, "--recovery-exec ",
			"--plaintext" },
		{ { PLAIN, .exec = "true", .plain_recovery = true }, NULL, NULL },
		{ { SEALED, .exec_file = "/c" }, "--recovery-exec-file ", "--secure" },
		{ { SEALED, .on_exit = "true" }, "--on-exit ", "--secure" },
		{ { SEALED, .on_exit = "none" }, NULL, NULL },
		{ { SEALED, .on_stall = "report, term 10s, kill" }, NULL, NULL },
		{ { SEALED, .on_stall = "none" }, NULL, NULL },
		{ { SEALED, .on_stall = "command true" }, "--on-stall ", "--secure" },
		{ { SEALED, .on_stall = "report,  command true, kill" }, "--on-stall ", "--secure" },
		{ { SEALED, .on_stall = "report, command true", .sealed_recovery = true }, NULL,
			NULL },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay_error error = { .text = "" };
		int r;

		set(&cases[i].given);
		r = belay__observe_options_check(&options, &error);
		if (r != (cases[i].begins == NULL ? 0 : -EINVAL))
			fail_msg("case %zu: %d %s", i, r, error.text);
		if (r == 0)
			continue;
		if (strncmp(error.text, cases[i].begins, strlen(cases[i].begins)) != 0 ||
			strstr(error.text, cases[i].says) == NULL)
			fail_msg("case %zu: %s", i, error.text);
		assert_null(strchr(error.text, '\n'));
	}
}

/* The threshold comes first, then the acknowledgements, then the table, and at the end the choice of how
 * to listen. */
static void the_gates_stand_in_the_references_order(void **state)
{
	static const struct given wrong = { .port = 7000, .exec = "true", .bind = "10.0.0.1" };
	struct belay_error error = { .text = "" };
	(void)state;

	set(&wrong);
	options.threshold_ns = 1;
	options.capacity = 0;
	assert_int_equal(belay__observe_options_check(&options, &error), -EINVAL);
	assert_memory_equal(error.text, "--threshold", strlen("--threshold"));
	options.threshold_ns = BELAY__NS_PER_S;
	assert_int_equal(belay__observe_options_check(&options, &error), -EINVAL);
	assert_memory_equal(error.text, "--recovery-exec", strlen("--recovery-exec"));
	options.plaintext_recovery = true;
	assert_int_equal(belay__observe_options_check(&options, &error), -EINVAL);
	assert_memory_equal(error.text, "--capacity", strlen("--capacity"));
	options.capacity = 1;
	assert_int_equal(belay__observe_options_check(&options, &error), -EINVAL);
	assert_non_null(strstr(error.text, "--i-accept-plaintext-udp"));

	SET(master_key_file, "/m");
	options.secure_recovery = true;
	options.capacity = 0;
	assert_int_equal(belay__observe_options_check(&options, &error), -EINVAL);
	assert_non_null(strstr(error.text, "--i-accept-secure-udp-non-loopback"));
	options.accept_secure_non_loopback = true;
	assert_int_equal(belay__observe_options_check(&options, &error), -EINVAL);
	assert_memory_equal(error.text, "--capacity", strlen("--capacity"));
	options.capacity = 1;
	assert_int_equal(belay__observe_options_check(&options, NULL), 0);
}

static void the_address_by_default_is_near_with_keys_and_anywhere_without(void **state)
{
	(void)state;
	set(&(struct given){ PLAIN });
	assert_false(belay__udp_is_sealed(&options));
	assert_string_equal(belay__udp_bind_addr(&options), "0.0.0.0");
	set(&(struct given){ .master = "/m" });
	assert_true(belay__udp_is_sealed(&options));
	assert_string_equal(belay__udp_bind_addr(&options), "127.0.0.1");
	SET(udp_bind_addr, "::");
	assert_string_equal(belay__udp_bind_addr(&options), "::");
}

/* A rule without host= is about this host, where the kernel vouches. */
static void a_rules_command_needs_it_when_the_rule_is_about_other_hosts(void **state)
{
	static struct belay__rule rule;
	struct belay_error error = { .text = "" };
	(void)state;

	set(&(struct given){ SEALED });
	belay__rule_defaults(&rule);
	memcpy(rule.on_stall, "command true", sizeof("command true"));
	assert_int_equal(belay__udp_recovery_check(&options, &rule, NULL), 0);
	memcpy(rule.host, "web*", sizeof("web*"));
	assert_int_equal(belay__udp_recovery_check(&options, &rule, &error), -EINVAL);
	assert_non_null(strstr(error.text, "--secure" RECOVERY));
	memcpy(rule.on_stall, "report", sizeof("report"));
	assert_int_equal(belay__udp_recovery_check(&options, &rule, NULL), 0);
	memcpy(rule.on_stall, "report, command true", sizeof("report, command true"));
	options.secure_recovery = true;
	assert_int_equal(belay__udp_recovery_check(&options, &rule, NULL), 0);
	options.secure_recovery = false;
	options.udp_port = 0;
	assert_int_equal(belay__udp_recovery_check(&options, &rule, NULL), 0);
}

static void options_that_are_gone_say_what_to_use(void **state)
{
	static const struct {
		const char *name, *says; /* NULL: it never was */
	} cases[] = {
		{ "key-env", "--key-file" },
		{ "key_env", "--key-file" },
		{ "master-key-env", "--master-key-file" },
		{ "accepted-key-env", "--accepted-key-file" },
		{ "recovery-cmd", "--recovery-exec" },
		{ "recovery-cmd-file", "--recovery-exec-file" },
		{ "i-accept-shell-risk", "--recovery-exec" },
		{ "key", NULL },
		{ "key-file", NULL },
		{ "key-environment", NULL },
		{ "", NULL },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *instead = belay__observe_removed(cases[i].name, strlen(cases[i].name));

		assert_int_equal(instead != NULL, cases[i].says != NULL);
		if (instead != NULL)
			assert_non_null(strstr(instead, cases[i].says));
	}
	assert_non_null(belay__observe_removed("key-env=x", strlen("key-env")));
}

static void whom_roles_become_must_be_somebody(void **state)
{
	struct belay_error error = { .text = "" };
	(void)state;

	set(&(struct given){ .port = 0 });
	SET(user, "no-such-user-here");
	assert_int_equal(belay__observe_options_check(&options, &error), -EINVAL);
	assert_memory_equal(error.text, "--user", strlen("--user"));
	SET(user, "daemon");
	assert_int_equal(belay__observe_options_check(&options, NULL), geteuid() == 0 ? 0 : -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_gate_names_its_flag_and_opens_with_it),
		cmocka_unit_test(the_gates_stand_in_the_references_order),
		cmocka_unit_test(the_address_by_default_is_near_with_keys_and_anywhere_without),
		cmocka_unit_test(a_rules_command_needs_it_when_the_rule_is_about_other_hosts),
		cmocka_unit_test(options_that_are_gone_say_what_to_use),
		cmocka_unit_test(whom_roles_become_must_be_somebody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
