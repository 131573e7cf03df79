/* crash_directory.h - where processes leave their crash notes: `<beat socket>.crash/PID` (belay/crash.h)
 *
 * The parent makes it, private to the observer's user, and sweeps it; the gate reads from it.
 */
#pragma once

#include <belay/error.h>

#include "ipc/socket_path.h"

/* Makes the directory for the beat socket at SOCKET, or takes the one that is there, and removes from
 * it what is neither a note nor the empty file of a process that lives: that one has it open and may
 * still need it.
 * Returns a descriptor of it, or a negative errno with a sentence: then there are no notes. */
int belay__crash_directory_open(const char *socket, struct belay_error *reterr);

/* Removes from the directory open at FD (borrowed; -EBADF: none) the empty files of processes that are
 * gone: nobody tells the ends of those that never beat. */
void belay__crash_directory_sweep(int fd);

/* Removes from the directory open at FD (borrowed; -EBADF: none) notes, too, and the directory when
 * nobody's file is left in it: processes that outlive this observer leave their notes to the next. */
void belay__crash_directory_remove(const char *socket, int fd);
