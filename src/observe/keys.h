/* keys.h - the keys that open sealed beats, read from their files
 *
 * Belongs to the parent, which does not keep them: they are read when a gate needs them, sent, and wiped.
 */
#pragma once

#include <stdint.h>

#include <belay/error.h>

#include "observe/key_hosts.h"
#include "observe/network.h"
#include "observe/options.h"

/* In pages of their own, locked where the limit allows it, and never dumped. */
struct belay__keys {
	uint32_t count;
	struct belay__msg_key keys[BELAY__KEYS_MAX];
	struct belay__secret_line lines[BELAY__KEYS_MAX]; /* as they were read */
};

/* Reads the files that OPTIONS names: the key of --key-file is the first, those of --accepted-key-file
 * follow, the master keys are the last. 0, or a negative errno with a sentence: as
 * belay__secret_read_lines(), -EINVAL also when a key stands twice; -E2BIG. */
int belay__keys_read(const struct belay__observe_options *options, struct belay__keys **ret_keys,
	struct belay_error *reterr);
/* The hosts without their keys, for a gate to which these cannot be given: what is sealed does not open,
 * and nothing else gets in. 0 or -ENOMEM. */
int belay__keys_absent(const struct belay__key_hosts *hosts, struct belay__keys **ret_keys);
/* Wipes them; returns NULL, as which it also takes. */
struct belay__keys *belay__keys_free(struct belay__keys *keys);
