#include <belay/handoff.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct awaited {
	struct belay_handoff_token token;
	uint64_t since_ms, due_ms;
	char key[BELAY_HANDOFF_KEY_SIZE];
};

/* As with tokens: all together, in no order, each looked at. */
struct belay_handoff_acks {
	struct belay_handoff_tokens *tokens;
	unsigned max, count;
	struct awaited awaited[];
};

int belay_handoff_acks_new(unsigned max, struct belay_handoff_tokens *tokens,
	struct belay_handoff_acks **ret_acks)
{
	unsigned clamped = max > 0 ? max : 1;
	struct belay_handoff_acks *acks;

	if (max > BELAY_HANDOFF_BOOK_MAX)
		return -EINVAL;
	acks = calloc(1, sizeof(*acks) + (size_t)clamped * sizeof(acks->awaited[0]));
	if (acks == NULL)
		return -ENOMEM;

	acks->tokens = tokens;
	acks->max = clamped;
	*ret_acks = acks;
	return 0;
}

struct belay_handoff_acks *belay_handoff_acks_free(struct belay_handoff_acks *acks)
{
	if (acks == NULL)
		return NULL;

	explicit_bzero(acks->awaited, (size_t)acks->max * sizeof(acks->awaited[0]));
	free(acks);
	return NULL;
}

static struct awaited *find(struct belay_handoff_acks *acks, const struct belay_handoff_token *token)
{
	struct awaited *found = NULL;

	for (unsigned i = 0; i < acks->count; i++) {
		if (belay_handoff_token_equal(&acks->awaited[i].token, token))
			found = &acks->awaited[i];
	}
	return found;
}

static void drop(struct belay_handoff_acks *acks, struct awaited *awaited)
{
	struct awaited *last = &acks->awaited[--acks->count];

	if (awaited != last)
		*awaited = *last;
	explicit_bzero(last, sizeof(*last));
}

static void revoke(struct belay_handoff_acks *acks, const struct belay_handoff_token *token)
{
	if (acks->tokens != NULL)
		(void)belay_handoff_tokens_revoke(acks->tokens, token);
}

int belay_handoff_acks_expect(struct belay_handoff_acks *acks,
	const struct belay_handoff_token *token, const char *key, uint64_t now_ms,
	unsigned timeout_ms)
{
	struct awaited *awaited;
	size_t len = strnlen(key, BELAY_HANDOFF_KEY_SIZE - 1);

	if (find(acks, token) != NULL)
		return -EEXIST;
	if (acks->count == acks->max)
		return -EBUSY;

	awaited = &acks->awaited[acks->count++];
	awaited->token = *token;
	awaited->since_ms = now_ms;
	if (__builtin_add_overflow(now_ms,
		    timeout_ms > 0 ? timeout_ms : BELAY_HANDOFF_ACK_TIMEOUT_MS, &awaited->due_ms))
		awaited->due_ms = UINT64_MAX;
	memcpy(awaited->key, key, len);
	awaited->key[len] = '\0';
	return 0;
}

int belay_handoff_acks_arrived(struct belay_handoff_acks *acks,
	const struct belay_handoff_token *token, uint64_t now_ms, uint64_t *ret_waited_ms)
{
	struct awaited *awaited = find(acks, token);
	uint64_t since_ms, due_ms;

	/* Whoever made one up would take back a token that waits for something else. */
	if (awaited == NULL)
		return -ENOENT;

	revoke(acks, token);
	since_ms = awaited->since_ms;
	due_ms = awaited->due_ms;
	drop(acks, awaited);
	if (now_ms >= due_ms)
		return -ETIME;
	if (ret_waited_ms != NULL)
		*ret_waited_ms = now_ms > since_ms ? now_ms - since_ms : 0;
	return 0;
}

bool belay_handoff_acks_abandon(struct belay_handoff_acks *acks,
	const struct belay_handoff_token *token)
{
	struct awaited *awaited = find(acks, token);

	revoke(acks, token);
	if (awaited == NULL)
		return false;

	drop(acks, awaited);
	return true;
}

int belay_handoff_acks_overdue(struct belay_handoff_acks *acks, uint64_t now_ms,
	struct belay_handoff_token *ret_token, char ret_key[BELAY_HANDOFF_KEY_SIZE])
{
	struct awaited *first = NULL;

	for (unsigned i = 0; i < acks->count; i++) {
		if (first == NULL || acks->awaited[i].due_ms < first->due_ms)
			first = &acks->awaited[i];
	}
	if (first == NULL || first->due_ms > now_ms)
		return 0;

	revoke(acks, &first->token);
	*ret_token = first->token;
	memcpy(ret_key, first->key, BELAY_HANDOFF_KEY_SIZE);
	drop(acks, first);
	return 1;
}
