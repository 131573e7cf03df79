#include <belay/crash.h>

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "beat/crash_internal.h"
#include "beat/crash_testing.h"

enum { ANY = -1000 };

/* A way to die. */
struct way {
	const char *name;
	int number, code; /* what the process must die of */
	void (*die)(int number);
	void (*from_outside)(pid_t pid, int number);
};

static void read_nowhere(int number)
{
	volatile char *volatile nowhere = NULL;
	(void)number;

	(void)nowhere[8];
}

/* The same in every run, so that siginfos can be compared. */
#define PLACE ((void *)(uintptr_t)0x10000000)

static void write_to_closed_memory(int number)
{
	volatile char *page = mmap(PLACE, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)number;

	page[0] = 1;
}

static void read_behind_a_files_end(int number)
{
	int fd = (int)syscall(SYS_memfd_create, "empty", 1U /* close-on-exec */);
	volatile char *page = mmap(PLACE, 4096, PROT_READ, MAP_SHARED, fd, 0);
	(void)number;

	(void)page[0];
}

#if defined(__x86_64__)
static void read_impossible_address(int number)
{
	(void)number;
	__asm__ volatile("movb (%0), %%al" : : "r"(UINT64_C(0x8000000000000000)) : "rax", "memory");
}

static void overflow_trap(int number)
{
	(void)number;
	__asm__ volatile("int $4");
}

static void divide_by_zero(int number)
{
	(void)number;
	__asm__ volatile("xorl %%edx, %%edx\n\tmovl $1, %%eax\n\txorl %%ecx, %%ecx\n\tidivl %%ecx"
			 :
			 :
			 : "rax", "rcx", "rdx");
}

static void no_instruction(int number)
{
	(void)number;
	__asm__ volatile("ud2");
}
#endif

static void raise_it(int number)
{
	(void)raise(number);
}

static void abort_it(int number)
{
	(void)number;
	abort();
}

static void kill_itself(int number)
{
	(void)kill(getpid(), number);
}

static void queue_to_itself(int number)
{
	(void)sigqueue(getpid(), number, (union sigval){ .sival_int = 4711 });
}

static void queue_with_code(int number, int code)
{
	siginfo_t info = { .si_signo = number, .si_code = code };

	info.si_addr = PLACE;
	(void)syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), number, &info);
}

/* As the kernel tells of memory that went bad without anybody reading it. */
static void asynchronous_memory_error(int number)
{
	queue_with_code(number, BUS_MCEERR_AO);
}

static void as_another_hook_would(int number)
{
	queue_with_code(number, SI_KERNEL);
}

static void forbidden_call(int number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
	(void)number;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(97);
	(void)syscall(SYS_getppid);
}

static void wait_for_it(int number)
{
	(void)number;
	crash_ready();
	for (;;)
		(void)pause();
}

static void block_all(void)
{
	sigset_t all;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
}

/* A loop of events: everything is blocked but while it waits. */
static void wait_in_sigsuspend(int number)
{
	sigset_t none;
	(void)number;

	(void)sigemptyset(&none);
	block_all();
	crash_ready();
	(void)sigsuspend(&none);
}

static void wait_in_ppoll(int number)
{
	sigset_t none;
	(void)number;

	(void)sigemptyset(&none);
	block_all();
	crash_ready();
	(void)ppoll(NULL, 0, NULL, &none);
}

static void wait_in_epoll_pwait(int number)
{
	const int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event;
	sigset_t none;
	(void)number;

	(void)sigemptyset(&none);
	block_all();
	crash_ready();
	(void)epoll_pwait(fd, &event, 1, -1, &none);
}

/* Others are blocked, and pending, before and behind it in number. */
static void make_others_wait(int number)
{
	sigset_t others;

	(void)sigfillset(&others);
	(void)sigdelset(&others, number);
	(void)sigprocmask(SIG_SETMASK, &others, NULL);
	(void)kill(getpid(), SIGHUP);
	(void)kill(getpid(), SIGTERM);
	(void)kill(getpid(), SIGRTMIN);
}

static void kill_itself_before_others(int number)
{
	make_others_wait(number);
	(void)kill(getpid(), number);
}

static void read_nowhere_before_others(int number)
{
	make_others_wait(number);
	read_nowhere(number);
}

/* The kernel has no room for the siginfo of what is sent, and sends the signal without. */
static void raise_without_room(int number)
{
	const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_SIGPENDING, &none);
	(void)raise(number);
}

static void kill_from_outside(pid_t pid, int number)
{
	assert_int_equal(kill(pid, number), 0);
}

static void queue_from_outside(pid_t pid, int number)
{
	assert_int_equal(sigqueue(pid, number, (union sigval){ .sival_int = 42 }), 0);
}

static void thread_kill_from_outside(pid_t pid, int number)
{
	assert_int_equal(syscall(SYS_tgkill, pid, pid, number), 0);
}

#define ALL(name, code, die, outside)                                                              \
	{ name, SIGSEGV, code, die, outside }, { name, SIGBUS, code, die, outside },               \
		{ name, SIGFPE, code, die, outside }, { name, SIGILL, code, die, outside },        \
		{ name, SIGABRT, code, die, outside },                                             \
	{                                                                                          \
		name, SIGSYS, code, die, outside                                                   \
	}

/* clang-format off */
static const struct way ways[] = {
	{ "read at 8", SIGSEGV, SEGV_MAPERR, read_nowhere, NULL },
	{ "write to a closed page", SIGSEGV, SEGV_ACCERR, write_to_closed_memory, NULL },
	{ "read behind a file's end", SIGBUS, BUS_ADRERR, read_behind_a_files_end, NULL },
#if defined(__x86_64__)
	{ "read at an impossible address", SIGSEGV, SI_KERNEL, read_impossible_address, NULL },
	{ "int $4, behind which one could go on", SIGSEGV, SI_KERNEL, overflow_trap, NULL },
	{ "1 / 0", SIGFPE, FPE_INTDIV, divide_by_zero, NULL },
	{ "ud2", SIGILL, ILL_ILLOPN, no_instruction, NULL },
#endif
	{ "abort()", SIGABRT, SI_TKILL, abort_it, NULL },
	{ "forbidden system call", SIGSYS, 1 /* SYS_SECCOMP */, forbidden_call, NULL },
	{ "memory that went bad", SIGBUS, BUS_MCEERR_AO, asynchronous_memory_error, NULL },
	{ "queued as from the kernel", SIGILL, SI_KERNEL, as_another_hook_would, NULL },
	ALL("raise()", SI_TKILL, raise_it, NULL),
	ALL("kill() of itself", SI_USER, kill_itself, NULL),
	ALL("sigqueue() to itself", SI_QUEUE, queue_to_itself, NULL),
	ALL("kill()", SI_USER, wait_for_it, kill_from_outside),
	ALL("sigqueue()", SI_QUEUE, wait_for_it, queue_from_outside),
	ALL("tgkill()", SI_TKILL, wait_for_it, thread_kill_from_outside),
	ALL("kill() in sigsuspend()", SI_USER, wait_in_sigsuspend, kill_from_outside),
	ALL("sigqueue() in sigsuspend()", SI_QUEUE, wait_in_sigsuspend, queue_from_outside),
	ALL("tgkill() in sigsuspend()", SI_TKILL, wait_in_sigsuspend, thread_kill_from_outside),
	ALL("kill() in ppoll()", SI_USER, wait_in_ppoll, kill_from_outside),
	ALL("kill() in epoll_pwait()", SI_USER, wait_in_epoll_pwait, kill_from_outside),
	ALL("kill() before others", SI_USER, kill_itself_before_others, NULL),
	ALL("raise() without room for it", SI_USER, raise_without_room, NULL),
	{ "read at 8 before others", SIGSEGV, SEGV_MAPERR, read_nowhere_before_others, NULL },
};
/* clang-format on */

static bool with_hook;

static void die(void *argument)
{
	const struct way *way = argument;

	if (with_hook)
		(void)crash_install(NULL);
	way->die(way->number);
}

static void act_from_outside(pid_t pid, void *argument)
{
	const struct way *way = argument;

	if (way->from_outside != NULL)
		way->from_outside(pid, way->number);
}

static struct death die_by(struct test_observer *observer, struct way *way)
{
	const struct crash_child child = {
		.run = die,
		.argument = way,
		.from_outside = act_from_outside,
	};

	return crash_watch(observer, &child);
}

static void every_death_is_the_one_it_would_have_been(void **state)
{
	struct test_observer observer;
	(void)state;

	test_observer_init(&observer);
	test_observer_listen(&observer);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct way way = ways[i];
		struct death without, with;

		print_message("%s: %s\n", strsignal(way.number), way.name);
		with_hook = false;
		without = die_by(&observer, &way);
		assert_int_equal(without.heard, 0);
		assert_int_equal(without.told, 1);
		assert_true(WIFSIGNALED(without.status));
		assert_int_equal(WTERMSIG(without.status), way.number);
		assert_int_equal(without.last.si_code, way.code);

		with_hook = true;
		with = die_by(&observer, &way);
		assert_last_word(&with);
		assert_int_equal(with.told, 2);
		assert_same_death(&with, &without);
	}
	test_observer_done(&observer);
}

struct answer {
	int number, code;
	bool again;
};

static void only_what_fails_again_is_left_to_fail_again(void **state)
{
	static const struct answer answers[] = {
		{ SIGSEGV, SEGV_MAPERR, true },
		{ SIGSEGV, SEGV_ACCERR, true },
		{ SIGSEGV, SI_KERNEL, false },
		{ SIGSEGV, 8 /* SEGV_MTEAERR: told later */, false },
		{ SIGSEGV, SI_USER, false },
		{ SIGBUS, BUS_ADRALN, true },
		{ SIGBUS, BUS_ADRERR, true },
		{ SIGBUS, BUS_MCEERR_AO, false },
		{ SIGFPE, FPE_INTDIV, true },
		{ SIGFPE, SI_TKILL, false },
		{ SIGILL, ILL_ILLOPC, true },
		{ SIGILL, SI_QUEUE, false },
		{ SIGABRT, SI_TKILL, false },
		{ SIGABRT, 1, false },
		{ SIGSYS, 1 /* SYS_SECCOMP */, false },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		assert_int_equal(belay__crash_comes_again(answers[i].number, answers[i].code),
			answers[i].again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_death_is_the_one_it_would_have_been),
		cmocka_unit_test(only_what_fails_again_is_left_to_fail_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
