/* state_file.h - the table in a file that outlives the observer
 *
 * `<socket>.state`, preallocated on a memory file system, 0600. It holds two tables: one is in use,
 * the next observer reads that one as hostile input and builds its own in the other, then makes it
 * the one in use: killed at any moment, one of them is whole. Everything read back is checked:
 * sizes against the file, pids, names, enums, and that no two processes share a pid.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>

#include "observe/slot.h"

struct belay__state_file {
	int fd;        /* owned */
	void *mapping; /* of the whole file */
	size_t size;
	uint32_t capacity;
	unsigned spare; /* which of the two tables is not in use: where the new one is built */
};

/* A process read back: copies, already checked. */
struct belay__kept {
	struct belay__slot slot;
	struct belay__record record;
};

/* Opens or makes the file PATH: a regular file of ours with one link, no symlink. Returns its fd;
 * -EBUSY: another observer has it locked; -EXDEV: it would not lie on a memory file system (the
 * file is not made); or another negative errno; each with a sentence. */
int belay__state_open(const char *path, struct belay_error *reterr);

/* Reads what an earlier observer of this boot left in FD: *ret_kept (malloc'ed, NULL when nothing
 * is there; the caller frees it) and its length. *ret_reason says why nothing was believed ("" when
 * it was): "another boot", "damaged" ... 0 or -ENOMEM. */
int belay__state_read(int fd, struct belay__kept **ret_kept, uint32_t *ret_count,
	const char **ret_reason);

/* Allocates the room that CAPACITY processes need in FD now, so that nobody finds the file system full
 * later. 0, or a negative errno (-ENOSPC) with a sentence. */
int belay__state_reserve(int fd, uint32_t capacity, struct belay_error *reterr);

/* Cuts off what is behind the table of FD, as an earlier one that held more left it; to be called when
 * that one's readers have done with it. */
void belay__state_trim(int fd);

/* Maps FD (taken on success) for CAPACITY processes, allocating its room on the file system now. 0
 * or a negative errno (-ENOSPC) with a sentence. */
int belay__state_map_take(int fd, uint32_t capacity, struct belay__state_file *ret_file,
	struct belay_error *reterr);

/* Where the new table is built. */
struct belay__slot *belay__state_slots(const struct belay__state_file *file);
struct belay__record *belay__state_records(const struct belay__state_file *file);

/* The table built there is whole: it is the one in use from now on. */
void belay__state_commit(struct belay__state_file *file);

void belay__state_done(struct belay__state_file *file);

/* The same file seen by another role, for reading only, while the gate writes: numbers may be from
 * different moments, and nothing in it is to be believed unchecked. */
struct belay__state_view {
	const void *mapping; /* NULL: none yet */
	size_t size;
	uint32_t capacity;
};

/* Maps FD (borrowed, may be closed afterwards). 0, -EAGAIN while no gate has made its table yet, or
 * another negative errno. */
int belay__state_view_open(int fd, struct belay__state_view *ret_view);
/* Keeps *VIEW as FD's for a look right now: maps it when that can be done, and lets go of what is not
 * to be looked at. A file of another capacity than CAPACITY is that of an observer before ours, which
 * the gate is about to change; one that has become shorter than it was mapped must not be touched.
 * FD is borrowed; a negative one has no table. */
void belay__state_view_follow(int fd, uint64_t capacity, struct belay__state_view *view);
/* The table in use now: capacity records, and belay__table_slot_count(capacity) slots. False: there
 * is none. To be asked again for each look, because a new gate builds another. */
bool belay__state_view_tables(const struct belay__state_view *view,
	const struct belay__slot **ret_slots, const struct belay__record **ret_records);
/* A copy of the slot and the record of PID, when it is there with START_TICKS. 0, -ESRCH (another
 * has that pid, or nobody), or -EAGAIN (there is no table). */
int belay__state_view_find(const struct belay__state_view *view, uint32_t pid, uint64_t start_ticks,
	struct belay__slot *ret_slot, struct belay__record *ret_record);
void belay__state_view_done(struct belay__state_view *view);
