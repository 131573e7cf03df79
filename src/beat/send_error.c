#include <belay/beat.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct belay_outcome dropped(enum belay_drop_reason reason, int error)
{
	return (struct belay_outcome){
		.sent = BELAY_DROPPED,
		.reason = (uint8_t)reason,
		.error = error,
	};
}

struct belay_outcome belay_classify_send_error(int error)
{
	switch (error) {
	case EAGAIN:
	case ENOBUFS:
		return dropped(BELAY_DROP_QUEUE_FULL, error);
	case ENOENT:
	case ECONNREFUSED:
		return dropped(BELAY_DROP_NO_OBSERVER, error);
	case ECONNRESET:
	case ENOTCONN:
	case EPIPE:
		return dropped(BELAY_DROP_PEER_GONE, error);
	case ENOSPC:
		return dropped(BELAY_DROP_STORAGE_FULL, error);
	default:
		return (struct belay_outcome){ .sent = BELAY_FAILED, .error = error };
	}
}

const char *belay_drop_reason_text(enum belay_drop_reason reason)
{
	static const char *const texts[] = {
		[BELAY_DROP_NONE] = "",
		[BELAY_DROP_QUEUE_FULL] = "queue full",
		[BELAY_DROP_NO_OBSERVER] = "no observer",
		[BELAY_DROP_PEER_GONE] = "peer gone",
		[BELAY_DROP_STORAGE_FULL] = "storage full",
	};

	return (unsigned)reason < sizeof(texts) / sizeof(texts[0]) ? texts[reason] : "";
}

int belay_outcome_text(const struct belay_outcome *outcome, char *text, unsigned long size)
{
	switch ((enum belay_sent)outcome->sent) {
	case BELAY_SENT:
		return snprintf(text, size, "sent");
	case BELAY_DROPPED:
		return snprintf(text, size, "dropped: %s",
			belay_drop_reason_text((enum belay_drop_reason)outcome->reason));
	case BELAY_FAILED:
		return snprintf(text, size, "failed: %s", strerror(outcome->error));
	}
	return snprintf(text, size, "unknown outcome %u", (unsigned)outcome->sent);
}
