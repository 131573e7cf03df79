#include "observe/event_json.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "observe/acting.h"
#include "observe/remote_process.h"

const char *belay__event_refusal(const struct belay_event *event)
{
	switch (event->kind) {
	case BELAY_EVENT_DECODE:
		return belay_decode_class_name((enum belay_decode_class)event->decode.class_);
	case BELAY_EVENT_AUTH_FAILURE:
		return event->code == -ESRCH ? "pid_unattested" : "pid_mismatch";
	case BELAY_EVENT_ORIGIN_CONFLICT:
		return "origin_conflict";
	case BELAY_EVENT_NAMESPACE_CONFLICT:
		return "namespace_conflict";
	case BELAY_EVENT_CTRL_TRUNCATED:
		return "ctrl_truncated";
	case BELAY_EVENT_IO:
		return event->code == -EPERM      ? "foreign_uid"
			: event->code == -ENODATA ? "no_credentials"
						  : "io";
	case BELAY_EVENT_BEAT:
	case BELAY_EVENT_STALL:
	case BELAY_EVENT_END:
	case BELAY_EVENT_END_STATUS:
	case BELAY_EVENT_MISSING:
	case BELAY_EVENT_EVICTED:
	case BELAY_EVENT_LATE:
	case BELAY_EVENT_MASS_STALL:
	case BELAY_EVENT_MASS_STALL_OVER:
	case BELAY_EVENT_COMPLETE:
		break;
	}
	return NULL;
}

static const char *beat_word(const struct belay_event *event)
{
	if (event->first)
		return "first-beat";
	if (event->recovered)
		return "recovered";
	return event->status_changed ? "status" : NULL;
}

const char *belay__event_word(const struct belay_event *event)
{
	if (belay__event_refusal(event) != NULL)
		return "refused";
	return event->kind == BELAY_EVENT_BEAT ? beat_word(event)
					       : belay_event_kind_name(event->kind);
}

static void write_head(struct belay__json_writer *json, struct belay__text *text, uint64_t seq,
	uint64_t realtime_ns, uint64_t mono_ns, const char *word)
{
	char time[40];
	struct belay__text stamp;

	belay__text_init(&stamp, time, sizeof(time));
	belay__text_add_time(&stamp, realtime_ns);
	belay__json_start(json, text);
	belay__json_object(json, NULL);
	belay__json_u64(json, "seq", seq);
	belay__json_string(json, "time", time);
	belay__json_u64(json, "mono_ns", mono_ns);
	belay__json_string(json, "event", word);
}

static void write_process(struct belay__json_writer *json, const struct belay_event *event)
{
	if (event->name[0] != '\0')
		belay__json_string(json, "name", event->name);
	if (event->pid == 0) {
		if (event->kind == BELAY_EVENT_MASS_STALL ||
			event->kind == BELAY_EVENT_MASS_STALL_OVER)
			belay__json_uid(json, event->uid);
		return;
	}
	belay__json_process(json, event->pid, event->uid, event->name);
	if (event->start_ticks != 0)
		belay__json_u64(json, "start_ticks", event->start_ticks);
}

static void write_stall(struct belay__json_writer *json, const struct belay_event *event)
{
	belay__json_string(json, "verdict", event->verdict);
	belay__json_string(json, "evidence", event->evidence);
	belay__json_seconds(json, "silent_s", event->silent_ns);
	belay__json_seconds(json, "threshold_s", event->threshold_ns);
	belay__json_seconds(json, "late_s", event->late_ns);
	belay__json_string(json, "status", belay_status_name(event->status));
	belay__json_u64(json, "nonce", event->nonce);
	belay__json_string(json, "origin", belay_origin_name(event->origin));
}

static void write_end(struct belay__json_writer *json, const struct belay_event *event)
{
	belay__json_string(json, "end", belay_end_name(event->end));
	if (event->end == BELAY_END_EXITED || event->end == BELAY_END_KILLED)
		belay__json_i64(json, "code", event->code);
	if (event->end == BELAY_END_KILLED)
		belay__json_bool(json, "core", event->core_dumped);
	if (event->crash != NULL && event->crash[0] != '\0')
		belay__json_string(json, "crash", event->crash);
	belay__json_bool(json, "while_down", event->while_down);
	belay__json_seconds(json, "silent_s", event->silent_ns);
}

static void write_beat(struct belay__json_writer *json, const struct belay_event *event)
{
	belay__json_string(json, "status", belay_status_name(event->status));
	if (event->status_changed && !event->first && !event->recovered)
		belay__json_string(json, "to", belay_status_name(event->status));
	belay__json_u64(json, "payload", event->payload);
	belay__json_string(json, "origin", belay_origin_name(event->origin));
	if (event->first)
		belay__json_seconds(json, "threshold_s", event->threshold_ns);
	if (event->recovered)
		belay__json_seconds(json, "silent_s", event->silent_ns);
}

static void write_refusal(struct belay__json_writer *json, const struct belay_event *event,
	uint64_t count)
{
	char sentence[160];

	belay__json_string(json, "reason", belay__event_refusal(event));
	belay__json_u64(json, "count", count);
	if (event->kind == BELAY_EVENT_DECODE) {
		(void)belay_decode_error_text(&event->decode, sentence, sizeof(sentence));
		belay__json_string(json, "error", sentence);
	} else if (event->code != 0) {
		belay__json_string(json, "error", strerror(-event->code));
	}
}

static bool tells_numbers(enum belay_event_kind kind)
{
	return kind == BELAY_EVENT_MISSING || kind == BELAY_EVENT_COMPLETE ||
		kind == BELAY_EVENT_MASS_STALL || kind == BELAY_EVENT_MASS_STALL_OVER;
}

void belay__event_write(const struct belay_event *event, uint64_t seq, uint64_t realtime_ns,
	uint64_t count, struct belay__text *text)
{
	struct belay__json_writer json;

	write_head(&json, text, seq, realtime_ns, belay__clock_ns(CLOCK_MONOTONIC),
		belay__event_word(event));
	write_process(&json, event);
	if (belay__event_refusal(event) != NULL)
		write_refusal(&json, event, count);
	else if (event->kind == BELAY_EVENT_BEAT)
		write_beat(&json, event);
	else if (event->kind == BELAY_EVENT_STALL)
		write_stall(&json, event);
	else if (event->kind == BELAY_EVENT_END || event->kind == BELAY_EVENT_END_STATUS)
		write_end(&json, event);
	else if (event->kind == BELAY_EVENT_LATE)
		belay__json_seconds(&json, "late_s", event->late_ns);
	else if (tells_numbers(event->kind)) {
		belay__json_u64(&json, "expected", event->expected);
		belay__json_u64(&json, "beating", event->beating);
	}
	belay__json_end_object(&json);
	belay__text_add(text, "\n");
}

/* How a command went. */
static void write_run(struct belay__json_writer *json, const struct belay__msg_acted *acted)
{
	if (acted->child_pid != 0)
		belay__json_u64(json, "child_pid", acted->child_pid);
	if (acted->exit_code >= 0)
		belay__json_i64(json, "exit_code", acted->exit_code);
	if (acted->signal >= 0)
		belay__json_i64(json, "signal", acted->signal);
	if (acted->duration_ns > 0) {
		belay__json_seconds(json, "duration_s", acted->duration_ns);
		belay__json_u64(json, "stdout_bytes", acted->stdout_len);
		belay__json_u64(json, "stderr_bytes", acted->stderr_len);
	}
	if (acted->truncated)
		belay__json_bool(json, "truncated", true);
	if (acted->as_root)
		belay__json_bool(json, "as_root", true);
}

void belay__event_write_acted(const struct belay__msg_acted *acted, uint64_t seq,
	uint64_t realtime_ns, struct belay__text *text)
{
	enum belay__acted outcome = (enum belay__acted)acted->outcome;
	const char *event = belay__acted_event(outcome);
	struct belay__json_writer json;

	write_head(&json, text, seq, realtime_ns, belay__clock_ns(CLOCK_MONOTONIC), event);
	if (acted->name[0] != '\0')
		belay__json_string(&json, "name", acted->name);
	belay__json_process(&json, acted->pid, acted->uid, acted->name);
	if (acted->start_ticks != 0)
		belay__json_u64(&json, "start_ticks", acted->start_ticks);
	belay__json_string(&json, strcmp(event, "action") == 0 ? "outcome" : "reason",
		belay__acted_word(outcome));
	if (acted->step != 0)
		belay__json_u64(&json, "step", acted->step);
	if (acted->verdict[0] != '\0')
		belay__json_string(&json, "verdict", acted->verdict);
	write_run(&json, acted);
	if (acted->seq != 0)
		belay__json_u64(&json, "of_seq", acted->seq);
	if (acted->wait_ns > 0)
		belay__json_seconds(&json, "wait_s", acted->wait_ns);
	if (acted->text[0] != '\0')
		belay__json_string(&json, "text", acted->text);
	belay__json_end_object(&json);
	belay__text_add(text, "\n");
}

void belay__event_write_note(const char *what, const char *note, uint64_t seq, uint64_t realtime_ns,
	uint64_t mono_ns, struct belay__text *text)
{
	struct belay__json_writer json;

	write_head(&json, text, seq, realtime_ns, mono_ns, "observer");
	belay__json_string(&json, "what", what);
	belay__json_string(&json, "text", note);
	belay__json_end_object(&json);
	belay__text_add(text, "\n");
}
