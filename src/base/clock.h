/* clock.h - time as one unsigned number of nanoseconds */
#pragma once

#include <stdint.h>
#include <time.h>

#define BELAY__NS_PER_S  UINT64_C(1000000000)
#define BELAY__NS_PER_MS UINT64_C(1000000)
#define BELAY__NS_PER_US UINT64_C(1000)

/* Reads CLOCK (CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME, ...). These clocks cannot fail on
 * Linux. */
static inline uint64_t belay__clock_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * BELAY__NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline struct timespec belay__timespec(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / BELAY__NS_PER_S),
		.tv_nsec = (long)(ns % BELAY__NS_PER_S),
	};
}
