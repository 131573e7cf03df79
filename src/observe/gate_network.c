/* The gate's part in beats from other hosts: it gives the socket and the keys to network.h, and what is
 * counted there to the observer. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "observe/gate.h"

/* Datagrams of a flood that are read before others have their turn. */
#define FRAMES_PER_TURN 256

static uint64_t now(void *data)
{
	const struct belay__gate *gate = data;

	return belay__watch_clock_now(&gate->observer->clock);
}

static void count(struct belay__gate *gate)
{
	const struct belay__network_counts *counts = belay__network_counts(gate->network);
	uint64_t *into = gate->observer->counts;

	/* Datagrams of a wrong length at other sockets are counted there, too. */
	into[BELAY__COUNT_TRUNCATED] += counts->truncated - gate->network_truncated;
	gate->network_truncated = counts->truncated;
	into[BELAY__COUNT_DECRYPT_FAILURES] = counts->decrypt_failures;
	into[BELAY__COUNT_REPLAYS] = counts->replays_refused;
	into[BELAY__COUNT_SENDER_STATE_FULL] = counts->sender_state_full;
	into[BELAY__COUNT_AEAD_ATTEMPTS] = counts->aead_attempts;
}

static int receive(void *data, int fd, const struct belay__datagram **ret_datagrams, bool *ret_dry)
{
	struct belay__gate *gate = data;
	int r = belay__network_receive(gate->network, fd, ret_datagrams, ret_dry);

	count(gate);
	return r;
}

/* Puts the keys that came into force. None at all would open the way for plain beats. */
static int set_keys(struct belay__gate *gate)
{
	int r = gate->key_count > 0
		? belay__network_set_keys(gate->network, gate->keys, gate->key_count)
		: -ENOKEY;

	if (r == 0)
		gate->keys_in_force = gate->key_count;
	belay__gate_forget_keys(gate);
	return r;
}

void belay__gate_forget_keys(struct belay__gate *gate)
{
	explicit_bzero(gate->keys, sizeof(gate->keys));
	gate->key_count = 0;
}

static void note_address(struct belay__gate *gate)
{
	union belay__address address;
	socklen_t size = sizeof(address);

	memset(&address, 0, sizeof(address));
	if (getsockname(gate->udp_fd, &address.any, &size) == 0)
		belay__address_text(&address, gate->udp_address);
}

int belay__gate_network_open(struct belay__gate *gate)
{
	const struct belay__observe_options *options = &gate->options;
	bool sealed = belay__udp_is_sealed(options);
	int r;

	if (gate->udp_fd < 0)
		return 0;
	note_address(gate);
	r = belay__network_new((uint32_t)options->sealed_senders, options->threshold_ns,
		sealed ? options->secure_recovery : options->plaintext_recovery, now, gate,
		&gate->network);
	if (r == 0)
		r = sealed ? set_keys(gate) : belay__network_set_keys(gate->network, NULL, 0);
	if (r == 0)
		gate->observer->hosts = belay__network_hosts(gate->network);
	return r;
}

int belay__gate_network_listen(struct belay__gate *gate)
{
	const struct belay__far far = { .data = gate, .receive = receive };
	int r;

	if (gate->network == NULL)
		return 0;
	r = belay__observer_adopt_far(gate->observer, gate->udp_fd, &far,
		belay__network_hosts(gate->network), FRAMES_PER_TURN);
	if (r == 0)
		gate->udp_fd = -EBADF;
	return r;
}

void belay__gate_network_reload(struct belay__gate *gate)
{
	if (gate->network == NULL)
		return;
	belay__network_set_restart_gap(gate->network, gate->options.threshold_ns);
	if (gate->key_count > 0 && set_keys(gate) < 0)
		belay__teller_note(&gate->teller, "keys-kept", "the keys in force stay");
}

void belay__gate_network_self(const struct belay__gate *gate, struct belay__json_writer *json)
{
	if (gate->network == NULL) {
		belay__json_null(json, "udp");
		return;
	}
	belay__json_object(json, "udp");
	belay__json_string(json, "address", gate->udp_address);
	belay__json_u64(json, "keys", gate->keys_in_force);
	belay__json_bool(json, "vouched",
		gate->keys_in_force > 0 ? gate->options.secure_recovery
					: gate->options.plaintext_recovery);
	belay__json_end_object(json);
}
