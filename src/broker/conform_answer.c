/* Rules about what a right probe is answered with, one part of the answer each. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/daemon_message.h"
#include "broker/conform_rules.h"
#include "broker/conform_talk.h"
#include "identity/process_info.h"

#define TRACEPARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define TRACESTATE  "belay=conform"

/* One question and its answer. */
struct exchange {
	struct belay__conform_line line;
	struct belay__conform_question question;
	struct belay__conform_reply reply;
};

static void done(struct exchange *exchange)
{
	belay__conform_hang_up(&exchange->line);
}
#define _cleanup_exchange_ __attribute__((cleanup(done)))

/* Asks a right question. 0 or a negative errno, explained. */
static int ask(struct belay__conform *conform, struct exchange *exchange)
{
	struct belay_envelope *envelope = &exchange->question.envelope;
	int r;

	belay__conform_question_make(&exchange->question);
	envelope->traceparent = (struct belay_bytes){ (const uint8_t *)TRACEPARENT,
		sizeof(TRACEPARENT) - 1 };
	envelope->tracestate = (struct belay_bytes){ (const uint8_t *)TRACESTATE,
		sizeof(TRACESTATE) - 1 };
	r = belay__conform_dial(conform, conform->socket, &exchange->line);
	return r < 0 ? r
		     : belay__conform_ask(conform, &exchange->line, &exchange->question,
			       &exchange->reply);
}

static bool equal(struct belay_bytes left, struct belay_bytes right)
{
	return left.len == right.len && (left.len == 0 || memcmp(left.at, right.at, left.len) == 0);
}

enum belay__conform_verdict belay__conform_envelope(struct belay__conform *conform)
{
	_cleanup_exchange_ struct exchange exchange = { .line = { .fd = -EBADF } };
	const struct belay_envelope *envelope = &exchange.reply.envelope;

	if (ask(conform, &exchange) < 0)
		return BELAY__CONFORM_FAIL;
	if (envelope->version != 1)
		return belay__conform_fail(conform, "envelope_version is %u, not 1",
			(unsigned)envelope->version);
	if (envelope->kind != BELAY_ENVELOPE_RESPONSE)
		return belay__conform_fail(conform, "kind is %d, not RESPONSE", (int)envelope->kind);
	if (envelope->payload_protocol != BELAY_PROTOCOL_PROBE)
		return belay__conform_fail(conform, "payload_protocol is 0x%04x, not 0xb232",
			(unsigned)envelope->payload_protocol);
	if (envelope->payload_encoding != 0)
		return belay__conform_fail(conform, "payload_encoding is %d, not NONE",
			(int)envelope->payload_encoding);
	return BELAY__CONFORM_PASS;
}

enum belay__conform_verdict belay__conform_nonce(struct belay__conform *conform)
{
	_cleanup_exchange_ struct exchange exchange = { .line = { .fd = -EBADF } };
	const struct belay_bytes *payload = &exchange.reply.envelope.payload;

	if (ask(conform, &exchange) < 0)
		return BELAY__CONFORM_FAIL;
	if (payload->len < BELAY_PROBE_NONCE_LEN)
		return belay__conform_fail(conform, "the payload has %zu bytes, fewer than a nonce",
			payload->len);
	if (memcmp(payload->at, exchange.question.nonce, BELAY_PROBE_NONCE_LEN) != 0)
		return belay__conform_fail(conform, "it begins with other bytes than were sent");
	return BELAY__CONFORM_PASS;
}

enum belay__conform_verdict belay__conform_request_id(struct belay__conform *conform)
{
	_cleanup_exchange_ struct exchange exchange = { .line = { .fd = -EBADF } };

	if (ask(conform, &exchange) < 0)
		return BELAY__CONFORM_FAIL;
	return exchange.reply.envelope.request_id == exchange.question.envelope.request_id
		? BELAY__CONFORM_PASS
		: belay__conform_fail(conform, "request_id is not the one of the request");
}

enum belay__conform_verdict belay__conform_trace(struct belay__conform *conform)
{
	_cleanup_exchange_ struct exchange exchange = { .line = { .fd = -EBADF } };
	const struct belay_envelope *asked = &exchange.question.envelope,
				    *told = &exchange.reply.envelope;

	if (ask(conform, &exchange) < 0)
		return BELAY__CONFORM_FAIL;
	if (!equal(asked->traceparent, told->traceparent))
		return belay__conform_fail(conform, "traceparent is not the one of the request");
	if (!equal(asked->tracestate, told->tracestate))
		return belay__conform_fail(conform, "tracestate is not the one of the request");
	return BELAY__CONFORM_PASS;
}

/* Asks, and reads the record in the answer. NULL, or what it lacks; conform->why explains what is NULL and
 * no record: *ret_read is false then. */
static const char *read_record(struct belay__conform *conform, struct exchange *exchange,
	struct belay__daemon_process *ret_message, bool *ret_read)
{
	const struct belay_bytes *payload = &exchange->reply.envelope.payload;

	*ret_read = ask(conform, exchange) == 0;
	if (!*ret_read)
		return NULL;
	if (payload->len < BELAY_PROBE_NONCE_LEN ||
		belay__proto_decode(&belay__type_daemon_process, payload->at + BELAY_PROBE_NONCE_LEN,
			payload->len - BELAY_PROBE_NONCE_LEN, ret_message) < 0)
		return "no DaemonProcess follows the nonce";
	return belay__daemon_message_lacks(ret_message);
}

/* As above, for rules that are about what the record says. */
static enum belay__conform_verdict claimed(struct belay__conform *conform,
	struct exchange *exchange, struct belay__daemon_process *ret_message)
{
	bool read;
	const char *lacks = read_record(conform, exchange, ret_message, &read);

	if (!read)
		return BELAY__CONFORM_FAIL;
	if (lacks == NULL)
		return BELAY__CONFORM_PASS;
	(void)belay__conform_skip(conform, "there is no record to look at");
	return BELAY__CONFORM_SKIP;
}

enum belay__conform_verdict belay__conform_record(struct belay__conform *conform)
{
	_cleanup_exchange_ struct exchange exchange = { .line = { .fd = -EBADF } };
	struct belay__daemon_process message;
	bool read;
	const char *lacks = read_record(conform, &exchange, &message, &read);

	if (!read)
		return BELAY__CONFORM_FAIL;
	if (lacks != NULL)
		return belay__conform_fail(conform, "%s", lacks);
	if (message.pid == 0 || message.exe_path.len == 0 || message.boot_id.len == 0)
		return belay__conform_fail(conform, "%s is empty",
			message.pid == 0                    ? "pid"
				: message.exe_path.len == 0 ? "exe_path"
							    : "boot_id");
	return BELAY__CONFORM_PASS;
}

enum belay__conform_verdict belay__conform_endpoint(struct belay__conform *conform)
{
	_cleanup_exchange_ struct exchange exchange = { .line = { .fd = -EBADF } };
	struct belay__daemon_process message;
	enum belay__conform_verdict verdict = claimed(conform, &exchange, &message);
	const struct belay_bytes *path = &message.ipc_endpoint.path;
	char name[BELAY_ENDPOINT_SIZE];
	struct stat asked, said;

	if (verdict != BELAY__CONFORM_PASS)
		return verdict;
	if (path->len == 0 || path->len >= sizeof(name))
		return belay__conform_fail(conform, "its path has %zu bytes", path->len);
	memcpy(name, path->at, path->len);
	name[path->len] = '\0';
	if (stat(name, &said) == 0 && stat(conform->socket, &asked) == 0 &&
		said.st_dev == asked.st_dev && said.st_ino == asked.st_ino)
		return BELAY__CONFORM_PASS;
	return belay__conform_fail(conform, "it says %.108s", name);
}

/* The record of whoever answers. 0, or not: *ret_verdict. */
static int claimed_daemon(struct belay__conform *conform, struct exchange *exchange,
	struct belay_daemon *ret_daemon, enum belay__conform_verdict *ret_verdict)
{
	struct belay__daemon_process message;
	const char *text = NULL;

	*ret_verdict = claimed(conform, exchange, &message);
	if (*ret_verdict != BELAY__CONFORM_PASS)
		return -1;
	if (belay__daemon_from_message(&message, ret_daemon, &text) == 0)
		return 0;
	*ret_verdict = belay__conform_fail(conform, "%s", text);
	return -1;
}

enum belay__conform_verdict belay__conform_process(struct belay__conform *conform)
{
	_cleanup_exchange_ struct exchange exchange = { .line = { .fd = -EBADF } };
	struct belay_daemon daemon;
	enum belay__conform_verdict verdict;
	struct belay_error error;
	int r;

	if (claimed_daemon(conform, &exchange, &daemon, &verdict) < 0)
		return verdict;
	r = belay_daemon_verify(&daemon, NULL, NULL, NULL, &error);
	if (r == 0)
		return belay__conform_pass(conform, "process %u, %.180s", (unsigned)daemon.pid,
			daemon.exe_path);
	return r == -EACCES || r == -EPERM ? belay__conform_skip(conform, "%s", error.text)
					   : belay__conform_fail(conform, "%s", error.text);
}

enum belay__conform_verdict belay__conform_sender(struct belay__conform *conform)
{
	_cleanup_exchange_ struct exchange exchange = { .line = { .fd = -EBADF } };
	struct belay__daemon_process message;
	enum belay__conform_verdict verdict = claimed(conform, &exchange, &message);
	pid_t sender = exchange.reply.has_sender ? exchange.reply.sender.pid : 0;

	if (verdict != BELAY__CONFORM_PASS)
		return verdict;
	if (sender <= 0)
		return belay__conform_skip(conform, "the kernel does not say who answered");
	if (sender == (pid_t)message.pid)
		return BELAY__CONFORM_PASS;
	if (belay__is_ancestor(sender, (pid_t)message.pid) == 1)
		return belay__conform_pass(conform, "process %d, a descendant, answered",
			(int)sender);
	return belay__conform_fail(conform, "process %d answered and says that it is %u",
		(int)sender, (unsigned)message.pid);
}

enum belay__conform_verdict belay__conform_sidecar(struct belay__conform *conform)
{
	_cleanup_exchange_ struct exchange exchange = { .line = { .fd = -EBADF } };
	struct belay__daemon_process message;
	enum belay__conform_verdict verdict;
	const char *field;

	if (conform->expected == NULL)
		return belay__conform_skip(conform, "no --sidecar was given");
	verdict = claimed(conform, &exchange, &message);
	if (verdict != BELAY__CONFORM_PASS)
		return verdict;
	field = belay__daemon_message_differs(&message, conform->expected);
	return field == NULL ? BELAY__CONFORM_PASS
			     : belay__conform_fail(conform, "%s is another in the sidecar", field);
}
