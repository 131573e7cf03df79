#include "cmd/output.h"

#include <assert.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cmd/cmd.h"

#define FORMATTED_SIZE 1024

void belay__output_start(struct belay__output *output, int fd)
{
	(void)signal(SIGPIPE, SIG_IGN);
	output->fd = fd;
	output->error = 0;
	output->len = 0;
}

int belay__output_flush(struct belay__output *output)
{
	if (output->error == 0 && output->len > 0)
		output->error = belay__write_all(output->fd, output->bytes, output->len);
	output->len = 0;
	return output->error;
}

void belay__output_add_bytes(struct belay__output *output, const char *bytes, size_t len)
{
	while (len > 0 && output->error == 0) {
		size_t room = sizeof(output->bytes) - output->len;
		size_t n = len < room ? len : room;

		memcpy(output->bytes + output->len, bytes, n);
		output->len += n;
		bytes += n;
		len -= n;
		if (output->len == sizeof(output->bytes))
			(void)belay__output_flush(output);
	}
}

void belay__output_add(struct belay__output *output, const char *string)
{
	belay__output_add_bytes(output, string, strlen(string));
}

void belay__output_addf(struct belay__output *output, const char *format, ...)
{
	char formatted[FORMATTED_SIZE];
	va_list arguments;
	int len;

	va_start(arguments, format);
	len = vsnprintf(formatted, sizeof(formatted), format, arguments);
	va_end(arguments);
	assert(len >= 0 && (size_t)len < sizeof(formatted));
	belay__output_add_bytes(output, formatted, (size_t)len);
}

int belay__output_finish(struct belay__output *output)
{
	if (belay__output_flush(output) == 0)
		return BELAY__EXIT_OK;
	belay__complain("cannot write to standard output: %s", strerror(-output->error));
	return BELAY__EXIT_FAILED;
}

bool belay__output_is_coloured(int fd)
{
	const char *unwanted = getenv("NO_COLOR"), *term = getenv("TERM");

	if (unwanted != NULL && unwanted[0] != '\0')
		return false;
	return term != NULL && strcmp(term, "dumb") != 0 && isatty(fd);
}
