/* version.c - what `belay version` costs beside an empty C program: from the spawn to the end, and
 * in CPU time
 *
 * Both are started in turns on one CPU, so that whatever else the machine does meets both. Prints
 * one line of JSON; the ratios are what counts.
 *
 * Usage: bench-version BELAY EMPTY [SAMPLES]
 */
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"

enum { WARM_UP = 50, SAMPLES = 2000, SAMPLES_MAX = 1000000 };

struct sample {
	uint64_t wall_ns, cpu_ns;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t time_ns(struct timeval time)
{
	return (uint64_t)time.tv_sec * BELAY__NS_PER_S + (uint64_t)time.tv_usec * BELAY__NS_PER_US;
}

static struct sample start_once(char *const *argv, const posix_spawn_file_actions_t *actions)
{
	char *const environment[] = { NULL };
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct rusage usage;
	int status;
	pid_t pid;

	if (posix_spawn(&pid, argv[0], actions, NULL, argv, environment) != 0 ||
		wait4(pid, &status, 0, &usage) != pid)
		die(argv[0]);
	if (status != 0) {
		(void)fprintf(stderr, "%s does not exit 0\n", argv[0]);
		exit(1);
	}
	return (struct sample){ belay__clock_ns(CLOCK_MONOTONIC) - start_ns,
		time_ns(usage.ru_utime) + time_ns(usage.ru_stime) };
}

static int compare(const void *a, const void *b)
{
	const struct sample *left = a, *right = b;

	return (left->wall_ns > right->wall_ns) - (left->wall_ns < right->wall_ns);
}

static double median_us(struct sample *samples, size_t count)
{
	qsort(samples, count, sizeof(*samples), compare);
	size_t middle = count / 2;

	return (double)samples[middle].wall_ns / 1e3;
}

static double mean_cpu_us(const struct sample *samples, size_t count)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += (double)samples[i].cpu_ns / 1e3;
	return sum / (double)count;
}

/* One CPU for the whole run, the one it happens to be on; children inherit it. */
static void stay_here(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
	size_t count = argc > 3 ? strtoul(argv[3], NULL, 10) : SAMPLES;
	static char word[] = "version";
	posix_spawn_file_actions_t quiet;

	if (argc < 3 || count == 0 || count > SAMPLES_MAX) {
		(void)fprintf(stderr, "usage: bench-version BELAY EMPTY [SAMPLES up to %d]\n",
			SAMPLES_MAX);
		return 64;
	}
	char *const ours_argv[] = { argv[1], word, NULL }, *const floor_argv[] = { argv[2], NULL };
	struct sample *ours = calloc(count, sizeof(*ours)), *bare = calloc(count, sizeof(*bare));
	if (ours == NULL || bare == NULL || posix_spawn_file_actions_init(&quiet) != 0 ||
		posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0) != 0)
		die("start");

	stay_here();
	for (size_t i = 0; i < WARM_UP; i++) {
		(void)start_once(floor_argv, &quiet);
		(void)start_once(ours_argv, &quiet);
	}
	for (size_t i = 0; i < count; i++) {
		bare[i] = start_once(floor_argv, &quiet);
		ours[i] = start_once(ours_argv, &quiet);
	}

	double ours_cpu = mean_cpu_us(ours, count), bare_cpu = mean_cpu_us(bare, count);
	double ours_p50 = median_us(ours, count), bare_p50 = median_us(bare, count);
	printf("{\"name\":\"version\",\"ours_p50_us\":%.1f,\"floor_p50_us\":%.1f,\"ratio_p50\":%."
	       "3f,"
	       "\"ours_cpu_us\":%.1f,\"floor_cpu_us\":%.1f,\"ratio_cpu\":%.3f,\"samples\":%zu}\n",
		ours_p50, bare_p50, ours_p50 / bare_p50, ours_cpu, bare_cpu, ours_cpu / bare_cpu,
		count);
	(void)posix_spawn_file_actions_destroy(&quiet);
	free(ours);
	free(bare);
	return 0;
}
