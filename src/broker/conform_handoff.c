/* Rules about hand-overs: what is taken, what is refused, and what becomes of it. */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "broker/conform_handover.h"
#include "broker/conform_rules.h"

/* What a hand-over that should be taken came to, as a verdict. */
static enum belay__conform_verdict taken(struct belay__conform *conform,
	const struct belay__handover *handover, enum belay__handover_answer answer)
{
	switch (answer) {
	case BELAY__HANDOVER_ACCEPTED:
		return BELAY__CONFORM_PASS;
	case BELAY__HANDOVER_REFUSED:
		return belay__conform_fail(conform, "it refused: %.*s",
			(int)(handover->ack.error_detail.len < 160 ? handover->ack.error_detail.len
								   : 160),
			handover->ack.error_detail.len > 0
				? (const char *)handover->ack.error_detail.at
				: "");
	case BELAY__HANDOVER_HUNG_UP:
		return belay__conform_fail(conform, "it hung up without an answer");
	case BELAY__HANDOVER_UNANSWERED:
		break;
	}
	return BELAY__CONFORM_FAIL;
}

/* A right one. What does not come to an ack is no matter for rules that look at the ack. */
static enum belay__conform_verdict right(struct belay__conform *conform,
	struct belay__handover *handover)
{
	enum belay__conform_verdict verdict = belay__handover_make(conform, handover, SOCK_STREAM,
		1);

	return verdict == BELAY__CONFORM_PASS
		? taken(conform, handover, belay__handover_try(conform, handover))
		: verdict;
}

static enum belay__conform_verdict right_or_skip(struct belay__conform *conform,
	struct belay__handover *handover)
{
	enum belay__conform_verdict verdict = right(conform, handover);

	return verdict == BELAY__CONFORM_FAIL
		? belay__conform_skip(conform, "no hand-over is accepted that could be looked at")
		: verdict;
}

/* What a refusal has to leave behind: both ends closed. */
static enum belay__conform_verdict closed(struct belay__conform *conform,
	const struct belay__handover *handover)
{
	for (unsigned i = 0; i < BELAY__HANDOVER_FDS; i++)
		if (handover->ours[i] >= 0 &&
			!belay__handover_hung_up_on(handover->ours[i],
				belay__conform_deadline_ns(conform)))
			return belay__conform_fail(conform, "it keeps what it refused open");
	return BELAY__CONFORM_PASS;
}

/* Hands over what may not be taken. An answer that says no, or none but hanging up, is right. */
static enum belay__conform_verdict refused(struct belay__conform *conform,
	struct belay__handover *handover, const char *what)
{
	switch (belay__handover_try(conform, handover)) {
	case BELAY__HANDOVER_ACCEPTED:
		return belay__conform_fail(conform, "it accepted %s", what);
	case BELAY__HANDOVER_REFUSED:
	case BELAY__HANDOVER_HUNG_UP:
		return BELAY__CONFORM_PASS;
	case BELAY__HANDOVER_UNANSWERED:
		break;
	}
	return BELAY__CONFORM_FAIL;
}

enum belay__conform_verdict belay__conform_accepts(struct belay__conform *conform)
{
	_cleanup_handover_ struct belay__handover handover = BELAY__NO_HANDOVER;

	return right(conform, &handover);
}

enum belay__conform_verdict belay__conform_ack_frame(struct belay__conform *conform)
{
	_cleanup_handover_ struct belay__handover handover = BELAY__NO_HANDOVER;
	enum belay__conform_verdict verdict = right_or_skip(conform, &handover);
	const struct belay_envelope *envelope = &handover.reply.envelope;

	if (verdict != BELAY__CONFORM_PASS)
		return verdict;
	if (envelope->version != 1)
		return belay__conform_fail(conform, "envelope_version is %u, not 1",
			(unsigned)envelope->version);
	if (envelope->kind != BELAY_ENVELOPE_RESPONSE)
		return belay__conform_fail(conform, "kind is %d, not RESPONSE", (int)envelope->kind);
	if (envelope->payload_protocol != BELAY_PROTOCOL_HANDOFF)
		return belay__conform_fail(conform, "payload_protocol is 0x%04x, not 0xd0ff",
			(unsigned)envelope->payload_protocol);
	if (envelope->payload_encoding != 0)
		return belay__conform_fail(conform, "payload_encoding is %d, not NONE",
			(int)envelope->payload_encoding);
	return BELAY__CONFORM_PASS;
}

enum belay__conform_verdict belay__conform_ack_echo(struct belay__conform *conform)
{
	_cleanup_handover_ struct belay__handover handover = BELAY__NO_HANDOVER;
	enum belay__conform_verdict verdict = right_or_skip(conform, &handover);
	struct belay_handoff_token token;

	if (verdict != BELAY__CONFORM_PASS)
		return verdict;
	if (handover.reply.envelope.request_id != handover.correlation_id)
		return belay__conform_fail(conform, "request_id is not the one of the offer");
	if (handover.ack.correlation_id != handover.correlation_id)
		return belay__conform_fail(conform, "correlation_id is not the one of the offer");
	if (belay_handoff_token_parse(handover.ack.token.at, handover.ack.token.len, &token) < 0 ||
		!belay_handoff_token_equal(&token, &handover.offered))
		return belay__conform_fail(conform, "token is not the one of the offer");
	return BELAY__CONFORM_PASS;
}

enum belay__conform_verdict belay__conform_serves(struct belay__conform *conform)
{
	_cleanup_handover_ struct belay__handover handover = BELAY__NO_HANDOVER;
	enum belay__conform_verdict verdict = right_or_skip(conform, &handover);
	_cleanup_line_ struct belay__conform_line client = { .fd = -EBADF };
	struct belay__conform_question question;
	uint8_t bytes[BELAY__CONFORM_QUESTION_MAX];
	struct belay__conform_reply reply;
	size_t len;

	if (verdict != BELAY__CONFORM_PASS)
		return verdict;
	if (belay__handover_hung_up_on(handover.ours[0], belay__conform_quiet_ns(conform)))
		return belay__conform_fail(conform, "it hung up on the client it had accepted");
	/* Its own protocol is not known here; whoever serves probes everywhere answers one. */
	if (belay__conform_use(conform, &client, handover.ours[0]) < 0)
		return BELAY__CONFORM_FAIL;
	handover.ours[0] = -EBADF;
	belay__conform_question_make(&question);
	len = belay__conform_question_write(&question, bytes);
	if (belay__conform_say(conform, &client, bytes, len) < 0)
		return BELAY__CONFORM_FAIL;
	switch (belay__conform_listen(&client, belay__conform_quiet_ns(conform), &reply)) {
	case BELAY__CONFORM_FRAME:
		return belay__conform_pass(conform, "it answers a probe on it");
	case BELAY__CONFORM_NOISE:
		return belay__conform_pass(conform, "it answers on it, in a protocol of its own");
	case BELAY__CONFORM_SILENCE:
		return belay__conform_pass(conform, "it keeps it open");
	case BELAY__CONFORM_HUNG_UP:
		break;
	}
	return belay__conform_pass(conform, "it kept it open until it was asked a probe");
}

/* Two tokens: the one that the offer names came with nothing. */
static enum belay__conform_verdict mismatched(struct belay__conform *conform,
	struct belay__handover *handover)
{
	enum belay__conform_verdict verdict = belay__handover_make(conform, handover, SOCK_STREAM,
		1);

	if (verdict == BELAY__CONFORM_PASS)
		handover->offered.secret[0] ^= 1;
	return verdict;
}

enum belay__conform_verdict belay__conform_mismatch(struct belay__conform *conform)
{
	_cleanup_handover_ struct belay__handover handover = BELAY__NO_HANDOVER;
	enum belay__conform_verdict verdict = mismatched(conform, &handover);

	if (verdict != BELAY__CONFORM_PASS)
		return verdict;
	switch (belay__handover_try(conform, &handover)) {
	case BELAY__HANDOVER_ACCEPTED:
		return belay__conform_fail(conform, "it accepted an offer of another token");
	case BELAY__HANDOVER_HUNG_UP:
		return belay__conform_fail(conform, "it hung up instead of saying no");
	case BELAY__HANDOVER_UNANSWERED:
		return BELAY__CONFORM_FAIL;
	case BELAY__HANDOVER_REFUSED:
		break;
	}
	return handover.ack.error_detail.len > 0
		? BELAY__CONFORM_PASS
		: belay__conform_fail(conform, "it says no, and not why: error_detail is empty");
}

enum belay__conform_verdict belay__conform_replay(struct belay__conform *conform)
{
	_cleanup_handover_ struct belay__handover first = BELAY__NO_HANDOVER,
						  second = BELAY__NO_HANDOVER;
	enum belay__conform_verdict verdict = right_or_skip(conform, &first);

	if (verdict != BELAY__CONFORM_PASS)
		return verdict;
	verdict = belay__handover_make(conform, &second, SOCK_STREAM, 1);
	if (verdict != BELAY__CONFORM_PASS)
		return verdict;
	second.carried = second.offered = first.carried;
	second.correlation_id = first.correlation_id;
	return refused(conform, &second, "the same token twice");
}

enum belay__conform_verdict belay__conform_no_fd(struct belay__conform *conform)
{
	_cleanup_handover_ struct belay__handover handover = BELAY__NO_HANDOVER;
	enum belay__conform_verdict verdict = belay__handover_make(conform, &handover, SOCK_STREAM,
		0);

	return verdict == BELAY__CONFORM_PASS ? refused(conform, &handover, "an offer of nothing")
					      : verdict;
}

enum belay__conform_verdict belay__conform_two_fds(struct belay__conform *conform)
{
	_cleanup_handover_ struct belay__handover handover = BELAY__NO_HANDOVER;
	enum belay__conform_verdict verdict = belay__handover_make(conform, &handover, SOCK_STREAM,
		2);

	if (verdict == BELAY__CONFORM_PASS)
		verdict = refused(conform, &handover, "two descriptors");
	return verdict == BELAY__CONFORM_PASS ? closed(conform, &handover) : verdict;
}

/* Hands over FD, which it takes, or a negative errno, instead of a connection. */
static enum belay__conform_verdict refuses_this(struct belay__conform *conform, int fd,
	const char *what)
{
	_cleanup_handover_ struct belay__handover handover = BELAY__NO_HANDOVER;
	enum belay__conform_verdict verdict = belay__handover_make(conform, &handover, SOCK_STREAM,
		0);

	if (fd < 0)
		return belay__conform_skip(conform, "this system has not %s to give: %s", what,
			strerror(-fd));
	handover.theirs[0] = fd;
	handover.count = 1;
	return verdict == BELAY__CONFORM_PASS ? refused(conform, &handover, what) : verdict;
}

enum belay__conform_verdict belay__conform_file(struct belay__conform *conform)
{
	int fd = memfd_create("belay-conform", MFD_CLOEXEC);

	return refuses_this(conform, fd < 0 ? -errno : fd, "a file");
}

enum belay__conform_verdict belay__conform_listener(struct belay__conform *conform)
{
	/* A name that the kernel gives: nothing is left behind. */
	static const struct sockaddr_un any = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&any, sizeof(sa_family_t)) < 0 ||
		listen(fd, 1) < 0)
		return refuses_this(conform, -errno, "a listening socket");
	return refuses_this(conform, TAKE_FD(fd), "a listening socket");
}

enum belay__conform_verdict belay__conform_datagram(struct belay__conform *conform)
{
	_cleanup_handover_ struct belay__handover handover = BELAY__NO_HANDOVER;
	enum belay__conform_verdict verdict = belay__handover_make(conform, &handover, SOCK_DGRAM,
		1);

	return verdict == BELAY__CONFORM_PASS ? refused(conform, &handover, "a datagram socket")
					      : verdict;
}

enum belay__conform_verdict belay__conform_closes(struct belay__conform *conform)
{
	_cleanup_handover_ struct belay__handover handover = BELAY__NO_HANDOVER;
	enum belay__conform_verdict verdict = mismatched(conform, &handover);

	if (verdict != BELAY__CONFORM_PASS)
		return verdict;
	if (belay__handover_try(conform, &handover) == BELAY__HANDOVER_ACCEPTED)
		return belay__conform_skip(conform, "it refuses nothing that could be looked at");
	return closed(conform, &handover);
}

enum belay__conform_verdict belay__conform_abandoned(struct belay__conform *conform)
{
	_cleanup_handover_ struct belay__handover handover = BELAY__NO_HANDOVER;
	enum belay__conform_verdict verdict = belay__handover_make(conform, &handover, SOCK_STREAM,
		1);

	if (verdict != BELAY__CONFORM_PASS)
		return verdict;
	if (belay__conform_dial(conform, conform->handoff, &handover.line) < 0 ||
		belay__handover_transfer(conform, &handover, sizeof(handover.carried.secret)) < 0)
		return BELAY__CONFORM_FAIL;
	belay__conform_hang_up(&handover.line);
	return belay__handover_hung_up_on(handover.ours[0], belay__conform_deadline_ns(conform))
		? BELAY__CONFORM_PASS
		: belay__conform_fail(conform, "it keeps a client open whom nobody offered");
}

enum belay__conform_verdict belay__conform_trickle(struct belay__conform *conform)
{
	_cleanup_handover_ struct belay__handover slow = BELAY__NO_HANDOVER,
						  other = BELAY__NO_HANDOVER;
	enum belay__conform_verdict verdict = belay__handover_make(conform, &slow, SOCK_STREAM, 1);

	if (verdict != BELAY__CONFORM_PASS)
		return verdict;
	if (belay__conform_dial(conform, conform->handoff, &slow.line) < 0 ||
		belay__handover_transfer(conform, &slow, 1) < 0)
		return BELAY__CONFORM_FAIL;
	return right(conform, &other);
}
