#include "cmd/events_follow.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "cmd/cmd.h"

/* How often a new observer is looked for. */
#define RETRY_NS (200 * BELAY__NS_PER_MS)
/* Between reading the file and being heard by the observer an event can pass by; one more look
 * finds it. */
#define SECOND_LOOK_NS (500 * BELAY__NS_PER_MS)
#define QUIET_NS       (3600 * BELAY__NS_PER_S)
/* As many missed events are looked for in the file. */
#define CATCH_UP_MAX 100000

int belay__events_subscribe(struct belay__ask *ask, struct belay_error *reterr)
{
	const struct belay__hello hello = { .type = BELAY__HELLO_EVENTS };

	return belay__ask_say(ask, &hello, reterr);
}

static void catch_up(struct belay__events *events)
{
	if (events->path[0] != '\0' && events->any)
		(void)belay__events_tail(events, CATCH_UP_MAX);
}

static int show_told(void *data, const char *line, size_t len, struct belay_error *reterr)
{
	struct belay__events *events = data;

	(void)reterr;
	if (belay__events_gap(events, line, len))
		catch_up(events);
	(void)belay__events_show(events, line, len);
	return events->output->error;
}

/* Shows what one observer tells. 0 when it has ended, or a negative errno with a sentence. */
static int listen_to(struct belay__events *events, struct belay__ask *ask,
	struct belay_error *reterr)
{
	uint64_t patience_ns = SECOND_LOOK_NS;
	struct belay__answer answer = { .code = 0 };
	int r;

	for (;;) {
		if (belay__output_flush(events->output) < 0)
			return belay__fail(reterr, events->output->error, "standard output is gone");
		r = belay__ask_hear(ask, belay__clock_ns(CLOCK_MONOTONIC) + patience_ns, &answer,
			reterr);
		if (r == -ETIMEDOUT) {
			if (patience_ns == SECOND_LOOK_NS)
				catch_up(events);
			patience_ns = QUIET_NS;
			continue;
		}
		if (r == -ECONNRESET)
			return 0;
		if (r < 0)
			return r;
		if (answer.part == BELAY__HELLO_DONE && answer.code < 0)
			return belay__fail(reterr, answer.code, "the observer at %s says: %s",
				ask->socket, answer.text);
		if (answer.part == BELAY__HELLO_DONE)
			return 0;
		r = belay__answer_lines(&answer, show_told, events, reterr);
		if (r < 0)
			return r;
	}
}

/* Waits for the next observer and subscribes. 0, or a negative errno with a sentence when one is
 * there but cannot be asked. */
static int find_next(struct belay__ask *ask, const char *socket, struct belay_error *reterr)
{
	for (;;) {
		const struct timespec retry = belay__timespec(RETRY_NS);
		int r;

		/* Before the first attempt, too: one that hangs up on us at once is not to be
		 * besieged. */
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &retry, NULL);
		r = belay__ask_open(ask, socket,
			belay__clock_ns(CLOCK_MONOTONIC) + BELAY__ASK_PACKET_NS, reterr);
		if (r >= 0)
			r = belay__events_subscribe(ask, reterr);
		if (r >= 0 || belay__exit_code(r) != BELAY__EXIT_ABSENT)
			return r;
		belay__ask_close(ask);
	}
}

int belay__events_follow(struct belay__events *events, struct belay__ask *ask, const char *socket)
{
	struct belay_error error;
	int r;

	events->fresh_only = true;
	for (;;) {
		r = listen_to(events, ask, &error);
		if (r < 0)
			break;
		belay__complain("the observer at %s has ended; waiting for the next", ask->socket);
		belay__ask_close(ask);
		r = find_next(ask, socket, &error);
		if (r < 0)
			break;
		catch_up(events);
	}
	belay__ask_close(ask);
	if (events->output->error != 0)
		return belay__output_finish(events->output);
	return belay__complain_error(&error);
}
