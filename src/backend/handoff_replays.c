#include "backend/handoff_replays.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "wire/bytes.h"

#define NOBODY UINT32_MAX
#define WORDS  (BELAY_HANDOFF_TOKEN_LEN / sizeof(uint32_t))

struct entry {
	struct belay_handoff_token token;
	uint32_t next; /* in its chain, which runs from the newest to the oldest */
};

/* A ring of entries, which are also in chains by their tokens' hashes. */
struct belay__handoff_replays {
	uint64_t seed[WORDS + 1];
	uint32_t size, used, oldest;
	uint32_t mask;
	uint32_t *heads;
	struct entry entries[];
};

static uint32_t heads_for(unsigned count)
{
	uint32_t heads = 1;

	while (heads < count)
		heads *= 2;
	return heads;
}

int belay__handoff_replays_new(unsigned count, struct belay__handoff_replays **ret_replays)
{
	struct belay__handoff_replays *replays;
	uint32_t heads = heads_for(count);
	int r;

	assert(count > 0 && count <= BELAY__REPLAYS_MAX);
	replays = calloc(1, sizeof(*replays) + count * sizeof(struct entry));
	if (replays == NULL)
		return -ENOMEM;

	replays->size = count;
	replays->mask = heads - 1;
	replays->heads = malloc(heads * sizeof(uint32_t));
	r = replays->heads == NULL ? -ENOMEM : belay__random(replays->seed, sizeof(replays->seed));
	if (r < 0) {
		(void)belay__handoff_replays_free(replays);
		return r;
	}
	memset(replays->heads, 0xff, heads * sizeof(uint32_t));
	*ret_replays = replays;
	return 0;
}

struct belay__handoff_replays *belay__handoff_replays_free(struct belay__handoff_replays *replays)
{
	if (replays == NULL)
		return NULL;

	explicit_bzero(replays->entries, replays->size * sizeof(struct entry));
	free(replays->heads);
	free(replays);
	return NULL;
}

/* Multilinear hashing: for two tokens that were chosen without knowledge of the seed, a chain in common
 * is no likelier than by chance. */
static uint32_t *head_of(const struct belay__handoff_replays *replays,
	const struct belay_handoff_token *token)
{
	uint64_t sum = replays->seed[WORDS];

	for (size_t i = 0; i < WORDS; i++)
		sum += replays->seed[i] * belay__get_le32(token->secret + i * sizeof(uint32_t));
	return &replays->heads[(uint32_t)(sum >> 32) & replays->mask];
}

bool belay__handoff_replays_know(const struct belay__handoff_replays *replays,
	const struct belay_handoff_token *token)
{
	for (uint32_t at = *head_of(replays, token); at != NOBODY; at = replays->entries[at].next)
		if (belay_handoff_token_equal(&replays->entries[at].token, token))
			return true;
	return false;
}

/* The oldest of all is the last of its chain. */
static void forget_oldest(struct belay__handoff_replays *replays)
{
	uint32_t *link = head_of(replays, &replays->entries[replays->oldest].token);

	while (*link != replays->oldest)
		link = &replays->entries[*link].next;
	*link = NOBODY;
	replays->oldest = (replays->oldest + 1) % replays->size;
	replays->used--;
}

void belay__handoff_replays_add(struct belay__handoff_replays *replays,
	const struct belay_handoff_token *token)
{
	uint32_t *head = head_of(replays, token);
	uint32_t at;

	if (replays->used == replays->size)
		forget_oldest(replays);
	at = (replays->oldest + replays->used) % replays->size;
	replays->entries[at] = (struct entry){ .token = *token, .next = *head };
	*head = at;
	replays->used++;
}
