#include "broker/conform.h"

#include <errno.h>
#include <string.h>

#include <belay/endpoint.h>

#include "base/clock.h"
#include "base/error.h"
#include "broker/conform_handover.h"
#include "broker/conform_rules.h"
#include "broker/conform_talk.h"

#define HINT_NS (500 * BELAY__NS_PER_MS)

/* The last one: all that came before is behind it. */
static enum belay__conform_verdict survives(struct belay__conform *conform)
{
	enum belay__conform_verdict verdict = belay__conform_alive(conform);

	if (verdict != BELAY__CONFORM_PASS || conform->handoff == NULL)
		return verdict;
	return belay__conform_accepts(conform);
}

/* clang-format off */
const struct belay__conform_rule belay__conform_rules[] = {
	{ "probe-envelope", "answers a probe with a RESPONSE of protocol 0xb232", belay__conform_envelope },
	{ "probe-nonce", "begins its answer with the nonce", belay__conform_nonce },
	{ "probe-request-id", "answers with the request's id", belay__conform_request_id },
	{ "probe-trace", "answers with the request's trace context", belay__conform_trace },
	{ "probe-record", "answers with a whole record of itself", belay__conform_record },
	{ "probe-endpoint", "its record names this endpoint", belay__conform_endpoint },
	{ "probe-process", "its record is true of a process", belay__conform_process },
	{ "probe-sender", "that process, or a descendant, sends the answer", belay__conform_sender },
	{ "probe-sidecar", "its record is the one in its sidecar", belay__conform_sidecar },
	{ "probe-kind", "answers no probe that is no REQUEST", belay__conform_kind },
	{ "probe-version", "answers no probe of another envelope version", belay__conform_version },
	{ "probe-encoding", "answers no probe that claims to be compressed", belay__conform_encoding },
	{ "probe-nonce-short", "answers no nonce of 31 bytes", belay__conform_nonce_short },
	{ "probe-nonce-long", "answers no nonce of 33 bytes", belay__conform_nonce_long },
	{ "probe-many", "answers many probes on one connection", belay__conform_many },
	{ "probe-concurrent", "answers many connections at once", belay__conform_concurrent },
	{ "probe-slow", "answers while another prober is slow", belay__conform_slow },
	{ "framing-empty-body", "survives a frame without body", belay__conform_empty_body },
	{ "framing-no-frame", "survives a body that is no Frame", belay__conform_no_frame },
	{ "framing-back-to-back", "answers each of several frames that come together", belay__conform_back_to_back },
	{ "framing-byte-by-byte", "answers a frame that comes byte by byte", belay__conform_byte_by_byte },
	{ "framing-version", "answers no other framing byte, and survives it", belay__conform_framing_byte },
	{ "framing-too-large", "refuses 16 MiB and a byte from the header", belay__conform_too_large },
	{ "framing-cut-off", "survives whoever hangs up inside a frame", belay__conform_cut_off },
	{ "framing-unknown-fields", "skips fields that it does not know", belay__conform_unknown_fields },
	{ "mixed-protocol", "answers no probe of an unknown protocol, and survives it", belay__conform_unknown_protocol },
	{ "mixed-legacy", "survives bytes of another protocol", belay__conform_legacy },
	{ "handoff-accept", "accepts a hand-over of broker v1 in time", belay__conform_accepts },
	{ "handoff-ack", "acks in a RESPONSE of protocol 0xd0ff", belay__conform_ack_frame },
	{ "handoff-echo", "acks with the offer's token and ids", belay__conform_ack_echo },
	{ "handoff-serve", "keeps the client that it accepted", belay__conform_serves },
	{ "handoff-mismatch", "refuses an offer of another token, and says why", belay__conform_mismatch },
	{ "handoff-replay", "refuses a token that it has seen", belay__conform_replay },
	{ "handoff-no-fd", "refuses an offer without a descriptor", belay__conform_no_fd },
	{ "handoff-two-fds", "refuses two descriptors, and closes both", belay__conform_two_fds },
	{ "handoff-file", "refuses a file", belay__conform_file },
	{ "handoff-listener", "refuses a listening socket", belay__conform_listener },
	{ "handoff-datagram", "refuses a datagram socket", belay__conform_datagram },
	{ "handoff-close", "closes what it refuses", belay__conform_closes },
	{ "handoff-abandoned", "closes what is never offered", belay__conform_abandoned },
	{ "handoff-trickle", "accepts while another sender is slow", belay__conform_trickle },
	{ "survival", "answers after all of this", survives },
};
/* clang-format on */
const size_t belay__conform_rule_count = sizeof(belay__conform_rules) /
	sizeof(belay__conform_rules[0]);

static int reach(const struct belay__conform *conform, const char *path, struct belay_error *reterr)
{
	int fd = belay__stream_connect(path, belay__conform_deadline_ns(conform));

	if (fd >= 0) {
		belay_endpoint_hang_up(fd);
		return 0;
	}
	if (fd == -EACCES || fd == -EPERM)
		return belay__fail(reterr, fd, "cannot connect to %.108s: %s; try it as its user",
			path, strerror(-fd));
	return belay__fail(reterr, fd,
		"nobody listens at %.108s (%s); start the backend, then try again", path,
		strerror(-fd));
}

int belay__conform_reach(const struct belay__conform *conform, struct belay_error *reterr)
{
	int r = reach(conform, conform->socket, reterr);

	return r < 0 || conform->handoff == NULL ? r : reach(conform, conform->handoff, reterr);
}

bool belay__conform_is_handoff(const struct belay__conform *conform)
{
	_cleanup_handover_ struct belay__handover handover = BELAY__NO_HANDOVER;
	struct belay__conform other = { .socket = conform->socket,
		.handoff = conform->socket,
		.service = conform->service,
		.patience_ns = conform->patience_ns };
	enum belay__handover_answer answer;

	/* An answer that is needed for advice only is not waited for as long as the rules' are. */
	if (other.patience_ns == 0 || other.patience_ns > HINT_NS)
		other.patience_ns = HINT_NS;
	if (belay__handover_make(&other, &handover, SOCK_STREAM, 1) != BELAY__CONFORM_PASS)
		return false;
	answer = belay__handover_try(&other, &handover);
	return answer == BELAY__HANDOVER_ACCEPTED ||
		(answer == BELAY__HANDOVER_REFUSED &&
			handover.reply.envelope.payload_protocol == BELAY_PROTOCOL_HANDOFF);
}

bool belay__conform_answers(struct belay__conform *conform)
{
	return belay__conform_alive(conform) == BELAY__CONFORM_PASS;
}

enum belay__conform_verdict belay__conform_check(struct belay__conform *conform,
	const struct belay__conform_rule *rule)
{
	enum belay__conform_verdict verdict;

	conform->why[0] = '\0';
	conform->remarked = false;
	conform->unanswered = false;
	verdict = rule->check(conform);
	if (verdict == BELAY__CONFORM_PASS && !conform->remarked)
		conform->why[0] = '\0';
	return verdict;
}

const char *belay__conform_verdict_name(enum belay__conform_verdict verdict)
{
	static const char *const names[] = {
		[BELAY__CONFORM_PASS] = "pass",
		[BELAY__CONFORM_FAIL] = "fail",
		[BELAY__CONFORM_SKIP] = "skip",
	};

	return names[verdict];
}
