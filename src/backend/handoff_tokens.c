#include <belay/handoff.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

/* How often a token that is out already is drawn before somebody is told that chance is broken. */
#define COLLISIONS_MAX 16

/* More than anybody looks through for each, and few enough for a size_t of 32 bits. */
#define TOKENS_MAX 1048576u

struct issued {
	struct belay_handoff_token token;
	uint64_t due_ms;
};

/* All that are out stand together at the beginning, in no order. Few enough to look at each. */
struct belay_handoff_tokens {
	unsigned max, count, ttl_ms;
	struct issued issued[];
};

int belay_handoff_tokens_new(unsigned max, unsigned ttl_ms, struct belay_handoff_tokens **ret_tokens)
{
	unsigned clamped = max > 0 ? max : 1;
	struct belay_handoff_tokens *tokens;

	if (max > TOKENS_MAX)
		return -EINVAL;
	tokens = calloc(1, sizeof(*tokens) + clamped * sizeof(tokens->issued[0]));
	if (tokens == NULL)
		return -ENOMEM;

	tokens->max = clamped;
	tokens->ttl_ms = ttl_ms > 0 ? ttl_ms : 1;
	*ret_tokens = tokens;
	return 0;
}

struct belay_handoff_tokens *belay_handoff_tokens_free(struct belay_handoff_tokens *tokens)
{
	if (tokens == NULL)
		return NULL;

	explicit_bzero(tokens->issued, (size_t)tokens->max * sizeof(tokens->issued[0]));
	free(tokens);
	return NULL;
}

static struct issued *find(struct belay_handoff_tokens *tokens,
	const struct belay_handoff_token *token)
{
	struct issued *found = NULL;

	/* To the end, so that the time does not tell where it lies. */
	for (unsigned i = 0; i < tokens->count; i++) {
		if (belay_handoff_token_equal(&tokens->issued[i].token, token))
			found = &tokens->issued[i];
	}
	return found;
}

static void drop(struct belay_handoff_tokens *tokens, struct issued *issued)
{
	struct issued *last = &tokens->issued[--tokens->count];

	*issued = *last;
	explicit_bzero(last, sizeof(*last));
}

unsigned belay_handoff_tokens_prune(struct belay_handoff_tokens *tokens, uint64_t now_ms)
{
	unsigned dropped = 0;

	for (unsigned i = tokens->count; i-- > 0;) {
		if (tokens->issued[i].due_ms > now_ms)
			continue;
		drop(tokens, &tokens->issued[i]);
		dropped++;
	}
	return dropped;
}

int belay_handoff_tokens_add(struct belay_handoff_tokens *tokens,
	const struct belay_handoff_token *token, uint64_t now_ms)
{
	uint64_t due_ms;

	(void)belay_handoff_tokens_prune(tokens, now_ms);
	if (tokens->count == tokens->max)
		return -EBUSY;
	if (find(tokens, token) != NULL)
		return -EEXIST;

	if (__builtin_add_overflow(now_ms, tokens->ttl_ms, &due_ms))
		due_ms = UINT64_MAX;
	tokens->issued[tokens->count++] = (struct issued){ *token, due_ms };
	return 0;
}

int belay_handoff_tokens_issue(struct belay_handoff_tokens *tokens, uint64_t now_ms,
	struct belay_handoff_token *ret_token)
{
	struct belay_handoff_token token;
	int r = -EEXIST;

	for (int tries = 0; tries < COLLISIONS_MAX && r == -EEXIST; tries++) {
		r = belay__random(token.secret, sizeof(token.secret));
		if (r == 0)
			r = belay_handoff_tokens_add(tokens, &token, now_ms);
	}
	if (r == 0)
		*ret_token = token;
	explicit_bzero(&token, sizeof(token));
	return r;
}

int belay_handoff_tokens_consume(struct belay_handoff_tokens *tokens,
	const struct belay_handoff_token *expected, const struct belay_handoff_token *presented,
	uint64_t now_ms)
{
	struct issued *issued = find(tokens, expected);
	int r = 0;

	if (issued == NULL)
		r = -ENOENT;
	else if (issued->due_ms <= now_ms)
		r = -ETIME;
	else if (!belay_handoff_token_equal(expected, presented))
		r = -EPERM;

	/* The one that was asked for goes by its own name: an expired one is told from an unknown one. */
	if (r == 0 || r == -ETIME)
		drop(tokens, issued);
	(void)belay_handoff_tokens_prune(tokens, now_ms);
	return r;
}

bool belay_handoff_tokens_revoke(struct belay_handoff_tokens *tokens,
	const struct belay_handoff_token *token)
{
	struct issued *issued = find(tokens, token);

	if (issued == NULL)
		return false;

	drop(tokens, issued);
	return true;
}
