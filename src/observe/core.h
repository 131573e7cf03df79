/* core.h - the inside of an observer: what its files share
 *
 * observer.c runs the turn; admission.c decides about a frame, contact.c identifies a new process,
 * stalls.c asks why one is silent, ends.c notices that one is gone, expectations.c that one is
 * missing, door.c serves `<socket>.hello`.
 */
#pragma once

#include <belay/observer.h>

#include "identity/evidence.h"
#include "identity/identity.h"
#include "identity/verdict.h"
#include "ipc/bind.h"
#include "ipc/receive.h"
#include "loop/loop.h"
#include "observe/bucket.h"
#include "observe/counters.h"
#include "observe/crowds.h"
#include "observe/door.h"
#include "observe/names.h"
#include "observe/options.h"
#include "observe/pauses.h"
#include "observe/remote.h"
#include "observe/table.h"
#include "observe/totals.h"
#include "observe/track.h"
#include "observe/watch_clock.h"

#define BELAY__LISTENERS_MAX    8
#define BELAY__SECOND_LOOKS_MAX 256
#define BELAY__PENDING_ENDS_MAX 256
#define BELAY__ANSWERS_MAX      512

struct belay_observer;
struct belay__kept;

/* How a listener that is no Unix socket is read: as belay__network_receive(). */
struct belay__far {
	void *data; /* NULL: it is one */
	int (*receive)(void *data, int fd, const struct belay__datagram **ret_datagrams,
		bool *ret_dry);
};

struct belay__listener {
	struct belay_observer *observer;
	struct belay__far far;
	struct belay__bound beats;
	struct belay__bound hello; /* what it takes to unlink the door; its fd is the door's */
	struct belay__receiver *receiver;
	struct belay__io io;
	unsigned queue_frames;   /* how many frames the kernel holds for us */
	unsigned drained_frames; /* read since it was found ready */
	bool ready;              /* to be drained in this turn */
};

/* Who answers why a process is silent. ASK returns 0 when an answer will come through
 * belay__observer_answer(), or a negative errno. */
struct belay__prober {
	void *data;
	int (*ask)(void *data, uint32_t pid, uint64_t start_ticks);
};

/* Beside each record: what must not survive the observer. */
struct belay__watch {
	struct belay__io io; /* of the pidfd */
	int pidfd;
	bool ended;
	char evidence[160]; /* of the current or last stall, for `status` */
	bool unsettled;     /* what it is called, because who knows did not answer */
	uint64_t tried_ns;  /* when its identity, incomplete, was last looked for */
	uint64_t missed_ns,
		noticed_ns; /* while questioned: the deadline, and when it was seen to have passed */
	uint64_t recovered_ns;       /* when it was last heard after a stall; 0: never */
	uint64_t put_off_ns;         /* its deadline, when a pause moved it */
	struct belay__member member; /* of its crowd */
};

struct belay__second_look {
	uint32_t pid;
	uint64_t start_ticks, due_ns; /* CLOCK_MONOTONIC */
	struct belay__evidence evidence;
};

/* An answer about a silent process, waiting to become an event. */
struct belay__answer {
	uint32_t pid;
	uint64_t start_ticks;
	int code; /* 0: evidence is filled */
	struct belay__evidence evidence;
};

/* A process that ended and whose exit status the kernel does not tell yet. */
struct belay__pending_end {
	struct belay_observer *observer;
	struct belay__io io;
	int pidfd;
	bool told; /* it is readable now */
	uint32_t pid, uid;
	uint64_t start_ticks;
	char name[BELAY__NAME_SIZE];
};

/* A process that ended: remembered until one of its name beats again, or 256 others have ended
 * since. */
#define BELAY__DEPARTED_MAX 256
struct belay__departed {
	uint32_t pid, uid; /* pid 0: empty */
	uint64_t start_ticks, at_ns, last_nonce;
	uint8_t end; /* enum belay_end */
	int code;
	char name[BELAY__NAME_SIZE];
	bool hidden; /* from `status`: another has its name by now */
};

enum belay__phase {
	BELAY__PHASE_START,
	BELAY__PHASE_BEATS,
	BELAY__PHASE_DOOR,
	BELAY__PHASE_ENDS,
	BELAY__PHASE_DUE,
	BELAY__PHASE_ANSWERS,
	BELAY__PHASE_EXPECTATIONS,
	BELAY__PHASE_FINISH,
};

/* What a quiet beat touches lies together, and what it does not is kept out of its way: after a sleep
 * each page costs more than all that is done in it. Large arrays that few turns look at come first,
 * then the words of every turn, then the table. */
struct belay_observer {
	/* the event at hand */
	struct belay_event event;
	char event_name[BELAY__NAME_SIZE];
	char event_evidence[256];
	/* Each other host has as much of its own: who floods from one costs no other, and nobody here, a
	 * beat. */
	struct belay__bucket far_buckets[BELAY__HOSTS_MAX + 1];
	uint32_t far_used[BELAY__HOSTS_MAX +
		1]; /* processes of each host in the table; [0]: of all of them */
	/* A process that was forgotten to make room for another: told by the next event. */
	struct belay__evicted {
		uint32_t pid, uid;
		uint64_t start_ticks;
		char name[BELAY__NAME_SIZE];
		struct belay__total counted;
	} evicted;

	/* ends */
	int crashes_fd; /* the directory of crash notes, borrowed; -EBADF: none */
	/* Who reads them: belay__crash_note_read(), where there is a directory. */
	int (*read_crash)(int dirfd, uint32_t pid, uid_t uid, uint64_t since_ns, int signal_nr,
		char *text, size_t size);
	struct belay__departed departed[BELAY__DEPARTED_MAX]; /* a ring */
	uint32_t departed_next;

	/* rules, and what is expected by them */
	struct belay__rule rules[BELAY__RULES_MAX];
	uint8_t rule_lists[BELAY__RULES_MAX];
	uint32_t rule_beating[BELAY__RULES_MAX];
	uint64_t rule_missing_due_ns[BELAY__RULES_MAX]; /* UINT64_MAX: nothing is missing, or it was told */
	bool rule_missing_told[BELAY__RULES_MAX];
	struct belay__timer expect_timer;
	struct belay__crowds crowds;
	struct belay__pauses pauses;

	void *memory; /* of slots and records, when they are our own */
	size_t memory_size;
	struct belay__ordinals *ordinals;
	struct belay__closer *closer;
	struct belay__totals *totals; /* NULL: nobody asks what those who are gone had counted */

	/* silences */
	struct belay__prober prober;             /* ask NULL: the observer looks by itself */
	struct belay__second_look *second_looks; /* BELAY__SECOND_LOOKS_MAX, a ring by due time */
	uint32_t looks_head, looks_count;
	struct belay__timer look_timer;
	unsigned asked_in_turn;        /* for evidence, weighed by what it costs */
	uint64_t prober_busy_until_ns; /* CLOCK_MONOTONIC: it is not asked before */

	/* From here on: what every turn looks at. */
	struct belay__listener listeners[BELAY__LISTENERS_MAX];
	struct belay_observer_options options;
	struct belay__loop *loop;
	struct belay__door *door;
	struct belay__watch_clock clock;
	uint64_t now_ns;           /* on that clock: of this turn, or of the batch at hand */
	uint64_t turn_start_ns;    /* the observer's clock, at the start of this turn */
	uint64_t turn_end_ns;      /* CLOCK_MONOTONIC, at the end of the last; 0: there was none */
	uint64_t turn_deadline_ns; /* CLOCK_MONOTONIC: when it asked to be woken by */
	uint64_t stopped_ns;       /* it was stopped until now, for so long */
	uint64_t suspended_ns;     /* BOOTTIME - MONOTONIC at the last turn */
	uint64_t suspended_since_ns,
		suspended_for_ns; /* the last suspension: when noticed, how long */
	struct belay__timer deadline_timer;
	uint64_t resume_ns; /* CLOCK_MONOTONIC: when to go on with what this turn left undone; 0: nothing */
	enum belay__phase phase;
	bool wait;  /* the next turn may wait */
	bool again; /* the event at hand came first: what led to it is to be tried once more */
	bool evicted_pending;
	uint32_t crowd_news; /* how many crowds have something to tell */
	uint32_t told_slot; /* the event at hand is its stall or (told_end) end, which is noted in the
				table once the event was taken; BELAY__NO_SLOT: none */
	bool told_end;

	/* beats */
	unsigned listener_count;
	const struct belay__datagram *batch;
	int batch_count, batch_at;
	unsigned next_listener;
	bool drained_all; /* every listener was read in this turn: dry, or as far as its queue reaches */
	bool read_in_turn;
	int receive_error;         /* to be told */
	uint64_t arrived_after_ns; /* the batch at hand came in since then: a tick may have let it wait */
	uint64_t read_ns;          /* when the sockets were last read */
	uint64_t interval_ns;        /* the least time between two beats of one process; 0: any */
	struct belay__bucket bucket; /* of this host's processes */
	uint32_t pid_max;
	uint64_t pid_max_read_ns;
	uint32_t own_pid_ns;
	uint32_t own_uid;
	const struct belay__hosts *hosts; /* NULL: there is only this one */
	const char *door_name; /* what a beat at the door calls its process; NULL: nothing */

	/* collecting: many beats wake nobody */
	struct belay__timer tick_timer;
	uint64_t tick_ns;
	uint64_t window_start_ns;
	uint32_t window_frames;
	bool collecting;

	/* what may be waiting to be told: ends, answers, and what an earlier observer kept (restore.h),
	 * of which who is gone is told one by one */
	uint32_t *ended; /* ring of record numbers, capacity + 1 of them */
	uint32_t ended_head, ended_tail;
	uint32_t ended_due;                      /* up to there they are told in this turn */
	unsigned ends_postponed;                 /* for how many turns on end */
	bool all_in;                             /* nobody waits at the door any more */
	struct belay__pending_end *pending_ends; /* BELAY__PENDING_ENDS_MAX */
	uint32_t pending_told;
	struct belay__answer *answers; /* BELAY__ANSWERS_MAX, a ring */
	uint32_t answers_head, answers_count;
	const struct belay__kept *kept;
	uint32_t kept_count, kept_at;

	/* processes */
	uint32_t rule_count;
	uint8_t default_list;
	struct belay__watch *watches; /* capacity of them, by record number */
	uint32_t unsettled;           /* how many of them */
	struct belay__track_counters tracked;
	uint64_t counts[BELAY__COUNTER_COUNT];
	struct belay__table table;
};

/* Starts a fresh event of KIND at observer->now_ns and returns it. */
struct belay_event *belay__event_start(struct belay_observer *observer, enum belay_event_kind kind);
/* The same about the process in slot AT, its name and uid filled in. */
struct belay_event *belay__event_about(struct belay_observer *observer, enum belay_event_kind kind,
	uint32_t at);

/* Each returns whether it left an event. */
bool belay__admit(struct belay_observer *observer, const struct belay__datagram *datagram);
bool belay__ends_next(struct belay_observer *observer);
bool belay__stalls_next(struct belay_observer *observer);
bool belay__answers_next(struct belay_observer *observer);
bool belay__expectations_next(struct belay_observer *observer);

/* A beat of the process with the kernel's word on who sent it; the common end of admission and
 * door. */
bool belay__accept(struct belay_observer *observer, const struct belay_frame *frame, uint32_t pid,
	uint32_t uid);
/* A beat of the process KEY of another host (remote.h), vouched for as ORIGIN says. */
bool belay__accept_remote(struct belay_observer *observer, const struct belay_frame *frame,
	uint32_t key, uint8_t origin);

/* contact.c: who has PID now, with a pidfd when one can be had. 0, -ESRCH, or another negative
 * errno. */
int belay__identify(uint32_t pid, struct belay__identity *ret_identity);
/* contact.c: whether it is time to look again for the identity or name, incomplete so far, of the
 * process in SLOT. */
bool belay__may_complete(const struct belay_observer *observer, const struct belay__slot *slot);
/* naming.c: each gives the process in slot AT its name, rule and threshold, with a fresh deadline
 * unless it is stalled, questioned or announced a silence. At first contact, by its environment or
 * what was said at the door: */
void belay__name_at_contact(struct belay_observer *observer, uint32_t at);
/* ... by what its record says it calls itself, when nothing of its old name counts any more
 * (reload, restart): */
void belay__name_again(struct belay_observer *observer, uint32_t at);
/* ... because it, or a child of it, now calls it OWN: */
void belay__rename(struct belay_observer *observer, uint32_t at, const char *own);
/* ... by what could not be found out then, when it can be now: */
void belay__name_settle(struct belay_observer *observer, uint32_t at);
/* Gives the process in slot AT the place among its rule's processes and the threshold that its name
 * has. */
void belay__join_rule(struct belay_observer *observer, uint32_t at);
/* remote_process.c: whether the table has room for one more process of HOST: all other hosts together
 * have half of it, and of that half each has a share that the others leave to it. */
bool belay__remote_has_share(const struct belay_observer *observer, uint32_t host);
/* Gives back RECORD's ordinal and its place among its rule's processes. */
void belay__name_let_go(struct belay_observer *observer, const struct belay__record *record);
/* The process in slot AT has ended (or left): makes the END event, after which the slot is removed.
 * PIDFD-less processes end as unknown. */
bool belay__end(struct belay_observer *observer, uint32_t at, bool left);
/* What the process of EVENT (an END), known since SINCE_NS (CLOCK_REALTIME), wrote down when it crashed
 * becomes part of it. */
void belay__add_crash_note(struct belay_observer *observer, struct belay_event *event,
	uint64_t since_ns);
/* Keeps an END event for `status`, and LAST_NONCE to know a beat by that was sent before it. */
void belay__remember_end(struct belay_observer *observer, const struct belay_event *event,
	uint64_t last_nonce);
/* Puts the record of a process that ended before it was known well on the list of ends. */
void belay__ended_push(struct belay_observer *observer, uint32_t record);
/* Watches PIDFD (owned from now on) as that of RECORD's process. */
void belay__watch_take(struct belay_observer *observer, uint32_t record, int pidfd);
void belay__unwatch(struct belay_observer *observer, uint32_t record);
/* Lets go of what belongs to the process in SLOT (pidfd, name, expectation), before the slot is
 * removed. */
void belay__forget(struct belay_observer *observer, uint32_t slot);
/* Removes the process in SLOT altogether. */
void belay__remove(struct belay_observer *observer, uint32_t slot);

/* credit.c: gives LATE_NS back to everyone last heard before HEARD_BEFORE_NS. */
void belay__credit(struct belay_observer *observer, uint64_t heard_before_ns, uint64_t late_ns);

/* turn.c: watches the listener's socket. */
int belay__watch_beats(struct belay__listener *listener);
/* The moment on CLOCK_MONOTONIC, where timers live, that DUE_NS of the observer's clock is. */
uint64_t belay__timer_due_ns(const struct belay_observer *observer, uint64_t due_ns);

/* --- for the daemon's gate --- */

/* Empties the table over memory of the caller's (a state file): capacity records,
 * belay__table_slot_count() slots. */
void belay__observer_set_table(struct belay_observer *observer, struct belay__slot *slots,
	struct belay__record *records);
/* Rules, before the first listener. */
void belay__observer_set_rules(struct belay_observer *observer, const struct belay__rule *rules,
	uint32_t count);
/* Adopts sockets that somebody else bound (owned on success). EXPECT_STRAYS: SO_PASSRIGHTS=0 could
 * not be set. HELLO_FD may be -EBADF. */
int belay__observer_adopt(struct belay_observer *observer, struct belay__bound *beats_take,
	int hello_fd_take, unsigned queue_frames, struct belay_error *reterr);
/* Adds a UDP socket (owned on success) that is read by FAR, at most QUEUE_FRAMES in a turn; HOSTS
 * (borrowed, may grow) says what the hosts are called that its datagrams come from. 0 or a negative
 * errno. */
int belay__observer_adopt_far(struct belay_observer *observer, int fd_take,
	const struct belay__far *far, const struct belay__hosts *hosts, unsigned queue_frames);
void belay__observer_set_prober(struct belay_observer *observer, const struct belay__prober *prober);
/* The prober's answer about PID: EVIDENCE is NULL when CODE is not 0. */
void belay__observer_answer(struct belay_observer *observer, uint32_t pid, uint64_t start_ticks,
	int code, const struct belay__evidence *evidence);
/* The observer was stopped until now and knows it: nobody is blamed for the time since its last
 * turn. */
void belay__observer_was_stopped(struct belay_observer *observer);
struct belay__loop *belay__observer_loop(struct belay_observer *observer);
/* The next turn waits until there is something to do, instead of the program polling before it. */
void belay__observer_wait(struct belay_observer *observer);
