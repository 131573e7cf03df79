/* journal.h - what was to be run, so that after a crash nothing is run twice
 *
 * A file of 512 slots of 128 bytes in the host's byte order. Slot 0 is the header: it names the boot
 * that all the others belong to. Each other slot holds one action:
 *
 *     0   64  intent    by us, before the start, made durable
 *    64   32  started   by the child itself right before its exec (struct belay__started)
 *    96   32  done      by us, afterwards
 *
 * All three carry the action's id and a check. A slot is free when its action is done, and is wiped
 * before it is used again; nothing ever moves, so nothing unfinished can get lost. What is read back
 * is believed only where that cannot start anything twice: an action counts as not started only when
 * no byte of its started and done parts was written.
 *
 * The journal is locked through its open file, which a child holds until its exec. So the next
 * runner cannot read it while a child of the one before is still about to say that it started. Hence
 * every runner needs an open file of its own that nobody else keeps.
 *
 * All of it speaks of one boot: a file of another boot is emptied. It may lie on tmpfs, where making
 * it durable costs nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/error.h>

#include "process/spawn.h"

#define BELAY__JOURNAL_SLOTS 512
#define BELAY__JOURNAL_SLOT  128
#define BELAY__JOURNAL_MAX   (BELAY__JOURNAL_SLOTS - 1) /* actions unfinished at a time */
#define BELAY__JOURNAL_BYTES 65536

/* What is to be done, and about whom. Only id means something to the journal. */
struct belay__intent {
	uint64_t id; /* of the action: given by belay__journal_intend() */
	pid_t pid;   /* whom it is about */
	uid_t uid;
	uint64_t start_ticks;
	uint64_t rule;
	uint32_t step;
	uint64_t realtime_ns;
};

/* An action of a runner before us. */
struct belay__unfinished {
	struct belay__intent intent;
	bool started;         /* false: it may be run, and must be finished either way */
	pid_t pid;            /* the command, when it started; 0: it cannot be known */
	uint64_t start_ticks; /* the same */
};

struct belay__journal;

/* Takes the journal in the file behind FD (borrowed, must outlive it; readable and writable, not
 * O_APPEND), which is made as large as it needs to be. 0 and *ret_journal, -EBUSY (a child of the
 * runner before is still about to start: try again soon), or another negative errno with a
 * sentence. */
int belay__journal_new(int fd, struct belay__journal **ret_journal, struct belay_error *reterr);

/* Lets go of it, NULL allowed; the lock ends with FD. Returns NULL. */
struct belay__journal *belay__journal_free(struct belay__journal *journal);

/* Whether the file was emptied: it was new, of another boot, or no journal. */
bool belay__journal_was_reset(const struct belay__journal *journal);

/* Slots that held something which is no whole action and were wiped when the journal was taken. */
unsigned belay__journal_torn(const struct belay__journal *journal);

/* The next unfinished action, oldest slot first; *CURSOR begins as 0. 1, or 0 when there are no
 * more. Those of this runner are among them. */
int belay__journal_next(const struct belay__journal *journal, unsigned *cursor,
	struct belay__unfinished *ret_unfinished);

/* Writes INTENT, whose id is chosen here, and waits until it is durable. 0 and *ret_id, -ENOSPC (too
 * many are unfinished), or another negative errno: then nothing may be started. */
int belay__journal_intend(struct belay__journal *journal, const struct belay__intent *intent,
	uint64_t *ret_id);

/* Where the child of unfinished action ID records its start. 0, or -ENOENT. */
int belay__journal_record(const struct belay__journal *journal, uint64_t id,
	struct belay__spawn_record *ret_record);

/* Writes that action ID is over: it is never told again. OUTCOME and VALUE are the caller's. 0,
 * -ENOENT, or another negative errno: then it stays unfinished. */
int belay__journal_finish(struct belay__journal *journal, uint64_t id, uint32_t outcome,
	int32_t value);

/* How many actions are unfinished. */
unsigned belay__journal_count(const struct belay__journal *journal);
