/* beat_udp.h - one beat over UDP, for whoever has no process that stays */
#pragma once

#include <stdint.h>

#include <belay/error.h>
#include <belay/vlp.h>

#define BELAY__BEAT_UDP_MAX 63 /* bytes of the longest address */

/* Sends a beat with STATUS and PAYLOAD for the process PID to the observer at ADDRESS
 * ("IP:PORT"). Nobody remembers the last nonce between two calls, so it is the time of day: it
 * goes up from one call, and from one start of this host, to the next. Returns 0 when it was sent
 * and not refused at once; or a negative errno with a sentence: -EINVAL no address, -ECONNREFUSED
 * nobody listens there, or what the network reports. */
int belay__beat_udp(const char *address, uint32_t pid, enum belay_status status, uint32_t payload,
	struct belay_error *reterr);
