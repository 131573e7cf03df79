#include <belay/sealed.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <belay/crash.h>
#include <cmocka.h>

#include "beat/test_far.h"
#include "beat/test_observer.h"
#include "wire/seal.h"

/* This program is linked so that this stands before the C library's. */
int __real_madvise(void *address, size_t len, int advice);
int __wrap_madvise(void *address, size_t len, int advice);

static enum { AS_IT_IS, REFUSES, ONLY_NODS } wiping;

int __wrap_madvise(void *address, size_t len, int advice)
{
	if (wiping == ONLY_NODS)
		return 0;
	if (wiping == REFUSES && advice == MADV_WIPEONFORK) {
		errno = EINVAL;
		return -1;
	}
	return __real_madvise(address, len, advice);
}

#define REFUSE(call, error)                                                                        \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1),                                     \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))

static const struct belay_key key = { .bytes = { 1, 2, 3 } };
static struct test_far far;

/* From now on there is no entropy, neither from getrandom(2) nor from a device. */
static bool lose_entropy(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(getrandom, ENOSYS),
		REFUSE(openat, EACCES),
#if defined(SYS_open)
		REFUSE(open, EACCES),
#endif
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
	uint8_t salt[BELAY__SALT_LEN];

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
		belay__seal_salt(salt) == -ENOSYS && belay__seal_init() == -ENOSYS;
}

static bool open_without_entropy(void *argument)
{
	(void)argument;

	if (!lose_entropy() || belay_open_sealed(far.address, &key) != NULL || errno != ENOSYS)
		return false;
	return belay_open_sealed_master(far.address, &key) == NULL && errno == ENOSYS;
}

static void without_entropy_no_handle_is_opened_and_nobody_dies(void **state)
{
	(void)state;
	assert_in_child(open_without_entropy, NULL);
}

static bool install_without_entropy(void *argument)
{
	struct belay_crash_report report;
	struct belay_error error;
	(void)argument;

	return lose_entropy() &&
		belay_crash_install_sealed(far.address, &key, NULL, &report, &error) == -ENOSYS &&
		report.step == BELAY_CRASH_ENTROPY && strstr(error.text, "entropy") != NULL;
}

static void without_entropy_no_hook_is_installed_and_nobody_dies(void **state)
{
	(void)state;
	assert_in_child(install_without_entropy, NULL);
}

static void fault(void)
{
	volatile char *volatile nowhere = NULL;

	(void)nowhere[8];
}

static void crash_degraded(void)
{
	(void)signal(SIGSEGV, SIG_DFL);
	if (!lose_entropy())
		_exit(98);
	if (belay_crash_install_sealed_accept_degraded_entropy(far.address, &key, NULL, NULL,
		    NULL) != 0)
		_exit(99);
	fault();
	_exit(0);
}

/* Opens what arrived with libsodium's fastest code: the slowest has sealed it the same way. */
static struct belay_frame opened(void)
{
	uint8_t bytes[BELAY__SEALED_LEN + 1], frame_bytes[BELAY_FRAME_LEN];
	struct belay_frame frame;

	assert_int_equal(test_far_take(&far, bytes, sizeof(bytes)), BELAY__SEALED_LEN);
	assert_true(belay__unseal(key.bytes, bytes, NULL, 0, frame_bytes));
	assert_true(belay_frame_decode(frame_bytes, &frame, NULL));
	return frame;
}

static void a_degraded_hook_speaks_without_any_entropy(void **state)
{
	pid_t pid = fork();
	struct belay_frame frame;
	int status;
	(void)state;

	assert_true(pid >= 0);
	if (pid == 0)
		crash_degraded();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	assert_int_equal(belay__seal_init(), 0);
	frame = opened();
	assert_int_equal(frame.pid, pid);
	assert_int_equal(frame.nonce, BELAY_NONCE_TERMINAL);
}

static bool open_where_pages_are_not_wiped(void *how)
{
	struct belay *plain;

	wiping = *(const int *)how == REFUSES ? REFUSES : ONLY_NODS;
	if (belay_open_sealed(far.address, &key) != NULL || errno != ENOTSUP ||
		belay_open_sealed_master(far.address, &key) != NULL || errno != ENOTSUP)
		return false;
	/* Who does not seal has nothing to lose by it but a mistaken pid. */
	plain = belay_open_udp(far.address);
	if (plain == NULL || belay_beat(plain, BELAY_OK, 0).sent != BELAY_SENT)
		return false;
	belay_close(plain);

	wiping = AS_IT_IS;
	return belay_open_sealed(far.address, &key) != NULL;
}

static void where_a_child_could_go_unnoticed_nothing_is_sealed(void **state)
{
	static int hows[] = { REFUSES, ONLY_NODS };
	(void)state;

	for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		assert_in_child(open_where_pages_are_not_wiped, &hows[i]);
		assert_int_equal(test_far_drain(&far), 1);
	}
}

static bool install_where_pages_are_not_wiped(void *argument)
{
	struct belay_crash_report report;
	(void)argument;

	wiping = REFUSES;
	return belay_crash_install_sealed(far.address, &key, NULL, &report, NULL) == -ENOTSUP &&
		report.step == BELAY_CRASH_SOCKET &&
		belay_crash_install_sealed_accept_degraded_entropy(far.address, &key, NULL, NULL,
			NULL) == 0;
}

static void nor_is_a_hook_installed_there(void **state)
{
	(void)state;
	assert_in_child(install_where_pages_are_not_wiped, NULL);
}

static int begin(void **state)
{
	(void)state;
	assert_true(test_far_init(&far, AF_INET));
	return 0;
}

static int end(void **state)
{
	(void)state;
	test_far_done(&far);
	return 0;
}

int main(void)
{
	/* From the third on libsodium is started here, too. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_entropy_no_handle_is_opened_and_nobody_dies),
		cmocka_unit_test(without_entropy_no_hook_is_installed_and_nobody_dies),
		cmocka_unit_test(a_degraded_hook_speaks_without_any_entropy),
		cmocka_unit_test(where_a_child_could_go_unnoticed_nothing_is_sealed),
		cmocka_unit_test(nor_is_a_hook_installed_there),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
