#include "observe/problems.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "observe/acting.h"

struct problem {
	uint8_t kind;
	uint32_t uid, repeats, reminders;
	bool action_told; /* since it was told */
	uint64_t told_ns;
	char name[BELAY__NAME_SIZE];
	char *line; /* the newest; NULL: there was no memory for it */
	size_t len;
};

struct belay__problems {
	uint32_t count;
	uint64_t forgotten;
	struct problem problems[BELAY__PROBLEMS_MAX];
};

int belay__problems_new(struct belay__problems **ret_problems)
{
	struct belay__problems *problems = calloc(1, sizeof(*problems));

	if (problems == NULL)
		return -ENOMEM;
	*ret_problems = problems;
	return 0;
}

static void close_problem(struct belay__problems *problems, struct problem *problem)
{
	free(problem->line);
	*problem = problems->problems[--problems->count];
	problems->problems[problems->count] = (struct problem){ 0 };
}

struct belay__problems *belay__problems_free(struct belay__problems *problems)
{
	if (problems == NULL)
		return NULL;
	while (problems->count > 0)
		close_problem(problems, &problems->problems[problems->count - 1]);
	free(problems);
	return NULL;
}

static bool is_about(const struct problem *problem, const struct belay__msg_alert *alert)
{
	return problem->uid == alert->uid &&
		strncmp(problem->name, alert->name, sizeof(problem->name)) == 0;
}

static struct problem *find(struct belay__problems *problems, const struct belay__msg_alert *alert)
{
	for (uint32_t i = 0; i < problems->count; i++)
		if (problems->problems[i].kind == alert->kind &&
			is_about(&problems->problems[i], alert))
			return &problems->problems[i];
	return NULL;
}

static struct problem *told_longest_ago(const struct belay__problems *problems)
{
	const struct problem *oldest = &problems->problems[0];

	for (uint32_t i = 1; i < problems->count; i++)
		if (problems->problems[i].told_ns < oldest->told_ns)
			oldest = &problems->problems[i];
	return (struct problem *)(uintptr_t)oldest;
}

static void keep_line(struct problem *problem, const struct belay__msg_alert *alert)
{
	char *line = malloc(alert->len);

	if (line == NULL)
		return;
	memcpy(line, alert->line, alert->len);
	free(problem->line);
	problem->line = line;
	problem->len = alert->len;
}

static void open_problem(struct belay__problems *problems, const struct belay__msg_alert *alert,
	uint64_t now_ns)
{
	struct problem *problem;

	if (problems->count == BELAY__PROBLEMS_MAX) {
		close_problem(problems, told_longest_ago(problems));
		problems->forgotten++;
	}
	problem = &problems->problems[problems->count++];
	*problem = (struct problem){ .kind = alert->kind, .uid = alert->uid, .told_ns = now_ns };
	memcpy(problem->name, alert->name, sizeof(problem->name));
	keep_line(problem, alert);
}

static bool note_problem(struct belay__problems *problems, const struct belay__msg_alert *alert,
	uint64_t now_ns)
{
	struct problem *problem = find(problems, alert);

	if (problem == NULL) {
		open_problem(problems, alert, now_ns);
		return true;
	}
	problem->repeats++;
	keep_line(problem, alert);
	return false;
}

/* An action belongs to the stall or end that it follows: it is told when that was. Of processes
 * that share a name the first ones' actions are told. */
static bool note_action(struct belay__problems *problems, const struct belay__msg_alert *alert)
{
	bool known = false, tell = false;

	for (uint32_t i = 0; i < problems->count; i++) {
		struct problem *problem = &problems->problems[i];

		if (!is_about(problem, alert))
			continue;
		known = true;
		tell |= problem->repeats == 0 || !problem->action_told;
		problem->action_told = true;
	}
	return !known || tell;
}

static void note_recovery(struct belay__problems *problems, const struct belay__msg_alert *alert,
	struct belay__telling *telling)
{
	for (uint32_t i = problems->count; i-- > 0;) {
		struct problem *problem = &problems->problems[i];

		if (!is_about(problem, alert))
			continue;
		telling->closes |= UINT32_C(1) << problem->kind;
		telling->repeats += problem->repeats;
		close_problem(problems, problem);
	}
}

bool belay__problems_note(struct belay__problems *problems, const struct belay__msg_alert *alert,
	uint64_t now_ns, struct belay__telling *ret_telling)
{
	struct belay__telling telling = { .kind = alert->kind, .uid = alert->uid, .seq = alert->seq };
	bool tell = true;

	switch ((enum belay__alert_kind)alert->kind) {
	case BELAY__ALERT_STALL:
	case BELAY__ALERT_CRASH:
	case BELAY__ALERT_MISSING:
	case BELAY__ALERT_MASS_STALL:
		tell = note_problem(problems, alert, now_ns);
		break;
	case BELAY__ALERT_ACTION:
		tell = note_action(problems, alert);
		break;
	case BELAY__ALERT_RECOVERED:
		note_recovery(problems, alert, &telling);
		break;
	case BELAY__ALERT_TEST:
	case BELAY__ALERT_KIND_COUNT:
		break;
	}
	if (tell)
		*ret_telling = telling;
	return tell;
}

uint64_t belay__problems_due_ns(const struct belay__problems *problems)
{
	if (problems->count == 0)
		return UINT64_MAX;
	return told_longest_ago(problems)->told_ns + BELAY__PROBLEM_REMINDER_NS;
}

const char *belay__problems_remind(struct belay__problems *problems, uint64_t now_ns,
	struct belay__telling *ret_telling, size_t *ret_len)
{
	struct problem *problem;

	while (belay__problems_due_ns(problems) <= now_ns) {
		problem = told_longest_ago(problems);
		if (problem->line == NULL || problem->reminders == BELAY__PROBLEM_REMINDERS_MAX) {
			close_problem(problems, problem);
			continue;
		}
		*ret_telling = (struct belay__telling){ .kind = problem->kind,
			.uid = problem->uid,
			.repeats = problem->repeats,
			.reminders = ++problem->reminders };
		*ret_len = problem->len;
		problem->repeats = 0;
		problem->action_told = false;
		problem->told_ns = now_ns;
		return problem->line;
	}
	return NULL;
}

bool belay__problems_at(const struct belay__problems *problems, uint32_t at,
	struct belay__msg_open *ret_open)
{
	const struct problem *problem;

	if (at >= problems->count)
		return false;
	problem = &problems->problems[at];
	*ret_open = (struct belay__msg_open){ .kind = problem->kind, .uid = problem->uid };
	memcpy(ret_open->name, problem->name, sizeof(ret_open->name));
	return true;
}

uint32_t belay__problems_count(const struct belay__problems *problems)
{
	return problems->count;
}

uint64_t belay__problems_forgotten(const struct belay__problems *problems)
{
	return problems->forgotten;
}
