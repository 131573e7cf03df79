#include "export/audit_log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "export/audit_tail.h"
#include "export/generations.h"

#define DEFAULT_BUDGET_NS (50 * BELAY__NS_PER_MS)
#define LAST_DRAIN_NS     BELAY__NS_PER_S
#define WARN_AT           (BELAY__AUDIT_RING * 75 / 100)
#define CRITICAL_AT       ((BELAY__AUDIT_RING * 95 + 99) / 100)
#define MODE_MAX          31

/* Numbers, texts and two chains of a record; and in front of it, in a new file, the header. */
#define LINE_SIZE (sizeof(BELAY__AUDIT_HEADER) + 512 + (size_t)2 * BELAY__AUDIT_TEXT_MAX)

const uint64_t belay__audit_fsync_bound_ns[BELAY__AUDIT_FSYNC_BUCKETS - 1] = {
	1 * BELAY__NS_PER_MS,
	5 * BELAY__NS_PER_MS,
	10 * BELAY__NS_PER_MS,
	50 * BELAY__NS_PER_MS,
	100 * BELAY__NS_PER_MS,
	250 * BELAY__NS_PER_MS,
	500 * BELAY__NS_PER_MS,
	BELAY__NS_PER_S,
};

struct slot {
	struct belay__audit_record record; /* its texts lie in `texts` */
	uint64_t missing;                  /* records dropped between the one before and this */
	char texts[2 * BELAY__AUDIT_TEXT_MAX + MODE_MAX];
};

struct belay__audit_log {
	int fd;
	bool torn;      /* a write was cut short, and what it left is still there */
	uint64_t bytes; /* whole lines in the file */
	struct belay__audit_options options;
	struct belay__audit_hasher hasher;
	struct belay__audit_counters counters;

	uint64_t seq; /* of the last record written */
	uint8_t chain[BELAY__AUDIT_CHAIN_SIZE];
	bool has_chain;

	bool header_due; /* behind lines of another schema; in an empty file always */
	bool boot_due;
	enum belay__audit_boot boot_reason;
	struct belay__audit_time now; /* of the last drain */

	uint32_t unsynced;          /* records */
	uint64_t unsynced_since_ns; /* when the first of them was written */
	bool sync_due;              /* without waiting for more records */
	bool sync_deferred;         /* until the next drain: one was over its budget */
	bool rotation_tried;        /* in this drain */
	bool synced_for_rotation;   /* since the file became full */
	struct belay__rotation rotation;
	char path[BELAY__GENERATION_PATH_SIZE]; /* empty: on descriptors */

	uint64_t missing; /* records dropped since the last one in the ring */
	size_t first, count;
	struct slot ring[BELAY__AUDIT_RING];
};

static uint64_t monotonic_ns(void)
{
	return belay__clock_ns(CLOCK_MONOTONIC);
}

/* Queueing */

/* Copies TEXT behind the *USED bytes of the slot's texts; what is longer than MAX ends in "...". */
static struct belay__audit_text keep(struct slot *slot, size_t *used, struct belay__audit_text text,
	size_t max)
{
	char *copy = slot->texts + *used;
	size_t len = text.len < max ? text.len : max;

	assert(*used + len <= sizeof(slot->texts));

	if (len > 0)
		memcpy(copy, text.bytes, len);
	if (len < text.len)
		memset(copy + len - 3, '.', 3);
	*used += len;
	return (struct belay__audit_text){ copy, len };
}

static void fill_slot(struct slot *slot, const struct belay__audit_record *record)
{
	size_t used = 0;

	slot->record = *record;
	if (record->kind == BELAY__AUDIT_SPAWN) {
		slot->record.spawn.mode = keep(slot, &used, record->spawn.mode, MODE_MAX);
		slot->record.spawn.program = keep(slot, &used, record->spawn.program,
			BELAY__AUDIT_TEXT_MAX);
		slot->record.spawn.source = keep(slot, &used, record->spawn.source,
			BELAY__AUDIT_TEXT_MAX);
	} else if (record->kind == BELAY__AUDIT_REFUSED) {
		slot->record.refused.reason = keep(slot, &used, record->refused.reason,
			BELAY__AUDIT_TEXT_MAX);
	}
}

bool belay__audit_log_add(struct belay__audit_log *log, const struct belay__audit_record *record)
{
	struct slot *slot;

	if (log->count == BELAY__AUDIT_RING) {
		log->counters.dropped++;
		log->missing++;
		return false;
	}
	slot = &log->ring[(log->first + log->count) % BELAY__AUDIT_RING];
	fill_slot(slot, record);
	slot->missing = log->missing;
	log->missing = 0;
	/* It grows by one at a time: each rise passes each mark once. */
	log->count++;
	if (log->count == WARN_AT)
		log->counters.watermark_warn++;
	if (log->count == CRITICAL_AT)
		log->counters.watermark_critical++;
	return true;
}

size_t belay__audit_log_queued(const struct belay__audit_log *log)
{
	return log->count + (log->boot_due ? 1 : 0);
}

/* Writing */

/* Cuts off what a write left of a line. When somebody else made the file shorter, it is as long as
 * it is. */
static int mend(struct belay__audit_log *log)
{
	struct stat stat;

	if (!log->torn)
		return 0;
	if (fstat(log->fd, &stat) < 0)
		return -errno;
	if ((uint64_t)stat.st_size < log->bytes)
		log->bytes = (uint64_t)stat.st_size;
	else if (ftruncate(log->fd, (off_t)log->bytes) < 0)
		return -errno;
	log->torn = false;
	return 0;
}

static int append(struct belay__audit_log *log, const char *bytes, size_t len)
{
	int r = mend(log);

	if (r >= 0) {
		r = belay__write_all(log->fd, bytes, len);
		log->torn = r < 0;
	}
	if (r < 0) {
		log->counters.write_failed++;
		(void)mend(log);
		return r;
	}
	log->bytes += len;
	return 0;
}

static struct belay__audit_record boot_record(const struct belay__audit_log *log)
{
	struct belay__audit_record record = {
		.wall_ms = log->now.wall_ms,
		.observer_ns = log->now.observer_ns,
		.kind = BELAY__AUDIT_BOOT,
		.boot = {
			.daemon_pid = log->options.daemon_pid,
			.reason = log->boot_reason,
			.has_previous = log->has_chain,
		},
	};

	memcpy(record.boot.previous, log->chain, sizeof(log->chain));
	return record;
}

/* Gives RECORD its number and chain and writes it. What fails changes nothing. */
static int write_record(struct belay__audit_log *log, struct belay__audit_record *record,
	uint64_t missing)
{
	static const char header[] = BELAY__AUDIT_HEADER "\n";
	size_t header_len = log->bytes == 0 || log->header_due ? sizeof(header) - 1 : 0;
	uint8_t chain[BELAY__AUDIT_CHAIN_SIZE];
	char line[LINE_SIZE];
	int len, r;

	memcpy(line, header, header_len);
	record->seq = log->seq + missing + 1;
	len = belay__audit_format(&log->hasher, record, log->chain, line + header_len,
		sizeof(line) - header_len, chain);
	if (len < 0) {
		log->counters.write_failed++;
		return len;
	}
	r = append(log, line, header_len + (size_t)len);
	if (r < 0)
		return r;
	memcpy(log->chain, chain, sizeof(chain));
	log->has_chain = true;
	log->header_due = false;
	log->seq = record->seq;
	log->counters.written++;
	if (log->unsynced++ == 0)
		log->unsynced_since_ns = monotonic_ns();
	return 0;
}

static int write_next(struct belay__audit_log *log)
{
	struct slot *slot = &log->ring[log->first];
	int r;

	if (log->boot_due) {
		struct belay__audit_record boot = boot_record(log);

		r = write_record(log, &boot, 0);
		if (r >= 0) {
			log->boot_due = false;
			log->sync_due = true;
		}
		return r;
	}
	r = write_record(log, &slot->record, slot->missing);
	if (r >= 0) {
		log->first = (log->first + 1) % BELAY__AUDIT_RING;
		log->count--;
	}
	return r;
}

/* Syncing */

static void count_sync(struct belay__audit_log *log, uint64_t took_ns)
{
	size_t bucket = 0;

	while (bucket < BELAY__AUDIT_FSYNC_BUCKETS - 1 &&
		took_ns > belay__audit_fsync_bound_ns[bucket])
		bucket++;
	log->counters.fsync_bucket[bucket]++;
	log->counters.fsync_count++;
	log->counters.fsync_sum_ns += took_ns;
	if (took_ns > log->options.fsync_budget_ns) {
		log->counters.fsync_budget_exceeded++;
		log->sync_deferred = true;
	}
}

int belay__audit_log_sync(struct belay__audit_log *log)
{
	uint64_t started_ns = monotonic_ns();
	int r;

	if (log->unsynced == 0)
		return 0;
	do
		r = fdatasync(log->fd) < 0 ? -errno : 0;
	while (r == -EINTR);
	count_sync(log, monotonic_ns() - started_ns);
	if (r < 0) {
		log->counters.sync_failed++;
		return r;
	}
	log->unsynced = 0;
	log->sync_due = false;
	return 0;
}

static bool is_sync_due(const struct belay__audit_log *log)
{
	if (log->unsynced == 0)
		return false;
	return log->sync_due || log->unsynced >= log->options.sync_every ||
		(log->options.sync_interval_ns > 0 &&
			monotonic_ns() - log->unsynced_since_ns >= log->options.sync_interval_ns);
}

static int sync_if_due(struct belay__audit_log *log)
{
	return is_sync_due(log) && !log->sync_deferred ? belay__audit_log_sync(log) : 0;
}

/* Rotating */

static bool is_full(const struct belay__audit_log *log)
{
	return log->options.bytes_max > 0 && log->bytes >= log->options.bytes_max &&
		!log->boot_due && !log->torn;
}

static void switch_to_take(struct belay__audit_log *log, int fd)
{
	(void)belay__audit_log_sync(log);
	(void)belay__close(log->fd);
	log->fd = fd;
	log->bytes = 0;
	log->torn = log->header_due = log->synced_for_rotation = false;
	/* What the old file could not sync is counted; it is not the new one's. */
	log->unsynced = 0;
	log->boot_due = true;
	log->boot_reason = BELAY__AUDIT_ROTATION;
}

static int rotate(struct belay__audit_log *log)
{
	uint64_t started_ns = monotonic_ns();
	uint64_t deadline_ns = started_ns + log->options.rotation_budget_ns;
	int fd = belay__generations_rotate(log->path, &log->rotation, deadline_ns, NULL);

	if (fd == -EAGAIN || monotonic_ns() > deadline_ns)
		log->counters.rotation_budget_exceeded++;
	if (fd == -EAGAIN)
		return 0;
	if (fd < 0) {
		log->counters.rotation_failed++;
		return fd;
	}
	switch_to_take(log, fd);
	return 0;
}

/* Before its files move, all that is in the full one is on disk. */
static int rotate_if_due(struct belay__audit_log *log)
{
	bool due = is_full(log) || log->rotation.moving || log->rotation.opening;
	int r = 0;

	if (!due || log->rotation_tried || log->torn)
		return 0;
	if (!log->synced_for_rotation)
		r = belay__audit_log_sync(log);
	log->synced_for_rotation = true;
	if (log->path[0] == '\0')
		return r;
	log->rotation_tried = true;
	return rotate(log);
}

bool belay__audit_log_pending(const struct belay__audit_log *log)
{
	return log->rotation.moving || log->rotation.opening || is_sync_due(log);
}

bool belay__audit_log_wants_rotation(const struct belay__audit_log *log)
{
	return log->path[0] == '\0' && log->synced_for_rotation;
}

int belay__audit_log_switch_take(struct belay__audit_log *log, int fd)
{
	struct stat stat;
	int r = mend(log);

	if (r < 0)
		return r;
	if (fstat(fd, &stat) < 0)
		return -errno;
	if (stat.st_size != 0)
		return -EEXIST;
	switch_to_take(log, fd);
	return 0;
}

/* One record with what follows from it. */
static int drain_one(struct belay__audit_log *log)
{
	int r = write_next(log);
	int synced, rotated;

	if (r < 0)
		return r;
	synced = sync_if_due(log);
	rotated = rotate_if_due(log);
	return synced < 0 ? synced : rotated;
}

int belay__audit_log_drain(struct belay__audit_log *log, struct belay__audit_time now,
	uint64_t deadline_ns)
{
	int first_error, r;

	log->now = now;
	log->sync_deferred = log->rotation_tried = false;
	first_error = sync_if_due(log);
	r = rotate_if_due(log);
	if (first_error == 0)
		first_error = r;
	while (belay__audit_log_queued(log) > 0) {
		uint64_t written = log->counters.written;

		r = drain_one(log);
		if (first_error == 0)
			first_error = r;
		if (log->counters.written == written)
			break;
		if (belay__audit_log_queued(log) > 0 && monotonic_ns() >= deadline_ns) {
			log->counters.flush_budget_exceeded++;
			break;
		}
	}
	return first_error;
}

/* Opening and closing */

/* A foreign last line is ended, for it is not ours to cut; one of our own is cut off. */
static int end_torn_line(int fd, struct belay__audit_tail *tail)
{
	int r = 0;

	if (!tail->torn)
		return 0;
	if (tail->ours || tail->has_record) {
		r = ftruncate(fd, (off_t)tail->bytes) < 0 ? -errno : 0;
	} else {
		struct stat stat;

		r = belay__write_all(fd, "\n", 1);
		if (r >= 0)
			r = fstat(fd, &stat) < 0 ? -errno : 0;
		if (r >= 0)
			tail->bytes = (uint64_t)stat.st_size;
	}
	return r;
}

static enum belay__audit_boot reason_of(const struct belay__audit_tail *tail, bool goes_on)
{
	if (tail->has_record && !tail->record_is_end)
		return BELAY__AUDIT_SCHEMA_DRIFT;
	if (!tail->has_record && tail->legacy)
		return BELAY__AUDIT_LEGACY_V1;
	if (!tail->has_record &&
		(!tail->ours || tail->bytes > sizeof(BELAY__AUDIT_HEADER))) /* its newline counted */
		return BELAY__AUDIT_SCHEMA_DRIFT;
	if (tail->torn)
		return BELAY__AUDIT_CORRUPT_TAIL;
	if (tail->has_record)
		return BELAY__AUDIT_RESUME;
	return goes_on ? BELAY__AUDIT_ROTATION : BELAY__AUDIT_FRESH;
}

/* Takes number and chain from the last record of FD, or of PREVIOUS_FD when FD has none yet. */
static int go_on_from(struct belay__audit_log *log, int fd, int previous_fd,
	struct belay_error *reterr)
{
	struct belay__audit_tail tail, previous = { 0 };
	const struct belay__audit_tail *last = &tail;
	int r = belay__audit_tail_read(fd, &tail);

	if (r >= 0 && !tail.has_record && previous_fd >= 0) {
		r = belay__audit_tail_read(previous_fd, &previous);
		last = &previous;
	}
	if (r < 0)
		return belay__fail(reterr, r, "cannot read the end of the audit log: %s",
			strerror(-r));
	r = end_torn_line(fd, &tail);
	if (r < 0)
		return belay__fail(reterr, r,
			"cannot end the torn line at the end of the audit log: %s", strerror(-r));
	log->bytes = tail.bytes;
	log->header_due = !tail.ours && !tail.has_record;
	log->boot_due = true;
	log->boot_reason = reason_of(&tail, last->has_record);
	log->seq = last->seq;
	log->has_chain = last->has_chain;
	memcpy(log->chain, last->chain, sizeof(log->chain));
	return 0;
}

static int check_options(struct belay__audit_options *options, struct belay_error *reterr)
{
	if (options->bytes_max > 0 && options->bytes_max < BELAY__AUDIT_BYTES_MAX_MIN)
		return belay__fail(reterr, -EINVAL,
			"an audit log of at most %llu bytes is too small; give at least %d",
			(unsigned long long)options->bytes_max, BELAY__AUDIT_BYTES_MAX_MIN);
	if (options->sync_every == 0)
		options->sync_every = 1;
	if (options->fsync_budget_ns == 0)
		options->fsync_budget_ns = DEFAULT_BUDGET_NS;
	if (options->rotation_budget_ns == 0)
		options->rotation_budget_ns = DEFAULT_BUDGET_NS;
	return 0;
}

static struct belay__audit_log *destroy(struct belay__audit_log *log)
{
	if (log == NULL)
		return NULL;
	(void)belay__close(log->fd);
	belay__audit_hasher_done(&log->hasher);
	free(log);
	return NULL;
}

int belay__audit_log_open_take(int fd, int previous_fd, const struct belay__audit_options *options,
	struct belay__audit_log **ret_log, struct belay_error *reterr)
{
	struct belay__audit_log *log = calloc(1, sizeof(*log));
	int r;

	if (log == NULL) {
		(void)belay__fail(reterr, -ENOMEM, "no memory for an audit log");
		return -ENOMEM;
	}
	log->fd = -EBADF;
	log->options = *options;
	/* Until a drain says better. */
	log->now.wall_ms = belay__clock_ns(CLOCK_REALTIME) / BELAY__NS_PER_MS;
	log->now.observer_ns = monotonic_ns();
	r = check_options(&log->options, reterr);
	if (r >= 0) {
		r = belay__audit_hasher_init(&log->hasher);
		if (r < 0)
			(void)belay__fail(reterr, r, "libcrypto gives no SHA-256: %s", strerror(-r));
	}
	if (r >= 0)
		r = go_on_from(log, fd, previous_fd, reterr);
	if (r < 0) {
		(void)destroy(log);
		return r;
	}
	log->fd = fd;
	*ret_log = log;
	return 0;
}

int belay__audit_log_open(const char *path, const struct belay__audit_options *options,
	struct belay__audit_log **ret_log, struct belay_error *reterr)
{
	_cleanup_close_ int fd = belay__generations_open(path, reterr);
	_cleanup_close_ int previous_fd = -EBADF;
	struct belay__audit_log *log = NULL;
	struct belay_error previous_error;
	int r;

	if (fd < 0)
		return fd;
	previous_fd = belay__generations_open_previous(path, &previous_error);
	r = belay__audit_log_open_take(fd, previous_fd, options, &log, reterr);
	if (r < 0)
		return r;
	(void)TAKE_FD(fd);
	/* A log that seems to be the first while nobody can look at the one before would begin a
	 * second chain. */
	if (log->seq == 0 && previous_fd < 0 && previous_fd != -ENOENT) {
		(void)destroy(log);
		return belay__fail(reterr, previous_fd, "%s", previous_error.text);
	}
	(void)belay__generation_name(path, 0, log->path, sizeof(log->path));
	*ret_log = log;
	return 0;
}

struct belay__audit_log *belay__audit_log_free(struct belay__audit_log *log)
{
	if (log == NULL)
		return NULL;
	if (belay__audit_log_queued(log) > 0)
		(void)belay__audit_log_drain(log, log->now, monotonic_ns() + LAST_DRAIN_NS);
	(void)belay__audit_log_sync(log);
	return destroy(log);
}

const struct belay__audit_counters *belay__audit_log_counters(const struct belay__audit_log *log)
{
	return &log->counters;
}

uint64_t belay__audit_log_head(const struct belay__audit_log *log,
	uint8_t ret_chain[BELAY__AUDIT_CHAIN_SIZE])
{
	memcpy(ret_chain, log->chain, BELAY__AUDIT_CHAIN_SIZE);
	return log->seq;
}
