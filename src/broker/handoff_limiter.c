#include <belay/handoff.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Broker v1's. */
#define BACKENDS_MAX 256
#define FAILURES_MAX 8
#define WINDOW_MS    30000

struct backend {
	char key[BELAY_HANDOFF_KEY_SIZE];
	unsigned failures;
	uint64_t since_ms, last_ms; /* the first failure of the window, and the last */
};

/* All that failed lately stand together, in no order. */
struct belay_handoff_limiter {
	unsigned max, count;
	struct backend backends[];
};

int belay_handoff_limiter_new(unsigned max, struct belay_handoff_limiter **ret_limiter)
{
	unsigned clamped = max > 0 ? max : BACKENDS_MAX;
	struct belay_handoff_limiter *limiter;

	if (max > BELAY_HANDOFF_BOOK_MAX)
		return -EINVAL;
	limiter = calloc(1, sizeof(*limiter) + (size_t)clamped * sizeof(limiter->backends[0]));
	if (limiter == NULL)
		return -ENOMEM;

	limiter->max = clamped;
	*ret_limiter = limiter;
	return 0;
}

struct belay_handoff_limiter *belay_handoff_limiter_free(struct belay_handoff_limiter *limiter)
{
	free(limiter);
	return NULL;
}

static struct backend *find(struct belay_handoff_limiter *limiter, const char *key)
{
	for (unsigned i = 0; i < limiter->count; i++) {
		if (strncmp(limiter->backends[i].key, key, BELAY_HANDOFF_KEY_SIZE - 1) == 0)
			return &limiter->backends[i];
	}
	return NULL;
}

static void drop(struct belay_handoff_limiter *limiter, struct backend *backend)
{
	struct backend *last = &limiter->backends[--limiter->count];

	if (backend != last)
		*backend = *last;
}

/* Milliseconds that are left of the window; 0: it is over. */
static uint64_t window_left_ms(const struct backend *backend, uint64_t now_ms)
{
	uint64_t gone_ms = now_ms > backend->since_ms ? now_ms - backend->since_ms : 0;

	return gone_ms < WINDOW_MS ? WINDOW_MS - gone_ms : 0;
}

enum belay_handoff_reason belay_handoff_decide(struct belay_handoff_limiter *limiter,
	const struct belay_handoff_policy *policy, const char *key, uint64_t now_ms,
	uint64_t *ret_retry_after_ms)
{
	struct backend *backend;
	uint64_t left_ms = 0;

	if (ret_retry_after_ms != NULL)
		*ret_retry_after_ms = 0;
	if (!policy->client_capable)
		return BELAY_FALLBACK_CLIENT_UNSUPPORTED;
	if (!policy->service_allows)
		return BELAY_FALLBACK_SERVICE_POLICY_DISABLED;
	if (policy->fd_pressure)
		return BELAY_FALLBACK_FD_PRESSURE_DISABLED;
	if (policy->adopted_backend)
		return BELAY_FALLBACK_ADOPTED_BACKEND;

	backend = find(limiter, key);
	if (backend != NULL)
		left_ms = window_left_ms(backend, now_ms);
	if (backend != NULL && left_ms == 0)
		drop(limiter, backend);
	else if (backend != NULL && backend->failures >= FAILURES_MAX) {
		if (ret_retry_after_ms != NULL)
			*ret_retry_after_ms = left_ms;
		return BELAY_FALLBACK_FAILED_ATTEMPT_RATE_LIMITED;
	}
	return BELAY_FALLBACK_NONE;
}

/* A place for KEY, that of whoever failed longest ago if need be. */
static struct backend *add(struct belay_handoff_limiter *limiter, const char *key)
{
	struct backend *backend = &limiter->backends[0];

	if (limiter->count < limiter->max) {
		backend = &limiter->backends[limiter->count++];
	} else {
		for (unsigned i = 1; i < limiter->count; i++) {
			if (limiter->backends[i].last_ms < backend->last_ms)
				backend = &limiter->backends[i];
		}
	}
	memset(backend, 0, sizeof(*backend));
	memcpy(backend->key, key, strnlen(key, BELAY_HANDOFF_KEY_SIZE - 1));
	return backend;
}

void belay_handoff_tried(struct belay_handoff_limiter *limiter, const char *key,
	enum belay_handoff_error error, uint64_t now_ms)
{
	struct backend *backend = find(limiter, key);

	if (error == BELAY_HANDED_OVER && backend != NULL)
		drop(limiter, backend);
	if (!belay_handoff_is_attempt_failure(error))
		return;

	if (backend == NULL)
		backend = add(limiter, key);
	if (backend->failures == 0 || window_left_ms(backend, now_ms) == 0) {
		backend->failures = 0;
		backend->since_ms = now_ms;
	}
	backend->failures++;
	backend->last_ms = now_ms;
}
