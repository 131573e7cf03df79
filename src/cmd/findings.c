#include "cmd/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "export/visible.h"

static const char *const level_names[] = {
	[BELAY__LEVEL_OK] = "ok",
	[BELAY__LEVEL_WARN] = "WARN",
	[BELAY__LEVEL_FAIL] = "FAIL",
};
static const char *const json_names[] = {
	[BELAY__LEVEL_OK] = "ok",
	[BELAY__LEVEL_WARN] = "warn",
	[BELAY__LEVEL_FAIL] = "fail",
};
static const char *const colours[] = {
	[BELAY__LEVEL_OK] = "\033[32m",
	[BELAY__LEVEL_WARN] = "\033[33m",
	[BELAY__LEVEL_FAIL] = "\033[1;31m",
};

static void set(char *member, size_t size, const char *string)
{
	struct belay__text text;

	belay__text_init(&text, member, size);
	belay__text_add_visible(&text, string, strlen(string));
}

void belay__found(struct belay__findings *findings, enum belay__level level, const char *advice,
	const char *format, ...)
{
	struct belay__finding *finding;
	char sentence[sizeof(finding->text)];
	va_list arguments;

	findings->counts[level]++;
	if (findings->count == BELAY__FINDINGS_MAX)
		return;
	finding = &findings->found[findings->count++];
	finding->level = level;
	finding->check = findings->check;
	va_start(arguments, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	set(finding->text, sizeof(finding->text), sentence);
	set(finding->advice, sizeof(finding->advice), advice);
}

void belay__findings_show(const struct belay__findings *findings, bool coloured,
	struct belay__text *text)
{
	for (size_t i = 0; i < findings->count; i++) {
		const struct belay__finding *finding = &findings->found[i];

		belay__text_addf(text, "%s%-4s%s  %s: %s\n",
			coloured ? colours[finding->level] : "", level_names[finding->level],
			coloured ? "\033[0m" : "", finding->check, finding->text);
		if (finding->advice[0] != '\0')
			belay__text_addf(text, "      -> %s\n", finding->advice);
	}
}

void belay__findings_json(const struct belay__findings *findings, struct belay__text *text)
{
	struct belay__json_writer json;

	belay__json_start(&json, text);
	belay__json_object(&json, NULL);
	belay__json_u64(&json, "schema", 1);
	belay__json_u64(&json, "failures", findings->counts[BELAY__LEVEL_FAIL]);
	belay__json_u64(&json, "warnings", findings->counts[BELAY__LEVEL_WARN]);
	belay__json_array(&json, "findings");
	for (size_t i = 0; i < findings->count; i++) {
		const struct belay__finding *finding = &findings->found[i];

		belay__json_object(&json, NULL);
		belay__json_string(&json, "check", finding->check);
		belay__json_string(&json, "level", json_names[finding->level]);
		belay__json_string(&json, "text", finding->text);
		if (finding->advice[0] != '\0')
			belay__json_string(&json, "advice", finding->advice);
		else
			belay__json_null(&json, "advice");
		belay__json_end_object(&json);
	}
	belay__json_end_array(&json);
	belay__json_end_object(&json);
	belay__text_add(text, "\n");
}
