#include "observe/teller.h"

#include "base/clock.h"
#include "base/hot.h"
#include "base/log.h"
#include "export/event_line.h"
#include "observe/acting.h"
#include "observe/core.h"

#define ROTATION_AGAIN_NS (60 * BELAY__NS_PER_S)
#define COMPLAIN_AGAIN_NS (60 * BELAY__NS_PER_S)

void belay__teller_init(struct belay__teller *teller, struct belay_observer *observer,
	int events_fd, uint64_t first_seq)
{
	*teller = (struct belay__teller){ .observer = observer, .seq = first_seq };
	belay__event_file_init_take(&teller->file, events_fd);
}

static enum belay__log_level level_of(const struct belay_event *event)
{
	switch (event->kind) {
	case BELAY_EVENT_STALL:
	case BELAY_EVENT_MISSING:
	case BELAY_EVENT_MASS_STALL:
	case BELAY_EVENT_DECODE:
	case BELAY_EVENT_AUTH_FAILURE:
	case BELAY_EVENT_ORIGIN_CONFLICT:
	case BELAY_EVENT_NAMESPACE_CONFLICT:
	case BELAY_EVENT_IO:
	case BELAY_EVENT_CTRL_TRUNCATED:
	case BELAY_EVENT_EVICTED:
		return BELAY__LOG_WARNING;
	case BELAY_EVENT_END:
	case BELAY_EVENT_END_STATUS:
		return event->end == BELAY_END_LEFT ||
				(event->end == BELAY_END_EXITED && event->code == 0)
			? BELAY__LOG_INFO
			: BELAY__LOG_WARNING;
	case BELAY_EVENT_BEAT:
	case BELAY_EVENT_LATE:
	case BELAY_EVENT_MASS_STALL_OVER:
	case BELAY_EVENT_COMPLETE:
		break;
	}
	return BELAY__LOG_INFO;
}

/* Once a minute at the most: what fills a disk rarely needs more of the same. */
static void complain_of_loss(struct belay__teller *teller)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);

	if (teller->complained_ns != 0 && now_ns - teller->complained_ns < COMPLAIN_AGAIN_NS)
		return;
	teller->complained_ns = now_ns;
	belay__log(BELAY__LOG_WARNING,
		"%llu events could not be written to the event file so far; is its disk full?",
		(unsigned long long)teller->file.lost);
}

/* The line goes to the file first: what somebody saw must be there after a crash. */
static void send(struct belay__teller *teller, enum belay__log_level level,
	const struct belay__text *line)
{
	struct belay__text words;
	struct belay__json event;
	uint64_t lost;

	if (line->overflowed)
		return;
	lost = teller->file.lost;
	teller->seq++;
	if (belay__event_file_append(&teller->file, line->chars, line->len) == 1)
		teller->full = true;
	else if (teller->file.fd >= 0 && teller->file.lost != lost)
		complain_of_loss(teller);
	belay__text_init(&words, teller->words, sizeof(teller->words));
	if (belay__json_parse(line->chars, line->len - 1, &event, NULL) == 0)
		belay__event_line(&event, &words);
	belay__door_publish(teller->observer->door, line->chars, line->len);
	teller->line[line->len - 1] = '\0';
	belay__log_line(level, teller->words, teller->line);
}

/* How many refusals for REASON the event at hand stands for; 0: this second has had its line. */
static uint64_t count_refusal(struct belay__teller *teller, const char *reason, uint64_t now_ns)
{
	struct belay__refusal *refusal = teller->refusals;
	uint64_t count;

	while (refusal->reason != NULL && refusal->reason != reason &&
		refusal < &teller->refusals[BELAY__REFUSALS_MAX - 1])
		refusal++;
	if (refusal->told_ns != 0 && now_ns - refusal->told_ns < BELAY__NS_PER_S) {
		refusal->untold++;
		return 0;
	}
	count = refusal->untold + 1;
	*refusal = (struct belay__refusal){ .reason = reason, .told_ns = now_ns };
	return count;
}

void belay__teller_tell(struct belay__teller *teller, const struct belay_event *event)
{
	const char *reason = belay__event_refusal(event);
	uint64_t count = 1;
	struct belay__text line;

	if (belay__event_word(event) == NULL)
		return;
	if (reason != NULL)
		count = count_refusal(teller, reason, belay__clock_ns(CLOCK_MONOTONIC));
	if (count == 0)
		return;
	belay__text_init(&line, teller->line, sizeof(teller->line));
	belay__event_write(event, teller->seq, belay__clock_ns(CLOCK_REALTIME), count, &line);
	send(teller, level_of(event), &line);
}

void belay__teller_note(struct belay__teller *teller, const char *what, const char *note)
{
	struct belay__text line;

	belay__text_init(&line, teller->line, sizeof(teller->line));
	belay__event_write_note(what, note, teller->seq, belay__clock_ns(CLOCK_REALTIME),
		belay__clock_ns(CLOCK_MONOTONIC), &line);
	send(teller, BELAY__LOG_NOTICE, &line);
}

void belay__teller_acted(struct belay__teller *teller, const struct belay__msg_acted *acted)
{
	struct belay__text line;

	belay__text_init(&line, teller->line, sizeof(teller->line));
	belay__event_write_acted(acted, teller->seq, belay__clock_ns(CLOCK_REALTIME), &line);
	send(teller, (enum belay__log_level)belay__acted_level((enum belay__acted)acted->outcome),
		&line);
}

const char *belay__teller_line(const struct belay__teller *teller)
{
	return teller->line;
}

uint64_t belay__teller_last_seq(const struct belay__teller *teller)
{
	return teller->seq - 1;
}

BELAY__HOT bool belay__teller_wants_rotation(struct belay__teller *teller)
{
	uint64_t now_ns;

	if (!teller->full)
		return false;
	now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	if (teller->rotation_asked_ns != 0 && now_ns - teller->rotation_asked_ns < ROTATION_AGAIN_NS)
		return false;
	teller->rotation_asked_ns = now_ns;
	return true;
}

void belay__teller_file_take(struct belay__teller *teller, int fd)
{
	uint64_t written = teller->file.written, lost = teller->file.lost;

	belay__event_file_done(&teller->file);
	belay__event_file_init_take(&teller->file, fd);
	teller->file.written = written;
	teller->file.lost = lost;
	teller->full = false;
	teller->rotation_asked_ns = 0;
}
