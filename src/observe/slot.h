/* slot.h - what the observer keeps of each process: one hot cache line, and a cold record
 *
 * Both lie in a file that outlives the observer (state_file.h), so neither holds a pointer or a
 * descriptor, and everything read back from there is checked before it is believed. Times are
 * nanoseconds of the observer's clock; what it did not watch is credited (watch_clock.h).
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define BELAY__NO_SLOT   UINT32_MAX
#define BELAY__NO_RECORD UINT32_MAX

/* Who vouches for a beat's pid; a higher rank replaces a lower one (heartbeat-system, section
 * 4). */
enum belay__origin_rank {
	BELAY__NETWORK_UNVERIFIED,
	BELAY__SOCKET_MODE_ONLY,
	BELAY__OPERATOR_ATTESTED,
	BELAY__KERNEL_ATTESTED,
};

enum belay__slot_flag {
	BELAY__SLOT_HAS_NONCE = 1 << 0, /* a regular nonce has been seen */
	BELAY__SLOT_STALLED = 1 << 1, /* its stall has been told; cleared by the next accepted beat */
	BELAY__SLOT_QUESTIONED = 1 << 2, /* its deadline passed; evidence is being gathered */
	BELAY__SLOT_TERMINAL = 1 << 3,   /* the last accepted frame was a terminal one */
	BELAY__SLOT_WITHIN = 1 << 4,     /* the silence running now has its own, announced length */
	BELAY__SLOT_LINKED = 1 << 5,     /* on a deadline list */
	BELAY__SLOT_HAS_TERMINAL = 1 << 6, /* last_terminal_ns holds a terminal frame's timestamp */
	BELAY__SLOT_UNSETTLED = 1 << 7,    /* its stall is to be acted on, and was not yet */
};

/* What an observer that comes after this one has to know: of a stalled process, what is owed to
 * it. */
enum belay__mark {
	BELAY__MARK_IN_MASS = 1 << 0, /* it is part of a mass stall that was told */
	BELAY__MARK_HELD = 1 << 1, /* it may be one of many: nobody was asked to do anything yet */
	BELAY__MARK_UNTOLD = 1 << 2,  /* its alert was sent, but is not known to have arrived */
	BELAY__MARK_PUT_OFF = 1 << 3, /* not stalled yet: its deadline was moved by a pause */
	BELAY__MARKS = (1 << 4) - 1,
};

struct belay__slot {
	uint32_t pid;   /* 0: empty */
	uint8_t status; /* enum belay_status of the last accepted beat */
	uint8_t origin; /* enum belay__origin_rank */
	uint8_t flags;  /* enum belay__slot_flag */
	uint8_t list; /* the deadline list of its threshold (deadlines.h), whatever list it is on now */
	uint64_t last_nonce;       /* regular ones only */
	uint64_t last_ns;          /* when the last beat was accepted */
	uint64_t last_terminal_ns; /* timestamp of the last terminal frame */
	uint64_t start_ticks;      /* the pid's generation; 0: unknown */
	uint64_t due_ns;
	uint32_t prev, next; /* deadline list: slot numbers, or its ends (deadlines.h) */
	uint32_t pid_ns; /* inode of its pid namespace (fits: they are 32-bit numbers); 0: unknown */
	uint32_t record; /* its cold record, BELAY__NO_RECORD while it has none */
};
static_assert(sizeof(struct belay__slot) == 64, "one cache line a slot");

/* The cold record. */
struct belay__record {
	uint32_t pid; /* 0: free */
	uint32_t uid;
	uint32_t inner_pid; /* the pid it sees itself under */
	uint32_t payload;   /* of the last beat */
	uint32_t stalls;
	uint16_t rule;       /* number of its rule + 1; 0: none */
	uint8_t name_source; /* enum belay__name_source */
	uint8_t verdict;     /* enum belay__verdict of the current or last stall */
	uint64_t beats;
	uint64_t first_realtime_ns; /* first contact */
	uint64_t paid_ns;           /* its rate is paid for up to then (admission.c) */
	uint32_t ordinal;           /* of a name made from comm; 0: none */
	uint32_t next_free;         /* free list, while free */
	char name[BELAY__NAME_SIZE];
	char own[BELAY__NAME_SIZE]; /* what it calls itself (BELAY_NAME, `belay beat NAME`); "": nothing */
	uint8_t marks;              /* enum belay__mark; 0 once it beats */
};
static_assert(sizeof(struct belay__record) <= 192, "slot and record stay within 256 bytes");
