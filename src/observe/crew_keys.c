/* The keys that open sealed beats, on their way from their files to the gate. */

#include <stdio.h>

#include "base/log.h"
#include "observe/keys.h"
#include "observe/parent.h"

/* What is said when the keys cannot be read: a gate that runs keeps those that it has; a new one gets a
 * key that nobody has, so that nothing gets in until the files are mended. */
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

int belay__crew_send_keys(const struct belay__crew_member *gate, bool reload, uint64_t deadline_ns)
{
	struct belay__parent *parent = gate->parent;
	struct belay__msg_nothing nothing = { 0 };
	struct belay__keys *keys = NULL;
	struct belay_error error;
	int r;

	if (parent->udp_fd < 0 || !belay__udp_is_sealed(&parent->config.options))
		return 0;
	r = belay__keys_read(&parent->config.options, &keys, &error);
	if (r == 0) {
		parent->key_count = keys->count;
		parent->keys_missing = false;
		parent->keys_fault[0] = '\0';
	} else {
		keys_failed(parent, reload, &error);
		r = reload ? 0 : belay__keys_none(&keys);
	}
	if (keys == NULL)
		return r;
	r = belay__crew_send(gate, deadline_ns, BELAY__MSG_FORGET_KEYS, &nothing, sizeof(nothing));
	for (uint32_t i = 0; i < keys->count && r == 0; i++)
		r = belay__crew_send(gate, deadline_ns, BELAY__MSG_KEY, &keys->keys[i],
			sizeof(keys->keys[i]));
	belay__keys_free(keys);
	return r;
}
