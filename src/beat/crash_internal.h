/* crash_internal.h - what the parts of the crash hook ask of each other
 *
 * crash.c decides what is said, crash_signals.c when, and what happens then; crash_stack.c gives them
 * a stack, crash_note_file.c keeps the note, crash_socket.c and crash_sealed.c are ways to an observer.
 * What a handler calls is marked: it makes async-signal-safe calls only, allocates nothing and takes
 * no lock.
 */
#pragma once

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/crash.h>

/* crash.c */

/* Handler: says the last word of this process, if there is a way and a timestamp left. */
void belay__crash_say(int number, const siginfo_t *info, const void *context);
/* Handler: the next timestamp of a last word, higher than any before in this process. False: there are
 * no more. */
bool belay__crash_next_timestamp(uint64_t *ret_timestamp_ns);
/* For tests: as if that one had been the last. */
void belay__crash_set_last_timestamp(uint64_t timestamp_ns);
/* Begins an installation: empties *ret_report and looks at OPTIONS (NULL: the default). 0 or
 * -EINVAL. */
int belay__crash_check_options(const struct belay_crash_options *options,
	struct belay_crash_report *ret_report, struct belay_error *reterr);
/* Tells that STEP failed with CODE; WHAT is what failed there. Returns CODE. */
int belay__crash_failed(struct belay_crash_report *ret_report, struct belay_error *reterr,
	enum belay_crash_step step, int code, const char *what);

/* As belay_crash_install_with(); notes with the name "auto" are looked for beside SOCKET, or, when that
 * is NULL, beside each socket that is tried by default. */
int belay__crash_install(const struct belay_crash_transport *transport, const char *socket,
	const struct belay_crash_options *options, struct belay_crash_report *ret_report,
	struct belay_error *reterr);

/* crash_signals.c */

/* Takes the signals, those with a handler only when CHAIN. All of it or nothing: 0, or a negative
 * errno. */
int belay__crash_signals_take(bool chain, uint64_t *ret_installed, uint64_t *ret_left_alone);
void belay__crash_signals_give_back(void);
/* Handler: whether the kernel raised the signal for an instruction that fails again when it is run
 * again, so that the default action meets the process by itself. */
bool belay__crash_comes_again(int number, int code);

/* crash_stack.c */

/* 1: the calling thread has a stack of ours now, 0: it has one with room already; or a negative
 * errno. */
int belay__crash_stack_make(void);
/* Undoes it, in the same thread, and puts back what was there before. */
void belay__crash_stack_drop(void);

/* crash_note_file.c */

struct belay__crash_note {
	int fd;       /* -EBADF: none */
	uint32_t pid; /* whose it is */
	bool made;    /* it was not there before */
	atomic_bool written;
	dev_t device;
	ino_t inode;
	char *path; /* ours */
};
#define BELAY__CRASH_NO_NOTE ((struct belay__crash_note){ .fd = -EBADF })

#define BELAY__CRASH_NOTE_MAX 256

/* Opens the note at PATH, which may be there, and changes nothing in it. 0 or a negative errno; then no
 * file is there that was not there before. */
int belay__crash_note_open(const char *path, struct belay__crash_note *ret_note);
/* The same at `<SOCKET>.crash/PID`, or beside each default socket (NULL). 0 without a note when no
 * directory is there for us. */
int belay__crash_note_open_auto(const char *socket, struct belay__crash_note *ret_note);
/* 0 or a negative errno. */
int belay__crash_note_empty(const struct belay__crash_note *note);
/* Forgets the note, and, when REMOVE, the file if it was made here. */
void belay__crash_note_close(struct belay__crash_note *note, bool remove);
/* Handler: one write of at most BELAY__CRASH_NOTE_MAX bytes, the first time. */
void belay__crash_note_write(struct belay__crash_note *note, int number, const siginfo_t *info,
	const void *context);
/* Handler: what is written. Returns its length. */
unsigned belay__crash_note_text(char text[static BELAY__CRASH_NOTE_MAX], int number,
	const siginfo_t *info, uint64_t program_counter, uint32_t thread, uint64_t realtime_ns);
