/* Who a role becomes, and which capabilities it keeps. */

#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "observe/cage_testing.h"

#define NOBODY 65534

static void an_argument_says_what_the_options_mean(void **state)
{
	char argument[BELAY__CAGE_ARGUMENT_SIZE];
	struct belay_error error;

	(void)state;
	assert_int_equal(belay__cage_argument(false, "", argument, &error), 0);
	assert_string_equal(argument, "");
	assert_int_equal(belay__cage_argument(true, "", argument, &error), 0);
	assert_string_equal(argument, "--no-sandbox");
	memcpy(argument, "same", 5);
	if (geteuid() == 0) {
		assert_int_equal(belay__cage_argument(false, "no such user", argument, &error),
			-ENOENT);
		assert_non_null(strstr(error.text, "no such user"));
		assert_string_equal(argument, "same");
		assert_int_equal(belay__cage_argument(false, "root", argument, &error), 0);
		assert_string_equal(argument, "");
		assert_int_equal(belay__cage_argument(false, "daemon", argument, &error), 0);
		assert_string_equal(argument, "--as=1:1");
	} else {
		assert_int_equal(belay__cage_argument(false, "daemon", argument, &error), -EPERM);
		assert_string_equal(argument, "same");
	}
}

static void what_is_no_argument_is_refused(void **state)
{
	static const char *const bad[] = { "--as=", "--as=1", "--as=1:", "--as=:1", "--as=1:1 ",
		"--as=-1:1", "--as=4294967295:1", "--as=1:4294967295", "--as= 1:1", "--other", "x" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(belay__cage_obey(bad[i]), -EINVAL);
	assert_int_equal(belay__cage_obey(NULL), 0);
	assert_int_equal(belay__cage_obey(""), 0);
}

/* The number behind KEY of our own status, read as BASE; all ones when there is none. It is read once, from
 * what was opened before there was a cage. */
static unsigned long long own_status(const char *key, int base)
{
	static char text[8192];
	const char *at;

	if (text[0] == '\0' && read(status_fd, text, sizeof(text) - 1) < 0)
		return ~0ULL;
	at = strstr(text, key);
	return at == NULL ? ~0ULL : strtoull(at + strlen(key), NULL, base);
}

static int has_become_nobody(void)
{
	bool all = getuid() == NOBODY && geteuid() == NOBODY && getgid() == NOBODY &&
		own_status("\nGroups:", 10) == 0 && own_status("\nCapPrm:", 16) == 0 &&
		own_status("\nCapBnd:", 16) == 0 && own_status("\nNoNewPrivs:", 10) == 1;

	errno = EBADMSG;
	return all ? 0 : -1;
}

static int sees_capabilities(unsigned long long wanted, bool bound)
{
	unsigned long long bounding = own_status("\nCapBnd:", 16);

	errno = EBADMSG;
	return own_status("\nCapEff:", 16) == (wanted & bounding) &&
			own_status("\nCapPrm:", 16) == (wanted & bounding) &&
			(!bound || (bounding & ~wanted) == 0)
		? 0
		: -1;
}

static int keeps_none(void)
{
	return sees_capabilities(0, true);
}

static int keeps_sys_ptrace(void)
{
	return sees_capabilities(1ULL << 19, true);
}

static int keeps_those_of_the_runner(void)
{
	return sees_capabilities(1ULL << 1 | 1ULL << 5 | 1ULL << 6 | 1ULL << 7 | 1ULL << 19, false);
}

static void of_root_each_role_keeps_what_its_row_says(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(caged(BELAY__CAGE_GATE, NULL, keeps_none), 0);
	assert_int_equal(caged(BELAY__CAGE_EXPORTER, NULL, keeps_none), 0);
	assert_int_equal(caged(BELAY__CAGE_PROBER, NULL, keeps_sys_ptrace), 0);
	assert_int_equal(caged(BELAY__CAGE_RUNNER, NULL, keeps_those_of_the_runner), 0);
}

/* Whoever may keeps a capability that its children inherit, and is no longer root. */
static void is_given_ambient_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const uint32_t given = 1U << CAP_KILL | 1U << CAP_SYS_PTRACE;
	struct __user_cap_data_struct data[2] = { { given, given, given } };

	if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
		setresuid(NOBODY, NOBODY, NOBODY) < 0 || syscall(SYS_capset, &header, data) < 0 ||
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0) < 0 ||
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_PTRACE, 0, 0) < 0)
		_exit(98);
}

static int has_no_ambient_capability(unsigned long long wanted)
{
	bool none = own_status("\nCapAmb:", 16) == 0 && own_status("\nCapInh:", 16) == 0 &&
		own_status("\nCapPrm:", 16) == wanted && own_status("\nCapEff:", 16) == wanted;

	errno = EBADMSG;
	return none ? 0 : -1;
}

static int has_none_of_them(void)
{
	return has_no_ambient_capability(0);
}

static int has_what_the_prober_needs(void)
{
	return has_no_ambient_capability(1ULL << CAP_SYS_PTRACE);
}

static int ambient(enum belay__cage_kind kind, int (*act)(void))
{
	pid_t child = fork();

	if (child == 0) {
		is_given_ambient_capabilities();
		_exit(caged(kind, NULL, act) & 0xff);
	}
	return result_of(child);
}

static void who_is_not_root_gives_up_what_a_service_manager_gave_it(void **state)
{
	(void)state;
	if (geteuid() != 0 || prctl(PR_CAPBSET_READ, CAP_SYS_PTRACE) != 1 ||
		prctl(PR_CAPBSET_READ, CAP_KILL) != 1)
		skip();
	assert_int_equal(ambient(BELAY__CAGE_GATE, has_none_of_them), 0);
	assert_int_equal(ambient(BELAY__CAGE_EXPORTER, has_none_of_them), 0);
	assert_int_equal(ambient(BELAY__CAGE_PROBER, has_what_the_prober_needs), 0);
}

/* What was obeyed stays: in a child, then. */
static int obeying(const char *argument, enum belay__cage_kind kind, int (*act)(void))
{
	pid_t child = fork();

	if (child == 0)
		_exit(belay__cage_obey(argument) < 0 ? 99 : caged(kind, NULL, act) & 0xff);
	return result_of(child);
}

static int is_who_it_was(void)
{
	errno = EBADMSG;
	return getuid() == 0 ? 0 : -1;
}

static void gate_and_exporter_become_another_user_and_the_others_do_not(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(obeying("--as=65534:65534", BELAY__CAGE_GATE, has_become_nobody), 0);
	assert_int_equal(obeying("--as=65534:65534", BELAY__CAGE_EXPORTER, has_become_nobody), 0);
	assert_int_equal(obeying("--as=65534:65534", BELAY__CAGE_PROBER, is_who_it_was), 0);
	assert_int_equal(obeying("--as=65534:65534", BELAY__CAGE_RUNNER, is_who_it_was), 0);
}

static int is_as_before(void)
{
	int fd = makes_a_socket();

	errno = EBADMSG;
	return fd >= 0 && own_status("\nSeccomp:", 10) == 0 && own_status("\nNoNewPrivs:", 10) == 0
		? 0
		: -1;
}

static void without_a_sandbox_nothing_is_given_up(void **state)
{
	(void)state;
	if (prctl(PR_GET_SECCOMP) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0)
		skip();
	for (unsigned kind = 0; kind < BELAY__CAGE_COUNT; kind++)
		assert_int_equal(obeying("--no-sandbox", (enum belay__cage_kind)kind, is_as_before),
			0);
}

static void the_runner_starts_commands_that_no_cage_holds(void **state)
{
	(void)state;
	assert_int_equal(caged(BELAY__CAGE_RUNNER, NULL, is_as_before), 0);
	assert_int_equal(caged(BELAY__CAGE_RUNNER, NULL, executes), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_argument_says_what_the_options_mean),
		cmocka_unit_test(what_is_no_argument_is_refused),
		cmocka_unit_test(of_root_each_role_keeps_what_its_row_says),
		cmocka_unit_test(who_is_not_root_gives_up_what_a_service_manager_gave_it),
		cmocka_unit_test(gate_and_exporter_become_another_user_and_the_others_do_not),
		cmocka_unit_test(without_a_sandbox_nothing_is_given_up),
		cmocka_unit_test(the_runner_starts_commands_that_no_cage_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
