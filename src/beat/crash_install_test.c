#include <belay/crash.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "beat/test_observer.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

/* This program is linked so that these stand before the C library's. */
int __real_sigaction(int number, const struct sigaction *action, struct sigaction *old);
int __wrap_sigaction(int number, const struct sigaction *action, struct sigaction *old);
int __real_sigaltstack(const stack_t *stack, stack_t *old);
int __wrap_sigaltstack(const stack_t *stack, stack_t *old);

static int refused_signal; /* no handler can be set for it */
static bool no_stacks;

int __wrap_sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
	if (action != NULL && number == refused_signal) {
		refused_signal = 0;
		errno = EPERM;
		return -1;
	}
	return __real_sigaction(number, action, old);
}

int __wrap_sigaltstack(const stack_t *stack, stack_t *old)
{
	if (stack != NULL && no_stacks) {
		errno = EPERM;
		return -1;
	}
	return __real_sigaltstack(stack, old);
}

static const int six[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS };
static const stack_t no_stack = { .ss_flags = SS_DISABLE };

static struct test_observer observer;
static char note_path[80];

static uint64_t all_six(void)
{
	uint64_t all = 0;

	for (size_t i = 0; i < 6; i++)
		all |= UINT64_C(1) << six[i];
	return all;
}

static bool all_are(bool taken)
{
	struct sigaction now;

	for (size_t i = 0; i < 6; i++) {
		(void)__real_sigaction(six[i], NULL, &now);
		if ((now.sa_handler == SIG_DFL) == taken)
			return false;
	}
	return true;
}

static bool has_stack(void)
{
	stack_t now;

	(void)__real_sigaltstack(NULL, &now);
	return (now.ss_flags & SS_DISABLE) == 0;
}

static void begin_plainly(void)
{
	for (size_t i = 0; i < 6; i++)
		(void)signal(six[i], SIG_DFL);
	(void)__real_sigaltstack(&no_stack, NULL);
}

/* Nothing was installed, and the failure is told with its step. */
static bool failed_at(int r, int expected, const struct belay_crash_report *report,
	const struct belay_error *error, enum belay_crash_step step, int descriptors)
{
	return r == expected && error->code == expected && report->step == step &&
		report->installed == 0 && report->left_alone == 0 &&
		strstr(error->text, belay_crash_step_name(step)) != NULL && all_are(false) &&
		!has_stack() && belay__fd_count() == descriptors && access(note_path, F_OK) < 0;
}

static bool fail_at_every_step(void *argument)
{
	struct belay_crash_options options = { .note = note_path };
	struct belay_crash_report report;
	struct belay_error error;
	int descriptors, r;
	(void)argument;

	begin_plainly();
	descriptors = belay__fd_count();
	r = belay_crash_install_uds("/nobody/here", &options, &report, &error);
	if (!failed_at(r, -ENOENT, &report, &error, BELAY_CRASH_SOCKET, descriptors))
		return false;
	r = belay_crash_install_udp("localhost:7000", &options, &report, &error);
	if (!failed_at(r, -EINVAL, &report, &error, BELAY_CRASH_SOCKET, descriptors))
		return false;
	r = belay_crash_install_udp(NULL, &options, &report, &error);
	if (!failed_at(r, -EINVAL, &report, &error, BELAY_CRASH_SOCKET, descriptors))
		return false;
	r = belay_crash_install_with(NULL, &options, &report, &error);
	if (!failed_at(r, -EINVAL, &report, &error, BELAY_CRASH_OPTIONS, descriptors))
		return false;

	options.note = "/nobody/here";
	r = belay_crash_install_uds(observer.path, &options, &report, &error);
	if (!failed_at(r, -ENOENT, &report, &error, BELAY_CRASH_NOTE, descriptors))
		return false;
	options.note = note_path;
	no_stacks = true;
	r = belay_crash_install_uds(observer.path, &options, &report, &error);
	if (!failed_at(r, -EPERM, &report, &error, BELAY_CRASH_STACK, descriptors))
		return false;
	no_stacks = false;
	for (size_t i = 0; i < 6; i++) {
		refused_signal = six[i];
		r = belay_crash_install_uds(observer.path, &options, &report, &error);
		if (!failed_at(r, -EPERM, &report, &error, BELAY_CRASH_SIGNALS, descriptors))
			return false;
	}
	return true;
}

static void a_failure_installs_nothing_and_names_its_step(void **state)
{
	(void)state;
	assert_in_child(fail_at_every_step, NULL);
}

static bool ask_for_nonsense(void *argument)
{
	struct belay_crash_options wrong[4] = {
		{ .flags = 2 },
		{ .flags = BELAY_CRASH_CHAIN | 1U << 31 },
		{ .reserved = { [5] = 1 } },
		{ .note = "" },
	};
	struct belay_crash_report report;
	struct belay_error error;
	int descriptors;
	(void)argument;

	begin_plainly();
	descriptors = belay__fd_count();
	for (size_t i = 0; i < 4; i++) {
		int r = belay_crash_install_uds(observer.path, &wrong[i], &report, &error);

		if (!failed_at(r, -EINVAL, &report, &error, BELAY_CRASH_OPTIONS, descriptors))
			return false;
	}
	return true;
}

static void unknown_options_are_refused(void **state)
{
	(void)state;
	assert_in_child(ask_for_nonsense, NULL);
}

static bool come_and_go(void *argument)
{
	const struct belay_crash_options options = { .note = note_path };
	struct belay_crash_report report;
	struct stat status;
	int descriptors;
	(void)argument;

	begin_plainly();
	(void)umask(0);
	descriptors = belay__fd_count();
	/* The second and third take the place of the one before. */
	for (int i = 0; i < 3; i++) {
		if (belay_crash_install_uds(observer.path, &options, &report, NULL) != 0 ||
			report.step != BELAY_CRASH_DONE || report.installed != all_six() ||
			report.left_alone != 0 || !all_are(true) || !has_stack() ||
			belay__fd_count() != descriptors + 2)
			return false;
		if (lstat(note_path, &status) < 0 || (status.st_mode & 07777) != 0600 ||
			status.st_size != 0)
			return false;
	}
	belay_crash_uninstall();
	if (!all_are(false) || has_stack() || belay__fd_count() != descriptors)
		return false;
	belay_crash_uninstall(); /* once more is nothing */
	return access(note_path, F_OK) < 0 && test_observer_drain(&observer) == 0;
}

static void installing_again_replaces_and_uninstalling_leaves_nothing(void **state)
{
	(void)state;
	assert_in_child(come_and_go, NULL);
}

static bool fail_over_a_good_one(void *argument)
{
	struct belay_crash_report report;
	(void)argument;

	begin_plainly();
	if (belay_crash_install_uds(observer.path, NULL, NULL, NULL) != 0 ||
		belay_crash_install_uds("/nobody/here", NULL, &report, NULL) != -ENOENT)
		return false;
	return all_are(true) && has_stack();
}

static void a_failure_leaves_what_was_installed_before(void **state)
{
	(void)state;
	assert_in_child(fail_over_a_good_one, NULL);
}

static bool install_without_stdio(void *argument)
{
	const struct belay_crash_options options = { .note = note_path };
	static bool was_open[1024];
	unsigned made = 0;
	(void)argument;

	begin_plainly();
	for (int fd = 0; fd <= 2; fd++)
		(void)close(fd);
	for (int fd = 0; fd < 1024; fd++)
		was_open[fd] = fcntl(fd, F_GETFD) >= 0;
	if (belay_crash_install_uds(observer.path, &options, NULL, NULL) != 0)
		return false;
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			return false;
	for (int fd = 3; fd < 1024; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (was_open[fd] || flags < 0)
			continue;
		made++;
		if ((flags & FD_CLOEXEC) == 0)
			return false;
	}
	belay_crash_uninstall();
	return made == 2; /* socket and note */
}

static void nothing_takes_the_place_of_a_closed_standard_descriptor(void **state)
{
	(void)state;
	assert_in_child(install_without_stdio, NULL);
}

static bool name_a_relative_socket(void *argument)
{
	struct belay_crash_report report;
	struct belay_error error;
	(void)argument;

	begin_plainly();
	(void)setenv("BELAY_SOCKET", "not/absolute", 1);
	return belay_crash_install_uds(NULL, NULL, &report, &error) == -EINVAL &&
		report.step == BELAY_CRASH_SOCKET && strstr(error.text, "$BELAY_SOCKET") != NULL;
}

static void a_socket_that_the_environment_names_wrongly_is_told(void **state)
{
	(void)state;
	assert_in_child(name_a_relative_socket, NULL);
}

/* The least that the kernel takes has no room for a handler that does anything. */
static bool have_a_small_stack(void *argument)
{
	const size_t told = getauxval(AT_MINSIGSTKSZ), size = told > 2048 ? told : 2048;
	stack_t small = { .ss_size = size }, now;
	(void)argument;

	begin_plainly();
	small.ss_sp = malloc(size);
	if (small.ss_sp == NULL || sigaltstack(&small, NULL) < 0)
		return false;
	if (belay_crash_install_uds(observer.path, NULL, NULL, NULL) != 0 ||
		sigaltstack(NULL, &now) < 0 || now.ss_size < size + 4096)
		return false;
	belay_crash_uninstall();
	if (sigaltstack(NULL, &now) < 0 || now.ss_sp != small.ss_sp || now.ss_size != size)
		return false;
	(void)__real_sigaltstack(&no_stack, NULL);
	free(small.ss_sp);
	return true;
}

static void a_stack_that_is_too_small_is_replaced_and_put_back(void **state)
{
	(void)state;
	assert_in_child(have_a_small_stack, NULL);
}

static unsigned closed;

static void send_nothing(void *data, const uint8_t frame[BELAY_FRAME_LEN], uint32_t pid,
	uint64_t timestamp_ns)
{
	(void)data;
	(void)frame;
	(void)pid;
	(void)timestamp_ns;
}

static void count_closing(void *data)
{
	(void)data;
	closed++;
}

static bool replace_ways(void *argument)
{
	const struct belay_crash_transport with = { .send = send_nothing, .close = count_closing };
	const struct belay_crash_transport without = { .send = send_nothing };
	const struct belay_crash_options wrong = { .flags = 2 };
	(void)argument;

	begin_plainly();
	if (belay_crash_install_with(&with, &wrong, NULL, NULL) != -EINVAL || closed != 0)
		return false;
	if (belay_crash_install_with(&with, NULL, NULL, NULL) != 0 || closed != 0)
		return false;
	if (belay_crash_install_with(&with, NULL, NULL, NULL) != 0 || closed != 1)
		return false;
	if (belay_crash_install_with(&without, NULL, NULL, NULL) != 0 || closed != 2)
		return false;
	belay_crash_uninstall();
	return closed == 2;
}

static void a_way_is_closed_once_when_it_is_replaced(void **state)
{
	(void)state;
	assert_in_child(replace_ways, NULL);
}

static void every_step_has_a_name(void **state)
{
	(void)state;
	for (int step = BELAY_CRASH_DONE; step <= BELAY_CRASH_SIGNALS; step++)
		assert_non_null(belay_crash_step_name((enum belay_crash_step)step));
	assert_string_equal(belay_crash_step_name(BELAY_CRASH_ENTROPY), "entropy");
	assert_null(belay_crash_step_name((enum belay_crash_step)(BELAY_CRASH_SIGNALS + 1)));
}

static int begin(void **state)
{
	(void)state;
	test_observer_init(&observer);
	test_observer_listen(&observer);
	(void)snprintf(note_path, sizeof(note_path), "%s/note", observer.directory);
	return 0;
}

static int end(void **state)
{
	(void)state;
	(void)unlink(note_path);
	test_observer_done(&observer);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_installs_nothing_and_names_its_step),
		cmocka_unit_test(unknown_options_are_refused),
		cmocka_unit_test(installing_again_replaces_and_uninstalling_leaves_nothing),
		cmocka_unit_test(a_failure_leaves_what_was_installed_before),
		cmocka_unit_test(nothing_takes_the_place_of_a_closed_standard_descriptor),
		cmocka_unit_test(a_socket_that_the_environment_names_wrongly_is_told),
		cmocka_unit_test(a_stack_that_is_too_small_is_replaced_and_put_back),
		cmocka_unit_test(a_way_is_closed_once_when_it_is_replaced),
		cmocka_unit_test(every_step_has_a_name),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
