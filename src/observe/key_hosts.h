/* key_hosts.h - whose each key is: the numbers of hosts, and names for keys that have none
 *
 * Belongs to the parent, so that numbers outlive the gate: what the runner does and remembers about a
 * process of another host goes by its number (remote.h). A name keeps its number as long as it has a
 * key, and is found under it when its keys come back. Only a name that had no key for
 * BELAY__HOST_REST_NS gives its number to another.
 *
 * A key without a name is called "key0", "key1" ... in the order in which they were first seen, and a
 * name that one had is never another's. Which key it was is known by a keyed hash: the parent keeps no
 * key.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/error.h>

#include "observe/network.h"

#define BELAY__HOST_REST_NS UINT64_C(3600000000000)

#define BELAY__KEY_PRINT_LEN 16

struct belay__key_hosts {
	struct belay__hosts hosts; /* those without keys, too, until another needs the number */
	struct belay__key_host {
		bool has_keys, nameless;
		uint64_t left_ns; /* when it had none any more; 0: it never had one */
		uint8_t print[BELAY__KEY_PRINT_LEN]; /* nameless: its key's */
	} of[BELAY__HOSTS_MAX + 1];
	uint32_t next_key; /* the next nameless one is "key%u" */
	uint8_t secret[16];
};

/* No host. 0, -EIO without entropy, or -ENOTSUP (seal.h). */
int belay__key_hosts_init(struct belay__key_hosts *hosts);

/* Gives each of KEYS, which are all that there are from NOW_NS on, its name, if it has none, and its
 * number. 0, or with nothing changed -E2BIG and a sentence. */
int belay__key_hosts_assign(struct belay__key_hosts *hosts, struct belay__msg_key *keys,
	uint32_t count, uint64_t now_ns, struct belay_error *reterr);

/* The same hosts for a gate to which their keys cannot be given: one BELAY__KEY_ABSENT for each, at
 * least one in all. Returns how many. */
uint32_t belay__key_hosts_absent(const struct belay__key_hosts *hosts,
	struct belay__msg_key ret_keys[static BELAY__KEYS_MAX]);
