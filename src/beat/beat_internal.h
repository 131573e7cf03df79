/* beat_internal.h - what a handle holds; for beat.c and its tests */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/beat.h>

#include "base/address.h"
#include "beat/connection.h"
#include "ipc/socket_path.h"

/* How long a descriptor is believed to be the connection before it is looked at again, and how long
 * a reconnect is not tried again. */
#define BELAY__CHECK_EVERY_NS     UINT64_C(1000000000)
#define BELAY__RECONNECT_EVERY_NS UINT64_C(100000000)

#define belay__unlikely(condition) __builtin_expect(!!(condition), 0)
#define belay__cold                __attribute__((cold, noinline))

enum belay__way {
	BELAY__WAY_UNIX,   /* to one of `paths` */
	BELAY__WAY_UDP,    /* to `address` */
	BELAY__WAY_CUSTOM, /* through `transport`; there is never a descriptor here */
};

/* What every beat touches comes first. All times are CLOCK_MONOTONIC. */
struct belay {
	struct belay__connection connection;
	uint32_t epoch; /* of the process that this handle works in */
	uint32_t pid;
	uint64_t nonce, timestamp_ns; /* of the last beat that was sent */
	uint64_t start_ns;
	uint64_t checked_ns; /* when the descriptor was known to be the connection */
	enum belay__way way;
	struct belay_transport transport;

	uint64_t reconnect_not_before_ns;
	uint32_t drops; /* in a row */
	uint32_t reconnect_after;
	bool on_any_drop;  /* false: only "no observer" and "peer gone" lead to a reconnect */
	bool must_connect; /* forked, or the descriptor was lost: whatever the policy says */
	int absent_error;  /* while there is no connection: why, as a negative errno */
	int child_error;   /* in a forked child that could not connect: why, as a negative errno */
	uint64_t clock_regressions, fork_recoveries;

	size_t in_use; /* index of the path that the connection leads to */
	struct belay__socket_candidates paths;
	union belay__address address;
	socklen_t address_len;
};
