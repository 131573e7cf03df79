#include "backend/probe_words.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct words {
	const char *name; /* seed 003's */
	const char *what; /* was found, or failed */
	const char *next; /* what to do */
};

/* clang-format off */
static const struct words words[] = {
	[BELAY_PROBED] = { "Probed", "it is the expected process", "" },
	[BELAY_PROBE_ENDPOINT_MISMATCH] = { "EndpointMismatch",
		"the record is of another endpoint",
		"probe the endpoint that the record names" },
	[BELAY_PROBE_VERIFY_PID] = { "VerifyPid",
		"the recorded process is not there", "read its record again" },
	[BELAY_PROBE_RANDOM] = { "Random",
		"there are no random bytes for a nonce", "try again later" },
	[BELAY_PROBE_LOCAL_SOCKET_NAME] = { "LocalSocketName",
		"the path cannot be a socket's", "use one of at most 107 bytes" },
	[BELAY_PROBE_CONNECT] = { "Connect",
		"connecting failed", "see whether the daemon listens there" },
	[BELAY_PROBE_CONFIGURE_NONBLOCKING] = { "ConfigureNonblocking",
		"the socket could not be set up", "see what the system forbids" },
	[BELAY_PROBE_TIMEOUT] = { "Timeout",
		"it did not answer in time", "it may be busy: try again, or allow more time" },
	[BELAY_PROBE_IO] = { "Io",
		"no whole answer came", "see its log, or whether it serves probes" },
	[BELAY_PROBE_UNSUPPORTED_FRAMING_VERSION] = { "UnsupportedFramingVersion",
		"the answer is in no framing of broker v1", "see what listens there" },
	[BELAY_PROBE_FRAME_TOO_LARGE] = { "FrameTooLarge",
		"the answer is too large", "see what listens there" },
	[BELAY_PROBE_ENCODE_FRAME] = { "EncodeFrame",
		"the request cannot be written", "give at most 1024 bytes of UTF-8 as trace context" },
	[BELAY_PROBE_DECODE_FRAME] = { "DecodeFrame",
		"the answer is no Frame", "see what listens there" },
	[BELAY_PROBE_UNEXPECTED_FRAME] = { "UnexpectedFrame",
		"the answer is to something else", "see what listens there" },
	[BELAY_PROBE_MALFORMED_PAYLOAD] = { "MalformedPayload",
		"the answer's payload is malformed", "see what listens there" },
	[BELAY_PROBE_DECODE_DAEMON_PROCESS] = { "DecodeDaemonProcess",
		"the record in the answer cannot be read", "see what listens there" },
	[BELAY_PROBE_IDENTITY] = { "Identity",
		"the record in the answer is incomplete", "see which version of the daemon runs" },
	[BELAY_PROBE_IDENTITY_MISMATCH] = { "IdentityMismatch",
		"the answer names another daemon", "read the daemon's record again" },
	[BELAY_PROBE_ANOTHER_ANSWERED] = { "AnotherAnswered",
		"not the expected process answered", "do not trust the socket: see who serves it" },
	[BELAY_PROBE_ENDED] = { "Ended",
		"the process ended while it was probed", "read its record again" },
};
/* clang-format on */

/* The same class, when nothing is wrong with the peer. */
static const struct words local_io = { "Io", "this side could not go on",
	"close descriptors, raise the limit, or see what the system lacks" };

static const char *const proofs[] = { "endpoint", "process", "nonce", "record", "credentials",
	"still" };

static const struct words *words_of(enum belay_probe_error error)
{
	size_t row = (size_t)error;

	return row < sizeof(words) / sizeof(*words) ? &words[row] : NULL;
}

const char *belay_probe_error_name(enum belay_probe_error error)
{
	const struct words *row = words_of(error);

	return row != NULL ? row->name : "Unknown";
}

const char *belay_proof_name(enum belay_proof proof)
{
	for (size_t i = 0; i < sizeof(proofs) / sizeof(*proofs); i++)
		if ((unsigned)proof == 1U << i)
			return proofs[i];
	return "unknown";
}

static bool is_of_peer(int code)
{
	return code == -ECONNRESET || code == -EPIPE || code == -EPROTO;
}

int belay__probe_sentence(const struct belay_probe_report *report, const char *endpoint, int code,
	const char *detail, struct belay_error *reterr)
{
	const struct words *row = words_of(report->error);

	assert(row != NULL);
	if (report->error == BELAY_PROBE_IO && !is_of_peer(code))
		row = &local_io;
	return belay__fail(reterr, code, "probe of %s: %s%s%s%s; %s", endpoint, row->what,
		detail != NULL ? " (" : "", detail != NULL ? detail : "", detail != NULL ? ")" : "",
		row->next);
}
