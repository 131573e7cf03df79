#include "observe/replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "observe/replay_model.h"

#define GAP_NS UINT64_C(1000)
#define TTL_NS BELAY__REPLAY_TTL_NS
#define LAST   BELAY_NONCE_TERMINAL

enum { STEPS_MAX = 8 };

/* A frame of process 7, opened by key 0. */
struct step {
	uint64_t after_ns; /* the one before it */
	uint64_t prefix;
	uint32_t counter;
	uint64_t nonce, timestamp_ns;
	enum belay__replay_result result;
};

#define FRESH   BELAY__REPLAY_FRESH
#define REFUSED BELAY__REPLAY_REFUSED

/* The last step of each is what it is about. */
static const struct {
	const char *what;
	struct step steps[STEPS_MAX];
} cases[] = {
	/* clang-format off */
	/* within a prefix */
	{ "the same frame", { { 0, 1, 5, 9, 0, FRESH }, { 0, 1, 5, 9, 0, REFUSED } } },
	{ "a counter below", { { 0, 1, 5, 9, 0, FRESH }, { 0, 1, 4, 10, 0, REFUSED } } },
	{ "the next counter", { { 0, 1, 5, 9, 0, FRESH }, { 0, 1, 6, 10, 0, FRESH } } },
	{ "a gap of counters", { { 0, 1, 5, 9, 0, FRESH }, { 0, 1, UINT32_MAX, 10, 0, FRESH } } },
	{ "what the gap left out", { { 0, 1, 5, 9, 0, FRESH }, { 0, 1, 8, 12, 0, FRESH }, { 0, 1, 7, 11, 0, REFUSED } } },
	{ "counter zero first", { { 0, 1, 0, 1, 0, FRESH }, { 0, 1, 0, 1, 0, REFUSED } } },
	{ "prefix zero", { { 0, 0, 0, 1, 0, FRESH }, { 0, 0, 0, 1, 0, REFUSED } } },
	{ "an older nonce under a higher counter", { { 0, 1, 5, 9, 0, FRESH }, { 0, 1, 6, 2, 0, FRESH } } },
	{ "last words under a higher counter", { { 0, 1, 5, 9, 0, FRESH }, { 0, 1, 6, LAST, 3, FRESH } } },
	{ "no silence makes an old counter new", { { 0, 1, 5, 9, 0, FRESH }, { 10 * GAP_NS, 1, 5, 9, 0, REFUSED } } },
	/* the previous prefix */
	{ "its counters go on", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 0, 10, 0, FRESH }, { 0, 1, 6, 3, 0, FRESH } } },
	{ "its last counter", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 0, 10, 0, FRESH }, { 0, 1, 5, 11, 0, REFUSED } } },
	{ "its own counters, not the new ones", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 70, 10, 0, FRESH },
		{ 0, 1, 6, 3, 0, FRESH }, { 0, 1, 6, 3, 0, REFUSED } } },
	{ "the current one beside it", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 0, 10, 0, FRESH }, { 0, 1, 6, 3, 0, FRESH },
		{ 0, 2, 0, 12, 0, REFUSED } } },
	{ "no silence helps it", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 0, 10, 0, FRESH },
		{ 10 * GAP_NS, 1, 5, 9, 0, REFUSED } } },
	{ "none yet, and it is not 0", { { 0, 1, 5, 9, 0, FRESH }, { 0, 0, 0, 9, 0, REFUSED } } },
	{ "one deep", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 0, 10, 0, FRESH }, { 0, 3, 0, 11, 0, FRESH },
		{ 0, 1, 6, 11, 0, REFUSED } } },
	{ "what it raises counts", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 0, 10, 0, FRESH }, { 0, 1, 6, 20, 0, FRESH },
		{ 0, 3, 0, 20, 0, REFUSED } } },
	/* a new prefix */
	{ "a higher nonce", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 0, 10, 0, FRESH } } },
	{ "the same nonce", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 0, 9, 0, REFUSED } } },
	{ "a lower nonce", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 0, 8, 0, REFUSED } } },
	{ "a refused one changes nothing", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 0, 9, 0, REFUSED },
		{ 0, 2, 0, 10, 0, FRESH }, { 0, 1, 6, 3, 0, FRESH } } },
	{ "regular after last words only", { { 0, 1, 5, LAST, 3, FRESH }, { 0, 2, 0, 1, 0, FRESH } } },
	{ "nonce 0 after last words only", { { 0, 1, 5, LAST, 3, FRESH }, { 0, 2, 0, 0, 0, REFUSED } } },
	{ "the first last words", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 0, LAST, 0, FRESH } } },
	{ "later last words", { { 0, 1, 5, LAST, 3, FRESH }, { 0, 2, 0, LAST, 4, FRESH } } },
	{ "last words of the same time", { { 0, 1, 5, LAST, 3, FRESH }, { 0, 2, 0, LAST, 3, REFUSED } } },
	{ "last words from before", { { 0, 1, 5, LAST, 3, FRESH }, { 0, 2, 0, LAST, 2, REFUSED } } },
	{ "last words do not raise the nonce", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 0, LAST, 3, FRESH },
		{ 0, 3, 0, 10, 0, FRESH } } },
	{ "timestamps of regular frames do not count", { { 0, 1, 5, 9, 99, FRESH }, { 0, 2, 0, LAST, 3, FRESH } } },
	{ "an older timestamp lowers nothing", { { 0, 1, 5, LAST, 3, FRESH }, { 0, 1, 6, LAST, 1, FRESH },
		{ 0, 2, 0, LAST, 3, REFUSED } } },
	{ "an older nonce lowers nothing", { { 0, 1, 5, 9, 0, FRESH }, { 0, 1, 6, 2, 0, FRESH }, { 0, 2, 0, 9, 0, REFUSED } } },
	/* a new session */
	{ "just before the gap ends", { { 0, 1, 5, 9, 0, FRESH }, { GAP_NS - 1, 2, 0, 1, 0, REFUSED } } },
	{ "when it ends", { { 0, 1, 5, 9, 0, FRESH }, { GAP_NS, 2, 0, 1, 0, FRESH } } },
	{ "a refused frame breaks no silence", { { 0, 1, 5, 9, 0, FRESH }, { GAP_NS - 1, 2, 0, 1, 0, REFUSED },
		{ 1, 2, 0, 1, 0, FRESH } } },
	{ "an accepted one does", { { 0, 1, 5, 9, 0, FRESH }, { GAP_NS - 1, 1, 6, 10, 0, FRESH }, { 1, 2, 0, 1, 0, REFUSED } } },
	{ "it counts from its own nonce", { { 0, 1, 5, 9, 0, FRESH }, { GAP_NS, 2, 0, 1, 0, FRESH }, { 0, 3, 0, 2, 0, FRESH } } },
	{ "it has no last words yet", { { 0, 1, 5, LAST, 9, FRESH }, { GAP_NS, 2, 0, 0, 0, FRESH }, { 0, 3, 0, LAST, 1, FRESH } } },
	{ "frames of the session before", { { 0, 1, 5, 9, 0, FRESH }, { GAP_NS, 2, 0, 1, 0, FRESH }, { 0, 1, 5, 9, 0, REFUSED } } },
	{ "last words begin none", { { 0, 1, 5, LAST, 9, FRESH }, { 10 * GAP_NS, 2, 0, LAST, 9, REFUSED } } },
	{ "last words begin none and forget none", { { 0, 1, 5, LAST, 9, FRESH }, { 10 * GAP_NS, 2, 0, LAST, 1, REFUSED },
		{ 0, 3, 0, LAST, 9, REFUSED } } },
	/* long silent */
	{ "nobody is forgotten as long as there is room", { { 0, 1, 5, 9, 0, FRESH }, { 10 * TTL_NS, 1, 5, 9, 0, REFUSED } } },
	{ "nor last words", { { 0, 1, 5, LAST, 9, FRESH }, { 10 * TTL_NS, 1, 5, LAST, 9, REFUSED } } },
	{ "it may begin anew", { { 0, 1, 5, 9, 0, FRESH }, { TTL_NS, 2, 0, 1, 0, FRESH }, { 0, 1, 6, 2, 0, FRESH } } },
	/* older prefixes */
	{ "two back, though it brings something new", { { 0, 1, 5, 9, 0, FRESH }, { 0, 2, 0, 10, 0, FRESH },
		{ 0, 3, 0, 11, 0, FRESH }, { 0, 1, 6, 12, 0, REFUSED } } },
	{ "two back, after a silence", { { 0, 1, 5, 9, 0, FRESH }, { GAP_NS, 2, 0, 1, 0, FRESH },
		{ GAP_NS, 3, 0, 1, 0, FRESH }, { GAP_NS, 1, 6, 2, 0, REFUSED } } },
	{ "two back, last words", { { 0, 1, 5, LAST, 1, FRESH }, { 0, 2, 0, LAST, 2, FRESH },
		{ 0, 3, 0, LAST, 3, FRESH }, { 0, 1, 6, LAST, 9, REFUSED } } },
	/* clang-format on */
};

static struct belay__replay *table_for(uint32_t senders)
{
	struct belay__replay *replay;

	assert_int_equal(belay__replay_new(senders, GAP_NS, 77, &replay), 0);
	return replay;
}

/* As a frame of its nonce and everything else alike. */
static enum belay__replay_result check(struct belay__replay *replay, uint32_t key, uint32_t pid,
	uint64_t prefix, uint32_t counter, uint64_t now_ns)
{
	struct belay_frame frame = { .pid = pid, .nonce = counter + UINT64_C(1) };

	return belay__replay_check(replay, key, prefix, counter, &frame, now_ns);
}

/* A hole in the table ends a case: no step has everything zero. */
static bool is_step(const struct step *step)
{
	return step->prefix != 0 || step->nonce != 0 || step->counter != 0;
}

static void every_rule_has_both_sides(void **state)
{
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct belay__replay *replay = table_for(1);
		uint64_t now_ns = 1000000;

		for (size_t j = 0; j < STEPS_MAX && is_step(&cases[i].steps[j]); j++) {
			const struct step *step = &cases[i].steps[j];
			struct belay_frame frame = { .pid = 7,
				.nonce = step->nonce,
				.timestamp_ns = step->timestamp_ns };
			enum belay__replay_result result;

			now_ns += step->after_ns;
			result = belay__replay_check(replay, 0, step->prefix, step->counter, &frame,
				now_ns);
			if (result != step->result)
				fail_msg("%s: step %zu is %d", cases[i].what, j, (int)result);
		}
		assert_int_equal(belay__replay_senders(replay), 1);
		assert_null(belay__replay_free(replay));
	}
}

static void a_clock_that_steps_back_makes_no_silence(void **state)
{
	struct belay__replay *replay = table_for(1);
	(void)state;

	assert_int_equal(check(replay, 0, 7, 1, 5, 5000), FRESH);
	assert_int_equal(check(replay, 0, 7, 2, 4, 1000), REFUSED);
	assert_int_equal(check(replay, 0, 7, 1, 6, 1000), FRESH);
	assert_int_equal(check(replay, 0, 7, 2, 1, 1000 + GAP_NS), FRESH);
	(void)belay__replay_free(replay);
}

static void senders_are_told_apart_by_key_and_pid(void **state)
{
	struct belay__replay *replay = table_for(4);
	(void)state;

	assert_int_equal(check(replay, 0, 7, 1, 5, 1), FRESH);
	assert_int_equal(check(replay, 1, 7, 1, 5, 1), FRESH);
	assert_int_equal(check(replay, 0, 8, 1, 5, 1), FRESH);
	assert_int_equal(check(replay, BELAY__KEYS_MAX - 1, 7, 1, 5, 1), FRESH);
	assert_int_equal(check(replay, 1, 7, 1, 5, 1), REFUSED);
	assert_int_equal(belay__replay_senders(replay), 4);
	(void)belay__replay_free(replay);
}

static void a_full_table_refuses_strangers_only(void **state)
{
	struct belay__replay *replay = table_for(3);
	(void)state;

	for (uint32_t pid = 2; pid < 5; pid++)
		assert_int_equal(check(replay, 0, pid, 1, 0, 1), FRESH);
	assert_int_equal(check(replay, 0, 5, 1, 0, 1), BELAY__REPLAY_FULL);
	assert_int_equal(check(replay, 1, 2, 1, 0, 1), BELAY__REPLAY_FULL);
	assert_int_equal(check(replay, 0, 2, 1, 1, 1), FRESH);
	assert_int_equal(check(replay, 0, 2, 1, 1, 1), REFUSED);
	assert_int_equal(belay__replay_senders(replay), 3);
	(void)belay__replay_free(replay);
}

static void a_full_table_looks_for_room_once_a_second(void **state)
{
	struct belay__replay *replay = table_for(2);
	uint64_t full_ns = TTL_NS - 1;
	(void)state;

	assert_int_equal(check(replay, 0, 2, 1, 0, 0), FRESH);
	assert_int_equal(check(replay, 0, 3, 1, 0, full_ns), FRESH);
	assert_int_equal(check(replay, 0, 4, 1, 0, full_ns), BELAY__REPLAY_FULL);
	assert_int_equal(check(replay, 0, 4, 1, 0, full_ns + 999999999), BELAY__REPLAY_FULL);
	assert_int_equal(check(replay, 0, 4, 1, 0, full_ns + 1000000000), FRESH);
	assert_int_equal(check(replay, 0, 3, 1, 0, full_ns + 1000000000), REFUSED);
	assert_int_equal(belay__replay_senders(replay), 2);
	(void)belay__replay_free(replay);
}

static void a_search_for_room_is_spread_over_many_frames(void **state)
{
	struct belay__replay *replay = table_for(BELAY__SENDERS_MAX);
	uint32_t calls = 0, before;
	(void)state;

	for (uint32_t pid = 0; pid < BELAY__SENDERS_MAX; pid++)
		assert_int_equal(check(replay, pid % 2, 2 + pid, 1, 0, pid == 77 ? 1 : 2), FRESH);
	/* One of them may go; where it is, nobody knows. */
	before = belay__replay_senders(replay);
	while (check(replay, 0, UINT32_MAX, 1, 0, TTL_NS + 1) == BELAY__REPLAY_FULL)
		assert_true(++calls <= 2 * BELAY__SENDERS_MAX / 512);
	assert_int_equal(belay__replay_senders(replay), before);
	assert_int_equal(check(replay, 0, 2, 1, 0, TTL_NS + 1), REFUSED);
	(void)belay__replay_free(replay);
}

/* Each of these sessions begins after a silence. */
static void so_many_prefixes_are_remembered_and_no_more(void **state)
{
	struct belay__replay *replay = table_for(2);
	struct belay_frame frame = { .pid = 2, .nonce = 1 };
	uint64_t now_ns = 0, last = BELAY__REPLAY_OLDER + 3;
	(void)state;

	for (uint64_t prefix = 1; prefix <= last; prefix++) {
		now_ns += GAP_NS;
		assert_int_equal(belay__replay_check(replay, 0, prefix, 0, &frame, now_ns), FRESH);
	}
	now_ns += GAP_NS;
	for (uint64_t prefix = 2; prefix <= last - 2; prefix++)
		assert_int_equal(belay__replay_check(replay, 0, prefix, 9, &frame, now_ns), REFUSED);
	assert_int_equal(belay__replay_check(replay, 0, 1, 9, &frame, now_ns), FRESH);
	(void)belay__replay_free(replay);
}

static void a_long_gap_lets_a_new_session_begin_all_the_same(void **state)
{
	struct belay__replay *replay;
	(void)state;

	assert_int_equal(belay__replay_new(2, 10 * TTL_NS, 77, &replay), 0);
	assert_int_equal(check(replay, 0, 2, 1, 7, 0), FRESH);
	assert_int_equal(check(replay, 0, 2, 2, 7, TTL_NS - 1), REFUSED);
	assert_int_equal(check(replay, 0, 2, 2, 7, TTL_NS), FRESH);
	(void)belay__replay_free(replay);
}

static void keys_get_new_numbers_with_their_senders(void **state)
{
	struct belay__replay *replay = table_for(8);
	const uint32_t swapped[] = { 2, UINT32_MAX, 0 };
	(void)state;

	for (uint32_t key = 0; key < 4; key++)
		assert_int_equal(check(replay, key, 7, 1, key, 1), FRESH);
	belay__replay_renumber(replay, swapped, 3, 4); /* 3 is beyond its end */
	assert_int_equal(belay__replay_senders(replay), 2);
	assert_int_equal(check(replay, 2, 7, 1, 0, 1), REFUSED);
	assert_int_equal(check(replay, 0, 7, 1, 2, 1), REFUSED);
	assert_int_equal(check(replay, 0, 7, 1, 3, 1), FRESH);
	assert_int_equal(check(replay, 1, 7, 1, 0, 1), FRESH); /* another key has the number */
	assert_int_equal(check(replay, 3, 7, 1, 0, 1), FRESH);

	belay__replay_renumber(replay, NULL, 0, 4);
	assert_int_equal(belay__replay_senders(replay), 0);
	for (uint32_t key = 0; key < 4; key++)
		assert_int_equal(check(replay, key, 7, 1, 0, 1), FRESH);
	(void)belay__replay_free(replay);
}

/* As many as come from KEY, counted. */
static uint32_t flood(struct belay__replay *replay, uint32_t key, uint32_t count)
{
	uint32_t fresh = 0;

	for (uint32_t pid = 2; pid < 2 + count; pid++)
		fresh += check(replay, key, pid, 1, 0, 1) == FRESH;
	return fresh;
}

static void a_flood_of_one_key_leaves_every_other_its_places(void **state)
{
	static const struct {
		uint32_t senders, keys, own;
	} floods[] = { { 16, 2, 4 }, { 16, 3, 2 }, { 17, 4, 2 }, { 7, 4, 0 }, { 8, 4, 1 },
		{ 1024, 1, 512 }, { 1024, BELAY__KEYS_MAX, 1 }, { 1023, BELAY__KEYS_MAX, 0 } };
	(void)state;

	for (size_t i = 0; i < sizeof(floods) / sizeof(*floods); i++) {
		struct belay__replay *replay = table_for(floods[i].senders);
		uint32_t others = (floods[i].keys - 1) * floods[i].own;

		belay__replay_renumber(replay, NULL, 0, floods[i].keys);
		assert_int_equal(flood(replay, 0, 2 * floods[i].senders),
			floods[i].senders - others);
		for (uint32_t key = 1; key < floods[i].keys; key++)
			assert_int_equal(flood(replay, key, floods[i].own + 1), floods[i].own);
		assert_int_equal(belay__replay_senders(replay), floods[i].senders);
		assert_int_equal(check(replay, 0, 2, 1, 1, 1), FRESH);
		(void)belay__replay_free(replay);
	}
}

static void a_key_that_is_added_gets_its_places_as_others_are_forgotten(void **state)
{
	struct belay__replay *replay = table_for(8);
	const uint32_t same[] = { 0 }, gone[] = { UINT32_MAX, 0 };
	(void)state;

	belay__replay_renumber(replay, NULL, 0, 1);
	assert_int_equal(flood(replay, 0, 20), 8);
	belay__replay_renumber(replay, same, 1, 2);
	assert_int_equal(check(replay, 1, 2, 1, 0, 2), BELAY__REPLAY_FULL);
	assert_int_equal(check(replay, 1, 2, 1, 0, 1 + TTL_NS), FRESH);
	/* One of two is half of the half. */
	for (uint32_t pid = 2; pid < 8; pid++)
		assert_int_equal(check(replay, 0, pid, 3, 0, 1 + TTL_NS), FRESH);
	assert_int_equal(check(replay, 0, 8, 3, 0, 1 + TTL_NS), BELAY__REPLAY_FULL);
	assert_int_equal(check(replay, 1, 3, 1, 0, 1 + TTL_NS), FRESH);
	/* The flooder's key is taken away: all is free for the other. */
	belay__replay_renumber(replay, gone, 2, 1);
	assert_int_equal(belay__replay_senders(replay), 2);
	assert_int_equal(flood(replay, 0, 20), 6);
	(void)belay__replay_free(replay);
}

static void another_gap_holds_from_now_on(void **state)
{
	struct belay__replay *replay = table_for(1);
	(void)state;

	assert_int_equal(check(replay, 0, 7, 1, 5, 0), FRESH);
	belay__replay_set_restart_gap(replay, 2 * GAP_NS);
	assert_int_equal(check(replay, 0, 7, 2, 0, 2 * GAP_NS - 1), REFUSED);
	assert_int_equal(check(replay, 0, 7, 2, 0, 2 * GAP_NS), FRESH);
	assert_null(belay__replay_free(NULL));
	(void)belay__replay_free(replay);
}

static uint64_t random_state;

static uint32_t draw(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 20) % limit);
}

/* New numbers for COUNT keys: shuffled, and now and then one is gone. */
static void draw_map(uint32_t *map, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t j = draw(i + 1);

		map[i] = map[j];
		map[j] = i;
	}
	for (uint32_t i = 0; i < count; i++)
		if (draw(5) == 0)
			map[i] = UINT32_MAX;
}

static void draw_frame(struct belay_frame *frame, uint32_t pids)
{
	*frame = (struct belay_frame){
		.pid = 2 + draw(pids) * 64,
		.nonce = draw(6) == 0 ? BELAY_NONCE_TERMINAL : draw(40),
		.timestamp_ns = draw(20),
	};
}

/* Steps of time around every limit there is; LONG_NS at most. */
static uint64_t draw_time(uint64_t long_ns)
{
	static const uint64_t edges[] = { 1, GAP_NS - 1, GAP_NS, UINT64_C(999999999),
		UINT64_C(1000000000), UINT64_C(60000000000), TTL_NS - 1, TTL_NS };
	uint64_t step_ns = draw(3) == 0 ? edges[draw(8)] : 0;

	return step_ns <= long_ns ? step_ns : 0;
}

static void compare(uint32_t senders, uint32_t pids, uint32_t keys, uint64_t long_ns, unsigned steps)
{
	static struct model model;
	struct belay__replay *replay = table_for(senders);
	uint64_t now_ns = 0;

	model = (struct model){ .capacity = senders, .gap_ns = GAP_NS, .keys = keys };
	belay__replay_renumber(replay, NULL, 0, keys);
	for (unsigned i = 0; i < steps; i++) {
		struct belay_frame frame;
		uint32_t key = draw(keys), counter = draw(16), map[8];
		uint64_t prefix = draw(i / 50 + 4) % 4096;

		draw_frame(&frame, pids);
		now_ns += draw_time(long_ns);
		if (draw(200) == 0) {
			draw_map(map, keys);
			belay__replay_renumber(replay, map, keys, keys);
			model_renumber(&model, map, keys, keys);
		}
		assert_int_equal(belay__replay_check(replay, key, prefix, counter, &frame, now_ns),
			model_check(&model, key, prefix, counter, &frame, now_ns));
		assert_int_equal(belay__replay_senders(replay), model.count);
	}
	(void)belay__replay_free(replay);
}

static void a_small_table_agrees_with_the_model(void **state)
{
	(void)state;

	random_state = UINT64_C(88172645463325252);
	for (uint32_t senders = 1; senders <= MODEL_EXACT; senders++)
		compare(senders, senders, 2, TTL_NS, 40000);
}

static void a_large_table_agrees_with_the_model(void **state)
{
	(void)state;

	/* Nobody is forgotten: large tables find the forgotten later than the model. */
	random_state = UINT64_C(1234567890123456789);
	compare(600, 200, 5, GAP_NS, 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule_has_both_sides),
		cmocka_unit_test(a_clock_that_steps_back_makes_no_silence),
		cmocka_unit_test(senders_are_told_apart_by_key_and_pid),
		cmocka_unit_test(a_full_table_refuses_strangers_only),
		cmocka_unit_test(a_full_table_looks_for_room_once_a_second),
		cmocka_unit_test(a_search_for_room_is_spread_over_many_frames),
		cmocka_unit_test(so_many_prefixes_are_remembered_and_no_more),
		cmocka_unit_test(a_long_gap_lets_a_new_session_begin_all_the_same),
		cmocka_unit_test(keys_get_new_numbers_with_their_senders),
		cmocka_unit_test(a_flood_of_one_key_leaves_every_other_its_places),
		cmocka_unit_test(a_key_that_is_added_gets_its_places_as_others_are_forgotten),
		cmocka_unit_test(another_gap_holds_from_now_on),
		cmocka_unit_test(a_small_table_agrees_with_the_model),
		cmocka_unit_test(a_large_table_agrees_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
