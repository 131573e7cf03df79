/* crash.c - from a fault to the last word's send(2), beside a handler that does nothing but send
 *
 * One child after the other crashes, in turns with the hook and with a bare handler: on an alternate
 * stack as well, it reads the clock and sends 32 bytes that lie ready. The program is linked so that
 * what stands in for send(2) reads the clock behind it, for both. Prints one line of JSON.
 *
 * Usage: bench-crash [SAMPLES]
 */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <belay/crash.h>

#include "common.h"

enum { SAMPLES = 4000, SAMPLES_MAX = 1000000, STACK = 65536, WORK = 4 << 20 };

ssize_t __real_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);

/* Written by the child that crashes, read by who started it. */
static struct {
	uint64_t fault_ns, sent_ns;
	ssize_t len;
} * shared;

static char directory[] = "/tmp/belay-bench-XXXXXX", path[64];
static volatile char *closed; /* memory that nobody may touch */
static int bare_fd;
static uint64_t bare_frame[4];

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
	shared->len = __real_send(fd, bytes, len, flags);
	shared->sent_ns = belay__clock_ns(CLOCK_MONOTONIC);
	return shared->len;
}

static void bare_handler(int number, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	bare_frame[1] = belay__clock_ns(CLOCK_MONOTONIC);
	(void)__wrap_send(bare_fd, bare_frame, sizeof(bare_frame), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)signal(number, SIG_DFL);
}

/* All that the hook has done by the time of a crash: a stack that is in memory, functions that are
 * bound. */
static void install_bare(void)
{
	stack_t stack = { .ss_size = STACK };
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK };

	stack.ss_sp = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL) < 0)
		die("sigaltstack");
	for (volatile char *at = stack.ss_sp; at < (char *)stack.ss_sp + STACK; at += 4096)
		*at = 0;
	action.sa_sigaction = bare_handler;
	(void)sigfillset(&action.sa_mask);
	bare_fd = connected_to(path);
	(void)__wrap_send(-1, NULL, 0, 0);
	if (sigaction(SIGSEGV, &action, NULL) < 0)
		die("sigaction");
}

/* A crash comes long after the installation: what that left in the nearer caches is pushed out. */
static void work_for_a_while(void)
{
	volatile char *memory = mmap(NULL, WORK, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	for (size_t at = 0; at < WORK; at += 64)
		memory[at]++;
}

__attribute__((noreturn)) static void crash(bool hook)
{
	struct belay_error error;

	(void)prctl(PR_SET_DUMPABLE, 0);
	if (!hook)
		install_bare();
	else if (belay_crash_install_uds(path, NULL, NULL, &error) < 0)
		_exit(1);
	work_for_a_while();
	shared->len = 0;
	shared->fault_ns = belay__clock_ns(CLOCK_MONOTONIC);
	closed[0] = 1;
	_exit(1);
}

static uint64_t measure_one(int observer, bool hook)
{
	char bytes[64];
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0)
		crash(hook);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) ||
		recv(observer, bytes, sizeof(bytes), MSG_DONTWAIT) != 32 || shared->len != 32) {
		(void)fprintf(stderr, "a crash was not told\n");
		exit(1);
	}
	return shared->sent_ns - shared->fault_ns;
}

static int set_up(void)
{
	struct sockaddr_un address;
	int observer = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		0);
	closed = mmap(NULL, STACK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || closed == MAP_FAILED || observer < 0 ||
		mkdtemp(directory) == NULL)
		die("set-up");
	(void)snprintf(path, sizeof(path), "%s/s", directory);
	address = address_of(path);
	if (bind(observer, (const struct sockaddr *)&address, sizeof(address)) < 0)
		die("bind");
	return observer;
}

int main(int argc, char **argv)
{
	const size_t samples = argc > 1 ? strtoul(argv[1], NULL, 10) : SAMPLES;
	uint64_t *ours, *bare;
	int observer;

	if (samples == 0 || samples > SAMPLES_MAX) {
		(void)fprintf(stderr, "usage: bench-crash [SAMPLES up to %d]\n", SAMPLES_MAX);
		return 64;
	}
	ours = calloc(samples, sizeof(*ours));
	bare = calloc(samples, sizeof(*bare));
	if (ours == NULL || bare == NULL)
		die("calloc");
	stay_on_cpu((unsigned)sched_getcpu());
	observer = set_up();
	for (size_t i = 0; i < samples; i++) {
		/* Neither always comes second. */
		if (i % 2 == 0)
			bare[i] = measure_one(observer, false);
		ours[i] = measure_one(observer, true);
		if (i % 2 != 0)
			bare[i] = measure_one(observer, false);
	}
	(void)unlink(path);
	(void)rmdir(directory);

	double p50 = (double)percentile_of(ours, samples, 50),
	       bare_p50 = (double)percentile_of(bare, samples, 50);
	double p99 = (double)percentile_of(ours, samples, 99),
	       bare_p99 = (double)percentile_of(bare, samples, 99);
	printf("{\"name\":\"crash\",\"ours_p50_ns\":%.0f,\"floor_p50_ns\":%.0f,\"ratio_p50\":%.3f,"
	       "\"ours_p99_ns\":%.0f,\"floor_p99_ns\":%.0f,\"ratio_p99\":%.3f,\"samples\":%zu}\n",
		p50, bare_p50, p50 / bare_p50, p99, bare_p99, p99 / bare_p99, samples);
	free(ours);
	free(bare);
	return 0;
}
