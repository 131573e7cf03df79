#include "identity/evidence.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/fd.h"
#include "base/file.h"
#include "identity/cgroup.h"
#include "identity/proc_file.h"
#include "identity/proc_text.h"
#include "identity/process_info.h"
#include "identity/threads.h"

static void look_at_holders(int procfd, struct belay__evidence *evidence)
{
	uint64_t tracer;
	int frozen = belay__cgroup_frozen(procfd);

	if (belay__proc_status_at(procfd, "TracerPid:", false, &tracer) == 0 && tracer <= INT32_MAX) {
		evidence->tracer_pid = (int32_t)tracer;
		evidence->seen |= BELAY__SEEN_TRACER;
	}
	if (frozen >= 0) {
		evidence->frozen = (uint8_t)frozen;
		evidence->seen |= BELAY__SEEN_FREEZER;
	}
}

static void look_at_threads(int procfd, struct belay__evidence *evidence)
{
	struct belay__thread_sums sums;

	if (belay__threads_sum(procfd, &sums) < 0) {
		/* The main thread is one of them. */
		evidence->runnable = evidence->state == 'R';
		evidence->uninterruptible = evidence->state == 'D';
		return;
	}
	evidence->runnable = sums.runnable;
	evidence->uninterruptible = sums.uninterruptible;
	evidence->run_delay_total_ns = sums.run_delay_ns;
	evidence->cpu_total_ns = sums.cpu_ns;
	evidence->slices = sums.slices;
	evidence->tids = sums.tids;
	evidence->scheduled = sums.scheduled;
}

static void look_at_waiting(int procfd, struct belay__evidence *evidence)
{
	char bytes[256];
	ssize_t n = belay__read_file(procfd, "syscall", bytes, sizeof(bytes));

	if (n > 0 &&
		belay__parse_syscall(bytes, (size_t)n, &evidence->syscall_nr,
			&evidence->syscall_arg) == 0)
		evidence->seen |= BELAY__SEEN_SYSCALL;

	/* Without permission it reads as "0", as it does for a thread that waits nowhere. */
	n = belay__read_file(procfd, "wchan", bytes, sizeof(bytes));
	if (n > 0 &&
		belay__parse_wchan(bytes, (size_t)n, evidence->wchan, sizeof(evidence->wchan)) == 0 &&
		(evidence->wchan[0] != '\0' || belay__proc_permitted(procfd)))
		evidence->seen |= BELAY__SEEN_WCHAN;
}

/* One look. 0, -ESRCH, or another negative errno when nothing about the process can be read. */
static int look(pid_t pid, uint64_t start_ticks, uint64_t now_ns, struct belay__evidence *evidence)
{
	struct belay__stat stat;
	_cleanup_close_ int procfd = belay__proc_open_stat(pid, start_ticks, &stat);

	*evidence = (struct belay__evidence){ .syscall_nr = -1, .looked_ns = now_ns };
	if (procfd < 0)
		return procfd;
	if (belay__stat_ended(&stat))
		return -ESRCH;

	evidence->state = stat.state;
	evidence->threads = stat.threads;
	evidence->seen |= BELAY__SEEN_STATE;
	look_at_holders(procfd, evidence);
	look_at_threads(procfd, evidence);
	look_at_waiting(procfd, evidence);
	if (belay__cgroup_cpu_pressure(procfd, &evidence->pressure_milli) == 0)
		evidence->seen |= BELAY__SEEN_PRESSURE;
	return 0;
}

static bool is_held(const struct belay__evidence *evidence)
{
	return evidence->state == 'T' || evidence->state == 't' || evidence->tracer_pid != 0 ||
		evidence->frozen != 0;
}

int belay__evidence_look(pid_t pid, uint64_t start_ticks, uint64_t now_ns,
	struct belay__evidence *ret_evidence)
{
	struct belay__evidence evidence;
	int r = look(pid, start_ticks, now_ns, &evidence);

	if (r == -ESRCH)
		return -ESRCH;
	*ret_evidence = evidence;
	return r == 0 && evidence.runnable > 0 && !is_held(&evidence);
}

/* Time for which threads have been waiting for a CPU and still are. The kernel adds a wait to its
 * count when it ends; so when no thread was put on a CPU between the looks, whoever was runnable at
 * both has run or waited all the time. */
static uint64_t pending_ns(const struct belay__evidence *first,
	const struct belay__evidence *second, uint64_t apart_ns, uint64_t cpu_ns)
{
	uint32_t runnable = first->runnable < second->runnable ? first->runnable : second->runnable;
	uint64_t all_ns;

	if (first->slices != second->slices || __builtin_mul_overflow(apart_ns, runnable, &all_ns))
		return 0;
	return all_ns > cpu_ns ? all_ns - cpu_ns : 0;
}

static void compare(const struct belay__evidence *first, struct belay__evidence *second)
{
	if (second->looked_ns <= first->looked_ns)
		return;
	second->apart_ns = second->looked_ns - first->looked_ns;

	if (!first->scheduled || !second->scheduled || first->tids != second->tids ||
		second->run_delay_total_ns < first->run_delay_total_ns ||
		second->cpu_total_ns < first->cpu_total_ns)
		return;
	second->cpu_ns = second->cpu_total_ns - first->cpu_total_ns;
	second->run_delay_ns = second->run_delay_total_ns - first->run_delay_total_ns +
		pending_ns(first, second, second->apart_ns, second->cpu_ns);
	second->seen |= BELAY__SEEN_RUN_DELAY | BELAY__SEEN_CPU_TIME;
}

int belay__evidence_look_again(pid_t pid, uint64_t start_ticks, uint64_t now_ns,
	struct belay__evidence *evidence)
{
	struct belay__evidence second;
	int r = look(pid, start_ticks, now_ns, &second);

	if (r == -ESRCH)
		return -ESRCH;
	if (r < 0)
		return 0; /* what the first look saw is what there is */
	compare(evidence, &second);
	*evidence = second;
	return 0;
}
