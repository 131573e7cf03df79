/* replay_fuzz.c - frames of a few senders in a small, often full table, against the model that
 * replay_model.h is
 *
 * Input: one byte that says how many senders fit, then steps of six bytes {operation, sender, prefix,
 * counter, nonce or timestamp, time}. After each step both have said the same and know as many.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "observe/replay_model.h"

#define GAP_NS UINT64_C(1000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEP = 6, KEYS = 4, INPUT_MAX = 3072 };

static struct belay__replay *replay;
static struct model model;
static uint64_t now_ns;

/* Times around every limit there is; a clock may also step back. */
static void pass_time(uint8_t byte)
{
	static const uint64_t steps[] = { 0, GAP_NS, UINT64_C(1000000000), UINT64_C(60000000000),
		BELAY__REPLAY_TTL_NS };
	uint64_t step_ns = steps[(byte >> 4) % 5];

	if (byte == 0xff)
		now_ns = now_ns < GAP_NS ? 0 : now_ns - GAP_NS;
	else
		now_ns += step_ns + (byte & 15) >= 8 ? step_ns + (byte & 15) - 8 : 0;
}

static void renumber(uint8_t first, uint8_t count, uint8_t gone)
{
	uint32_t map[KEYS];

	for (uint32_t i = 0; i < KEYS; i++)
		map[i] = (gone >> i) & 1 ? UINT32_MAX : (i + first) % KEYS;
	belay__replay_renumber(replay, map, count % (KEYS + 1), KEYS);
	model_renumber(&model, map, count % (KEYS + 1), KEYS);
}

static void frame(const uint8_t *bytes)
{
	bool terminal = (bytes[0] & 0x80) != 0;
	struct belay_frame sent = {
		.pid = 2 + (bytes[1] & 15u) * 1024u,
		.nonce = terminal ? BELAY_NONCE_TERMINAL : bytes[4],
		.timestamp_ns = bytes[4],
	};
	uint32_t key = (bytes[1] >> 4) % KEYS;
	uint64_t prefix = bytes[2] & 7;
	enum belay__replay_result result, expected;

	result = belay__replay_check(replay, key, prefix, bytes[3], &sent, now_ns);
	expected = model_check(&model, key, prefix, bytes[3], &sent, now_ns);
	assert(result == expected);
}

static void step(const uint8_t *bytes)
{
	pass_time(bytes[5]);
	switch (bytes[0] & 31) {
	case 31:
		renumber(bytes[1], bytes[2], bytes[3]);
		break;
	case 30:
		model.gap_ns = GAP_NS * bytes[1];
		belay__replay_set_restart_gap(replay, model.gap_ns);
		break;
	default:
		frame(bytes);
	}
	assert(belay__replay_senders(replay) == model.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int r;

	if (size < 1)
		return 0;
	model = (struct model){ .capacity = 1 + data[0] % MODEL_EXACT, .gap_ns = GAP_NS };
	now_ns = 0;
	r = belay__replay_new(model.capacity, GAP_NS, data[0], &replay);
	assert(r == 0);

	for (size_t i = 1; i + STEP <= size && i < INPUT_MAX; i += STEP)
		step(data + i);
	(void)belay__replay_free(replay);
	return 0;
}
