/* replay.h - who sealed which frames so far, so that none counts twice
 *
 * One sender is (index of the key that opened its frames, pid inside them): the seal covers no
 * address, so where a frame came from says nothing. Follows heartbeat-system, section 4: within a
 * prefix counters go up; the prefix before this one may still be finished; a new prefix must bring
 * something new (a regular nonce above all before, a terminal timestamp above all before); a regular
 * frame that does not, after a silence of restart_gap_ns, is a new session of a recycled pid (the one
 * before it still counts as the previous prefix); a terminal one never resets anything. Beyond that the
 * BELAY__REPLAY_OLDER prefixes before those two are known and never accepted again: who has kept old
 * frames cannot make a process that fell silent look alive.
 *
 * A fixed table, open addressing by a seeded hash, sized once; nothing here allocates after that,
 * reads a clock, or evicts a live sender: when it is full a new sender is refused (fail closed).
 * Half of it belongs to the keys in equal parts, each of which only its key's senders can take; the rest
 * is for who comes first. So no key, however many senders it makes up, keeps out those of another.
 * Senders that were silent for BELAY__REPLAY_TTL_NS make room then, and are remembered until then; they
 * are looked for at most once a second, some slots a frame, so that none of them has to wait for a walk
 * through the whole table.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/vlp.h>

#define BELAY__KEYS_MAX        512
#define BELAY__SENDERS_MAX     65536
#define BELAY__SENDERS_DEFAULT 1024
#define BELAY__REPLAY_TTL_NS   UINT64_C(600000000000)
#define BELAY__REPLAY_OLDER    16

struct belay__replay;

enum belay__replay_result {
	BELAY__REPLAY_FRESH,   /* never seen: noted */
	BELAY__REPLAY_REFUSED, /* seen before, or older than what was */
	BELAY__REPLAY_FULL,    /* an unknown sender, and no room for it */
};

/* A table for SENDERS (1 to BELAY__SENDERS_MAX), of which none is reserved until it is told how many
 * keys there are. 0 or -ENOMEM. */
int belay__replay_new(uint32_t senders, uint64_t restart_gap_ns, uint32_t hash_seed,
	struct belay__replay **ret_replay);
struct belay__replay *belay__replay_free(struct belay__replay *replay);

/* Whether FRAME, opened by key number KEY (one of those there are) with PREFIX (the 8 bytes as one number) and COUNTER, is new
 * at NOW_NS of the observer's clock; if so it is noted. */
enum belay__replay_result belay__replay_check(struct belay__replay *replay, uint32_t key,
	uint64_t prefix, uint32_t counter, const struct belay_frame *frame, uint64_t now_ns);

/* Fetches what a check of PID's next frame will touch. */
void belay__replay_prefetch(const struct belay__replay *replay, uint32_t key, uint32_t pid);

/* The keys have new numbers: what was number I is number MAP[I] now, UINT32_MAX: gone, and its senders
 * with it. COUNT is the length of MAP; numbers beyond it are gone, too. KEYS: how many there are now. */
void belay__replay_renumber(struct belay__replay *replay, const uint32_t *map, uint32_t count,
	uint32_t keys);
void belay__replay_set_restart_gap(struct belay__replay *replay, uint64_t restart_gap_ns);
uint32_t belay__replay_senders(const struct belay__replay *replay);
