#include "export/audit_line.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/text.h"

#define DOMAIN           "VARTA-AUDIT-v2"
#define COLUMNS_MAX      14
#define COUNT_OF(array_) (sizeof(array_) / sizeof((array_)[0]))

static const struct {
	const char *name;
	size_t columns;
} kinds[] = {
	[BELAY__AUDIT_BOOT] = { "boot", 8 },
	[BELAY__AUDIT_SPAWN] = { "spawn", 11 },
	[BELAY__AUDIT_COMPLETE] = { "complete", 14 },
	[BELAY__AUDIT_REFUSED] = { "refused", 7 },
};

static const char *const boots[] = {
	[BELAY__AUDIT_FRESH] = "fresh",
	[BELAY__AUDIT_RESUME] = "resume",
	[BELAY__AUDIT_LEGACY_V1] = "legacy_v1",
	[BELAY__AUDIT_CORRUPT_TAIL] = "corrupt_tail",
	[BELAY__AUDIT_SCHEMA_DRIFT] = "schema_drift",
	[BELAY__AUDIT_ROTATION] = "rotation",
};

static const char *const outcomes[] = {
	[BELAY__AUDIT_REAPED] = "reaped",
	[BELAY__AUDIT_KILLED] = "killed",
	[BELAY__AUDIT_REAP_FAILED] = "reap_failed",
};

const char *belay__audit_kind_name(enum belay__audit_kind kind)
{
	assert(kind < COUNT_OF(kinds));

	return kinds[kind].name;
}

int belay__audit_hasher_init(struct belay__audit_hasher *hasher)
{
	hasher->digest = EVP_MD_fetch(NULL, "SHA256", NULL);
	hasher->context = EVP_MD_CTX_new();
	if (hasher->digest == NULL)
		return -ENOTSUP;
	if (hasher->context == NULL)
		return -ENOMEM;
	/* Named once: the least that starting anew with the same digest can cost. */
	return EVP_DigestInit_ex(hasher->context, hasher->digest, NULL) == 1 ? 0 : -ENOTSUP;
}

void belay__audit_hasher_done(struct belay__audit_hasher *hasher)
{
	EVP_MD_CTX_free(hasher->context);
	EVP_MD_free(hasher->digest);
	*hasher = (struct belay__audit_hasher){ 0 };
}

int belay__audit_chain(const struct belay__audit_hasher *hasher, enum belay__audit_kind kind,
	const uint8_t previous[BELAY__AUDIT_CHAIN_SIZE], const char *body, size_t len,
	uint8_t ret_chain[BELAY__AUDIT_CHAIN_SIZE])
{
	const char *name = belay__audit_kind_name(kind);

	/* Strings are hashed with the NUL that ends them; one follows PREVIOUS, too. */
	return EVP_DigestInit_ex(hasher->context, NULL, NULL) == 1 &&
			EVP_DigestUpdate(hasher->context, DOMAIN, sizeof(DOMAIN)) == 1 &&
			EVP_DigestUpdate(hasher->context, name, strlen(name) + 1) == 1 &&
			EVP_DigestUpdate(hasher->context, previous, BELAY__AUDIT_CHAIN_SIZE) == 1 &&
			EVP_DigestUpdate(hasher->context, "", 1) == 1 &&
			EVP_DigestUpdate(hasher->context, body, len) == 1 &&
			EVP_DigestFinal_ex(hasher->context, ret_chain, NULL) == 1
		? 0
		: -EIO;
}

void belay__audit_chain_text(const uint8_t chain[BELAY__AUDIT_CHAIN_SIZE],
	char text[2 * BELAY__AUDIT_CHAIN_SIZE + 1])
{
	for (size_t i = 0; i < BELAY__AUDIT_CHAIN_SIZE; i++) {
		*text++ = "0123456789abcdef"[chain[i] >> 4];
		*text++ = "0123456789abcdef"[chain[i] & 15];
	}
	*text = '\0';
}

/* Writing. Every column but the first begins with its tab. */

static void add_number(struct belay__text *text, uint64_t number)
{
	belay__text_add(text, "\t");
	belay__text_add_u64(text, number);
}

static void add_word(struct belay__text *text, const char *word)
{
	belay__text_add(text, "\t");
	belay__text_add(text, word);
}

static void add_optional(struct belay__text *text, int32_t number)
{
	if (number < 0)
		add_word(text, "-");
	else
		add_number(text, (uint64_t)number);
}

static void add_sanitised(struct belay__text *text, struct belay__audit_text free_text)
{
	belay__text_add(text, "\t");
	for (size_t i = 0; i < free_text.len; i++) {
		char c = free_text.bytes[i];

		belay__text_add_bytes(text, c == '\t' || c == '\n' || c == '\r' ? " " : &c, 1);
	}
}

static void add_boot(struct belay__text *text, const struct belay__audit_record *record)
{
	char hex[2 * BELAY__AUDIT_CHAIN_SIZE + 1] = "-";

	assert(record->boot.reason < COUNT_OF(boots));

	if (record->boot.has_previous)
		belay__audit_chain_text(record->boot.previous, hex);
	add_number(text, record->boot.daemon_pid);
	add_word(text, hex);
	add_word(text, boots[record->boot.reason]);
}

static void add_spawn(struct belay__text *text, const struct belay__audit_record *record)
{
	add_number(text, record->spawn.agent_pid);
	add_number(text, record->spawn.child_pid);
	if (record->spawn.mode.len == 0)
		add_word(text, "exec");
	else
		add_sanitised(text, record->spawn.mode);
	add_sanitised(text, record->spawn.program);
	add_sanitised(text, record->spawn.source);
	add_number(text, record->spawn.template_len);
}

static void add_complete(struct belay__text *text, const struct belay__audit_record *record)
{
	assert(record->complete.outcome < COUNT_OF(outcomes));

	add_number(text, record->complete.agent_pid);
	add_number(text, record->complete.child_pid);
	add_word(text, outcomes[record->complete.outcome]);
	add_optional(text, record->complete.exit_code);
	add_optional(text, record->complete.signal);
	add_number(text, record->complete.duration_ns);
	add_number(text, record->complete.stdout_len);
	add_number(text, record->complete.stderr_len);
	add_word(text, record->complete.truncated ? "true" : "false");
}

static void add_body(struct belay__text *text, const struct belay__audit_record *record)
{
	belay__text_add_u64(text, record->seq);
	add_number(text, record->wall_ms);
	add_number(text, record->observer_ns);
	add_word(text, belay__audit_kind_name(record->kind));
	switch (record->kind) {
	case BELAY__AUDIT_BOOT:
		add_boot(text, record);
		break;
	case BELAY__AUDIT_SPAWN:
		add_spawn(text, record);
		break;
	case BELAY__AUDIT_COMPLETE:
		add_complete(text, record);
		break;
	case BELAY__AUDIT_REFUSED:
		add_number(text, record->refused.agent_pid);
		add_sanitised(text, record->refused.reason);
		break;
	}
}

int belay__audit_format(const struct belay__audit_hasher *hasher,
	const struct belay__audit_record *record, const uint8_t previous[BELAY__AUDIT_CHAIN_SIZE],
	char *line, size_t size, uint8_t ret_chain[BELAY__AUDIT_CHAIN_SIZE])
{
	char hex[2 * BELAY__AUDIT_CHAIN_SIZE + 1];
	struct belay__text text;
	int r;

	belay__text_init(&text, line, size);
	add_body(&text, record);
	if (text.overflowed || size - text.len < sizeof(hex) + 2)
		return -EMSGSIZE;
	r = belay__audit_chain(hasher, record->kind, previous, line, text.len, ret_chain);
	if (r < 0)
		return r;
	belay__audit_chain_text(ret_chain, hex);
	add_word(&text, hex);
	belay__text_add(&text, "\n");
	return (int)text.len;
}

/* Reading. Columns are taken one after the other; the first that is wrong is remembered. */

struct columns {
	struct belay__audit_text column[COLUMNS_MAX];
	size_t count, next;
	const char *why; /* what is wrong, or NULL */
};

static struct belay__audit_text take(struct columns *columns)
{
	assert(columns->next < columns->count);

	return columns->column[columns->next++];
}

static void blame(struct columns *columns, const char *why)
{
	if (columns->why == NULL)
		columns->why = why;
}

static bool is_word(struct belay__audit_text text, const char *word)
{
	return text.len == strlen(word) && memcmp(text.bytes, word, text.len) == 0;
}

/* Decimal as it is written: digits only, no zero in front. */
static bool read_number(struct belay__audit_text text, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (text.len == 0 || (text.len > 1 && text.bytes[0] == '0'))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.bytes[i] < '0' || text.bytes[i] > '9' ||
			__builtin_mul_overflow(number, UINT64_C(10), &number) ||
			__builtin_add_overflow(number, (uint64_t)(text.bytes[i] - '0'), &number))
			return false;
	}
	*ret_number = number;
	return number <= max;
}

static uint64_t take_u64(struct columns *columns, const char *why)
{
	uint64_t number = 0;

	if (!read_number(take(columns), UINT64_MAX, &number))
		blame(columns, why);
	return number;
}

static uint32_t take_pid(struct columns *columns)
{
	uint64_t number = 0;

	if (!read_number(take(columns), UINT32_MAX, &number))
		blame(columns, "a pid in it is none");
	return (uint32_t)number;
}

static int32_t take_optional(struct columns *columns, const char *why)
{
	struct belay__audit_text text = take(columns);
	uint64_t number = 0;

	if (is_word(text, "-"))
		return -1;
	if (!read_number(text, INT32_MAX, &number))
		blame(columns, why);
	return (int32_t)number;
}

/* The index of the column's word among COUNT WORDS. */
static unsigned take_choice(struct columns *columns, const char *const *words, size_t count,
	const char *why)
{
	struct belay__audit_text text = take(columns);

	for (size_t i = 0; i < count; i++)
		if (is_word(text, words[i]))
			return (unsigned)i;
	blame(columns, why);
	return 0;
}

static struct belay__audit_text take_text(struct columns *columns)
{
	struct belay__audit_text text = take(columns);

	for (size_t i = 0; i < text.len; i++)
		if (text.bytes[i] == '\0' || text.bytes[i] == '\n' || text.bytes[i] == '\r')
			blame(columns, "a text in it holds a character that no writer lets through");
	return text;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns whether there is a chain ("-": there is none). */
static bool take_chain(struct columns *columns, uint8_t chain[BELAY__AUDIT_CHAIN_SIZE],
	const char *why)
{
	struct belay__audit_text text = take(columns);

	if (is_word(text, "-"))
		return false;
	if (text.len != (size_t)2 * BELAY__AUDIT_CHAIN_SIZE) {
		blame(columns, why);
		return false;
	}
	for (size_t i = 0; i < BELAY__AUDIT_CHAIN_SIZE; i++) {
		int high = hex_digit(text.bytes[2 * i]), low = hex_digit(text.bytes[2 * i + 1]);

		if (high < 0 || low < 0) {
			blame(columns, why);
			return false;
		}
		chain[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static void take_boot(struct columns *columns, struct belay__audit_record *record)
{
	record->boot.daemon_pid = take_pid(columns);
	record->boot.has_previous = take_chain(columns, record->boot.previous,
		"the previous chain that it names is none");
	record->boot.reason = (enum belay__audit_boot)take_choice(columns, boots, COUNT_OF(boots),
		"its reason for a start is unknown");
}

static void take_spawn(struct columns *columns, struct belay__audit_record *record)
{
	record->spawn.agent_pid = take_pid(columns);
	record->spawn.child_pid = take_pid(columns);
	record->spawn.mode = take_text(columns);
	if (record->spawn.mode.len == 0)
		blame(columns, "it has no mode");
	record->spawn.program = take_text(columns);
	record->spawn.source = take_text(columns);
	record->spawn.template_len = take_u64(columns, "its template's length is no number");
}

static void take_complete(struct columns *columns, struct belay__audit_record *record)
{
	static const char *const flags[] = { "false", "true" };

	record->complete.agent_pid = take_pid(columns);
	record->complete.child_pid = take_pid(columns);
	record->complete.outcome = (enum belay__audit_outcome)take_choice(columns, outcomes,
		COUNT_OF(outcomes), "its outcome is unknown");
	record->complete.exit_code = take_optional(columns, "its exit code is none");
	record->complete.signal = take_optional(columns, "its signal is none");
	record->complete.duration_ns = take_u64(columns, "its duration is no number");
	record->complete.stdout_len = take_u64(columns, "its length of output is no number");
	record->complete.stderr_len = take_u64(columns, "its length of errors is no number");
	record->complete.truncated =
		take_choice(columns, flags, COUNT_OF(flags),
			"whether it was truncated is neither true nor false") == 1;
}

static void take_record(struct columns *columns, struct belay__audit_record *record)
{
	/* Beyond half of all numbers none was ever given, and none could follow. */
	if (!read_number(take(columns), INT64_MAX, &record->seq) || record->seq == 0)
		blame(columns, "its sequence number is none");
	record->wall_ms = take_u64(columns, "its time is no number");
	record->observer_ns = take_u64(columns, "its observer's time is no number");
	(void)take(columns);
	switch (record->kind) {
	case BELAY__AUDIT_BOOT:
		take_boot(columns, record);
		break;
	case BELAY__AUDIT_SPAWN:
		take_spawn(columns, record);
		break;
	case BELAY__AUDIT_COMPLETE:
		take_complete(columns, record);
		break;
	case BELAY__AUDIT_REFUSED:
		record->refused.agent_pid = take_pid(columns);
		record->refused.reason = take_text(columns);
		if (record->refused.reason.len == 0)
			blame(columns, "it has no reason");
		break;
	}
}

/* Cuts the line at its tabs. False when there are more columns than any record has. */
static bool split(const char *line, size_t len, struct columns *columns)
{
	const char *end = line + len;

	while (columns->count < COLUMNS_MAX) {
		const char *tab = memchr(line, '\t', (size_t)(end - line));
		const char *stop = tab == NULL ? end : tab;

		columns->column[columns->count++] = (struct belay__audit_text){ line,
			(size_t)(stop - line) };
		if (tab == NULL)
			return true;
		line = tab + 1;
	}
	return false;
}

static void find_kind(struct columns *columns, enum belay__audit_kind *ret_kind)
{
	for (size_t i = 0; i < COUNT_OF(kinds) && columns->count > 3; i++) {
		if (!is_word(columns->column[3], kinds[i].name))
			continue;
		*ret_kind = (enum belay__audit_kind)i;
		if (columns->count != kinds[i].columns)
			blame(columns, "it has not the columns of its kind");
		return;
	}
	blame(columns, "it is no record of a known kind");
}

int belay__audit_parse(const char *line, size_t len, struct belay__audit_line *ret_line,
	const char **reterr_why)
{
	struct columns columns = { 0 };
	struct belay__audit_line parsed = { 0 };

	if (!split(line, len, &columns))
		blame(&columns, "it has more columns than any record");
	find_kind(&columns, &parsed.record.kind);
	if (columns.why == NULL) {
		take_record(&columns, &parsed.record);
		parsed.has_chain = take_chain(&columns, parsed.chain, "its chain is none");
		parsed.body_len = len - columns.column[columns.count - 1].len - 1;
	}
	if (columns.why == NULL) {
		*ret_line = parsed;
		return 0;
	}
	if (reterr_why != NULL)
		*reterr_why = columns.why;
	return -EINVAL;
}
