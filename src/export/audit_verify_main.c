/* `belay audit verify` */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/option.h"
#include "base/text.h"
#include "export/audit_verify.h"
#include "export/visible.h"

#define EXIT_WHOLE      0
#define EXIT_BROKEN     1
#define EXIT_USAGE      2
#define EXIT_UNREADABLE 66

struct options {
	bool help, json;
};

static const struct belay__option table[] = {
	{
		.name = "help",
		.letter = 'h',
		.kind = BELAY__OPTION_FLAG,
		.offset = offsetof(struct options, help),
		.help = "print this help",
	},
	{
		.name = "json",
		.kind = BELAY__OPTION_FLAG,
		.offset = offsetof(struct options, json),
		.help = "print the result as one JSON object",
	},
};

#define ROWS (sizeof(table) / sizeof(table[0]))

/* Paths come from elsewhere; a terminal shall show them and do nothing else. */
static void complain(const char *sentence)
{
	char line[BELAY__GENERATION_PATH_SIZE + 512];
	struct belay__text text;

	belay__text_init(&text, line, sizeof(line));
	belay__text_add(&text, "belay audit: ");
	belay__text_add_visible(&text, sentence, strlen(sentence));
	belay__text_add(&text, "\n");
	(void)belay__write_all(STDERR_FILENO, text.chars, text.len);
}

static void complain_of(const char *path, const struct belay__audit_verdict *verdict)
{
	char name[BELAY__GENERATION_PATH_SIZE], sentence[BELAY__GENERATION_PATH_SIZE + 256];

	(void)belay__generation_name(path, verdict->bad_generation, name, sizeof(name));
	(void)snprintf(sentence, sizeof(sentence), "%s, line %" PRIu64 ": %s", name,
		verdict->bad_line,
		verdict->broken ? verdict->why
				: "it is torn, as after a crash, and all before it is whole; the "
				  "observer cuts it off when it starts");
	complain(sentence);
}

static void add_bad_line(struct belay__json_writer *json, const char *path,
	const struct belay__audit_verdict *verdict)
{
	char name[BELAY__GENERATION_PATH_SIZE];

	(void)belay__generation_name(path, verdict->bad_generation, name, sizeof(name));
	belay__json_object(json, verdict->broken ? "broken" : "torn");
	belay__json_string(json, "file", name);
	belay__json_u64(json, "line", verdict->bad_line);
	if (verdict->broken)
		belay__json_string(json, "why", verdict->why);
	belay__json_end_object(json);
}

static void add_json(struct belay__text *text, const char *path,
	const struct belay__audit_verdict *verdict)
{
	char head[2 * BELAY__AUDIT_CHAIN_SIZE + 1];
	struct belay__json_writer json;

	belay__audit_chain_text(verdict->head, head);
	belay__json_start(&json, text);
	belay__json_object(&json, NULL);
	belay__json_bool(&json, "whole", !verdict->broken && !verdict->torn);
	belay__json_u64(&json, "files", verdict->files);
	belay__json_u64(&json, "records", verdict->records);
	belay__json_u64(&json, "first_seq", verdict->first_seq);
	belay__json_u64(&json, "last_seq", verdict->last_seq);
	belay__json_u64(&json, "missing", verdict->missing);
	belay__json_u64(&json, "foreign_lines", verdict->foreign_lines);
	if (verdict->records > 0)
		belay__json_string(&json, "head", head);
	else
		belay__json_null(&json, "head");
	if (verdict->broken || verdict->torn)
		add_bad_line(&json, path, verdict);
	if (!verdict->broken)
		belay__json_null(&json, "broken");
	if (!verdict->torn)
		belay__json_null(&json, "torn");
	belay__json_end_object(&json);
	belay__text_add(text, "\n");
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static void add_words(struct belay__text *text, const struct belay__audit_verdict *verdict)
{
	char head[2 * BELAY__AUDIT_CHAIN_SIZE + 1];

	belay__text_addf(text, "whole: %" PRIu64 " record%s in %u file%s", verdict->records,
		plural(verdict->records), verdict->files, plural(verdict->files));
	if (verdict->records > 0) {
		belay__audit_chain_text(verdict->head, head);
		belay__text_addf(text, ", sequence %" PRIu64 " to %" PRIu64 ", head %s",
			verdict->first_seq, verdict->last_seq, head);
	}
	belay__text_add(text, "\n");
	if (verdict->first_seq > 1)
		belay__text_addf(text,
			"note: records before number %" PRIu64 " are not in these files\n",
			verdict->first_seq);
	if (verdict->missing > 0)
		belay__text_addf(text,
			"note: %" PRIu64 " number%s left out, for records that were dropped when "
			"the queue was full\n",
			verdict->missing, verdict->missing == 1 ? " is" : "s are");
	if (verdict->foreign_lines > 0)
		belay__text_addf(text,
			"note: %" PRIu64 " line%s of another version before the first record "
			"cannot be verified\n",
			verdict->foreign_lines, plural(verdict->foreign_lines));
}

static int help(void)
{
	char buffer[1024];
	struct belay__text text;

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__text_add(&text,
		"usage: belay audit verify FILE [--json]\n\n"
		"Verifies the recovery audit log FILE with its older generations.\n\n");
	belay__options_help(table, ROWS, &text);
	return belay__write_all(STDOUT_FILENO, text.chars, text.len) < 0 ? EXIT_BROKEN : EXIT_WHOLE;
}

static int report(const char *path, const struct belay__audit_verdict *verdict, bool json)
{
	static char buffer[6 * BELAY__GENERATION_PATH_SIZE + 1024]; /* every byte escaped */
	struct belay__text text;
	bool whole = !verdict->broken && !verdict->torn;

	belay__text_init(&text, buffer, sizeof(buffer));
	if (json)
		add_json(&text, path, verdict);
	else if (whole)
		add_words(&text, verdict);
	if (!whole)
		complain_of(path, verdict);
	if (belay__write_all(STDOUT_FILENO, text.chars, text.len) < 0) {
		complain("cannot write to standard output");
		return EXIT_BROKEN;
	}
	return whole ? EXIT_WHOLE : EXIT_BROKEN;
}

int belay__audit_verify_main(int argc, char **argv)
{
	struct belay__audit_verdict verdict;
	struct options options = { 0 };
	struct belay_error error = { .text = "" };
	int words = belay__options_parse(table, ROWS, &options, argc, argv, NULL, &error);

	if (words < 0) {
		complain(error.text);
		return EXIT_USAGE;
	}
	if (options.help)
		return help();
	if (words != 1) {
		complain("verify which file? belay audit verify FILE");
		return EXIT_USAGE;
	}
	if (belay__audit_verify(argv[1], &verdict, &error) < 0) {
		complain(error.text);
		return EXIT_UNREADABLE;
	}
	return report(argv[1], &verdict, options.json);
}
