/* threads.h - all threads of a process at a glance: what they do, and what the scheduler gave
 * them */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BELAY__THREADS_LOOKED_AT 64

struct belay__thread_sums {
	uint32_t looked_at, runnable, uninterruptible;
	bool scheduled; /* the sums below hold all threads looked at */
	uint64_t run_delay_ns, cpu_ns, slices;
	uint64_t tids; /* sum of the thread ids: another one means other threads */
};

/* Looks at the first BELAY__THREADS_LOOKED_AT threads of the process behind PROCFD (/proc/PID). 0
 * or a negative errno. */
int belay__threads_sum(int procfd, struct belay__thread_sums *ret_sums);
