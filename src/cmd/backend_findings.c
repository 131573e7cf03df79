#include "cmd/backend_findings.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "cmd/cmd.h"
#include "cmd/output.h"
#include "export/visible.h"

static const enum belay_proof proofs[] = { BELAY_PROOF_ENDPOINT, BELAY_PROOF_PROCESS,
	BELAY_PROOF_NONCE, BELAY_PROOF_RECORD, BELAY_PROOF_CREDENTIALS, BELAY_PROOF_STILL };

/* What an error leaves unproved, how the command ends then, and what there is to do. */
struct consequence {
	enum belay_probe_error error;
	enum belay_proof proof;
	enum belay__exit exit_code;
	const char *advice; /* NULL: the sentence says it; its end is a pid when it ends in "-p " */
};

#define ELSEWHERE "what is there speaks otherwise; see: belay backend conform SOCKET"
#define STALE     "the record is true of no process; start the daemon anew, and it writes another"
#define STRANGER  "tell it nothing, and see who it is: ps -f -p "

static const struct consequence consequences[] = {
	{ BELAY_PROBE_ENDPOINT_MISMATCH, BELAY_PROOF_ENDPOINT, BELAY__EXIT_FAILED, STRANGER },
	{ BELAY_PROBE_VERIFY_PID, BELAY_PROOF_PROCESS, BELAY__EXIT_FAILED, STALE },
	{ BELAY_PROBE_RANDOM, BELAY_PROOF_NONCE, BELAY__EXIT_FAILED, NULL },
	{ BELAY_PROBE_LOCAL_SOCKET_NAME, BELAY_PROOF_NONCE, BELAY__EXIT_FAILED, NULL },
	{ BELAY_PROBE_CONNECT, BELAY_PROOF_NONCE, BELAY__EXIT_ABSENT,
		"nobody listens there; start the daemon, then: belay backend probe SIDECAR" },
	{ BELAY_PROBE_CONFIGURE_NONBLOCKING, BELAY_PROOF_NONCE, BELAY__EXIT_FAILED, NULL },
	{ BELAY_PROBE_TIMEOUT, BELAY_PROOF_NONCE, BELAY__EXIT_ABSENT,
		"give it time with --timeout 5s, or see whether it is stopped: ps -o "
		"pid,stat,wchan -p " },
	{ BELAY_PROBE_IO, BELAY_PROOF_NONCE, BELAY__EXIT_PROTOCOL, ELSEWHERE },
	{ BELAY_PROBE_UNSUPPORTED_FRAMING_VERSION, BELAY_PROOF_NONCE, BELAY__EXIT_PROTOCOL,
		ELSEWHERE },
	{ BELAY_PROBE_FRAME_TOO_LARGE, BELAY_PROOF_NONCE, BELAY__EXIT_PROTOCOL, ELSEWHERE },
	{ BELAY_PROBE_ENCODE_FRAME, BELAY_PROOF_NONCE, BELAY__EXIT_FAILED, NULL },
	{ BELAY_PROBE_DECODE_FRAME, BELAY_PROOF_NONCE, BELAY__EXIT_PROTOCOL, ELSEWHERE },
	{ BELAY_PROBE_UNEXPECTED_FRAME, BELAY_PROOF_NONCE, BELAY__EXIT_PROTOCOL, ELSEWHERE },
	{ BELAY_PROBE_MALFORMED_PAYLOAD, BELAY_PROOF_NONCE, BELAY__EXIT_PROTOCOL, ELSEWHERE },
	{ BELAY_PROBE_DECODE_DAEMON_PROCESS, BELAY_PROOF_RECORD, BELAY__EXIT_PROTOCOL, ELSEWHERE },
	{ BELAY_PROBE_IDENTITY, BELAY_PROOF_RECORD, BELAY__EXIT_PROTOCOL, ELSEWHERE },
	{ BELAY_PROBE_IDENTITY_MISMATCH, BELAY_PROOF_RECORD, BELAY__EXIT_FAILED, STRANGER },
	{ BELAY_PROBE_ANOTHER_ANSWERED, BELAY_PROOF_CREDENTIALS, BELAY__EXIT_FAILED, STRANGER },
	{ BELAY_PROBE_ENDED, BELAY_PROOF_STILL, BELAY__EXIT_FAILED,
		"it may have been replaced; once more: belay backend probe SIDECAR" },
};

/* What there is to do where the process could not be looked at: that says nothing about the record. */
static const struct {
	enum belay_verify_error error;
	const char *advice;
} unseen[] = {
	{ BELAY_VERIFY_EXE_PATH,
		"its executable cannot be looked at; see: ls -l /proc/PID/exe, as its user" },
	{ BELAY_VERIFY_EXE_HASH,
		"its executable cannot be read; see: ls -l /proc/PID/exe, as its user" },
	{ BELAY_VERIFY_HANDLE, "it could not be looked at; the record may be true" },
};

static const struct consequence *consequence_of(enum belay_probe_error error)
{
	for (size_t i = 0; i < BELAY__COUNT_OF(consequences); i++)
		if (consequences[i].error == error)
			return &consequences[i];
	return &consequences[0];
}

/* What a proof says, as a sentence. */
static void add_meaning(struct belay__text *text, const struct belay__findings *found,
	enum belay_proof proof)
{
	const struct belay_daemon *record = &found->record;
	const struct belay_probe_report *report = &found->report;

	switch (proof) {
	case BELAY_PROOF_ENDPOINT:
		belay__text_addf(text, "the record is of %s", record->endpoint.path);
		break;
	case BELAY_PROOF_PROCESS:
		belay__text_addf(text, "process %" PRIu32 " runs %s of this very content",
			record->pid, record->exe_path);
		break;
	case BELAY_PROOF_NONCE:
		belay__text_add(text, "the reply answers this very request");
		break;
	case BELAY_PROOF_RECORD:
		belay__text_add(text, "the reply claims the same identity");
		break;
	case BELAY_PROOF_CREDENTIALS:
		belay__text_addf(text, "the kernel: the reply is of process %d%s, uid %u",
			(int)report->answered_by,
			report->by_descendant ? ", which descends from it" : "",
			(unsigned)report->answered_uid);
		break;
	case BELAY_PROOF_STILL:
		belay__text_add(text, "the same process was there in the end");
		break;
	}
}

static const char *hash_name(const struct belay_daemon *record)
{
	if (record->has_blake3)
		return record->has_sha256 ? "blake3 and sha256" : "blake3";
	return "sha256";
}

static void add_proof(struct belay__output *output, const struct belay__findings *found,
	enum belay_proof proof)
{
	bool proved = (found->report.proved & (unsigned)proof) != 0;
	bool failed = !proved && proof == consequence_of(found->report.error)->proof;
	char plain[1024], shown[1024];
	struct belay__text text, visible;

	belay__text_init(&text, plain, sizeof(plain));
	if (proved)
		add_meaning(&text, found, proof);
	else if (failed)
		belay__text_add(&text, found->error.text);
	else
		belay__text_add(&text, "not tried");
	/* Paths come from elsewhere; a terminal shall show them and do nothing else. */
	belay__text_init(&visible, shown, sizeof(shown));
	belay__text_add_visible(&visible, text.chars, text.len);
	belay__output_addf(output, "%-12s%-12s", belay_proof_name(proof),
		proved ? "proved" : (failed ? "not proved" : "-"));
	belay__output_add(output, visible.chars);
	belay__output_add(output, "\n");
}

static void add_facts(struct belay__output *output, const struct belay__findings *found)
{
	const struct belay_probe_report *report = &found->report;

	if (report->answered_by > 0)
		belay__output_addf(output, "%-12sprocess %d, uid %u%s\n", "answered by",
			(int)report->answered_by, (unsigned)report->answered_uid,
			report->by_descendant ? ", a descendant" : "");
	if (report->listener > 0)
		belay__output_addf(output, "%-12sprocess %d called listen(2)\n", "listener",
			(int)report->listener);
	if (found->has_record)
		belay__output_addf(output, "%-12s%s\n", "hash", hash_name(&found->record));
	belay__output_addf(output, "%-12s%" PRIu64 ".%03u ms\n", "took", report->took_us / 1000,
		(unsigned)(report->took_us % 1000));
}

static void add_words(struct belay__output *output, const struct belay__findings *found)
{
	for (size_t i = 0; i < BELAY__COUNT_OF(proofs); i++)
		add_proof(output, found, proofs[i]);
	add_facts(output, found);
	if (found->error.code == 0 && found->claimed)
		belay__output_add(output,
			"note: the record is the daemon's own word; whether it is the daemon that "
			"you mean, only its sidecar can tell\n");
}

/* The numbers of a process, or null. */
static void add_json_process(struct belay__json_writer *json,
	const struct belay_probe_report *report)
{
	if (report->answered_by <= 0) {
		belay__json_null(json, "answered_by");
		return;
	}
	belay__json_object(json, "answered_by");
	belay__json_i64(json, "pid", report->answered_by);
	belay__json_u64(json, "uid", report->answered_uid);
	belay__json_bool(json, "descendant", report->by_descendant);
	belay__json_end_object(json);
}

static void add_json_record(struct belay__json_writer *json, const struct belay__findings *found)
{
	const struct belay_daemon *record = &found->record;

	if (!found->has_record) {
		belay__json_null(json, "record");
		return;
	}
	belay__json_object(json, "record");
	belay__json_u64(json, "pid", record->pid);
	belay__json_string(json, "exe", record->exe_path);
	belay__json_string(json, "namespace", record->endpoint.namespace_id);
	belay__json_string(json, "endpoint", record->endpoint.path);
	belay__json_string(json, "boot_id", record->boot_id);
	belay__json_array(json, "hashes");
	if (record->has_blake3)
		belay__json_string(json, NULL, "blake3");
	if (record->has_sha256)
		belay__json_string(json, NULL, "sha256");
	belay__json_end_array(json);
	belay__json_end_object(json);
}

static void add_json_error(struct belay__json_writer *json, const struct belay__findings *found)
{
	const struct belay_probe_report *report = &found->report;

	if (found->unread) {
		belay__json_string(json, "error", "Sidecar");
		belay__json_null(json, "verify_error");
		belay__json_string(json, "why", found->error.text);
		return;
	}
	if (found->error.code == 0) {
		belay__json_null(json, "error");
		belay__json_null(json, "verify_error");
		belay__json_null(json, "why");
		return;
	}
	belay__json_string(json, "error", belay_probe_error_name(report->error));
	if (report->error == BELAY_PROBE_VERIFY_PID)
		belay__json_string(json, "verify_error", belay_verify_error_name(report->verify));
	else
		belay__json_null(json, "verify_error");
	belay__json_string(json, "why", found->error.text);
}

static void add_json_object(struct belay__json_writer *json, const struct belay__findings *found)
{
	belay__json_object(json, NULL);
	belay__json_string(json, "target", found->target);
	belay__json_bool(json, "proved", found->error.code == 0);
	belay__json_bool(json, "claimed", found->claimed);
	add_json_error(json, found);
	belay__json_object(json, "proofs");
	for (size_t i = 0; i < BELAY__COUNT_OF(proofs); i++)
		belay__json_bool(json, belay_proof_name(proofs[i]),
			(found->report.proved & (unsigned)proofs[i]) != 0);
	belay__json_end_object(json);
	add_json_record(json, found);
	add_json_process(json, &found->report);
	if (found->report.listener > 0)
		belay__json_i64(json, "listener", found->report.listener);
	else
		belay__json_null(json, "listener");
	belay__json_u64(json, "took_us", found->report.took_us);
	belay__json_end_object(json);
}

/* All of it or nothing. False: there is no memory, which is said. */
static bool add_json(struct belay__output *output, const struct belay__findings *found)
{
	/* Every byte escaped, as \u001f, and what is always the same. */
	size_t size = 6 * (strlen(found->target) + sizeof(*found)) + 4096;
	char *buffer = malloc(size);
	struct belay__text text;
	struct belay__json_writer json;
	bool whole;

	if (buffer == NULL) {
		belay__complain("out of memory");
		return false;
	}
	belay__text_init(&text, buffer, size);
	belay__json_start(&json, &text);
	add_json_object(&json, found);
	whole = !text.overflowed;
	assert(whole);
	belay__output_add_bytes(output, text.chars, text.len);
	belay__output_add(output, "\n");
	free(buffer);
	return true;
}

bool belay__is_shortage(int code)
{
	return code == -EMFILE || code == -ENFILE || code == -ENOMEM || code == -ENOBUFS;
}

/* Whether the system said no. */
static bool is_denied(int code)
{
	return code == -EACCES || code == -EPERM;
}

/* The process that an advice is about: who answered, or should have; 0: nobody is known. */
static long subject_of(const struct belay__findings *found)
{
	if (found->report.answered_by > 0)
		return found->report.answered_by;
	if (found->has_record)
		return (long)found->record.pid;
	return found->report.listener;
}

static const char *advice_of(const struct belay__findings *found)
{
	if (is_denied(found->error.code))
		return "ask as the user whose daemon it is";
	if (found->error.code == -EXDEV)
		return "ask where /proc shows the processes of this very pid namespace";
	if (belay__is_shortage(found->error.code))
		return "no descriptor or memory is left to look with; see: ulimit -n, and "
		       "/proc/sys/fs/file-nr";
	for (size_t i = 0; i < BELAY__COUNT_OF(unseen); i++)
		if (found->report.error == BELAY_PROBE_VERIFY_PID &&
			found->report.verify == unseen[i].error)
			return unseen[i].advice;
	return consequence_of(found->report.error)->advice;
}

/* Says on stderr what there is to do; returns the exit code. */
static int conclude(const struct belay__findings *found)
{
	const struct consequence *consequence = consequence_of(found->report.error);
	const char *advice = advice_of(found);
	char sentence[512];
	struct belay__text text;

	if (found->error.code == 0)
		return BELAY__EXIT_OK;
	belay__text_init(&text, sentence, sizeof(sentence));
	belay__text_addf(&text, "%.200s: not proved: %s", found->target,
		belay_probe_error_name(found->report.error));
	if (advice != NULL)
		belay__text_addf(&text, "; %s", advice);
	if (text.len > 3 && strcmp(text.chars + text.len - 3, "-p ") == 0)
		belay__text_addf(&text, "%ld", subject_of(found));
	belay__complain("%s", sentence);
	if (is_denied(found->error.code))
		return BELAY__EXIT_PERMISSION;
	return belay__is_shortage(found->error.code) ? (int)BELAY__EXIT_FAILED
						     : (int)consequence->exit_code;
}

int belay__findings_show(const struct belay__findings *found)
{
	static struct belay__output output;

	belay__output_start(&output, STDOUT_FILENO);
	return add_json(&output, found) ? belay__output_finish(&output) : (int)BELAY__EXIT_FAILED;
}

int belay__findings_print(const struct belay__findings *found, bool json)
{
	static struct belay__output output;
	int exit_code;

	belay__output_start(&output, STDOUT_FILENO);
	if (!json)
		add_words(&output, found);
	else if (!add_json(&output, found))
		return BELAY__EXIT_FAILED;
	exit_code = belay__output_finish(&output);
	return exit_code != 0 ? exit_code : conclude(found);
}
