/* crash_note.h - reading what a process wrote down when it crashed
 *
 * belay-crash(7) says how a note looks. Whoever wrote it may be anybody's program, so nothing in it is
 * believed further than its form: it becomes one sentence of known words and numbers.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BELAY__CRASH_NOTE_MAX  256 /* bytes of a note */
#define BELAY__CRASH_TEXT_SIZE 192 /* of the longest sentence, with the NUL */

enum belay__crash_cause {
	BELAY__CRASH_BY_NOTHING,
	BELAY__CRASH_BY_SENDER,
	BELAY__CRASH_BY_CALL,
	BELAY__CRASH_BY_ADDRESS,
};

/* What a note says. */
struct belay__crash_facts {
	int32_t number, code; /* si_signo, si_code */
	enum belay__crash_cause cause;
	uint32_t sender_pid, sender_uid; /* BY_SENDER */
	int32_t call;                    /* BY_CALL */
	uint64_t address;                /* BY_ADDRESS */
	uint64_t program_counter;        /* 0: not known */
	uint32_t thread;
	uint64_t realtime_ns;
};

/* Reads the LEN bytes of a note. 0, or -EBADMSG with *ret_facts untouched: it differs in anything from
 * what belay-crash(7) says. */
int belay__crash_note_parse(const char *bytes, size_t len, struct belay__crash_facts *ret_facts);

/* "SIGSEGV (address not mapped) at 0x0, pc 0x55d0a1b2, thread 123", of process PID, to TEXT (SIZE bytes
 * with the NUL; BELAY__CRASH_TEXT_SIZE is enough). Returns its length. */
int belay__crash_describe(const struct belay__crash_facts *facts, uint32_t pid, char *text,
	size_t size);

/* Takes the note that process PID of UID, known since SINCE_NS (CLOCK_REALTIME), left in the directory DIRFD;
 * it was ended by SIGNAL_NR (0: how is not known, negative: not by a signal): a regular file of that user with
 * one name, at most BELAY__CRASH_NOTE_MAX bytes. Writes its sentence to TEXT and returns the length, or
 * -ENOENT (none, or an empty one: the process did not crash), or -EBADMSG (not a note), -ESTALE (of
 * somebody who had that pid before, or of another end than this), or another
 * negative errno; TEXT is then untouched. In each case the file is gone afterwards. */
int belay__crash_note_read(int dirfd, uint32_t pid, uid_t uid, uint64_t since_ns, int signal_nr,
	char *text, size_t size);
