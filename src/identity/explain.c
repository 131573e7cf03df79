#include "identity/verdict.h"

#include <stdbool.h>

#include "identity/syscall_name.h"

static const char *meaning_of(enum belay__verdict verdict)
{
	switch (verdict) {
#define X(id, name, meaning)                                                                       \
	case BELAY__VERDICT_##id:                                                                  \
		return meaning;
		BELAY__VERDICTS(X)
#undef X
	case BELAY__VERDICT_NONE:
	case BELAY__VERDICT_COUNT:
	default:
		return "no verdict";
	}
}

static bool seen(const struct belay__evidence *evidence, uint32_t bits)
{
	return (evidence->seen & bits) == bits;
}

static void add_percent(struct belay__text *text, uint64_t milli)
{
	belay__text_add_u64(text, milli / 10);
	belay__text_add(text, ".");
	belay__text_add_u64(text, milli % 10);
	belay__text_add(text, "%");
}

static void add_threads(const struct belay__evidence *evidence, struct belay__text *text)
{
	belay__text_add(text, ", ");
	belay__text_add_u64(text, evidence->threads);
	belay__text_add(text, evidence->threads == 1 ? " thread, " : " threads, ");
	if (evidence->runnable == 0)
		belay__text_add(text, "none");
	else
		belay__text_add_u64(text, evidence->runnable);
	belay__text_add(text, " runnable");
	if (evidence->uninterruptible > 0) {
		belay__text_add(text, ", ");
		belay__text_add_u64(text, evidence->uninterruptible);
		belay__text_add(text, " uninterruptible");
	}
}

static void add_times(const struct belay__evidence *evidence, struct belay__text *text)
{
	if (!seen(evidence, BELAY__SEEN_RUN_DELAY | BELAY__SEEN_CPU_TIME))
		return;
	belay__text_add(text, ", in ");
	belay__text_add_age(text, evidence->apart_ns);
	belay__text_add(text, " ran ");
	belay__text_add_age(text, evidence->cpu_ns);
	belay__text_add(text, " and waited ");
	belay__text_add_age(text, evidence->run_delay_ns);
	belay__text_add(text, " for a CPU");
}

static void add_pressure(const struct belay__evidence *evidence, struct belay__text *text)
{
	if (!seen(evidence, BELAY__SEEN_PRESSURE))
		return;
	belay__text_add(text, ", CPU pressure ");
	add_percent(text, evidence->pressure_milli);
}

static void add_call(const struct belay__evidence *evidence, struct belay__text *text)
{
	const struct belay__syscall *call = belay__syscall_find(evidence->syscall_nr);

	if (!seen(evidence, BELAY__SEEN_SYSCALL)) {
		belay__text_add(text, "the kernel");
	} else if (evidence->syscall_nr < 0) {
		belay__text_add(text, "the kernel, in no system call");
	} else if (call == NULL) {
		belay__text_add(text, "system call ");
		belay__text_add_i64(text, evidence->syscall_nr);
	} else {
		belay__text_add(text, call->name);
		if (call->on_fd) {
			belay__text_add(text, " on fd ");
			belay__text_add_u64(text, evidence->syscall_arg & UINT32_MAX);
		}
	}
	if (evidence->wchan[0] != '\0') {
		belay__text_add(text, " (");
		belay__text_add(text, evidence->wchan);
		belay__text_add(text, ")");
	}
}

static void add_unreadable(const struct belay__evidence *evidence, struct belay__text *text)
{
	static const struct {
		uint32_t bit;
		const char *what;
	} kinds[] = {
		{ BELAY__SEEN_STATE, "state" },
		{ BELAY__SEEN_TRACER, "tracer" },
		{ BELAY__SEEN_FREEZER, "freezer" },
		{ BELAY__SEEN_RUN_DELAY, "run delay" },
		{ BELAY__SEEN_CPU_TIME, "CPU time" },
		{ BELAY__SEEN_PRESSURE, "CPU pressure" },
		{ BELAY__SEEN_SYSCALL, "system call" },
		{ BELAY__SEEN_WCHAN, "wchan" },
	};
	/* Times are of two looks: after one they are not missed. */
	const uint32_t between = BELAY__SEEN_RUN_DELAY | BELAY__SEEN_CPU_TIME;
	uint32_t had = evidence->seen | (evidence->apart_ns == 0 ? between : 0);
	bool any = false;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if ((had & kinds[i].bit) != 0)
			continue;
		belay__text_add(text, ", ");
		belay__text_add(text, kinds[i].what);
		any = true;
	}
	if (any)
		belay__text_add(text, " not readable");
}

static void add_finding(enum belay__verdict verdict, const struct belay__evidence *evidence,
	struct belay__text *text)
{
	if (verdict == BELAY__VERDICT_BLOCKED) {
		belay__text_add(text, "waits in ");
		add_call(evidence, text);
	} else {
		belay__text_add(text, meaning_of(verdict));
	}
	if (evidence->tracer_pid != 0) {
		belay__text_add(text, ", tracer is pid ");
		belay__text_add_i64(text, evidence->tracer_pid);
	}
	if (evidence->frozen != 0)
		belay__text_add(text,
			evidence->frozen == 1 ? ", version 1 freezer" : ", cgroup version 2");
	if (seen(evidence, BELAY__SEEN_STATE))
		add_threads(evidence, text);
	if (verdict == BELAY__VERDICT_STARVED || verdict == BELAY__VERDICT_SILENT) {
		add_times(evidence, text);
		add_pressure(evidence, text);
	}
}

void belay__evidence_explain(enum belay__verdict verdict, const struct belay__evidence *evidence,
	struct belay__text *text)
{
	if (evidence == NULL || evidence->seen == 0) {
		belay__text_add(text,
			verdict == BELAY__VERDICT_SILENT ? "does not beat" : meaning_of(verdict));
		belay__text_add(text, ", nothing of it was readable");
		return;
	}
	add_finding(verdict, evidence, text);
	add_unreadable(evidence, text);
}
