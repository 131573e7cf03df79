/* belay/mux.h - probes, broker frames and a daemon's own bytes on one endpoint
 *
 * A pure function: bytes that arrived go in, what to do with them comes out. It reads and writes no
 * descriptor, keeps no state and allocates nothing, so that it fits every loop. Follows broker v1's
 * BackendEndpointMux.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/envelope.h>
#include <belay/identity.h>
#include <belay/probe.h>

#ifdef __cplusplus
extern "C" {
#endif

enum belay_mux_legacy {
	BELAY_LEGACY_NO,
	BELAY_LEGACY_YES,       /* these bytes are the daemon's own protocol */
	BELAY_LEGACY_NEED_MORE, /* it cannot be told yet */
};

/* How a daemon serves. Borrowed in each call. */
struct belay_mux {
	const struct belay_daemon *self;
	/* Asked first, with all bytes so far (one at least), so that it wins where its protocol begins
	 * with 0x01, too. Whatever does not begin with 0x01 is legacy all the same, as it is with NULL. */
	enum belay_mux_legacy (*is_legacy)(void *data, const uint8_t *bytes, size_t len);
	void *data;
	const uint32_t *served; /* payload protocols of the daemon's own */
	size_t served_count;
	uint32_t cap; /* bytes of a body; 0: BELAY_HELLO_MAX */
};

enum belay_mux_outcome {
	BELAY_MUX_NEED_MORE,
	BELAY_MUX_LEGACY,   /* all bytes are the daemon's own */
	BELAY_MUX_ANSWERED, /* a probe: send the `reply_len` bytes that were written to REPLY */
	BELAY_MUX_PAYLOAD,  /* a frame of a protocol that is served */
};

struct belay_mux_result {
	enum belay_mux_outcome outcome;
	size_t consumed;                /* ANSWERED, PAYLOAD: drop as many bytes, then look again */
	size_t reply_len;               /* ANSWERED */
	struct belay_envelope envelope; /* PAYLOAD: views into the bytes */
};

/* Looks at the LEN bytes at BYTES that have arrived and were not dropped. 0 and *ret_result; or the
 * peer broke the rules and should be hung up on, with *ret_text (NULL allowed; static, for people):
 * -EMSGSIZE (a body beyond the cap, or an answer that does not fit into REPLY), -EBADMSG (no Frame),
 * -EPROTO (a probe that is none, an envelope that is not version 1, a payload that is compressed),
 * -ENOPROTOOPT (a protocol of the broker's own that does not belong here: "UnexpectedFirstPartyFrame"),
 * -EPFNOSUPPORT (one that is not served: "UnservedPayloadProtocol"). REPLY of REPLY_SIZE bytes,
 * BELAY_PROBE_ANSWER_MAX at least, is written for ANSWERED only. How the bytes are cut on their way
 * changes nothing. */
BELAY_API int belay_mux_look(const struct belay_mux *mux, const uint8_t *bytes, size_t len,
	uint8_t *reply, size_t reply_size, struct belay_mux_result *ret_result,
	const char **ret_text);

#ifdef __cplusplus
}
#endif
