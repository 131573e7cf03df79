#include "observe/pausing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ipc/channel.h"
#include "observe/core.h"

/* A timer that is due a little early would be set again for nothing. */
#define LATER_NS BELAY__NS_PER_MS

static void tell_parent(const char *pattern, uint64_t until_realtime_ns)
{
	struct belay__msg_pause pause = { .until_realtime_ns = until_realtime_ns };

	memcpy(pause.pattern, pattern, strnlen(pattern, sizeof(pause.pattern) - 1));
	(void)belay__channel_send(BELAY__ROLE_CHANNEL, BELAY__MSG_PAUSE, &pause, sizeof(pause),
		-EBADF);
}

static void on_over(struct belay__timer *timer, uint64_t now_ns);

static void arm(struct belay__pausing *pausing)
{
	struct belay_observer *observer = pausing->observer;
	uint64_t next_ns = belay__pauses_next_ns(observer);

	belay__timer_set(belay__observer_loop(observer), &pausing->timer,
		next_ns == UINT64_MAX ? UINT64_MAX
				      : belay__timer_due_ns(observer, next_ns + LATER_NS),
		on_over, pausing);
}

static void on_over(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__pausing *pausing = timer->data;
	struct belay_observer *observer = pausing->observer;
	const struct belay__pause *pause;
	char text[BELAY__NAME_SIZE + 40];

	(void)now_ns;
	observer->now_ns = belay__watch_clock_now(&observer->clock);
	while ((pause = belay__pause_over(observer)) != NULL) {
		tell_parent(pause->pattern, 0);
		(void)snprintf(text, sizeof(text), "the pause of %s is over", pause->pattern);
		belay__teller_note(pausing->teller, "resumed", text);
	}
	arm(pausing);
}

static void go_on(const struct belay__pausing *pausing, const struct belay__msg_pause *pause)
{
	(void)belay__pause(pausing->observer, pause->pattern, pause->until_realtime_ns,
		belay__clock_ns(CLOCK_REALTIME));
}

int belay__pausing_goes_on(struct belay__pausing *pausing, const struct belay__msg_pause *pause)
{
	struct belay__msg_pause *kept;

	if (pausing->observer == NULL && pausing->early == BELAY__PAUSES_MAX)
		return -EPROTO;
	kept = &pausing->pauses[pausing->observer == NULL ? pausing->early++ : 0];
	*kept = *pause;
	kept->pattern[sizeof(kept->pattern) - 1] = '\0';
	if (pausing->observer == NULL)
		return 0;
	go_on(pausing, kept);
	arm(pausing);
	return 0;
}

void belay__pausing_begin(struct belay__pausing *pausing, struct belay_observer *observer,
	struct belay__teller *teller)
{
	pausing->observer = observer;
	pausing->teller = teller;
	for (uint32_t i = 0; i < pausing->early; i++)
		go_on(pausing, &pausing->pauses[i]);
	arm(pausing);
}

void belay__pausing_asked(struct belay__pausing *pausing, const char *pattern,
	uint64_t until_realtime_ns, uint32_t uid)
{
	char words[200];
	struct belay__text text;

	belay__text_init(&text, words, sizeof(words));
	belay__text_addf(&text, "uid %u %s %s", uid, until_realtime_ns != 0 ? "paused" : "resumed",
		pattern);
	if (until_realtime_ns != 0) {
		belay__text_add(&text, " until ");
		belay__text_add_time(&text, until_realtime_ns);
	}
	tell_parent(pattern, until_realtime_ns);
	belay__teller_note(pausing->teller, until_realtime_ns != 0 ? "paused" : "resumed", words);
	arm(pausing);
}
