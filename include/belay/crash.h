/* belay/crash.h - the last word of a process that crashes
 *
 *	struct belay_crash_report report;
 *
 *	belay_crash_install_uds(NULL, NULL, &report, NULL);
 *
 * On SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT and SIGSYS one frame is sent: status critical, the
 * terminal nonce, a timestamp that goes up strictly over all of the process's last words. Then exactly
 * that happens which would have happened without it: the same exit status, core dump and siginfo,
 * whatever the thread's mask and whatever signals came in the meantime.
 * Everything that can fail is done when it is installed; the handler makes async-signal-safe calls only,
 * does not allocate or lock, and sends once; a second time where it is refused by what was there before
 * (an observer that was restarted). It runs on an alternate stack, so an exhausted stack is told as well:
 * of the thread that installs, and of each that calls belay_crash_thread(). A fault in a thread that
 * blocks the fault's signal is not told: the kernel ends the process at once. Follows seed 000
 * (varta-client's panic hook); what differs is in docs/compatibility.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/error.h>
#include <belay/vlp.h>

#ifdef __cplusplus
extern "C" {
#endif

enum belay_crash_flag {
	/* A signal that has a handler already is taken over: that handler runs first, and the last word is
	 * said only if it ends in the signal's default action (belay_crash_install_uds(3) says how that is
	 * known). Without this such a signal is left alone and listed in the report. */
	BELAY_CRASH_CHAIN = 1 << 0,
};

/* Zero, and NULL instead of it, is the default everywhere. */
struct belay_crash_options {
	unsigned flags; /* enum belay_crash_flag */
	/* A file that a note is written to, once, after the frame was sent: signal, code, address, thread,
	 * time, program counter (belay-crash(7) says how). Made or emptied at install, 0600; NULL: no
	 * note. The observer adds it to the end of the process when it finds it at the default path:
	 * `<beat socket>.crash/PID`. "auto" is that path, and no note where no observer made that
	 * directory for us. A forked child has no note: the file is its parent's. */
	const char *note;
	uint64_t reserved[6]; /* 0 */
};

/* How far an installation came. */
enum belay_crash_step {
	BELAY_CRASH_DONE,
	BELAY_CRASH_OPTIONS, /* what was asked for makes no sense */
	BELAY_CRASH_ENTROPY, /* the OS gave no salt (seed 000: EntropyUnavailable) */
	BELAY_CRASH_SOCKET,  /* no socket, no memory for it, or not connected (SocketBind) */
	BELAY_CRASH_NOTE,    /* the note's file cannot be made, or is none of ours */
	BELAY_CRASH_STACK,   /* no alternate stack */
	BELAY_CRASH_SIGNALS, /* a handler could not be set */
};

struct belay_crash_report {
	enum belay_crash_step step; /* where it failed */
	uint64_t installed;         /* 1 << signal number */
	uint64_t left_alone;        /* those that had a handler, or were ignored */
};

/* Each installs for the whole process, or installs nothing and returns a negative errno with a sentence
 * that names the step. OPTIONS, RET_REPORT and RETERR may be NULL. Installing again replaces the way and
 * the options, not what goes up. A forked child keeps the hook and speaks for itself. Installing and
 * uninstalling are not for two threads at once. */

/* To the Unix socket at PATH; NULL: as belay_open() finds it, where somebody has to listen (-ENOENT,
 * -ECONNREFUSED). Who listens at that path when the process crashes is told. */
BELAY_API int belay_crash_install_uds(const char *path, const struct belay_crash_options *options,
	struct belay_crash_report *ret_report, struct belay_error *reterr);
/* To the UDP ADDRESS, "IP:PORT". */
BELAY_API int belay_crash_install_udp(const char *address, const struct belay_crash_options *options,
	struct belay_crash_report *ret_report, struct belay_error *reterr);

struct belay_key;

/* To ADDRESS, sealed with the shared KEY, which is copied to memory that is locked where RLIMIT_MEMLOCK
 * allows it (not in forked children) and left out of core dumps. -ENOTSUP: as belay_open_sealed(). In
 * libbelay-sealed. */
BELAY_API int belay_crash_install_sealed(const char *address, const struct belay_key *key,
	const struct belay_crash_options *options, struct belay_crash_report *ret_report,
	struct belay_error *reterr);
/* The same, and when the OS gives no entropy the salt is made of pid, thread and clocks, which others may
 * guess: two such frames of one key may share a nonce, which gives away what they say and how to forge
 * one. Only where that is better than no last word. In libbelay-sealed. */
BELAY_API int belay_crash_install_sealed_accept_degraded_entropy(const char *address,
	const struct belay_key *key, const struct belay_crash_options *options,
	struct belay_crash_report *ret_report, struct belay_error *reterr);

/* Another way for a last word. SEND is called in the signal handler, by any thread, possibly by two at
 * once: only async-signal-safe calls, no lock, and it must not block; errno is kept for it. CLOSE
 * (NULL: nothing is to be done) is called once, when another way took this one's place or the hook was
 * uninstalled; never while a crash is being told, so then not at all. After a failure DATA is still the
 * caller's. */
struct belay_crash_transport {
	void *data;
	void (*send)(void *data, const uint8_t frame[BELAY_FRAME_LEN], uint32_t pid,
		uint64_t timestamp_ns);
	void (*close)(void *data);
};
BELAY_API int belay_crash_install_with(const struct belay_crash_transport *transport,
	const struct belay_crash_options *options, struct belay_crash_report *ret_report,
	struct belay_error *reterr);

/* Gives the calling thread an alternate stack, so that it can tell of its own stack's end; undone when the
 * thread ends. One that it has already stays, unless there is no room on it for a handler. Unblocks the
 * signals of faults (all of the six but SIGABRT, which abort(3) unblocks). Without it another thread's
 * crash is told as long as its stack has room and it does not block these. 0 or a negative errno. */
BELAY_API int belay_crash_thread(void);

/* Puts back what was there before and closes what was opened. Not to be called while another thread may
 * crash. */
BELAY_API void belay_crash_uninstall(void);

/* "done", "options", "entropy", "socket", "note", "stack", "signals"; NULL for any other value. */
BELAY_API const char *belay_crash_step_name(enum belay_crash_step step);

#ifdef __cplusplus
}
#endif
