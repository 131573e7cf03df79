#include "export/http_rate.h"

#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#include "base/clock.h"

#define TOKEN BELAY__NS_PER_S /* in billionths: what one nanosecond adds is then the rate itself */

void belay__http_rate_init(struct belay__http_rate *rate, uint32_t per_s, uint32_t burst)
{
	assert(per_s <= BELAY__HTTP_RATE_MAX && burst <= BELAY__HTTP_RATE_MAX);

	memset(rate, 0, sizeof(*rate));
	rate->per_s = per_s;
	rate->burst = burst;
}

struct belay__http_address belay__http_address_of(const struct sockaddr_storage *sockaddr)
{
	struct belay__http_address address = { { 0, 0 } };
	struct in6_addr ip = IN6ADDR_ANY_INIT;

	if (sockaddr->ss_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sockaddr, sizeof(in));
		ip.s6_addr[10] = ip.s6_addr[11] = 0xff;
		memcpy(&ip.s6_addr[12], &in.sin_addr, sizeof(in.sin_addr));
	} else if (sockaddr->ss_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sockaddr, sizeof(in6));
		ip = in6.sin6_addr;
		if (!IN6_IS_ADDR_V4MAPPED(&ip))
			memset(&ip.s6_addr[8], 0, 8);
	}
	memcpy(&address, &ip, sizeof(ip));
	return address;
}

static bool expired(const struct belay__http_bucket *bucket, uint64_t now_ns)
{
	return bucket->seen_ns == 0 || now_ns - bucket->seen_ns >= BELAY__HTTP_RATE_TTL_NS;
}

static bool is_of(const struct belay__http_bucket *bucket, struct belay__http_address address)
{
	return bucket->seen_ns != 0 && bucket->address.words[0] == address.words[0] &&
		bucket->address.words[1] == address.words[1];
}

/* The bucket of ADDRESS, or else the one that may be forgotten first. A thousand comparisons cost
 * less than the accept() before them. */
static struct belay__http_bucket *find(struct belay__http_rate *rate,
	struct belay__http_address address)
{
	struct belay__http_bucket *oldest = &rate->buckets[0];

	for (size_t i = 0; i < BELAY__HTTP_RATE_ADDRESSES; i++) {
		struct belay__http_bucket *bucket = &rate->buckets[i];

		if (is_of(bucket, address))
			return bucket;
		if (bucket->seen_ns < oldest->seen_ns)
			oldest = bucket;
	}
	return oldest;
}

bool belay__http_rate_take(struct belay__http_rate *rate, struct belay__http_address address,
	uint64_t now_ns)
{
	const uint64_t full = rate->burst * TOKEN;
	struct belay__http_bucket *bucket;

	if (rate->per_s == 0 || rate->burst == 0)
		return true;

	bucket = find(rate, address);
	if (expired(bucket, now_ns)) {
		bucket->billionths = full;
	} else if (is_of(bucket, address)) {
		bucket->billionths += (now_ns - bucket->seen_ns) * rate->per_s;
	} else {
		rate->evicted++;
		bucket->billionths = full;
	}
	bucket->address = address;
	bucket->seen_ns = now_ns;
	if (bucket->billionths > full)
		bucket->billionths = full;
	if (bucket->billionths < TOKEN)
		return false;
	bucket->billionths -= TOKEN;
	return true;
}
