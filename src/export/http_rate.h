/* http_rate.h - how often one address may ask: a bucket of tokens for each
 *
 * The buckets of the addresses that came last are kept, those of others are forgotten: with more
 * than BELAY__HTTP_RATE_ADDRESSES addresses within BELAY__HTTP_RATE_TTL_NS the one that was away
 * for the longest time starts anew.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define BELAY__HTTP_RATE_ADDRESSES 1024
#define BELAY__HTTP_RATE_TTL_NS    UINT64_C(60000000000)
#define BELAY__HTTP_RATE_MAX       1000000

/* An address without its port: IPv4 as IPv4-mapped IPv6; of IPv6 the first 64 bits, for whoever has
 * one address of such a network has all of them. */
struct belay__http_address {
	uint64_t words[2];
};

struct belay__http_bucket {
	struct belay__http_address address;
	uint64_t seen_ns;    /* 0: not in use */
	uint64_t billionths; /* of a token */
};

struct belay__http_rate {
	uint32_t per_s, burst; /* at most BELAY__HTTP_RATE_MAX each; one of them 0: no limit */
	uint64_t evicted;      /* buckets that were in use and made room for another address */
	struct belay__http_bucket buckets[BELAY__HTTP_RATE_ADDRESSES];
};

void belay__http_rate_init(struct belay__http_rate *rate, uint32_t per_s, uint32_t burst);

/* The address in SOCKADDR, AF_INET or AF_INET6; all others are the same one. */
struct belay__http_address belay__http_address_of(const struct sockaddr_storage *sockaddr);

/* Takes a token of ADDRESS at NOW_NS (monotonic, above 0). False: there is none, ask later. */
bool belay__http_rate_take(struct belay__http_rate *rate, struct belay__http_address address,
	uint64_t now_ns);
