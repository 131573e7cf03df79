/* The keys that open sealed beats, on their way from their files to the gate. */

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "observe/keys.h"
#include "observe/parent.h"

/* What is said when the keys cannot be read: a gate that runs keeps those that it has; a new one gets
 * none, so that nothing gets in until the files are mended. */
static void keys_failed(struct belay__parent *parent, bool reload, const struct belay_error *error)
{
	parent->keys_missing = parent->keys_missing || !reload;
	(void)snprintf(parent->keys_fault, sizeof(parent->keys_fault), "%s: %.200s",
		parent->keys_missing ? "no sealed beat is received" : "the keys in force stay",
		error->text);
	if (reload)
		belay__crew_note(parent, parent->keys_missing ? "keys-missing" : "keys-kept",
			parent->keys_fault);
	else
		belay__log(BELAY__LOG_ERROR, "%s; mend it and send SIGHUP", parent->keys_fault);
}

static int read_keys(struct belay__parent *parent, struct belay__keys **ret_keys,
	struct belay_error *reterr)
{
	struct belay__keys *keys = NULL;
	int r = belay__keys_read(&parent->config.options, &keys, reterr);

	if (r < 0)
		return r;
	r = belay__key_hosts_assign(&parent->key_hosts, keys->keys, keys->count,
		belay__clock_ns(CLOCK_MONOTONIC), reterr);
	if (r < 0) {
		belay__keys_free(keys);
		return r;
	}
	*ret_keys = keys;
	return 0;
}

/* Reads what GATE is to have; nothing, when it keeps what it has. */
static int keys_for(const struct belay__crew_member *gate, bool reload,
	struct belay__keys **ret_keys)
{
	struct belay__parent *parent = gate->parent;
	struct belay_error error;

	if (read_keys(parent, ret_keys, &error) < 0) {
		keys_failed(parent, reload, &error);
		return reload ? 0 : belay__keys_absent(&parent->key_hosts, ret_keys);
	}
	parent->key_count = (*ret_keys)->count;
	parent->keys_missing = false;
	parent->keys_fault[0] = '\0';
	return 0;
}

int belay__crew_send_keys(const struct belay__crew_member *gate, bool reload, uint64_t deadline_ns)
{
	const struct belay__parent *parent = gate->parent;
	struct belay__msg_nothing nothing = { 0 };
	struct belay__keys *keys = NULL;
	int r;

	if (parent->udp_fd < 0 || !belay__udp_is_sealed(&parent->config.options))
		return 0;
	/* Whatever happens now, what a reload before this one sent in part never comes into force. */
	r = belay__crew_send(gate, deadline_ns, BELAY__MSG_FORGET_KEYS, &nothing, sizeof(nothing));
	if (r == 0)
		r = keys_for(gate, reload, &keys);
	for (uint32_t i = 0; r == 0 && keys != NULL && i < keys->count; i++)
		r = belay__crew_send(gate, deadline_ns, BELAY__MSG_KEY, &keys->keys[i],
			sizeof(keys->keys[i]));
	belay__keys_free(keys);
	return r;
}
