#include "observe/bucket.h"

#include "base/hot.h"

/* One token a second is one milli-token in so many nanoseconds. */
#define NS_PER_MILLI_TOKEN UINT64_C(1000000)

void belay__bucket_init(struct belay__bucket *bucket, uint64_t per_second, uint64_t burst,
	uint64_t now_ns)
{
	*bucket = (struct belay__bucket){ .last_ns = now_ns };
	if (per_second == 0 || burst == 0)
		return;
	bucket->per_second = per_second;
	if (__builtin_mul_overflow(burst, 1000, &bucket->capacity_milli))
		bucket->capacity_milli = UINT64_MAX;
	bucket->level_milli = bucket->capacity_milli;
}

static void fill(struct belay__bucket *bucket)
{
	bucket->level_milli = bucket->capacity_milli;
	bucket->remainder = 0;
}

static void refill(struct belay__bucket *bucket, uint64_t elapsed_ns)
{
	uint64_t gain, added_milli;

	/* A gain too large to count is 18 thousand million tokens: it fills any bucket worth the
	 * name. */
	if (__builtin_mul_overflow(elapsed_ns, bucket->per_second, &gain) ||
		__builtin_add_overflow(gain, bucket->remainder, &gain)) {
		fill(bucket);
		return;
	}
	added_milli = gain / NS_PER_MILLI_TOKEN;
	bucket->remainder = gain % NS_PER_MILLI_TOKEN;
	if (added_milli >= bucket->capacity_milli - bucket->level_milli)
		fill(bucket);
	else
		bucket->level_milli += added_milli;
}

BELAY__HOT bool belay__bucket_take(struct belay__bucket *bucket, uint64_t now_ns)
{
	if (bucket->capacity_milli == 0)
		return true;

	if (now_ns > bucket->last_ns) {
		refill(bucket, now_ns - bucket->last_ns);
		bucket->last_ns = now_ns;
	}
	if (bucket->level_milli < 1000)
		return false;
	bucket->level_milli -= 1000;
	return true;
}
