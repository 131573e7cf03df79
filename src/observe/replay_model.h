/* replay_model.h - what replay.c has to say, found out as plainly as possible; for its tests
 *
 * A list in the order of arrival, searched from the beginning, with each rule of heartbeat-system,
 * section 4, as a sentence of its own. It sweeps all at once; the table does so too as long as it is
 * small (MODEL_EXACT senders).
 */
#pragma once

#include <string.h>

#include "observe/replay.h"

enum { MODEL_MAX = 1024, MODEL_EXACT = 8 };

struct model_sender {
	uint32_t key, pid;
	unsigned prefixes; /* how many of the two below there are */
	struct {
		uint64_t prefix;
		uint32_t counter;
	} now, before;
	uint64_t older[BELAY__REPLAY_OLDER]; /* the newest first */
	unsigned older_count;
	bool any_terminal;
	uint64_t nonce_max, terminal_max_ns, heard_ns;
};

struct model {
	uint32_t capacity, count, keys;
	uint64_t gap_ns, swept_ns;
	bool swept;
	struct model_sender senders[MODEL_MAX];
};

static inline void model_drop(struct model *model, uint32_t i)
{
	memmove(&model->senders[i], &model->senders[i + 1],
		(model->count - i - 1) * sizeof(model->senders[i]));
	model->count--;
}

static inline uint64_t model_silence_ns(const struct model_sender *sender, uint64_t now_ns)
{
	return now_ns < sender->heard_ns ? 0 : now_ns - sender->heard_ns;
}

static inline void model_sweep(struct model *model, uint64_t now_ns)
{
	for (uint32_t i = model->count; i > 0; i--)
		if (model_silence_ns(&model->senders[i - 1], now_ns) >= BELAY__REPLAY_TTL_NS)
			model_drop(model, i - 1);
}

static inline struct model_sender *model_find(struct model *model, uint32_t key, uint32_t pid)
{
	for (uint32_t i = 0; i < model->count; i++)
		if (model->senders[i].key == key && model->senders[i].pid == pid)
			return &model->senders[i];
	return NULL;
}

static inline void model_note(struct model_sender *sender, const struct belay_frame *frame,
	uint64_t now_ns)
{
	bool terminal = frame->nonce == BELAY_NONCE_TERMINAL;

	sender->heard_ns = now_ns;
	if (terminal && (!sender->any_terminal || frame->timestamp_ns > sender->terminal_max_ns))
		sender->terminal_max_ns = frame->timestamp_ns;
	if (terminal)
		sender->any_terminal = true;
	if (!terminal && frame->nonce > sender->nonce_max)
		sender->nonce_max = frame->nonce;
}

static inline bool model_other_prefix(const struct model *model, struct model_sender *sender,
	uint64_t prefix, const struct belay_frame *frame, uint64_t now_ns)
{
	uint64_t gap_ns = model->gap_ns < BELAY__REPLAY_TTL_NS ? model->gap_ns
							       : BELAY__REPLAY_TTL_NS;

	for (unsigned i = 0; i < sender->older_count; i++)
		if (sender->older[i] == prefix)
			return false;
	if (frame->nonce == BELAY_NONCE_TERMINAL)
		return !sender->any_terminal || frame->timestamp_ns > sender->terminal_max_ns;
	if (frame->nonce > sender->nonce_max)
		return true;
	if (model_silence_ns(sender, now_ns) < gap_ns)
		return false;
	sender->nonce_max = sender->terminal_max_ns = 0;
	sender->any_terminal = false;
	return true;
}

static inline enum belay__replay_result model_known(const struct model *model,
	struct model_sender *sender, uint64_t prefix, uint32_t counter,
	const struct belay_frame *frame, uint64_t now_ns)
{
	if (prefix == sender->now.prefix) {
		if (counter <= sender->now.counter)
			return BELAY__REPLAY_REFUSED;
		sender->now.counter = counter;
	} else if (sender->prefixes == 2 && prefix == sender->before.prefix) {
		if (counter <= sender->before.counter)
			return BELAY__REPLAY_REFUSED;
		sender->before.counter = counter;
	} else {
		if (!model_other_prefix(model, sender, prefix, frame, now_ns))
			return BELAY__REPLAY_REFUSED;
		if (sender->prefixes == 2) {
			memmove(&sender->older[1], &sender->older[0],
				(BELAY__REPLAY_OLDER - 1) * sizeof(sender->older[0]));
			sender->older[0] = sender->before.prefix;
			sender->older_count += sender->older_count < BELAY__REPLAY_OLDER;
		}
		sender->before = sender->now;
		sender->now.prefix = prefix;
		sender->now.counter = counter;
		sender->prefixes = 2;
	}
	model_note(sender, frame, now_ns);
	return BELAY__REPLAY_FRESH;
}

static inline uint32_t model_senders_of(const struct model *model, uint32_t key)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < model->count; i++)
		count += model->senders[i].key == key;
	return count;
}

/* Whether KEY may have one more: half of all places are reserved, for each key as many. */
static inline bool model_has_room(const struct model *model, uint32_t key)
{
	uint32_t own = model->keys > 0 ? model->capacity / (2 * model->keys) : 0;
	uint32_t reserved = 0;

	if (model_senders_of(model, key) < own)
		return model->count < model->capacity;
	for (uint32_t other = 0; other < model->keys; other++)
		if (model_senders_of(model, other) < own)
			reserved += own - model_senders_of(model, other);
	return model->count + reserved < model->capacity;
}

static inline enum belay__replay_result model_check(struct model *model, uint32_t key,
	uint64_t prefix, uint32_t counter, const struct belay_frame *frame, uint64_t now_ns)
{
	struct model_sender *sender;

	sender = model_find(model, key, frame->pid);
	if (sender != NULL)
		return model_known(model, sender, prefix, counter, frame, now_ns);

	if (!model_has_room(model, key) &&
		(!model->swept || now_ns >= model->swept_ns + UINT64_C(1000000000))) {
		model->swept = true;
		model->swept_ns = now_ns;
		model_sweep(model, now_ns);
	}
	if (!model_has_room(model, key))
		return BELAY__REPLAY_FULL;
	sender = &model->senders[model->count++];
	*sender = (struct model_sender){ .key = key, .pid = frame->pid, .prefixes = 1 };
	sender->now.prefix = prefix;
	sender->now.counter = counter;
	model_note(sender, frame, now_ns);
	return BELAY__REPLAY_FRESH;
}

static inline void model_renumber(struct model *model, const uint32_t *map, uint32_t count,
	uint32_t keys)
{
	model->keys = keys;
	for (uint32_t i = model->count; i > 0; i--) {
		struct model_sender *sender = &model->senders[i - 1];

		if (sender->key >= count || map[sender->key] == UINT32_MAX)
			model_drop(model, i - 1);
		else
			sender->key = map[sender->key];
	}
}
