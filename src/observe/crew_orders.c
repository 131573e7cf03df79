/* What the gate's messages make the parent do. */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "export/event_file.h"
#include "export/generations.h"
#include "observe/crew_internal.h"
#include "process/spawn.h"

/* How long a prober must have run to be taken for stuck. */
#define STUCK_NOT_BEFORE_NS (5 * BELAY__NS_PER_S)

int belay__crew_on_ready(void *data, const void *record, int fd_consume)
{
	(void)fd_consume;
	belay__parent_gate_ready(data, ((const struct belay__msg_ready *)record)->going_on);
	return 0;
}

int belay__crew_on_progress(void *data, const void *record, int fd_consume)
{
	(void)record;
	(void)fd_consume;
	belay__parent_gate_progress(data);
	return 0;
}

/* A gate speaks with everybody: that a file is full, it has to be seen to be. */
static bool is_full(const char *path, uint64_t least)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size >= least;
}

int belay__crew_on_rotate(void *data, const void *record, int fd_consume)
{
	struct belay__parent *parent = data;
	const char *path = parent->config.options.events;
	struct belay_error error;
	_cleanup_close_ int fd = -EBADF;

	(void)record;
	(void)fd_consume;
	if (!parent->events_wanted || !is_full(path, BELAY__EVENT_FILE_BYTES / 2))
		return 0;
	fd = belay__event_file_rotate(path, &error);
	if (fd < 0)
		belay__log(BELAY__LOG_WARNING, "%s", error.text);
	else
		(void)belay__crew_send_fd(&parent->crew[BELAY__ROLE_GATE], BELAY__MSG_EVENTS, fd);
	return 0;
}

/* The generations of the original's file are moved step by step; what is left undone, the gate asks
 * for again a minute later. */
int belay__crew_on_rotate_export(void *data, const void *record, int fd_consume)
{
	struct belay__parent *parent = data;
	const struct belay__observe_options *options = &parent->config.options;
	struct belay_error error;
	_cleanup_close_ int fd = -EBADF;

	(void)record;
	(void)fd_consume;
	if (options->export_file[0] == '\0' || options->export_bytes_max == 0)
		return 0;
	/* What was begun is finished. */
	if (!parent->export_rotation.moving && !parent->export_rotation.opening &&
		!is_full(options->export_file, options->export_bytes_max / 2))
		return 0;
	fd = belay__generations_rotate(options->export_file, &parent->export_rotation, UINT64_MAX,
		&error);
	if (fd < 0)
		belay__log(BELAY__LOG_WARNING, "%s", error.text);
	fd = belay__append_only_consume(fd);
	if (fd >= 0)
		(void)belay__crew_send_fd(&parent->crew[BELAY__ROLE_GATE], BELAY__MSG_EXPORT_FILE,
			fd);
	return 0;
}

/* Pauses that ended while no gate was there to say so. */
static void forget_past_pauses(struct belay__parent *parent)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_REALTIME);

	for (uint32_t i = parent->pause_count; i > 0; i--)
		if (parent->pauses[i - 1].until_realtime_ns <= now_ns)
			parent->pauses[i - 1] = parent->pauses[--parent->pause_count];
}

/* The gate was asked for a pause, or for its end; a new gate will be told. */
int belay__crew_on_pause(void *data, const void *record, int fd_consume)
{
	const struct belay__msg_pause *pause = record;
	struct belay__parent *parent = data;
	uint32_t i = 0;

	(void)fd_consume;
	/* An empty one would mean all. */
	if (pause->pattern[0] == '\0' || pause->pattern[sizeof(pause->pattern) - 1] != '\0')
		return -EPROTO;
	forget_past_pauses(parent);
	while (i < parent->pause_count &&
		strncmp(parent->pauses[i].pattern, pause->pattern, sizeof(pause->pattern)) != 0)
		i++;
	/* The runner withholds what is under way. */
	(void)belay__crew_send_now(&parent->crew[BELAY__ROLE_RUNNER], BELAY__MSG_PAUSE, pause,
		sizeof(*pause), -EBADF);
	if (pause->until_realtime_ns == 0) {
		if (i < parent->pause_count)
			parent->pauses[i] = parent->pauses[--parent->pause_count];
		return 0;
	}
	if (i == BELAY__PAUSES_MAX)
		return 0; /* the gate keeps no more, either */
	parent->pauses[i] = *pause;
	if (i == parent->pause_count)
		parent->pause_count++;
	return 0;
}

/* Its end, noticed by its pidfd, leads to the next. One that has only just begun is given its time: a gate
 * could say so of each. */
int belay__crew_on_stuck(void *data, const void *record, int fd_consume)
{
	struct belay__parent *parent = data;
	const struct belay__crew_member *prober = &parent->crew[BELAY__ROLE_PROBER];
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);

	(void)record;
	(void)fd_consume;
	if (prober->pidfd < 0 || now_ns - prober->started_ns < STUCK_NOT_BEFORE_NS)
		return 0;
	belay__log(BELAY__LOG_WARNING, "the prober does not answer; it is killed and replaced");
	(void)belay__signal(prober->pidfd, SIGKILL);
	return 0;
}
