#include "identity/verdict.h"

#include <stdbool.h>

static bool is_stopped(const struct belay__evidence *evidence)
{
	return evidence->state == 'T';
}

static bool is_traced(const struct belay__evidence *evidence)
{
	return evidence->state == 't' || evidence->tracer_pid != 0;
}

static bool is_frozen(const struct belay__evidence *evidence)
{
	return evidence->frozen != 0;
}

/* Whether PART is at least half of WHOLE, and something. */
static bool is_large_part(uint64_t part, uint64_t whole)
{
	return part > 0 && part >= whole - whole / 2;
}

static bool is_starved(const struct belay__evidence *evidence)
{
	const uint32_t needed = BELAY__SEEN_RUN_DELAY | BELAY__SEEN_CPU_TIME;
	uint64_t had_ns;

	if (evidence->apart_ns == 0 || evidence->runnable == 0 ||
		(evidence->seen & needed) != needed)
		return false;
	if (__builtin_mul_overflow(evidence->apart_ns, evidence->runnable, &had_ns))
		had_ns = UINT64_MAX;
	return is_large_part(evidence->run_delay_ns, had_ns) &&
		evidence->run_delay_ns > evidence->cpu_ns;
}

static bool is_blocked(const struct belay__evidence *evidence)
{
	if ((evidence->seen & BELAY__SEEN_STATE) == 0)
		return false;
	return evidence->state == 'D' || evidence->runnable == 0;
}

enum belay__verdict belay__judge(const struct belay__evidence *evidence,
	const struct belay__silence *silence)
{
	static const struct belay__evidence nothing;

	if (evidence == NULL)
		evidence = &nothing;
	if (is_stopped(evidence))
		return BELAY__VERDICT_STOPPED;
	if (is_traced(evidence))
		return BELAY__VERDICT_TRACED;
	if (is_frozen(evidence))
		return BELAY__VERDICT_FROZEN;
	if (is_starved(evidence))
		return BELAY__VERDICT_STARVED;
	if (is_large_part(silence->suspended_ns, silence->threshold_ns))
		return BELAY__VERDICT_SUSPENDED;
	if (is_large_part(silence->observer_late_ns, silence->threshold_ns))
		return BELAY__VERDICT_OBSERVER_LATE;
	if (is_blocked(evidence))
		return BELAY__VERDICT_BLOCKED;
	return BELAY__VERDICT_SILENT;
}

const char *belay__verdict_name(enum belay__verdict verdict)
{
	switch (verdict) {
#define X(id, name, meaning)                                                                       \
	case BELAY__VERDICT_##id:                                                                  \
		return name;
		BELAY__VERDICTS(X)
#undef X
	case BELAY__VERDICT_NONE:
	case BELAY__VERDICT_COUNT:
	default:
		return "none";
	}
}
