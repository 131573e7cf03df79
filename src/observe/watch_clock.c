#include "observe/watch_clock.h"

#include "base/clock.h"
#include "base/hot.h"

void belay__watch_clock_init(struct belay__watch_clock *clock, clockid_t source,
	uint64_t (*read)(void *), void *data)
{
	*clock = (struct belay__watch_clock){ .read = read, .data = data, .source = source };
	clock->now_ns = read != NULL ? read(data) : belay__clock_ns(source);
	clock->start_ns = clock->now_ns;
}

BELAY__HOT uint64_t belay__watch_clock_feed(struct belay__watch_clock *clock, uint64_t raw_ns)
{
	if (raw_ns < clock->now_ns) {
		clock->regressions++;
		return clock->now_ns;
	}
	if (clock->now_ns > 0 && raw_ns - clock->now_ns > BELAY__CLOCK_JUMP_NS)
		clock->jumps_forward++;
	clock->now_ns = raw_ns;
	return raw_ns;
}

BELAY__HOT uint64_t belay__watch_clock_now(struct belay__watch_clock *clock)
{
	return belay__watch_clock_feed(clock,
		clock->read != NULL ? clock->read(clock->data) : belay__clock_ns(clock->source));
}

void belay__watch_clock_was_late(struct belay__watch_clock *clock, uint64_t late_ns)
{
	clock->late_at_ns = clock->now_ns;
	clock->late_ns = late_ns;
	clock->credit_ns += late_ns;
}

uint64_t belay__watch_clock_late_since(const struct belay__watch_clock *clock, uint64_t since_ns)
{
	return clock->late_ns > 0 && clock->late_at_ns >= since_ns ? clock->late_ns : 0;
}
