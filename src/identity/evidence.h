/* evidence.h - why a process is silent: what can be seen of it from outside
 *
 * A fixed record, filled from /proc in one or two looks. What could not be read is not in `seen`
 * and is said so; nothing is guessed. The first look costs a few reads; the second, at least
 * BELAY__LOOK_APART_NS later, is wanted only when a thread was found runnable, to tell starved (it
 * waits for a CPU) from spinning.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#define BELAY__LOOK_APART_NS      UINT64_C(50000000)
#define BELAY__EVIDENCE_WITHIN_MS 100

enum belay__seen {
	BELAY__SEEN_STATE = 1 << 0,
	BELAY__SEEN_TRACER = 1 << 1,
	BELAY__SEEN_FREEZER = 1 << 2,
	BELAY__SEEN_RUN_DELAY = 1 << 3,
	BELAY__SEEN_PRESSURE = 1 << 4,
	BELAY__SEEN_SYSCALL = 1 << 5,
	BELAY__SEEN_WCHAN = 1 << 6,
	BELAY__SEEN_CPU_TIME = 1 << 7,
};

struct belay__evidence {
	uint32_t seen;         /* enum belay__seen bits */
	int32_t syscall_nr;    /* of the main thread, -1: running or in none */
	uint64_t syscall_arg;  /* its first argument: the fd or address it waits on */
	uint64_t run_delay_ns; /* waited for a CPU between the two looks, all threads looked at */
	uint64_t cpu_ns;       /* ran between the two looks */
	uint64_t apart_ns;     /* between the two looks; 0: one look */
	int32_t tracer_pid;
	uint32_t threads;
	uint32_t runnable;        /* threads in state R at the last look */
	uint32_t uninterruptible; /* threads in state D */
	uint32_t pressure_milli;  /* CPU "some" avg10 of its cgroup or the host, in thousandths */
	char state;               /* of the main thread: R S D T t Z ... */
	uint8_t frozen;           /* 1: cgroup v1 freezer, 2: cgroup v2 */
	char wchan[34];           /* of the main thread, "" when unknown or when it waits nowhere */

	/* What the second look continues; nobody else's business. */
	uint64_t looked_ns;
	uint64_t run_delay_total_ns, cpu_total_ns, slices, tids;
	uint8_t scheduled;
};

/* First look at PID, whose start time must be START_TICKS. 1: a second look is wanted; 0: this is
 * all (with no bit in `seen` when the process is hidden from us); -ESRCH: it has ended (or is
 * another process by now). Reads at most 64 threads. Never waits for the process: nothing is read
 * that takes a lock which a stuck process may hold. */
int belay__evidence_look(pid_t pid, uint64_t start_ticks, uint64_t now_ns,
	struct belay__evidence *ret_evidence);

/* Second look at the same process: completes EVIDENCE, which the first look filled; all but the
 * sums between the looks is then as of now. 0 or -ESRCH, which leaves EVIDENCE alone. Threads that
 * came or went between the looks make the sums unknown: a process that gets no CPU neither starts
 * nor ends any. */
int belay__evidence_look_again(pid_t pid, uint64_t start_ticks, uint64_t now_ns,
	struct belay__evidence *evidence);
