#include "base/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A sentence is one line whatever went into it: paths and names come from elsewhere. */
static void keep_on_one_line(char *text)
{
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == '\x7f')
			*c = '?';
}

int belay__fail(struct belay_error *reterr, int code, const char *format, ...)
{
	va_list arguments;

	assert(code < 0);

	if (reterr != NULL) {
		reterr->code = code;
		va_start(arguments, format);
		(void)vsnprintf(reterr->text, sizeof(reterr->text), format, arguments);
		va_end(arguments);
		keep_on_one_line(reterr->text);
	}
	return code;
}

int belay__wrap(struct belay_error *reterr, int code, const char *format, ...)
{
	struct belay_error inner;
	va_list arguments;
	size_t len;

	assert(code < 0);

	if (reterr == NULL)
		return code;

	inner = *reterr;
	reterr->code = code;
	va_start(arguments, format);
	(void)vsnprintf(reterr->text, sizeof(reterr->text), format, arguments);
	va_end(arguments);

	len = strlen(reterr->text);
	(void)snprintf(reterr->text + len, sizeof(reterr->text) - len, ": %.*s",
		(int)sizeof(inner.text) - 1, inner.text);
	keep_on_one_line(reterr->text);
	return code;
}
