#include "process/journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "identity/identity.h"

#define HEADER_MAGIC UINT64_C(0x316C6E724A796C42) /* "BlyJrnl1" */
#define INTENT_MAGIC 0x746E4942u                  /* "BInt" */
#define DONE_MAGIC   0x6E6F4442u                  /* "BDon" */

struct header {
	uint64_t magic;
	uint8_t boot_id[16];
	uint8_t zero[96];
	uint64_t check;
};

struct intent_part {
	uint32_t magic;
	uint32_t pid;
	uint64_t id;
	uint64_t start_ticks;
	uint64_t rule;
	uint64_t realtime_ns;
	uint32_t uid;
	uint32_t step;
	uint64_t zero;
	uint64_t check;
};

struct done_part {
	uint32_t magic;
	uint32_t outcome;
	uint64_t id;
	int64_t value;
	uint64_t check;
};

struct slot {
	struct intent_part intent;
	struct belay__started started;
	struct done_part done;
};

_Static_assert(sizeof(struct header) == BELAY__JOURNAL_SLOT, "the header fills a slot");
_Static_assert(sizeof(struct intent_part) == 64, "layout");
_Static_assert(sizeof(struct belay__started) == 32, "layout");
_Static_assert(sizeof(struct done_part) == 32, "layout");
_Static_assert(sizeof(struct slot) == BELAY__JOURNAL_SLOT, "layout");

_Static_assert(BELAY__JOURNAL_BYTES == BELAY__JOURNAL_SLOTS * BELAY__JOURNAL_SLOT, "layout");

struct belay__journal {
	int fd;
	bool was_reset;
	unsigned torn, unfinished;
	unsigned last; /* the slot used last: others come first, so that the highest id stays */
	uint64_t next_id;
	uint64_t ids[BELAY__JOURNAL_SLOTS]; /* of unfinished actions; 0: free */
};

static off_t offset_of(unsigned slot)
{
	return (off_t)slot * BELAY__JOURNAL_SLOT;
}

static int write_at(int fd, const void *bytes, size_t len, off_t offset)
{
	const char *from = bytes;

	while (len > 0) {
		ssize_t n = pwrite(fd, from, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		from += n;
		offset += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_at(int fd, void *bytes, size_t len, off_t offset)
{
	char *to = bytes;

	while (len > 0) {
		ssize_t n = pread(fd, to, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		to += n;
		offset += n;
		len -= (size_t)n;
	}
	return 0;
}

static int make_durable(int fd)
{
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int wipe(const struct belay__journal *journal, unsigned slot)
{
	static const struct slot empty;

	return write_at(journal->fd, &empty, sizeof(empty), offset_of(slot));
}

static bool is_zero(const void *bytes, size_t len)
{
	const char *byte = bytes;

	for (size_t i = 0; i < len; i++)
		if (byte[i] != 0)
			return false;
	return true;
}

static bool intent_is_whole(const struct intent_part *part)
{
	return part->magic == INTENT_MAGIC && part->id != 0 && part->id < UINT64_MAX / 2 &&
		part->pid <= INT_MAX && part->zero == 0 &&
		part->check == belay__fnv(part, offsetof(struct intent_part, check));
}

static bool started_is_whole(const struct belay__started *part, uint64_t id)
{
	return part->magic == BELAY__STARTED_MAGIC && part->id == id && part->pid > 0 &&
		part->pid <= INT_MAX &&
		part->check == belay__fnv(part, offsetof(struct belay__started, check));
}

static bool done_is_whole(const struct done_part *part, uint64_t id)
{
	return part->magic == DONE_MAGIC && part->id == id &&
		part->check == belay__fnv(part, offsetof(struct done_part, check));
}

/* Takes over what one slot says. */
static int restore_slot(struct belay__journal *journal, unsigned number)
{
	struct slot slot;
	int r = read_at(journal->fd, &slot, sizeof(slot), offset_of(number));

	if (r < 0 || is_zero(&slot, sizeof(slot)))
		return r;
	/* Its child is only started once the intent is durable: what is torn was never started. */
	if (!intent_is_whole(&slot.intent)) {
		journal->torn++;
		return wipe(journal, number);
	}
	if (slot.intent.id >= journal->next_id) {
		journal->next_id = slot.intent.id + 1;
		journal->last = number;
	}
	if (!done_is_whole(&slot.done, slot.intent.id)) {
		journal->ids[number] = slot.intent.id;
		journal->unfinished++;
	}
	return 0;
}

static int restore(struct belay__journal *journal)
{
	int r;

	for (unsigned slot = 1; slot < BELAY__JOURNAL_SLOTS; slot++) {
		r = restore_slot(journal, slot);
		if (r < 0)
			return r;
	}
	return make_durable(journal->fd);
}

/* The header goes first and comes last: a reset that is cut short is begun again. */
static int reset(struct belay__journal *journal, const struct header *header)
{
	int r = 0;

	journal->was_reset = true;
	for (unsigned slot = 0; slot < BELAY__JOURNAL_SLOTS && r == 0; slot++)
		r = wipe(journal, slot);
	if (r == 0)
		r = make_durable(journal->fd);
	if (r == 0)
		r = write_at(journal->fd, header, sizeof(*header), 0);
	return r < 0 ? r : make_durable(journal->fd);
}

static int take(struct belay__journal *journal)
{
	struct header header = { .magic = HEADER_MAGIC }, found = { 0 };
	struct stat file;
	int r;

	if (fstat(journal->fd, &file) < 0)
		return -errno;
	if (!S_ISREG(file.st_mode))
		return -EINVAL;
	if (flock(journal->fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	r = belay__boot_id(header.boot_id);
	if (r < 0)
		return r;
	header.check = belay__fnv(&header, offsetof(struct header, check));

	/* Room for everything, so that no child fails for want of it. */
	if (ftruncate(journal->fd, BELAY__JOURNAL_BYTES) < 0)
		return -errno;
	r = posix_fallocate(journal->fd, 0, BELAY__JOURNAL_BYTES);
	if (r != 0 && r != EOPNOTSUPP)
		return -r;
	r = read_at(journal->fd, &found, sizeof(found), 0);
	if (r < 0)
		return r;
	return memcmp(&found, &header, sizeof(header)) == 0 ? restore(journal)
							    : reset(journal, &header);
}

static int say(int r, struct belay_error *reterr)
{
	if (r == -EBUSY)
		return belay__fail(reterr, r,
			"the journal is held by another runner, or a command that it is about to "
			"start");
	return belay__fail(reterr, r, "cannot take the journal: %s", strerror(-r));
}

int belay__journal_new(int fd, struct belay__journal **ret_journal, struct belay_error *reterr)
{
	struct belay__journal *journal;
	int flags = fcntl(fd, F_GETFL), r;

	if (flags < 0)
		return say(-errno, reterr);
	if ((flags & O_ACCMODE) != O_RDWR || (flags & O_APPEND) != 0)
		return say(-EINVAL, reterr);
	journal = calloc(1, sizeof(*journal));
	if (journal == NULL)
		return say(-ENOMEM, reterr);
	journal->fd = fd;
	journal->next_id = 1;
	r = take(journal);
	if (r < 0) {
		free(journal);
		return say(r, reterr);
	}
	*ret_journal = journal;
	return 0;
}

struct belay__journal *belay__journal_free(struct belay__journal *journal)
{
	free(journal);
	return NULL;
}

bool belay__journal_was_reset(const struct belay__journal *journal)
{
	return journal->was_reset;
}

unsigned belay__journal_torn(const struct belay__journal *journal)
{
	return journal->torn;
}

unsigned belay__journal_count(const struct belay__journal *journal)
{
	return journal->unfinished;
}

static struct belay__unfinished unfinished_of(const struct slot *slot)
{
	struct belay__unfinished unfinished = {
		.intent = {
			.id = slot->intent.id,
			.pid = (pid_t)slot->intent.pid,
			.uid = slot->intent.uid,
			.start_ticks = slot->intent.start_ticks,
			.rule = slot->intent.rule,
			.step = slot->intent.step,
			.realtime_ns = slot->intent.realtime_ns,
		},
		.started = !is_zero(&slot->started, sizeof(slot->started)) ||
			!is_zero(&slot->done, sizeof(slot->done)),
	};

	if (started_is_whole(&slot->started, slot->intent.id)) {
		unfinished.pid = (pid_t)slot->started.pid;
		unfinished.start_ticks = slot->started.start_ticks;
	}
	return unfinished;
}

int belay__journal_next(const struct belay__journal *journal, unsigned *cursor,
	struct belay__unfinished *ret_unfinished)
{
	while (*cursor < BELAY__JOURNAL_SLOTS) {
		unsigned number = (*cursor)++;
		struct slot slot;

		if (journal->ids[number] == 0)
			continue;
		/* What cannot be read, or is not ours any more, is not told as not started. */
		if (read_at(journal->fd, &slot, sizeof(slot), offset_of(number)) < 0 ||
			!intent_is_whole(&slot.intent) || slot.intent.id != journal->ids[number]) {
			*ret_unfinished = (struct belay__unfinished){
				.intent.id = journal->ids[number],
				.started = true,
			};
			return 1;
		}
		*ret_unfinished = unfinished_of(&slot);
		return 1;
	}
	return 0;
}

/* A free slot, the one after the last used first. 0: none. */
static unsigned free_slot(const struct belay__journal *journal)
{
	for (unsigned i = 0; i < BELAY__JOURNAL_MAX; i++) {
		unsigned slot = 1 + (journal->last + i) % BELAY__JOURNAL_MAX;

		if (journal->ids[slot] == 0)
			return slot;
	}
	return 0;
}

int belay__journal_intend(struct belay__journal *journal, const struct belay__intent *intent,
	uint64_t *ret_id)
{
	unsigned slot = free_slot(journal);
	/* Even one that fails uses up its id. */
	struct intent_part part = {
		.magic = INTENT_MAGIC,
		.pid = (uint32_t)intent->pid,
		.id = journal->next_id++,
		.start_ticks = intent->start_ticks,
		.rule = intent->rule,
		.realtime_ns = intent->realtime_ns,
		.uid = intent->uid,
		.step = intent->step,
	};
	int r;

	if (slot == 0)
		return -ENOSPC;
	part.check = belay__fnv(&part, offsetof(struct intent_part, check));

	/* Wiped from the front: from its first byte on the old action is gone, not undone. */
	r = wipe(journal, slot);
	if (r == 0)
		r = write_at(journal->fd, &part, sizeof(part), offset_of(slot));
	if (r == 0)
		r = make_durable(journal->fd);
	if (r < 0) {
		(void)wipe(journal, slot);
		return r;
	}
	journal->last = slot;
	journal->ids[slot] = part.id;
	journal->unfinished++;
	*ret_id = part.id;
	return 0;
}

static unsigned slot_of(const struct belay__journal *journal, uint64_t id)
{
	for (unsigned slot = 1; id != 0 && slot < BELAY__JOURNAL_SLOTS; slot++)
		if (journal->ids[slot] == id)
			return slot;
	return 0;
}

int belay__journal_record(const struct belay__journal *journal, uint64_t id,
	struct belay__spawn_record *ret_record)
{
	unsigned slot = slot_of(journal, id);

	if (slot == 0)
		return -ENOENT;
	*ret_record = (struct belay__spawn_record){
		.fd = journal->fd,
		.offset = offset_of(slot) + (off_t)offsetof(struct slot, started),
		.id = id,
	};
	return 0;
}

int belay__journal_finish(struct belay__journal *journal, uint64_t id, uint32_t outcome,
	int32_t value)
{
	unsigned slot = slot_of(journal, id);
	struct done_part part = { .magic = DONE_MAGIC, .outcome = outcome, .id = id, .value = value };
	int r;

	if (slot == 0)
		return -ENOENT;
	part.check = belay__fnv(&part, offsetof(struct done_part, check));
	r = write_at(journal->fd, &part, sizeof(part),
		offset_of(slot) + (off_t)offsetof(struct slot, done));
	if (r < 0)
		return r;
	journal->ids[slot] = 0;
	journal->unfinished--;
	return 0;
}
