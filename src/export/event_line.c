#include "export/event_line.h"

#include <string.h>

#include "base/clock.h"
#include "export/signal_name.h"
#include "export/visible.h"

/* Longer sentences than this are not told. */
#define SENTENCE_SIZE 512
/* About thirty years. */
#define SECONDS_MAX 1e9

bool belay__json_member_ns(const struct belay__json *object, const char *key, uint64_t *ret_ns)
{
	struct belay__json value;
	double seconds;

	if (belay__json_member(object, key, &value) < 0 ||
		belay__json_get_double(&value, &seconds) < 0)
		return false;
	if (seconds < 0)
		seconds = 0;
	if (seconds > SECONDS_MAX)
		seconds = SECONDS_MAX;
	*ret_ns = (uint64_t)(seconds * (double)BELAY__NS_PER_S);
	return true;
}

bool belay__json_member_text(const struct belay__json *object, const char *key, char *string,
	size_t size)
{
	struct belay__json value;
	struct belay__text text;
	char raw[SENTENCE_SIZE];

	if (belay__json_member(object, key, &value) < 0 ||
		belay__json_get_string(&value, raw, sizeof(raw)) < 0)
		return false;
	belay__text_init(&text, string, size);
	belay__text_add_visible(&text, raw, strlen(raw));
	return true;
}

static bool member_i64(const struct belay__json *object, const char *key, int64_t *ret_number)
{
	struct belay__json value;
	double number;

	/* Doubles hold pids, counts and exit codes exactly. */
	if (belay__json_member(object, key, &value) < 0 ||
		belay__json_get_double(&value, &number) < 0 || number < -SECONDS_MAX * 1e6 ||
		number > SECONDS_MAX * 1e6)
		return false;
	*ret_number = (int64_t)number;
	return true;
}

static bool member_is_true(const struct belay__json *object, const char *key)
{
	struct belay__json value;
	bool flag;

	return belay__json_member(object, key, &value) == 0 &&
		belay__json_get_bool(&value, &flag) == 0 && flag;
}

/* Adds BEFORE, member KEY as an age, and BEHIND; nothing when there is no such member. */
static bool add_age(const struct belay__json *event, const char *before, const char *key,
	const char *behind, struct belay__text *text)
{
	uint64_t ns;

	if (!belay__json_member_ns(event, key, &ns))
		return false;
	belay__text_add(text, before);
	belay__text_add_age(text, ns);
	belay__text_add(text, behind);
	return true;
}

static bool add_string(const struct belay__json *event, const char *before, const char *key,
	const char *behind, struct belay__text *text)
{
	char string[SENTENCE_SIZE];

	if (!belay__json_member_text(event, key, string, sizeof(string)) || string[0] == '\0')
		return false;
	belay__text_add(text, before);
	belay__text_add(text, string);
	belay__text_add(text, behind);
	return true;
}

static bool add_number(const struct belay__json *event, const char *before, const char *key,
	const char *behind, struct belay__text *text)
{
	int64_t number;

	if (!member_i64(event, key, &number))
		return false;
	belay__text_add(text, before);
	belay__text_add_i64(text, number);
	belay__text_add(text, behind);
	return true;
}

static void tell_first_beat(const struct belay__json *event, struct belay__text *text)
{
	belay__text_add(text, "beats for the first time");
	(void)add_age(event, "; may be silent for ", "threshold_s", "", text);
}

static void tell_status(const struct belay__json *event, struct belay__text *text)
{
	if (!add_string(event, "is ", "to", "", text))
		belay__text_add(text, "changed its status");
	(void)add_string(event, ", was ", "from", "", text);
}

static void tell_stall(const struct belay__json *event, struct belay__text *text)
{
	belay__text_add(text, "stalled");
	(void)add_string(event, ": ", "verdict", "", text);
	(void)add_string(event, ", ", "evidence", "", text);
	(void)add_age(event, "; silent ", "silent_s", "", text);
	(void)add_age(event, ", noticed ", "late_s", " late", text);
}

static void tell_recovered(const struct belay__json *event, struct belay__text *text)
{
	belay__text_add(text, "beats again");
	(void)add_age(event, " after ", "silent_s", " of silence", text);
}

void belay__event_add_end(const struct belay__json *object, struct belay__text *text)
{
	char end[16] = "";
	int64_t code;
	bool has_code = member_i64(object, "code", &code);

	(void)belay__json_member_text(object, "end", end, sizeof(end));
	if (strcmp(end, "exited") == 0 && has_code) {
		belay__text_add(text, "exited ");
		belay__text_add_i64(text, code);
	} else if (strcmp(end, "killed") == 0 && has_code) {
		belay__text_add(text, "killed by ");
		belay__text_add_signal(text, code);
	} else if (strcmp(end, "left") == 0 || strcmp(end, "exited") == 0 ||
		strcmp(end, "killed") == 0) {
		belay__text_add(text, end);
	} else {
		belay__text_add(text, "ended, how is unknown");
	}
}

/* What it wrote down when it crashed. */
static void add_crash(const struct belay__json *event, struct belay__text *text)
{
	char crash[256];

	if (!belay__json_member_text(event, "crash", crash, sizeof(crash)))
		return;
	belay__text_add(text, ": ");
	belay__text_add(text, crash);
}

static void tell_end(const struct belay__json *event, struct belay__text *text)
{
	belay__event_add_end(event, text);
	if (member_is_true(event, "core"))
		belay__text_add(text, ", core dumped");
	add_crash(event, text);
	if (member_is_true(event, "while_down"))
		belay__text_add(text, " while the observer was down");
	(void)add_age(event, "; ", "silent_s", " after its last beat", text);
}

static void tell_missing(const struct belay__json *event, struct belay__text *text)
{
	belay__text_add(text, "is missing");
	if (add_number(event, ": ", "beating", " of ", text) &&
		!add_number(event, "", "expected", " expected processes beat", text))
		belay__text_add(text, "those expected beat");
}

static void tell_complete(const struct belay__json *event, struct belay__text *text)
{
	belay__text_add(text, "is complete");
	if (add_number(event, ": ", "beating", " of ", text) &&
		!add_number(event, "", "expected", " expected processes beat", text))
		belay__text_add(text, "those expected beat");
}

/* How many of a crowd are silent. */
static void add_silent(const struct belay__json *event, struct belay__text *text)
{
	if (!add_number(event, ": ", "beating", " of ", text))
		return;
	if (!add_number(event, "", "expected", " processes", text))
		belay__text_add(text, "its processes");
	(void)add_number(event, " of uid ", "uid", "", text);
	belay__text_add(text, " are silent");
}

static void tell_mass_stall(const struct belay__json *event, struct belay__text *text)
{
	belay__text_add(text, "stalled as a whole");
	add_silent(event, text);
	belay__text_add(text, "; none of them is acted on");
}

static void tell_mass_stall_over(const struct belay__json *event, struct belay__text *text)
{
	belay__text_add(text, "is no longer stalled as a whole");
	add_silent(event, text);
}

static void tell_action(const struct belay__json *event, struct belay__text *text)
{
	belay__text_add(text, "action");
	(void)add_string(event, " ", "outcome", "", text);
	(void)add_string(event, ": ", "text", "", text);
	(void)add_number(event, ", exit status ", "exit_code", "", text);
	(void)add_number(event, ", signal ", "signal", "", text);
	(void)add_age(event, ", took ", "duration_s", "", text);
	if (member_is_true(event, "as_root"))
		belay__text_add(text, ", as root");
}

static void tell_withheld(const struct belay__json *event, struct belay__text *text)
{
	belay__text_add(text, "action withheld");
	(void)add_string(event, ": ", "reason", "", text);
	(void)add_string(event, ", ", "text", "", text);
	(void)add_age(event, "; for ", "wait_s", "", text);
}

static void tell_evicted(const struct belay__json *event, struct belay__text *text)
{
	(void)event;
	belay__text_add(text,
		"is no longer tracked: the table was full and it had been silent long");
}

static void tell_refused(const struct belay__json *event, struct belay__text *text)
{
	int64_t count = 1;

	(void)member_i64(event, "count", &count);
	belay__text_add_i64(text, count);
	belay__text_add(text, count == 1 ? " frame refused" : " frames refused");
	(void)add_string(event, ": ", "reason", "", text);
	(void)add_string(event, " (", "error", ")", text);
}

static void tell_late(const struct belay__json *event, struct belay__text *text)
{
	belay__text_add(text, "the observer ");
	if (!add_age(event, "was ", "late_s", " late", text))
		belay__text_add(text, "was late");
	belay__text_add(text, "; every process is given that time");
}

static void tell_observer(const struct belay__json *event, struct belay__text *text)
{
	belay__text_add(text, "observer");
	(void)add_string(event, " ", "what", "", text);
	(void)add_string(event, ": ", "text", "", text);
}

/* clang-format off */
static const struct telling {
	const char *event;
	bool of_process; /* begins with the process's name and pid */
	void (*tell)(const struct belay__json *event, struct belay__text *text);
} tellings[] = {
	{ "action",          true,  tell_action },
	{ "complete",        true,  tell_complete },
	{ "end",             true,  tell_end },
	{ "end-status",      true,  tell_end },
	{ "evicted",         true,  tell_evicted },
	{ "first-beat",      true,  tell_first_beat },
	{ "late",            false, tell_late },
	{ "mass-stall",      true,  tell_mass_stall },
	{ "mass-stall-over", true,  tell_mass_stall_over },
	{ "missing",         true,  tell_missing },
	{ "observer",        false, tell_observer },
	{ "recovered",       true,  tell_recovered },
	{ "refused",         false, tell_refused },
	{ "stall",           true,  tell_stall },
	{ "status",          true,  tell_status },
	{ "withheld",        true,  tell_withheld },
};
/* clang-format on */

static const struct telling *find_telling(const char *event)
{
	for (size_t i = 0; i < sizeof(tellings) / sizeof(tellings[0]); i++)
		if (strcmp(tellings[i].event, event) == 0)
			return &tellings[i];
	return NULL;
}

/* Adds "NAME (pid N) " as far as the event says so. */
static void add_subject(const struct belay__json *event, struct belay__text *text)
{
	bool named = add_string(event, "", "name", " ", text);

	if (!add_number(event, named ? "(pid " : "pid ", "pid", named ? ") " : " ", text) && !named)
		belay__text_add(text, "a process ");
}

void belay__event_line(const struct belay__json *event, struct belay__text *text)
{
	const struct telling *telling;
	char kind[48] = "";

	(void)belay__json_member_text(event, "event", kind, sizeof(kind));
	telling = find_telling(kind);
	if (telling == NULL || telling->of_process)
		add_subject(event, text);
	if (telling != NULL)
		telling->tell(event, text);
	else
		belay__text_addf(text, "event %s", kind[0] == '\0' ? "without a kind" : kind);
}
