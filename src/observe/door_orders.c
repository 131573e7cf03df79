/* What people want at the door: pauses, and answers that only another can give: what would be done
 * about a process, whether alerts arrive. */

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "observe/door_internal.h"

/* How long somebody waits for the one who answers; the alert command takes its time. */
#define PLAN_WITHIN_NS (2 * BELAY__NS_PER_S)
#define TEST_WITHIN_NS                                                                             \
	(65 * BELAY__NS_PER_S) /* a call that runs may take 30 s, and so may this one */
#define PLANS_MAX 64
/* Nobody pauses anything for longer than a month. */
#define PAUSE_MAX_MS (UINT64_C(31) * 24 * 3600 * 1000)

/* --- pauses --- */

static void start_pause(struct belay__client *client, const struct belay__hello *hello, uint32_t uid)
{
	struct belay__door *door = client->door;
	uint64_t now_ns = belay__clock_ns(CLOCK_REALTIME);
	uint64_t until_ns = now_ns + hello->value * BELAY__NS_PER_MS;

	if (hello->value == 0 || hello->value > PAUSE_MAX_MS) {
		belay__door_done(client, -EINVAL, "a pause lasts between a moment and 31 days");
		return;
	}
	if (belay__pause(door->observer, hello->name, until_ns, now_ns) < 0) {
		belay__door_done(client, -ENOSPC,
			"there are as many pauses as there may be; end one: belay resume NAME");
		return;
	}
	if (door->host.paused != NULL)
		door->host.paused(door->host.data, hello->name, until_ns, uid);
	belay__door_done(client, 0, "");
}

static void end_pause(struct belay__client *client, const struct belay__hello *hello, uint32_t uid)
{
	struct belay__door *door = client->door;

	if (belay__resume(door->observer, hello->name) < 0) {
		belay__door_done(client, -ENOENT, "no pause was given by that name");
		return;
	}
	if (door->host.paused != NULL)
		door->host.paused(door->host.data, hello->name, 0, uid);
	belay__door_done(client, 0, "");
}

/* --- waiting for answers --- */

static void on_waits(struct belay__timer *timer, uint64_t now_ns);

static void arm_waits(struct belay__door *door)
{
	uint64_t next_ns = UINT64_MAX;

	for (unsigned i = 0; i < BELAY__DOOR_CLIENTS_MAX; i++)
		if (door->clients[i].task == BELAY__CLIENT_WAITS &&
			door->clients[i].wait_until_ns < next_ns)
			next_ns = door->clients[i].wait_until_ns;
	belay__timer_set(door->observer->loop, &door->waits, next_ns, on_waits, door);
}

static const char *cannot_ask(int code);

/* The answer is complete, or nobody completes it. */
static void finish(struct belay__client *client, int code, const char *sentence)
{
	client->task = BELAY__CLIENT_IDLE;
	belay__door_done(client, code, sentence);
}

/* The answer is complete, but for those who were left out. */
static void finish_plan(struct belay__client *client)
{
	char sentence[200];
	struct belay__text text;

	if (client->left_out == 0) {
		finish(client, 0, "");
		return;
	}
	belay__text_init(&text, sentence, sizeof(sentence));
	belay__text_addf(&text, "%u more of that name were left out: ", client->left_out);
	if (client->left_code == -E2BIG)
		belay__text_addf(&text, "at most %d are asked about at once; say which", PLANS_MAX);
	else
		belay__text_add(&text, cannot_ask(client->left_code));
	finish(client, client->left_code == -ENOTCONN ? -EAGAIN : client->left_code, sentence);
}

static void on_waits(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__door *door = timer->data;

	for (unsigned i = 0; i < BELAY__DOOR_CLIENTS_MAX; i++)
		if (door->clients[i].task == BELAY__CLIENT_WAITS &&
			door->clients[i].wait_until_ns <= now_ns)
			finish(&door->clients[i], -ETIMEDOUT,
				"no answer in time: the runner may be starting, or a call of the "
				"alert "
				"command takes long; try again, or see belay doctor");
	arm_waits(door);
}

static void start_waiting(struct belay__client *client, uint64_t first_request, uint64_t within_ns)
{
	client->task = BELAY__CLIENT_WAITS;
	client->first_request = first_request;
	client->requests = (uint32_t)(client->door->last_request + 1 - first_request);
	client->answered = 0;
	client->wait_until_ns = belay__clock_ns(CLOCK_MONOTONIC) + within_ns;
	arm_waits(client->door);
}

static struct belay__client *who_waits_for(struct belay__door *door, uint64_t request)
{
	for (unsigned i = 0; i < BELAY__DOOR_CLIENTS_MAX; i++) {
		struct belay__client *client = &door->clients[i];

		if (client->task == BELAY__CLIENT_WAITS && request >= client->first_request &&
			request - client->first_request < client->requests)
			return client;
	}
	return NULL;
}

/* A line, or what a sentence makes one. */
static void write_answer(int code, const char *bytes, size_t len, struct belay__text *text)
{
	struct belay__json_writer json;
	struct belay__json object;

	if (code == 0 && belay__json_parse(bytes, len, &object, NULL) == 0) {
		belay__text_add_bytes(text, bytes, len);
	} else {
		belay__json_start(&json, text);
		belay__json_object(&json, NULL);
		belay__json_i64(&json, "code", code);
		belay__json_string_n(&json, "text", bytes, len);
		belay__json_end_object(&json);
	}
	belay__text_add(text, "\n");
}

void belay__door_planned(struct belay__door *door, uint64_t request, int code, const char *text,
	size_t len)
{
	struct belay__client *client = who_waits_for(door, request);
	struct belay__text line;

	if (client == NULL)
		return;
	belay__text_init(&line, door->packet,
		sizeof(door->packet) - sizeof(struct belay__hello_answer));
	if (client->tests) {
		belay__text_add_bytes(&line, text, len);
		finish(client, code, line.chars);
		return;
	}
	write_answer(code, text, len, &line);
	if (belay__door_send(client, BELAY__HELLO_LINES, 0, line.chars, line.len) < 0)
		belay__door_hang_up(client);
	else if (++client->answered == client->requests)
		finish_plan(client);
}

/* --- what would be done --- */

static const char *cannot_ask(int code)
{
	if (code == -ENOENT)
		return "no alert command is configured; set one: belay observe --alert CMD";
	if (code == -ENOTCONN)
		return "there is no runner: nothing is configured that would be done, or it is "
		       "being "
		       "replaced";
	return "the runner has its hands full; try again";
}

/* What is paused need not be asked about. False: the client is gone. */
static bool tell_paused(struct belay__client *client, const struct belay__record *record,
	uint64_t until_ns)
{
	struct belay__door *door = client->door;
	struct belay__json_writer json;
	struct belay__text line, why;
	char sentence[64];

	belay__text_init(&why, sentence, sizeof(sentence));
	belay__text_add(&why, "it is paused until ");
	belay__text_add_time(&why, until_ns);
	belay__text_init(&line, door->packet,
		sizeof(door->packet) - sizeof(struct belay__hello_answer));
	belay__json_start(&json, &line);
	belay__json_object(&json, NULL);
	belay__json_string(&json, "name", record->name);
	belay__json_u64(&json, "pid", belay__key_pid(record->pid));
	belay__json_string(&json, "would", "withhold");
	belay__json_string(&json, "reason", "paused");
	belay__json_string(&json, "why", sentence);
	belay__json_end_object(&json);
	belay__text_add(&line, "\n");
	if (belay__door_send(client, BELAY__HELLO_LINES, 0, line.chars, line.len) == 0)
		return true;
	belay__door_hang_up(client);
	return false;
}

/* Asks about the process in slot AT, or says that it is paused. 0 or a negative errno; -EPIPE: the
 * client is gone. */
static int ask_about(struct belay__client *client, uint32_t at, bool really)
{
	struct belay__door *door = client->door;
	const struct belay__table *table = &door->observer->table;
	const struct belay__record *record = &table->records[table->slots[at].record];
	uint64_t until_ns = belay__paused_until(door->observer, record->name, record->uid,
		record->pid);
	int r;

	if (until_ns != 0)
		return tell_paused(client, record, until_ns) ? 0 : -EPIPE;
	r = door->host.plan(door->host.data, at, really, door->last_request + 1);
	door->last_request += r >= 0;
	return r;
}

/* Asks about everybody whom NAME means. Who cannot be asked about, and everybody behind, is left
 * out. Returns how many it means, or -EPIPE: the client is gone. */
static int ask_about_all(struct belay__client *client, const char *name, bool really)
{
	const struct belay__table *table = &client->door->observer->table;
	int found = 0, r;

	client->left_out = 0;
	client->left_code = 0;
	for (uint32_t at = 0; at < table->slot_count; at++) {
		const struct belay__slot *slot = &table->slots[at];
		const struct belay__record *record;

		if (slot->pid == 0 || slot->record == BELAY__NO_RECORD)
			continue;
		record = &table->records[slot->record];
		if (!belay__selects(name, record->name, record->uid, record->pid))
			continue;
		if (found++ >= PLANS_MAX && client->left_code == 0)
			client->left_code = -E2BIG;
		r = client->left_code == 0 ? ask_about(client, at, really) : 0;
		if (r == -EPIPE)
			return r;
		if (r < 0)
			client->left_code = r;
		client->left_out += client->left_code != 0;
	}
	return found;
}

static void start_plan(struct belay__client *client, const struct belay__hello *hello)
{
	struct belay__door *door = client->door;
	uint64_t first = door->last_request + 1;
	int code, found = ask_about_all(client, hello->name, hello->flags & BELAY__HELLO_DO);

	if (found == -EPIPE)
		return;
	client->tests = false;
	code = client->left_code;
	if (found == 0)
		belay__door_done(client, -ENOENT, "nobody of that name beats");
	else if (client->left_out == (uint32_t)found)
		belay__door_done(client, code == -ENOTCONN ? -EAGAIN : code, cannot_ask(code));
	else if (door->last_request < first)
		finish_plan(client);
	else
		start_waiting(client, first, PLAN_WITHIN_NS);
}

static void start_test(struct belay__client *client)
{
	struct belay__door *door = client->door;
	int r = door->host.test_alert(door->host.data, ++door->last_request);

	if (r < 0) {
		belay__door_done(client, r == -ENOTCONN ? -EAGAIN : r, cannot_ask(r));
		return;
	}
	client->tests = true;
	start_waiting(client, door->last_request, TEST_WITHIN_NS);
}

void belay__door_order(struct belay__client *client, const struct belay__hello *hello, uint32_t uid)
{
	const struct belay__door_host *host = &client->door->host;
	bool has_name = hello->name[0] != '\0' && strlen(hello->name) < BELAY__NAME_SIZE;

	if (hello->type != BELAY__HELLO_ALERT_TEST && !has_name)
		belay__door_done(client, -EINVAL, "that is no name, glob or pid");
	else if (hello->type == BELAY__HELLO_PAUSE)
		start_pause(client, hello, uid);
	else if (hello->type == BELAY__HELLO_RESUME)
		end_pause(client, hello, uid);
	else if (host->plan == NULL || host->test_alert == NULL)
		belay__door_done(client, -ENOTSUP, "this observer does not act");
	else if (hello->type == BELAY__HELLO_ACT)
		start_plan(client, hello);
	else
		start_test(client);
}
