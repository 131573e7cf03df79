/* belay backend conform: a backend, from outside, rule by rule */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "broker/conform.h"
#include "cmd/backend.h"
#include "cmd/output.h"
#include "export/visible.h"

static struct belay__output output;

/* What was seen comes from elsewhere; a terminal shall show it and do nothing else. */
static void add_line(const struct belay__conform_rule *rule, const struct belay__conform *conform,
	enum belay__conform_verdict verdict)
{
	char shown[2 * BELAY__CONFORM_WHY_SIZE];
	struct belay__text text;

	belay__text_init(&text, shown, sizeof(shown));
	belay__text_add_visible(&text, conform->why, strlen(conform->why));
	belay__output_addf(&output, "%-6s%-24s%s%s%s\n", belay__conform_verdict_name(verdict),
		rule->name, rule->sentence, text.len > 0 ? ": " : "", text.chars);
}

static void add_object(const struct belay__conform_rule *rule, const struct belay__conform *conform,
	enum belay__conform_verdict verdict, bool is_first)
{
	char buffer[1024 + 6 * BELAY__CONFORM_WHY_SIZE]; /* every byte escaped */
	struct belay__text text;
	struct belay__json_writer json;

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__text_add(&text, is_first ? "[" : ",\n");
	belay__json_start(&json, &text);
	belay__json_object(&json, NULL);
	belay__json_string(&json, "rule", rule->name);
	belay__json_string(&json, "verdict", belay__conform_verdict_name(verdict));
	belay__json_string(&json, "sentence", rule->sentence);
	if (conform->why[0] != '\0')
		belay__json_string(&json, "why", conform->why);
	else
		belay__json_null(&json, "why");
	belay__json_end_object(&json);
	belay__output_add_bytes(&output, text.chars, text.len);
}

/* Looks at all rules, each told as soon as it is known; returns the exit code. */
static int check_all(struct belay__conform *conform, bool json)
{
	unsigned counts[] = { 0, 0, 0 };
	int exit_code;

	belay__output_start(&output, STDOUT_FILENO);
	for (size_t i = 0; i < belay__conform_rule_count; i++) {
		const struct belay__conform_rule *rule = &belay__conform_rules[i];
		enum belay__conform_verdict verdict = belay__conform_check(conform, rule);

		counts[verdict]++;
		if (json)
			add_object(rule, conform, verdict, i == 0);
		else
			add_line(rule, conform, verdict);
		(void)belay__output_flush(&output);
	}
	if (json)
		belay__output_add(&output, "]\n");
	else
		belay__output_addf(&output, "%u passed, %u failed, %u skipped\n",
			counts[BELAY__CONFORM_PASS], counts[BELAY__CONFORM_FAIL],
			counts[BELAY__CONFORM_SKIP]);
	exit_code = belay__output_finish(&output);
	if (exit_code != 0 || counts[BELAY__CONFORM_FAIL] == 0)
		return exit_code;
	belay__complain("%.108s breaks %u of the rules; what each one is about: man belay-backend",
		conform->socket, counts[BELAY__CONFORM_FAIL]);
	return BELAY__EXIT_FAILED;
}

int belay__backend_conform(const struct belay__backend_options *options)
{
	static struct belay_daemon expected;
	struct belay__conform conform = {
		.socket = options->target,
		.handoff = options->handoff[0] != '\0' ? options->handoff : NULL,
		.service = options->service,
		.patience_ns = options->timeout_ns,
	};
	struct belay_error error;

	if (options->sidecar[0] != '\0') {
		if (belay_sidecar_read(options->sidecar, &expected, &error) < 0)
			return belay__backend_complain_of_sidecar(&error);
		conform.expected = &expected;
	}
	if (belay__conform_reach(&conform, &error) < 0)
		return belay__complain_error(&error);
	return check_all(&conform, options->json);
}
