/* bucket.h - a token bucket in integers (heartbeat-system, section 4: milli-tokens with
 * remainder) */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct belay__bucket {
	uint64_t level_milli, capacity_milli; /* capacity 0: off, everything passes */
	uint64_t per_second;
	uint64_t remainder; /* of the last refill's division */
	uint64_t last_ns;
};

/* A full bucket of BURST tokens that gains PER_SECOND. Either 0 turns it off. */
void belay__bucket_init(struct belay__bucket *bucket, uint64_t per_second, uint64_t burst,
	uint64_t now_ns);

/* Takes one token at NOW_NS. False: there is none. */
bool belay__bucket_take(struct belay__bucket *bucket, uint64_t now_ns);
