/* track.h - what a beat does to the slot of its process (heartbeat-system, section 5)
 *
 * Pure bookkeeping: the beat has passed decoding, attestation and rates; identity was read where it
 * was due. The rules, first that applies: another generation of the pid restarts the slot; a
 * network sender that restarted is recognised by its nonce; a higher origin replaces the slot and a
 * lower one is refused; another namespace is refused; a terminal frame must be newer than the last;
 * a regular nonce must be higher, or have wrapped; whatever is accepted ends the stall.
 */
#pragma once

#include <stdint.h>

#include <belay/vlp.h>

#include "observe/table.h"

enum belay__track_result {
	BELAY__TRACK_INSERTED, /* first beat of this process, or of this generation of its pid */
	BELAY__TRACK_REFRESHED,
	BELAY__TRACK_RECOVERED, /* refreshed, and its stall ended with this beat */
	BELAY__TRACK_OUT_OF_ORDER,
	BELAY__TRACK_ORIGIN_CONFLICT,
	BELAY__TRACK_NAMESPACE_CONFLICT,
	BELAY__TRACK_CAPACITY_EXCEEDED,
};

/* What is known about the sender beside the frame; 0: not known (or not read this time). */
struct belay__sender {
	uint32_t pid;   /* the key: as the observer's namespace numbers it */
	uint8_t origin; /* enum belay__origin_rank */
	uint32_t pid_ns;
	uint64_t start_ticks;
};

struct belay__track_counters {
	uint64_t nonce_wraps, origin_conflicts, namespace_conflicts, pid_recycles,
		capacity_exceeded, evictions, out_of_order;
};

/* Records FRAME from SENDER at NOW_NS. LIST is the deadline list of a new process's threshold, also
 * of one that restarted in its predecessor's slot (INSERTED, with the record's beats and stalls
 * begun anew: the caller re-makes the rest); known ones keep theirs. A slot whose list is
 * BELAY__LIST_WITHIN is taken off: the caller sets its next deadline. SENDER names the namespace of
 * each beat: 0 for a slot that has one is a conflict, but for a terminal frame. Generations may be
 * 0 at any time. *ret_slot is the process's slot for all results but CAPACITY_EXCEEDED. A slot that
 * has to be evicted for it is shown to ON_EVICT (NULL allowed) just before it is removed, so that
 * the caller can let go of what belongs to it. */
enum belay__track_result belay__track(struct belay__table *table,
	struct belay__track_counters *counters, const struct belay_frame *frame,
	const struct belay__sender *sender, uint8_t list, uint64_t now_ns,
	void (*on_evict)(void *data, uint32_t slot), void *data, uint32_t *ret_slot);
