#include "observe/original.h"

#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/hot.h"
#include "observe/remote.h"

#define ROTATION_AGAIN_NS (60 * BELAY__NS_PER_S)

int belay__original_init_take(struct belay__original *original, struct belay__loop *loop, int fd,
	const struct belay__tsv_options *options, struct belay_error *reterr)
{
	int r;

	original->loop = loop;
	original->rotation_again_ns = ROTATION_AGAIN_NS;
	if (fd < 0)
		return 0;
	r = belay__tsv_events_init_take(&original->file, fd, options, reterr);
	original->open = r == 0;
	if (r < 0)
		belay__close(fd);
	return r;
}

void belay__original_done(struct belay__original *original)
{
	belay__timer_clear(&original->flush);
	if (original->open)
		belay__tsv_events_done(&original->file);
	original->open = false;
}

static void on_flush(struct belay__timer *timer, uint64_t now_ns);

static void flush_later(struct belay__original *original)
{
	if (original->flush.next == NULL && (original->file.len > 0 || original->file.next_fd >= 0))
		belay__timer_set(original->loop, &original->flush,
			belay__clock_ns(CLOCK_MONOTONIC) + BELAY__NS_PER_S, on_flush, original);
}

static void on_flush(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__original *original = timer->data;

	(void)now_ns;
	(void)belay__tsv_events_flush(&original->file);
	flush_later(original);
}

/* What the original calls EVENT. False: it has no such event. */
static bool translate(const struct belay_event *event, struct belay__tsv_event *tsv, char *text,
	size_t size)
{
	*tsv = (struct belay__tsv_event){ .observer_ns = event->observer_ns,
		.nonce = event->nonce,
		.pid = belay__key_pid(event->pid),
		.payload = event->payload,
		.status = event->status,
		.text = text };
	switch (event->kind) {
	case BELAY_EVENT_BEAT:
		tsv->kind = BELAY__TSV_BEAT;
		return true;
	case BELAY_EVENT_STALL:
		tsv->kind = BELAY__TSV_STALL;
		return true;
	case BELAY_EVENT_DECODE:
		tsv->kind = BELAY__TSV_DECODE;
		belay__tsv_decode_text(&event->decode, text, size);
		return true;
	case BELAY_EVENT_AUTH_FAILURE:
	case BELAY_EVENT_ORIGIN_CONFLICT:
	case BELAY_EVENT_NAMESPACE_CONFLICT:
		tsv->kind = BELAY__TSV_MISMATCH;
		tsv->text = event->kind == BELAY_EVENT_AUTH_FAILURE  ? "auth_failure"
			: event->kind == BELAY_EVENT_ORIGIN_CONFLICT ? "origin_conflict"
								     : "namespace_conflict";
		return true;
	case BELAY_EVENT_IO:
		tsv->kind = BELAY__TSV_IO;
		tsv->text = strerror(-event->code);
		return true;
	case BELAY_EVENT_CTRL_TRUNCATED:
		tsv->kind = BELAY__TSV_CTRUNC;
		tsv->text = "control data truncated";
		return true;
	case BELAY_EVENT_EVICTED:
		tsv->kind = BELAY__TSV_EVICTION;
		return true;
	case BELAY_EVENT_END:
	case BELAY_EVENT_END_STATUS:
	case BELAY_EVENT_MISSING:
	case BELAY_EVENT_COMPLETE:
	case BELAY_EVENT_LATE:
	case BELAY_EVENT_MASS_STALL:
	case BELAY_EVENT_MASS_STALL_OVER:
		break;
	}
	return false;
}

void belay__original_tell(struct belay__original *original, const struct belay_event *event)
{
	struct belay__tsv_event tsv;
	char text[128];

	if (!original->open || !translate(event, &tsv, text, sizeof(text)))
		return;
	belay__tsv_events_add(&original->file, &tsv);
	flush_later(original);
}

BELAY__HOT bool belay__original_wants_rotation(struct belay__original *original)
{
	uint64_t now_ns;

	if (!original->open || !original->file.wants_rotation)
		return false;
	now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	if (original->rotation_asked_ns != 0 &&
		now_ns - original->rotation_asked_ns < original->rotation_again_ns)
		return false;
	original->rotation_asked_ns = now_ns;
	return true;
}

void belay__original_switch_take(struct belay__original *original, int fd)
{
	original->rotation_asked_ns = 0;
	if (!original->open || fd < 0) {
		belay__close(fd);
		return;
	}
	(void)belay__tsv_events_switch_consume(&original->file, fd);
	flush_later(original);
}
