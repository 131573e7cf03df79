/* remote.h - processes of other hosts: what they are called in the table
 *
 * The table is keyed by one number a process. A pid needs 22 bits of it (Linux never gives more:
 * PID_MAX_LIMIT); the nine above them say which host it is of, 0 for this one. So equal pids of two
 * hosts are two processes, and one of this host is found as fast as if there were no others.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"

#define BELAY__PID_BITS  22
#define BELAY__PID_LIMIT (UINT32_C(1) << BELAY__PID_BITS) /* every pid is below it */
#define BELAY__HOSTS_MAX 511 /* other hosts; their numbers begin at 1 */

/* The uid of a process of another host: none. */
#define BELAY__NO_UID UINT32_MAX

static inline uint32_t belay__process_key(uint32_t host, uint32_t pid)
{
	return host << BELAY__PID_BITS | pid;
}

static inline uint32_t belay__key_host(uint32_t key)
{
	return key >> BELAY__PID_BITS;
}

/* Its pid where it runs; to the kernel here that number means nobody, or somebody else, unless
 * belay__key_host() is 0. */
static inline uint32_t belay__key_pid(uint32_t key)
{
	return key & (BELAY__PID_LIMIT - 1);
}

/* The hosts by number: a name stays with its number as long as the observer runs, also when its keys
 * are taken away and come back. */
struct belay__hosts {
	uint32_t count;
	char name[BELAY__HOSTS_MAX + 1][BELAY__HOST_SIZE]; /* from 1 */
};

/* The number of the host NAME, which is given one if it has none; 0: there are too many. */
uint32_t belay__host_number(struct belay__hosts *hosts, const char *name);
