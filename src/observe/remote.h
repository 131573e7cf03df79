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

/* The hosts by number, which the parent gives (key_hosts.h). */
struct belay__hosts {
	uint32_t count; /* the highest number; some below it may be nobody's */
	char name[BELAY__HOSTS_MAX + 1][BELAY__HOST_SIZE]; /* from 1; "": nobody's */
};

/* The number of the host NAME; 0: it has none ("" never has one). HOSTS may be NULL. */
uint32_t belay__host_find(const struct belay__hosts *hosts, const char *name);
/* NAME (1 to BELAY__HOST_MAX bytes) has NUMBER from now on. */
void belay__host_set(struct belay__hosts *hosts, uint32_t number, const char *name);
