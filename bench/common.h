/* common.h - what the measuring programs share: ends on errors, percentiles, a CPU to stay on,
 * sockets to a path */
#pragma once

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"

__attribute__((noreturn)) static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline int ascending_u64(const void *a, const void *b)
{
	const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

/* Sorts SAMPLES and returns the one that PERCENT of them do not exceed. */
static inline uint64_t percentile_of(uint64_t *samples, size_t count, unsigned percent)
{
	qsort(samples, count, sizeof(*samples), ascending_u64);
	return samples[(count - 1) * percent / 100];
}

/* Best effort: on a machine with one CPU everything shares it anyhow. */
static inline void stay_on_cpu(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static inline struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >=
		sizeof(address.sun_path)) {
		(void)fprintf(stderr, "%s: too long for a socket\n", path);
		exit(64);
	}
	return address;
}

/* A non-blocking datagram socket connected to PATH. */
static inline int connected_to(const char *path)
{
	struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		die(path);
	return fd;
}

static inline void sleep_ns(uint64_t ns)
{
	struct timespec pause = belay__timespec(ns);

	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

static inline void sleep_until_ns(uint64_t when_ns)
{
	struct timespec when = belay__timespec(when_ns);

	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
}
