/* belay/observer.h - watch processes that beat, inside a program of your own
 *
 *	struct belay_observer *observer;
 *	const struct belay_event *event;
 *
 *	belay_observer_new(&(struct belay_observer_options){ .threshold_ms = 5000 }, &observer, NULL);
 *	belay_observer_listen(observer, "/run/user/1000/app/beat.sock", NULL);
 *	for (;;) {
 *		poll(&(struct pollfd){ belay_observer_fd(observer), POLLIN, 0 }, 1, -1);
 *		while ((event = belay_observer_next(observer)) != NULL)
 *			act_on(event);
 *	}
 *
 * One thread, no signals, no children, and no allocation after the last belay_observer_listen(). It
 * follows seed 002 (varta-watch's Observer); what it adds is the end of a process and the reason of
 * its silence. `belay observe` is a thin program over it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/error.h>
#include <belay/vlp.h>

#ifdef __cplusplus
extern "C" {
#endif

struct belay_observer;

/* Who vouches for the pid in a beat. */
enum belay_origin {
	BELAY_NETWORK_UNVERIFIED, /* nobody */
	BELAY_SOCKET_MODE_ONLY,   /* only who may write to the socket */
	BELAY_OPERATOR_ATTESTED,  /* an operator who declared the transport trustworthy */
	BELAY_KERNEL_ATTESTED,    /* the kernel, and /proc agreed at first contact */
};

enum belay_eviction_policy { BELAY_EVICT_STRICT, BELAY_EVICT_BALANCED };

/* Zero is the default everywhere, unless a member says otherwise. */
struct belay_observer_options {
	uint64_t threshold_ms;         /* how long a process may be silent; 0: 5000, at least 10 */
	uint32_t capacity;             /* processes, 1 ... 65536; 0: 4096 */
	uint32_t eviction_scan_window; /* slots looked at when full; 0: 256 */
	enum belay_eviction_policy eviction_policy;
	uint32_t max_beat_rate; /* beats a second of one process; 0: not limited */
	uint32_t global_beat_rate,
		global_beat_burst; /* frames a second of all; either 0: not limited */
	unsigned socket_mode;      /* 0: 0600 */
	uint32_t rcvbuf_bytes;     /* SO_RCVBUF to ask for; 0: leave */
	uint64_t within_max_ms; /* ceiling of what belay_beat_within() may announce; 0: one hour */
	bool allow_cross_namespace; /* admit processes of other pid namespaces */
	bool boottime;              /* count time in which the host was suspended, too */
	bool quiet_beats;           /* no event for a beat that changes nothing */
	/* A clock of the host's: nanoseconds, from any start. NULL: CLOCK_MONOTONIC (or BOOTTIME).
	 * With one, nothing makes belay_observer_fd() readable when a deadline passes: call
	 * belay_observer_next() after moving the clock. */
	uint64_t (*clock)(void *data);
	void *clock_data;
	uint64_t reserved[8]; /* 0 */
};

enum belay_event_kind {
	BELAY_EVENT_BEAT = 1,           /* a beat was accepted */
	BELAY_EVENT_STALL,              /* a deadline passed: once per silence, with the verdict */
	BELAY_EVENT_DECODE,             /* 32 bytes that are no beat: `decode` says why */
	BELAY_EVENT_AUTH_FAILURE,       /* the kernel saw another pid than it claims, or none */
	BELAY_EVENT_ORIGIN_CONFLICT,    /* a beat from a less trusted origin than the process's */
	BELAY_EVENT_NAMESPACE_CONFLICT, /* a beat from another pid namespace */
	BELAY_EVENT_IO, /* receiving failed, or the sender's uid is not this observer's: `code` */
	BELAY_EVENT_CTRL_TRUNCATED, /* the kernel cut the control data: not believed */
	BELAY_EVENT_END,            /* the process ended: `end` says how */
	BELAY_EVENT_END_STATUS,     /* how a process ended whose END said "unknown" */
	BELAY_EVENT_MISSING,        /* fewer processes of a rule beat than are expected */
	BELAY_EVENT_EVICTED,        /* forgotten to make room for another */
	BELAY_EVENT_LATE, /* the observer itself did not run for `late_ns`: everyone was credited */
	BELAY_EVENT_MASS_STALL,      /* many processes of one rule and user went silent at once */
	BELAY_EVENT_MASS_STALL_OVER, /* few enough of them are silent again */
	BELAY_EVENT_COMPLETE,        /* of a rule that was MISSING as many beat as are expected */
};

enum belay_end {
	BELAY_END_UNKNOWN, /* gone; how is not known (yet) */
	BELAY_END_LEFT,    /* it said goodbye */
	BELAY_END_EXITED,  /* `code` is its exit status */
	BELAY_END_KILLED,  /* `code` is the signal */
};

/* Valid until the next call of belay_observer_next(). Members that do not belong to the kind are
 * 0. */
struct belay_event {
	enum belay_event_kind kind;
	uint64_t observer_ns; /* when, on the observer's clock since its start */
	uint32_t pid; /* as the observer's pid namespace numbers it; what a refused frame claimed */
	uint32_t uid;
	uint64_t start_ticks; /* the pid's generation: start time since boot; 0: unknown */
	const char *name;     /* never NULL; "" where no process is meant */
	enum belay_status status;
	enum belay_origin origin;      /* of this beat; of the slot for STALL and END */
	enum belay_origin slot_origin; /* ORIGIN_CONFLICT: what won */
	uint32_t payload;
	uint64_t nonce;         /* of the beat; the last one seen for STALL and END */
	uint64_t last_ns;       /* STALL, END: when its last beat was accepted */
	uint64_t silent_ns;     /* STALL, END: how long it is silent; recovering BEAT: was */
	uint64_t threshold_ns;  /* STALL: what it was allowed; first BEAT: what it is allowed */
	uint64_t late_ns;       /* STALL: noticed so long after the deadline; LATE: not looking */
	uint64_t pid_namespace; /* of the sender, in conflicts: its inode; 0: unknown */
	uint64_t observer_pid_namespace; /* NAMESPACE_CONFLICT: the one that it should have been */
	uint32_t expected, beating;      /* MISSING, COMPLETE: how many are expected, how many there
					    are; MASS_STALL: how many there are, how many are silent */
	struct belay_decode_error decode;
	int code; /* IO: negative errno; END: exit status or signal */
	enum belay_end end;
	const char *verdict;  /* STALL: the word for it (belay-observe(8), VERDICTS); else "" */
	const char *evidence; /* STALL: what was seen and what could not be; else "" */
	bool first;     /* BEAT: the process's first, or the first of a new process with its pid */
	bool recovered; /* BEAT: ended a stall */
	bool status_changed; /* BEAT: another status than the beat before */
	bool core_dumped;    /* END killed */
	bool while_down;     /* END: found after a restart of the observer */
	const char *crash;   /* END: what its crash note says (belay-crash(7)); else "" */
};

/* One row per counter: name as in metrics without the prefix, label, help. */
struct belay_counter {
	const char *name;  /* "decode_errors_total" */
	const char *label; /* "kind=\"bad_magic\"", or "" */
	uint64_t value;
};

/* A new observer without listeners in *ret_observer. 0 or a negative errno with a sentence (-EINVAL
 * names the option). */
BELAY_API int belay_observer_new(const struct belay_observer_options *options,
	struct belay_observer **ret_observer, struct belay_error *reterr);

/* Ends it: unlinks the sockets that it bound and closes everything. NULL is fine; returns NULL. */
BELAY_API struct belay_observer *belay_observer_free(struct belay_observer *observer);

/* Binds a Unix datagram socket at PATH with all the care of belay-observe(8), and its door
 * `PATH.hello`; may be called again for more. To be called while the program has one thread only
 * (the umask is changed around the bind). 0 or a negative errno with a sentence. */
BELAY_API int belay_observer_listen(struct belay_observer *observer, const char *path,
	struct belay_error *reterr);

/* One descriptor to poll for reading; it stays the observer's. */
BELAY_API int belay_observer_fd(const struct belay_observer *observer);

/* The next event, or NULL when there is nothing to tell now. Never blocks; does a bounded amount of
 * work. */
BELAY_API const struct belay_event *belay_observer_next(struct belay_observer *observer);

/* Nanoseconds since the observer's start on its clock, which never runs backwards. */
BELAY_API uint64_t belay_observer_now_ns(struct belay_observer *observer);

/* All counters, the same ones in the same order each time: fills COUNTERS[0 ... size) and returns
 * how many there are. Names and labels live as long as the program. They only grow, except gauges
 * (tracker_capacity, pids_tracked ...). What an END or STALL event changes in these is seen after
 * the next belay_observer_next(). */
BELAY_API size_t belay_observer_counters(struct belay_observer *observer,
	struct belay_counter *counters, size_t size);

/* The kernel's pid_max as cached (re-read at most every 60 s), the inode of the observer's own pid
 * namespace (0: unknown), and the SO_RCVBUF that was granted to the first listener (0: left alone
 * or refused). */
BELAY_API uint32_t belay_observer_pid_max(const struct belay_observer *observer);
BELAY_API uint64_t belay_observer_pid_namespace(const struct belay_observer *observer);
BELAY_API uint32_t belay_observer_rcvbuf_bytes(const struct belay_observer *observer);

/* "beat", "stall" ...; "kernel-attested" ...; "left", "exited" ... */
BELAY_API const char *belay_event_kind_name(enum belay_event_kind kind);
BELAY_API const char *belay_origin_name(enum belay_origin origin);
BELAY_API const char *belay_end_name(enum belay_end end);

#ifdef __cplusplus
}
#endif
