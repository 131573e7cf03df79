/* test_syscalls.h - for tests: the system calls that beats make, counted from outside */
#pragma once

#include <stdbool.h>

#include <belay/beat.h>

struct test_counts {
	unsigned sends, others;
	unsigned seconds; /* that it took, rounded up */
};

/* Has a forked child beat BEATS times with BELAY, after a first beat that settles the fork;
 * DRAIN, which is called in between, empties the observer's queue. False when tracing is not
 * allowed here. */
bool test_count_syscalls(struct belay *belay, unsigned beats, void (*drain)(void),
	struct test_counts *ret_counts);
