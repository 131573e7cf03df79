#include "broker/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"

#define TRIES 16

/* More than anybody looks through for each, and few enough for a size_t of 32 bits. */
#define ENDPOINTS_MAX 1048576u

struct belay__endpoints {
	int (*random)(void *data, uint8_t ret_random[16]);
	void *data;
	unsigned count, max;
	uint8_t given[][16];
};

static int system_random(void *data, uint8_t ret_random[16])
{
	(void)data;
	return belay__random(ret_random, 16);
}

int belay__endpoints_new(unsigned max, int (*random)(void *data, uint8_t ret_random[16]),
	void *data, struct belay__endpoints **ret_endpoints)
{
	struct belay__endpoints *endpoints;

	if (max > ENDPOINTS_MAX)
		return -EINVAL;
	endpoints = calloc(1, sizeof(*endpoints) + max * sizeof(endpoints->given[0]));
	if (endpoints == NULL)
		return -ENOMEM;
	endpoints->random = random == NULL ? system_random : random;
	endpoints->data = data;
	endpoints->max = max;
	*ret_endpoints = endpoints;
	return 0;
}

struct belay__endpoints *belay__endpoints_free(struct belay__endpoints *endpoints)
{
	free(endpoints);
	return NULL;
}

static bool was_given(const struct belay__endpoints *endpoints, const uint8_t random[16])
{
	for (unsigned i = 0; i < endpoints->count; i++) {
		if (memcmp(endpoints->given[i], random, 16) == 0)
			return true;
	}
	return false;
}

/* 16 bytes that were not given out yet. */
static int draw(struct belay__endpoints *endpoints, uint8_t ret_random[16],
	struct belay_error *reterr)
{
	for (int i = 0; i < TRIES; i++) {
		int r = endpoints->random(endpoints->data, ret_random);

		if (r < 0)
			return belay__fail(reterr, r,
				"the system has no random bytes for a backend's name: %s",
				strerror(-r));
		if (!was_given(endpoints, ret_random))
			return 0;
	}
	return belay__fail(reterr, -EEXIST,
		"CollisionExhausted: %d random names for a backend had all been given out before; "
		"the "
		"system's random numbers repeat",
		TRIES);
}

int belay__endpoints_allocate(struct belay__endpoints *endpoints, const char *hash,
	char ret_path[BELAY__BROKER_PATH_SIZE], struct belay_error *reterr)
{
	char name[BELAY__BROKER_NAME_SIZE];
	uint8_t random[16];
	int r;

	if (endpoints->count == endpoints->max)
		return belay__fail(reterr, -ENOSPC,
			"all %u names for backends have been given out; start the broker anew",
			endpoints->max);
	r = draw(endpoints, random, reterr);
	if (r >= 0)
		r = belay__name_backend(hash, random, name, reterr);
	if (r >= 0)
		r = belay__broker_path(name, ret_path, reterr);
	if (r < 0)
		return r;
	memcpy(endpoints->given[endpoints->count++], random, sizeof(random));
	return 0;
}
