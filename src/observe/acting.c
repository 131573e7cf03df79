#include "observe/acting.h"

#include "base/log.h"

static const struct row {
	const char *event, *word, *audit;
	int level;
} rows[BELAY__ACTED_COUNT] = {
#define X(id, event_, word_, level_, audit_)                                                       \
	[BELAY__ACTED_##id] = { .event = event_,                                                   \
		.word = word_,                                                                     \
		.audit = audit_,                                                                   \
		.level = BELAY__LOG_##level_ },
	BELAY__ACTED(X)
#undef X
};

static const struct row *row_of(enum belay__acted outcome)
{
	static const struct row none = { "action", "unknown", "", BELAY__LOG_WARNING };

	return (unsigned)outcome < BELAY__ACTED_COUNT ? &rows[outcome] : &none;
}

const char *belay__acted_event(enum belay__acted outcome)
{
	return row_of(outcome)->event;
}

const char *belay__acted_word(enum belay__acted outcome)
{
	return row_of(outcome)->word;
}

const char *belay__acted_audit(enum belay__acted outcome)
{
	return row_of(outcome)->audit;
}

int belay__acted_level(enum belay__acted outcome)
{
	return row_of(outcome)->level;
}

const char *belay__alert_word(enum belay__alert_kind kind)
{
	static const char *const words[BELAY__ALERT_KIND_COUNT] = {
#define X(id, word) [BELAY__ALERT_##id] = word,
		BELAY__ALERT_KINDS(X)
#undef X
	};

	return (unsigned)kind < BELAY__ALERT_KIND_COUNT ? words[kind] : "unknown";
}
