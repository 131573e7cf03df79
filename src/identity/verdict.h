/* verdict.h - what a missed deadline means
 *
 * A missed deadline is a question. The answer is the first row that the evidence supports, in this
 * order; by default only *blocked* and *silent* will ever be acted on.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "identity/evidence.h"

/* name, as events and status spell it; what it says to people */
#define BELAY__VERDICTS(X)                                                                         \
	X(STOPPED, "stopped", "stopped by a signal; SIGCONT would resume it")                      \
	X(TRACED, "traced", "held by a debugger or tracer")                                        \
	X(FROZEN, "frozen", "frozen by its cgroup")                                                \
	X(STARVED, "starved", "runnable, but gets no CPU")                                         \
	X(SUSPENDED, "suspended", "the host was suspended during the silence")                     \
	X(OBSERVER_LATE, "observer-late", "the observer itself did not run during the silence")    \
	X(BLOCKED, "blocked", "waits in the kernel")                                               \
	X(SILENT, "silent", "runs, but does not beat")

enum belay__verdict {
	BELAY__VERDICT_NONE,
#define X(id, name, meaning) BELAY__VERDICT_##id,
	BELAY__VERDICTS(X)
#undef X
		BELAY__VERDICT_COUNT,
};

/* What the observer knows about itself and the host over the silence. */
struct belay__silence {
	uint64_t silent_ns;
	uint64_t threshold_ns;
	uint64_t observer_late_ns; /* time in this silence in which the observer did not run */
	uint64_t suspended_ns;     /* time in this silence in which the host was suspended */
};

/* The verdict on EVIDENCE (NULL: none was to be had, which makes it silent unless the observer
 * knows better). In order:
 *   stopped        the main thread is in state T
 *   traced         it is in state t, or the process has a tracer at all, who may hold it at any
 *                  time
 *   frozen         a cgroup of it is frozen or about to be
 *   starved        over two looks, its runnable threads waited for a CPU at least half of the time
 *                  they had between them, and for longer than they ran; without two looks, or when
 *                  the waits are unknown, nobody is starved
 *   suspended,     at least half of the threshold (so that without it no deadline would have been
 *   observer-late  near)
 *   blocked        its main thread is in state D, or none of its threads is runnable
 *   silent         the rest: something runs and does not beat, or nothing could be seen */
enum belay__verdict belay__judge(const struct belay__evidence *evidence,
	const struct belay__silence *silence);

/* "blocked" ...; "none" for BELAY__VERDICT_NONE. */
const char *belay__verdict_name(enum belay__verdict verdict);

/* Adds one clause for people: "waits in futex (futex_wait_queue), 4 threads, none runnable"; names
 * what could not be read. */
void belay__evidence_explain(enum belay__verdict verdict, const struct belay__evidence *evidence,
	struct belay__text *text);

/* The system call's name on this architecture, or NULL: a table of those that processes wait in. */
const char *belay__syscall_name(int32_t nr);
