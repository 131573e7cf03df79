/* `belay act NAME`: what would be done about a process, and why; or doing it. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "identity/verdict.h"
#include "observe/remote.h"
#include "observe/runner.h"

static void write_answer(const struct belay__msg_act *act, bool is_configured,
	const struct belay__decision *decision, struct belay__text *text)
{
	bool run = is_configured && decision->outcome == BELAY__ACTED_REPORTED;
	char ladder[BELAY__LADDER_MAX + 1] = "", run_as[24];
	struct belay__json_writer json;
	struct belay__text steps;

	belay__text_init(&steps, ladder, sizeof(ladder));
	if (is_configured)
		belay__ladder_format(&decision->ladder, &steps);
	(void)snprintf(run_as, sizeof(run_as), "uid %u", act->uid);
	belay__json_start(&json, text);
	belay__json_object(&json, NULL);
	belay__json_string(&json, "name", act->name);
	belay__json_u64(&json, "pid", belay__key_pid(act->pid));
	belay__json_string(&json, "would", run ? "run" : "withhold");
	if (run)
		belay__json_null(&json, "reason");
	else
		belay__json_string(&json, "reason",
			is_configured ? belay__acted_word(decision->outcome) : "not-configured");
	belay__json_string(&json, "ladder", ladder);
	belay__json_string(&json, "run_as", decision->subject.as_root ? "root" : run_as);
	belay__json_seconds(&json, "wait_s", decision->wait_ns);
	belay__json_string(&json, "why",
		run ? "nothing holds it back: it is the process it should be, and no brake is on"
		    : decision->why);
	belay__json_end_object(&json);
}

void belay__runner_plan(struct belay__runner *runner, const struct belay__msg_plan *plan)
{
	static struct belay__decision decision;
	struct belay__msg_planned planned = { .request = plan->request };
	struct belay__text text;
	unsigned forgiven = BELAY__FORGIVE_BEATS;
	bool is_configured;

	if (plan->act.verdict == BELAY__VERDICT_NONE)
		forgiven |= BELAY__FORGIVE_VERDICT;
	if (plan->really)
		forgiven = BELAY__FORGIVE_ALL;
	is_configured = belay__runner_decide(runner, &plan->act, forgiven, &decision);
	belay__text_init(&text, planned.text, sizeof(planned.text));
	write_answer(&plan->act, is_configured, &decision, &text);
	decision.subject.pidfd = belay__close(decision.subject.pidfd);
	if (text.overflowed) {
		planned.code = -EMSGSIZE;
		(void)snprintf(planned.text, sizeof(planned.text), "the answer is too long");
		text.len = strlen(planned.text);
	}
	planned.len = (uint32_t)text.len;
	/* The answer first, the events of what is done behind it. */
	belay__runner_tell(runner, BELAY__MSG_PLANNED, &planned, sizeof(planned));
	if (plan->really)
		(void)belay__runner_act(runner, &plan->act, /* asked= */ true);
}
