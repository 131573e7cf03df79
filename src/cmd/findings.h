/* findings.h - what belay doctor found, collected to be printed at once */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

enum belay__level { BELAY__LEVEL_OK, BELAY__LEVEL_WARN, BELAY__LEVEL_FAIL };

#define BELAY__FINDINGS_MAX 96

struct belay__finding {
	enum belay__level level;
	const char *check; /* which check found it */
	char text[320];    /* what is */
	char advice[320];  /* what to do; "": nothing */
};

struct belay__findings {
	const char *check; /* that is looking now */
	size_t count;      /* more than BELAY__FINDINGS_MAX are left out */
	size_t counts[3];  /* by level */
	struct belay__finding found[BELAY__FINDINGS_MAX];
};

/* Adds a finding. ADVICE is what to do, "" when nothing is wrong. */
__attribute__((format(printf, 4, 5))) void belay__found(struct belay__findings *findings,
	enum belay__level level, const char *advice, const char *format, ...);

/* Writes the findings, one or two lines each, or one JSON object. */
void belay__findings_show(const struct belay__findings *findings, bool coloured,
	struct belay__text *text);
void belay__findings_json(const struct belay__findings *findings, struct belay__text *text);
