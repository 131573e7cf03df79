#include "process/ladder.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/error.h"

#define WHITE_SPACE " \t\n\v\f\r"
#define EVERYTHING  "report, command CMD, term, kill, int, hup, quit, abrt, usr1, usr2"
#define WAIT_MAX_NS (UINT64_C(24) * 3600 * BELAY__NS_PER_S)

enum { SHOWN_MAX = 40 };

/* clang-format off */
static const struct word {
	const char *name;
	enum belay__step_kind kind;
	int signal;
	bool then_continue;
} words[] = {
	{ "abrt", BELAY__LADDER_SIGNAL, SIGABRT, true },
	{ "command", BELAY__LADDER_COMMAND, 0, false },
	{ "hup", BELAY__LADDER_SIGNAL, SIGHUP, true },
	{ "int", BELAY__LADDER_SIGNAL, SIGINT, true },
	{ "kill", BELAY__LADDER_SIGNAL, SIGKILL, false },
	{ "quit", BELAY__LADDER_SIGNAL, SIGQUIT, true },
	{ "report", BELAY__LADDER_REPORT, 0, false },
	{ "term", BELAY__LADDER_SIGNAL, SIGTERM, true },
	{ "usr1", BELAY__LADDER_SIGNAL, SIGUSR1, false },
	{ "usr2", BELAY__LADDER_SIGNAL, SIGUSR2, false },
};
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* One step's text, between two commas, without white space around it; "\," is a comma in it. */
struct piece {
	char chars[BELAY__LADDER_MAX + 1];
	size_t len;
};

static bool is_white(char c)
{
	return c != '\0' && strchr(WHITE_SPACE, c) != NULL;
}

/* Cuts the next piece off *AT. False when it was the last one. */
static bool next_piece(const char **at, struct piece *piece)
{
	const char *c = *at + strspn(*at, WHITE_SPACE);

	for (piece->len = 0; *c != '\0' && *c != ','; c++) {
		if (c[0] == '\\' && c[1] == ',')
			c++;
		piece->chars[piece->len++] = *c;
	}
	while (piece->len > 0 && is_white(piece->chars[piece->len - 1]))
		piece->len--;
	piece->chars[piece->len] = '\0';
	*at = *c == ',' ? c + 1 : c;
	return *c == ',';
}

/* The first word of STRING into WORD, cut to what is shown of it; what follows it is returned. */
static const char *take_word(const char *string, char word[static SHOWN_MAX])
{
	size_t len = strcspn(string, WHITE_SPACE);
	size_t kept = len < SHOWN_MAX ? len : SHOWN_MAX - 1;

	memcpy(word, string, kept);
	word[kept] = '\0';
	return string + len + strspn(string + len, WHITE_SPACE);
}

/* "term", "TERM" and "SIGTERM" are one. */
static const struct word *find_word(const char *name)
{
	const char *bare = strncasecmp(name, "sig", 3) == 0 ? name + 3 : NULL;

	for (size_t i = 0; i < COUNT(words); i++) {
		if (strcasecmp(name, words[i].name) == 0)
			return &words[i];
		if (bare != NULL && words[i].kind == BELAY__LADDER_SIGNAL &&
			strcasecmp(bare, words[i].name) == 0)
			return &words[i];
	}
	return NULL;
}

static int fail_unknown(const char *name, struct belay_error *reterr)
{
	const char *nearest = NULL;
	unsigned best = 2;

	if (strchr(name, '/') != NULL)
		return belay__fail(reterr, -EINVAL,
			"there is no step '%s'; a command is written 'command %s'", name, name);
	for (size_t i = 0; i < COUNT(words); i++) {
		unsigned distance = belay__text_distance(name, words[i].name, best);

		if (distance <= best && (nearest == NULL || distance < best)) {
			best = distance;
			nearest = words[i].name;
		}
	}
	if (nearest == NULL)
		return belay__fail(reterr, -EINVAL, "there is no step '%s'; there are " EVERYTHING,
			name);
	return belay__fail(reterr, -EINVAL, "there is no step '%s'; did you mean '%s'?", name,
		nearest);
}

static int parse_wait(const struct word *word, const char *rest, struct belay__step *step,
	struct belay_error *reterr)
{
	char wait[SHOWN_MAX], more[SHOWN_MAX];

	if (*rest == '\0')
		return 0;
	if (word->kind == BELAY__LADDER_REPORT) {
		(void)take_word(rest, more);
		return belay__fail(reterr, -EINVAL, "'report' stands alone, without '%s'", more);
	}
	rest = take_word(rest, wait);
	if (belay__parse_duration(wait, &step->wait_ns) < 0)
		return belay__fail(reterr, -EINVAL,
			"'%s' is no time to wait after '%s': write it as '%s 10s'", wait,
			word->name, word->name);
	if (step->wait_ns > WAIT_MAX_NS)
		return belay__fail(reterr, -ERANGE, "'%s %s' waits longer than a day", word->name,
			wait);
	if (*rest == '\0')
		return 0;
	(void)take_word(rest, more);
	return belay__fail(reterr, -EINVAL,
		"'%s' after '%s %s' is too much: steps are separated by commas", more, word->name,
		wait);
}

static int add_command(struct belay__ladder *ladder, size_t *used, const char *command,
	const char *const *keys, struct belay__step *step, struct belay_error *reterr)
{
	size_t size = strlen(command) + 1;
	int r = belay__template_check(command, keys, reterr);

	if (r < 0)
		return r;
	/* All commands together are shorter than the text they come from. */
	assert(size <= sizeof(ladder->commands) - *used);
	memcpy(ladder->commands + *used, command, size);
	step->command_at = (uint16_t)*used;
	*used += size;
	return 0;
}

static int add_step(struct belay__ladder *ladder, size_t *used, const struct piece *piece,
	bool is_last, const char *const *keys, struct belay_error *reterr)
{
	struct belay__step *step = &ladder->steps[ladder->count];
	char name[SHOWN_MAX];
	const char *rest = take_word(piece->chars, name);
	const struct word *word = find_word(name);
	int r;

	if (piece->len == 0)
		return belay__fail(reterr, -EINVAL, "step %zu is empty; there are " EVERYTHING,
			ladder->count + 1);
	if (word == NULL)
		return fail_unknown(name, reterr);
	if (ladder->count == BELAY__LADDER_STEPS)
		return belay__fail(reterr, -E2BIG, "'%s' is too much: a ladder has at most %d steps",
			name, BELAY__LADDER_STEPS);
	*step = (struct belay__step){ .kind = word->kind,
		.signal = word->signal,
		.then_continue = word->then_continue };
	r = word->kind == BELAY__LADDER_COMMAND
		? add_command(ladder, used, rest, keys, step, reterr)
		: parse_wait(word, rest, step, reterr);
	if (r < 0)
		return r;
	if (!is_last && word->signal == SIGKILL)
		return belay__fail(reterr, -EINVAL, "nothing can come after 'kill'");
	if (!is_last && word->kind == BELAY__LADDER_SIGNAL && *rest == '\0')
		return belay__fail(reterr, -EINVAL,
			"how long to wait after '%s' before the next step? write '%s 10s'",
			word->name, word->name);
	ladder->count++;
	return 0;
}

int belay__ladder_parse(const char *text, const char *const *keys, struct belay__ladder *ret_ladder,
	struct belay_error *reterr)
{
	struct belay__ladder ladder = { 0 };
	size_t used = 0;
	bool more;

	if (strlen(text) > BELAY__LADDER_MAX)
		return belay__fail(reterr, -E2BIG, "a ladder has at most %d bytes",
			BELAY__LADDER_MAX);
	do {
		struct piece piece;
		int r;

		more = next_piece(&text, &piece);
		r = add_step(&ladder, &used, &piece, !more, keys, reterr);
		if (r < 0)
			return r;
	} while (more);
	*ret_ladder = ladder;
	return 0;
}

static const char *signal_word(int signal)
{
	for (size_t i = 0; i < COUNT(words); i++)
		if (words[i].kind == BELAY__LADDER_SIGNAL && words[i].signal == signal)
			return words[i].name;
	return "?";
}

static void add_escaped(struct belay__text *text, const char *command)
{
	char last = ' ';

	for (; *command != '\0'; command++) {
		if (*command == ',')
			belay__text_add(text, "\\");
		belay__text_add_bytes(text, command, 1);
		last = *command;
	}
	/* Else it would belong to the comma that comes next. */
	if (last == '\\')
		belay__text_add(text, " ");
}

void belay__ladder_format(const struct belay__ladder *ladder, struct belay__text *text)
{
	for (size_t i = 0; i < ladder->count; i++) {
		const struct belay__step *step = &ladder->steps[i];

		if (i > 0)
			belay__text_add(text, ", ");
		switch (step->kind) {
		case BELAY__LADDER_REPORT:
			belay__text_add(text, "report");
			break;
		case BELAY__LADDER_COMMAND:
			belay__text_add(text, "command ");
			add_escaped(text, belay__step_command(ladder, step));
			break;
		case BELAY__LADDER_SIGNAL:
			belay__text_add(text, signal_word(step->signal));
			/* "0" in the middle is said, at the end it means nothing. */
			if (step->wait_ns == 0 && i + 1 == ladder->count)
				break;
			belay__text_add(text, " ");
			belay__text_add_duration(text, step->wait_ns);
			break;
		}
	}
}

const char *belay__step_command(const struct belay__ladder *ladder, const struct belay__step *step)
{
	assert(step->kind == BELAY__LADDER_COMMAND);

	return ladder->commands + step->command_at;
}
