/* probe_reply_fuzz.c - any bytes as the body of an answer to a probe
 *
 * What is taken for a claim is a record that may be expected, and then the same bytes are proved; whatever is
 * proved may be claimed, too. Nothing is proved that was not looked at, and no record is written in vain.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <belay/probe.h>

#include "backend/probe_frame.h"

#define NONCE_PROVED  ((unsigned)BELAY_PROOF_NONCE)
#define RECORD_PROVED (NONCE_PROVED | (unsigned)BELAY_PROOF_RECORD)

static const uint8_t nonce[BELAY_PROBE_NONCE_LEN] = "0123456789abcdef0123456789abcde";
static const struct belay_daemon known = {
	.pid = 4242,
	.has_blake3 = true,
	.exe_path = "/usr/bin/d",
	.boot_id = "boot",
	.endpoint = { .namespace_id = "shared", .path = "/run/x.sock" },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whether ERROR comes with a word that says more. */
static bool says_more(enum belay_probe_error error)
{
	switch ((int)error) {
	case BELAY_PROBE_UNEXPECTED_FRAME:
	case BELAY_PROBE_MALFORMED_PAYLOAD:
	case BELAY_PROBE_IDENTITY:
	case BELAY_PROBE_IDENTITY_MISMATCH:
		return true;
	case BELAY_PROBED:
	case BELAY_PROBE_DECODE_FRAME:
	case BELAY_PROBE_DECODE_DAEMON_PROCESS:
		return false;
	default:
		abort();
	}
}

static enum belay_probe_error judge(const struct belay__reply *reply,
	const struct belay_daemon *expected)
{
	const char *text = "";
	unsigned proved = 0;
	enum belay_probe_error error = belay__probe_reply_judge(reply, expected, &proved, &text);

	assert((text != NULL) == says_more(error));
	assert(error != BELAY_PROBED || proved == RECORD_PROVED);
	assert(error == BELAY_PROBED || (proved & ~NONCE_PROVED) == 0);
	return error;
}

static enum belay_probe_error claim(const struct belay__reply *reply,
	struct belay_daemon *ret_claimed)
{
	const char *text = "";
	unsigned proved = 0;
	enum belay_probe_error error = belay__probe_reply_claim(reply, ret_claimed, &proved, &text);

	assert((text != NULL) == says_more(error));
	assert(error != BELAY_PROBED || proved == NONCE_PROVED);
	assert((proved & ~NONCE_PROVED) == 0);
	assert(error != BELAY_PROBE_IDENTITY_MISMATCH);
	return error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct belay_daemon claimed, before;
	/* A copy of its own, so that nothing behind it can be read unseen. */
	uint8_t *bytes = malloc(size > 0 ? size : 1);
	const struct belay__reply reply = { bytes, size, nonce };
	enum belay_probe_error of_claim, of_known;

	assert(bytes != NULL);
	if (size > 0)
		memcpy(bytes, data, size);
	memset(&claimed, 0x5a, sizeof(claimed));
	before = claimed;
	of_claim = claim(&reply, &claimed);
	of_known = judge(&reply, &known);
	if (of_claim == BELAY_PROBED) {
		assert(claimed.has_blake3 || claimed.has_sha256);
		assert(judge(&reply, &claimed) == BELAY_PROBED);
		assert(of_known == BELAY_PROBED || of_known == BELAY_PROBE_IDENTITY_MISMATCH);
	} else {
		assert(memcmp(&claimed, &before, sizeof(claimed)) == 0);
		/* Texts too long for a record are the one thing that only a claim is refused for. */
		assert(of_known == of_claim || of_claim == BELAY_PROBE_IDENTITY);
		assert(of_known != BELAY_PROBED);
	}
	free(bytes);
	return 0;
}
