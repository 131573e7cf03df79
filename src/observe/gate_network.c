/* The gate's part in beats from other hosts: it gives the socket and the keys to network.h, and what is
 * counted there to the observer. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "observe/gate.h"
#include "observe/remote_process.h"

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

int belay__gate_expect_keys(struct belay__gate *gate)
{
	static void *pages; /* as long as the program runs */
	size_t size = BELAY__KEYS_MAX * sizeof(*gate->keys);

	if (pages == NULL)
		pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED) {
		pages = NULL;
		return -ENOMEM;
	}
	/* Where the limit on locked memory is too low, they are wiped soon all the same. */
	(void)mlock(pages, size);
	(void)madvise(pages, size, MADV_DONTDUMP);
	gate->keys = pages;
	return 0;
}

void belay__gate_forget_keys(struct belay__gate *gate)
{
	if (gate->keys != NULL)
		explicit_bzero(gate->keys, BELAY__KEYS_MAX * sizeof(*gate->keys));
	gate->key_count = 0;
}

/* Puts the keys that came into force. None at all would open the way for plain beats. */
static int set_keys(struct belay__gate *gate)
{
	int r = gate->key_count > 0
		? belay__network_set_keys(gate->network, gate->keys, gate->key_count)
		: -ENOKEY;

	belay__gate_forget_keys(gate);
	return r;
}

/* --- hosts that are gone --- */

/* How many processes of each were left, by the number that it had. */
struct leavers {
	uint32_t count[BELAY__HOSTS_MAX + 1];
	char host[BELAY__HOSTS_MAX + 1][BELAY__HOST_SIZE];
};

static void note_leaver(struct leavers *leavers, uint32_t key, const char *host)
{
	leavers->count[belay__key_host(key)]++;
	memcpy(leavers->host[belay__key_host(key)], host, BELAY__HOST_SIZE);
}

static void tell_leavers(struct belay__gate *gate, const struct leavers *leavers)
{
	char text[BELAY__HOST_SIZE + 96];

	for (uint32_t i = 1; i <= BELAY__HOSTS_MAX; i++) {
		if (leavers->count[i] == 0)
			continue;
		(void)snprintf(text, sizeof(text), "%s has no key any more; %u process%s of it %s",
			leavers->host[i], leavers->count[i], leavers->count[i] == 1 ? "" : "es",
			leavers->count[i] == 1 ? "is forgotten" : "are forgotten");
		belay__teller_note(&gate->teller, "host-removed", text);
	}
}

uint32_t belay__gate_network_renumber(struct belay__gate *gate, uint32_t count)
{
	static struct leavers leavers; /* too large for the stack */
	const struct belay__hosts *hosts = gate->observer->hosts;
	char host[BELAY__HOST_SIZE];

	memset(&leavers, 0, sizeof(leavers));
	for (uint32_t i = 0; i < count; i++) {
		const struct belay__record *record = &gate->kept[i].record;

		belay__remote_host(record->name, host);
		if (belay__key_host(gate->kept[i].slot.pid) == 0 ||
			belay__host_find(hosts, host) != 0)
			continue;
		note_leaver(&leavers, gate->kept[i].slot.pid, host);
		belay__totals_add(gate->observer->totals, record->name, record->uid,
			&(struct belay__total){ .beats = record->beats, .stalls = record->stalls });
	}
	tell_leavers(gate, &leavers);
	return belay__remote_renumber(gate->kept, count, hosts);
}

/* Whether the process in slot AT is of a host that is not known any more; which, in RET_HOST. */
static bool has_left(const struct belay_observer *observer, uint32_t at,
	char ret_host[static BELAY__HOST_SIZE])
{
	const struct belay__slot *slot = &observer->table.slots[at];
	uint32_t number = belay__key_host(slot->pid);

	if (number == 0)
		return false;
	belay__remote_host(observer->table.records[slot->record].name, ret_host);
	return strcmp(observer->hosts->name[number], ret_host) != 0;
}

/* Whoever is known to be silent for want of a key is no reason to act, or to hold a place. */
static void remove_leavers(struct belay__gate *gate)
{
	static struct leavers leavers; /* too large for the stack */
	struct belay_observer *observer = gate->observer;
	char host[BELAY__HOST_SIZE];

	memset(&leavers, 0, sizeof(leavers));
	for (uint32_t at = 0; at < observer->table.slot_count; at++)
		/* Another may move to this slot. */
		while (has_left(observer, at, host)) {
			note_leaver(&leavers, observer->table.slots[at].pid, host);
			/* Nor does anybody wait for it to recover. */
			belay__actor_heard(gate->actor,
				belay__event_about(observer, BELAY_EVENT_EVICTED, at));
			belay__remove(observer, at);
		}
	tell_leavers(gate, &leavers);
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
	char text[128];
	int r;

	if (gate->network == NULL)
		return;
	belay__network_set_restart_gap(gate->network, gate->options.threshold_ns);
	if (gate->key_count == 0)
		return;
	r = set_keys(gate);
	if (r < 0) {
		(void)snprintf(text, sizeof(text), "the keys in force stay: %s", strerror(-r));
		belay__teller_note(&gate->teller, "keys-kept", text);
		return;
	}
	remove_leavers(gate);
}

void belay__gate_network_self(const struct belay__gate *gate, struct belay__json_writer *json)
{
	if (gate->network == NULL) {
		belay__json_null(json, "udp");
		return;
	}
	belay__json_object(json, "udp");
	belay__json_string(json, "address", gate->udp_address);
	belay__json_u64(json, "keys", belay__network_keys(gate->network));
	belay__json_bool(json, "vouched",
		belay__udp_is_sealed(&gate->options) ? gate->options.secure_recovery
						     : gate->options.plaintext_recovery);
	belay__json_end_object(json);
}
