/* belay backend conform: a backend, from outside, rule by rule */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
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

/* Whether a rule's failure is of a backend that answers nothing, or not any more: to ask on is only waiting. */
static bool is_dead(struct belay__conform *conform, bool first)
{
	return conform->unanswered && (first || !belay__conform_answers(conform));
}

/* Says why no other rule was looked at; returns the exit code. */
static int give_up(const struct belay__conform *conform, size_t looked_at, bool silent)
{
	size_t rest = belay__conform_rule_count - looked_at;

	if (!silent)
		belay__complain("%.108s takes connections over: give the backend's own socket, and "
				"this one by --handoff; %zu rules were not looked at",
			conform->socket, rest);
	else if (looked_at == 1)
		belay__complain("nobody answers at %.108s; give it time with --timeout, or see "
				"whether it is stopped; %zu rules were not looked at",
			conform->socket, rest);
	else
		belay__complain("nobody answers at %.108s any more; %zu rules were not looked at",
			conform->socket, rest);
	return silent ? BELAY__EXIT_ABSENT : BELAY__EXIT_USAGE;
}

/* Looks at all rules, each told as soon as it is known; returns the exit code. */
static int check_all(struct belay__conform *conform, bool json)
{
	unsigned counts[] = { 0, 0, 0 };
	bool is_handoff = false, dead = false;
	int exit_code;
	size_t i;

	belay__output_start(&output, STDOUT_FILENO);
	for (i = 0; i < belay__conform_rule_count && !is_handoff && !dead; i++) {
		const struct belay__conform_rule *rule = &belay__conform_rules[i];
		enum belay__conform_verdict verdict = belay__conform_check(conform, rule);

		counts[verdict]++;
		if (json)
			add_object(rule, conform, verdict, i == 0);
		else
			add_line(rule, conform, verdict);
		(void)belay__output_flush(&output);
		if (verdict != BELAY__CONFORM_FAIL)
			continue;
		is_handoff = i == 0 && belay__conform_is_handoff(conform);
		dead = is_dead(conform, i == 0);
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
	if (is_handoff || dead)
		return give_up(conform, i, !is_handoff);
	belay__complain("%.108s breaks %u of the rules; what each one is about: man belay-backend",
		conform->socket, counts[BELAY__CONFORM_FAIL]);
	return BELAY__EXIT_FAILED;
}

/* Whether there is a file where a socket has to be: maybe the record that says where the socket is. */
static bool is_file(const char *path)
{
	static struct belay_daemon record;
	struct belay_error error;
	struct stat status;

	if (stat(path, &status) < 0 || S_ISSOCK(status.st_mode))
		return false;
	if (S_ISREG(status.st_mode) && belay_sidecar_read(path, &record, &error) == 0)
		belay__complain("%.200s is a sidecar, no socket; see: belay backend conform %.107s "
				"--sidecar %.200s",
			path, record.endpoint.path, path);
	else
		belay__complain("%.200s is no socket; give the one where the backend listens", path);
	return true;
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

	if (is_file(options->target))
		return BELAY__EXIT_USAGE;
	if (options->sidecar[0] != '\0') {
		if (belay_sidecar_read(options->sidecar, &expected, &error) < 0)
			return belay__backend_complain_of_sidecar(&error);
		conform.expected = &expected;
	}
	if (belay__conform_reach(&conform, &error) < 0)
		return belay__complain_error(&error);
	return check_all(&conform, options->json);
}
