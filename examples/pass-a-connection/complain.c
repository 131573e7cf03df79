#include "complain.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define EVERY_MS 1000

void complain(struct complaint *complaint, const char *format, ...)
{
	struct timespec now;
	char text[512];
	uint64_t now_ms;
	va_list arguments;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	if (now_ms < complaint->due_ms) {
		complaint->unsaid++;
		return;
	}
	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (complaint->unsaid > 0)
		(void)fprintf(stderr, "%s (and %lu before it)\n", text, complaint->unsaid);
	else
		(void)fprintf(stderr, "%s\n", text);
	*complaint = (struct complaint){ .due_ms = now_ms + EVERY_MS };
}
