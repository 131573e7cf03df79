/* probe_frame.h - the two frames of a probe, checked in broker v1's order and words
 *
 * Pure: bytes and structs in, a judgment out. Nothing here allocates, waits or keeps anything.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <belay/envelope.h>
#include <belay/identity.h>
#include <belay/probe.h>

/* What ENVELOPE has that a probe's frame of KIND must not have, in broker v1's words; NULL: nothing.
 * REQUEST_ID (NULL: any will do) is the one that a reply must carry. */
const char *belay__probe_unexpected(const struct belay_envelope *envelope,
	enum belay_envelope_kind kind, const uint64_t *request_id);

/* The number of a request that carries NONCE: its first eight bytes, least significant first. */
uint64_t belay__probe_request_id(const uint8_t nonce[BELAY_PROBE_NONCE_LEN]);

/* A reply as it came, and the nonce that was asked with. */
struct belay__reply {
	const uint8_t *body;
	size_t len;
	const uint8_t *nonce; /* BELAY_PROBE_NONCE_LEN bytes */
};

/* What REPLY proves to whoever asked for EXPECTED. BELAY_PROBED, or the first thing that is wrong and
 * *ret_text where there is more to say (static; else NULL). *proved gets BELAY_PROOF_NONCE and
 * BELAY_PROOF_RECORD added as far as it went. */
enum belay_probe_error belay__probe_reply_judge(const struct belay__reply *reply,
	const struct belay_daemon *expected, unsigned *proved, const char **ret_text);

/* The same for whoever expects nobody: BELAY_PROBED and in *ret_claimed the record that the reply carries,
 * which must be complete and fit. */
enum belay_probe_error belay__probe_reply_claim(const struct belay__reply *reply,
	struct belay_daemon *ret_claimed, unsigned *proved, const char **ret_text);
