#include "export/tsv_events.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"
#include "export/line_reader.h"

/* A rotation that failed is tried again after so many bytes more, not at every event. */
#define RETRY_BYTES 4096

static const char *const statuses[] = {
	[BELAY_OK] = "ok",
	[BELAY_DEGRADED] = "degraded",
	[BELAY_CRITICAL] = "critical",
	[BELAY_STALL] = "stall",
};

static void add_text(struct belay__text *line, const char *text)
{
	size_t len = strlen(text);
	bool cut = len > BELAY__TSV_TEXT_MAX;

	for (size_t i = 0; i < (cut ? BELAY__TSV_TEXT_MAX - 3 : len); i++)
		belay__text_add_bytes(line, strchr("\t\n\r", text[i]) != NULL ? " " : text + i, 1);
	if (cut)
		belay__text_add(line, "...");
}

size_t belay__tsv_line(const struct belay__tsv_event *event, char chars[BELAY__TSV_LINE_SIZE])
{
	struct belay__text line;

	belay__text_init(&line, chars, BELAY__TSV_LINE_SIZE);
	belay__text_add_u64(&line, event->observer_ns);
	switch (event->kind) {
	case BELAY__TSV_BEAT:
		assert(event->status < sizeof(statuses) / sizeof(statuses[0]));
		belay__text_addf(&line, "\tbeat\t%" PRIu32 "\t%" PRIu64 "\t%s\t%" PRIu32,
			event->pid, event->nonce, statuses[event->status], event->payload);
		break;
	case BELAY__TSV_STALL:
		belay__text_addf(&line, "\tstall\t%" PRIu32 "\t%" PRIu64 "\tstall\t-", event->pid,
			event->nonce);
		break;
	case BELAY__TSV_DECODE:
		belay__text_add(&line, "\tdecode\t-\t-\t-\t");
		add_text(&line, event->text);
		break;
	case BELAY__TSV_IO:
		belay__text_add(&line, "\tio\t-\t-\t-\t");
		add_text(&line, event->text);
		break;
	case BELAY__TSV_CTRUNC:
		belay__text_add(&line, "\tctrunc\t-\t-\t-\t");
		add_text(&line, event->text);
		break;
	case BELAY__TSV_MISMATCH:
		belay__text_addf(&line, "\tmismatch\t%" PRIu32 "\t-\t-\t", event->pid);
		add_text(&line, event->text);
		break;
	case BELAY__TSV_EVICTION:
		belay__text_addf(&line, "\teviction\t%" PRIu32 "\t-\t-\t-", event->pid);
		break;
	}
	belay__text_add(&line, "\n");
	assert(!line.overflowed);
	return line.len;
}

void belay__tsv_decode_text(const struct belay_decode_error *error, char *chars, size_t size)
{
	static const char *const status_names[] = { "Ok", "Degraded", "Critical", "Stall" };
	struct belay__text text;

	belay__text_init(&text, chars, size);
	switch ((enum belay_decode_class)error->class_) {
	case BELAY_DECODE_OK:
		belay__text_add(&text, "-");
		break;
	case BELAY_BAD_MAGIC:
		belay__text_add(&text, "BadMagic");
		break;
	case BELAY_BAD_VERSION:
		belay__text_add(&text, "BadVersion");
		break;
	case BELAY_BAD_CRC:
		belay__text_addf(&text, "BadCrc { expected: %" PRIu32 ", actual: %" PRIu32 " }",
			error->crc_expected, error->crc_actual);
		break;
	case BELAY_BAD_STATUS:
		belay__text_addf(&text, "BadStatus(%u)", (unsigned)error->status);
		break;
	case BELAY_STALL_ON_WIRE:
		belay__text_add(&text, "StallOnWire");
		break;
	case BELAY_BAD_PID:
		belay__text_addf(&text, "BadPid(%" PRIu32 ")", error->pid);
		break;
	case BELAY_BAD_TIMESTAMP:
		belay__text_addf(&text, "BadTimestamp(%" PRIu64 ")", error->timestamp_ns);
		break;
	case BELAY_BAD_NONCE:
		belay__text_addf(&text, "BadNonce { nonce: %" PRIu64 ", status: %s }", error->nonce,
			status_names[error->status & 3]);
		break;
	}
}

static int write_buffer(struct belay__tsv_events *events)
{
	size_t done = 0;
	int r = 0;

	while (done < events->len && r == 0) {
		ssize_t n = write(events->fd, events->buffer + done, events->len - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			r = n == 0 ? -EIO : -errno;
	}
	/* A line that was cut short goes on with its own rest, before anything else. */
	if (done > 0)
		memmove(events->buffer, events->buffer + done, events->len - done);
	events->len -= done;
	if (r < 0)
		events->write_failed++;
	return r;
}

static void sync_now(struct belay__tsv_events *events)
{
	if (write_buffer(events) < 0)
		return;
	if (fdatasync(events->fd) < 0)
		events->sync_failed++;
	else
		events->unsynced = 0;
}

static void go_on_in_consume(struct belay__tsv_events *events, int fd)
{
	struct stat stat;

	if (events->options.sync_every > 0)
		sync_now(events);
	(void)belay__close(events->fd);
	events->fd = fd;
	/* Empty, unless it is the old one, opened anew. */
	events->bytes = fstat(fd, &stat) == 0 ? (uint64_t)stat.st_size : 0;
	events->rotate_at = events->options.bytes_max;
	events->wants_rotation = false;
}

int belay__tsv_events_flush(struct belay__tsv_events *events)
{
	int r = write_buffer(events), next_fd = events->next_fd;

	if (r < 0 || next_fd < 0)
		return r;
	events->next_fd = -EBADF;
	go_on_in_consume(events, next_fd);
	return 0;
}

static void rotate(struct belay__tsv_events *events)
{
	int fd = write_buffer(events);

	events->rotate_at = events->bytes + RETRY_BYTES;
	if (fd < 0)
		return;
	if (events->path[0] == '\0') {
		events->wants_rotation = true;
		return;
	}
	fd = belay__generations_rotate(events->path, &events->rotation, UINT64_MAX, NULL);
	if (fd < 0)
		events->rotation_failed++;
	else
		go_on_in_consume(events, fd);
}

int belay__tsv_events_switch_consume(struct belay__tsv_events *events, int fd)
{
	/* Two answers to one wish: the later file is the one at the path. */
	(void)belay__close(events->next_fd);
	events->next_fd = fd;
	events->wants_rotation = false;
	return belay__tsv_events_flush(events);
}

void belay__tsv_events_add(struct belay__tsv_events *events, const struct belay__tsv_event *event)
{
	char line[BELAY__TSV_LINE_SIZE];
	size_t len = belay__tsv_line(event, line);

	if (len > sizeof(events->buffer) - events->len)
		(void)belay__tsv_events_flush(events);
	if (len > sizeof(events->buffer) - events->len) {
		events->lost++;
		return;
	}
	memcpy(events->buffer + events->len, line, len);
	events->len += len;
	events->bytes += len;
	events->written++;
	if (events->options.sync_every > 0 && ++events->unsynced >= events->options.sync_every)
		sync_now(events);
	if (events->next_fd < 0 && events->options.bytes_max > 0 &&
		events->bytes >= events->rotate_at)
		rotate(events);
}

/* FD may be open for writing only: then its file is opened once more to look. */
static int cut_torn_line(int fd, uint64_t *ret_bytes)
{
	_cleanup_close_ int readable = -EBADF;
	char path[32];
	struct stat stat;
	int r;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -EINVAL;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readable = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (readable < 0)
		return -errno;
	r = belay__last_line_end(readable, (uint64_t)stat.st_size, ret_bytes);
	if (r >= 0 && *ret_bytes < (uint64_t)stat.st_size)
		r = ftruncate(fd, (off_t)*ret_bytes) < 0 ? -errno : 0;
	return r;
}

int belay__tsv_events_init_take(struct belay__tsv_events *events, int fd,
	const struct belay__tsv_options *options, struct belay_error *reterr)
{
	uint64_t bytes = 0;
	int r;

	if (options->bytes_max > 0 && options->bytes_max < BELAY__TSV_BYTES_MAX_MIN)
		return belay__fail(reterr, -EINVAL,
			"an event file of at most %" PRIu64 " bytes is too small; give at least %d",
			options->bytes_max, BELAY__TSV_BYTES_MAX_MIN);
	r = cut_torn_line(fd, &bytes);
	if (r < 0)
		return belay__fail(reterr, r, "cannot cut off the torn end of the event file: %s",
			strerror(-r));
	memset(events, 0, sizeof(*events));
	events->fd = fd;
	events->next_fd = -EBADF;
	events->options = *options;
	events->bytes = bytes;
	events->rotate_at = options->bytes_max;
	return 0;
}

int belay__tsv_events_open(struct belay__tsv_events *events, const char *path,
	const struct belay__tsv_options *options, struct belay_error *reterr)
{
	_cleanup_close_ int fd = belay__generations_open(path, reterr);
	int r;

	if (fd < 0)
		return fd;
	r = belay__tsv_events_init_take(events, fd, options, reterr);
	if (r < 0)
		return r;
	(void)TAKE_FD(fd);
	(void)belay__generation_name(path, 0, events->path, sizeof(events->path));
	return 0;
}

void belay__tsv_events_done(struct belay__tsv_events *events)
{
	if (events->options.sync_every > 0)
		sync_now(events);
	else
		(void)belay__tsv_events_flush(events);
	for (size_t i = 0; i < events->len; i++)
		events->lost += events->buffer[i] == '\n' ? 1 : 0;
	events->len = 0;
	events->next_fd = belay__close(events->next_fd);
	events->fd = belay__close(events->fd);
}
