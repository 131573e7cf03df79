#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

/* A line no longer than PIPE_BUF is written whole or not at all, also when several processes share
 * the pipe. */
#define LINE_SIZE 4096

enum place { PLACE_TERMINAL, PLACE_JOURNAL, PLACE_OTHER };

static struct {
	const char *program;
	enum belay__log_format format;
	enum place place;
	mode_t type; /* of the file that stderr is: S_IFSOCK, S_IFIFO, ... */
	uint64_t dropped;
} the_log = { .program = "belay", .place = PLACE_OTHER };

/* systemd names the device and the inode of the stream that it connected to its journal. */
static bool is_journal(const struct stat *stat)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	char *end;

	if (stream == NULL)
		return false;
	device = strtoull(stream, &end, 10);
	if (*end != ':')
		return false;
	inode = strtoull(end + 1, &end, 10);
	return *end == '\0' && device == stat->st_dev && inode == stat->st_ino;
}

void belay__log_init(const char *program, enum belay__log_format format)
{
	struct stat stat;

	the_log.program = program;
	the_log.format = format;
	the_log.place = PLACE_OTHER;
	the_log.type = 0;
	if (fstat(STDERR_FILENO, &stat) < 0)
		return;

	the_log.type = stat.st_mode & S_IFMT;
	if (is_journal(&stat))
		the_log.place = PLACE_JOURNAL;
	else if (isatty(STDERR_FILENO))
		the_log.place = PLACE_TERMINAL;
}

/* stderr is shared with others, so it is not made non-blocking; each write asks for that by
 * itself. */
static ssize_t write_now(const char *line, size_t len)
{
	const struct iovec vector = { .iov_base = (void *)(uintptr_t)line, .iov_len = len };
	struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t n;

	if (the_log.type == S_IFSOCK)
		return send(STDERR_FILENO, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	/* A pipe without a reader would raise SIGPIPE, and one without room for a line could
	 * block. */
	if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0 ||
		(ready.revents & (POLLERR | POLLHUP)) != 0)
		return -1;
	if (the_log.type == S_IFIFO) {
		n = syscall(SYS_pwritev2, STDERR_FILENO, &vector, 1L, -1L, -1L, RWF_NOWAIT);
		if (n >= 0 || errno == EAGAIN)
			return n;
	}
	return write(STDERR_FILENO, line, len);
}

static void write_line(const char *line, size_t len)
{
	int saved = errno;

	if (write_now(line, len) != (ssize_t)len)
		the_log.dropped++;
	errno = saved;
}

static const char *name_of(enum belay__log_level level)
{
	switch (level) {
	case BELAY__LOG_ERROR:
		return "error";
	case BELAY__LOG_WARNING:
		return "warning";
	case BELAY__LOG_NOTICE:
		return "notice";
	case BELAY__LOG_INFO:
		break;
	}
	return "info";
}

static void add_local_time(struct belay__text *line)
{
	time_t now = time(NULL);
	struct tm local;
	char clock[16];

	if (localtime_r(&now, &local) != NULL &&
		strftime(clock, sizeof(clock), "%H:%M:%S ", &local) > 0)
		belay__text_add(line, clock);
}

/* Names and paths come from others: none of them may begin a line of its own or move the cursor. */
static void add_printable(struct belay__text *line, const char *message)
{
	for (const char *c = message; *c != '\0'; c++)
		belay__text_add_bytes(line, (unsigned char)*c < ' ' || *c == '\x7f' ? "?" : c, 1);
}

static void write_text(enum belay__log_level level, const char *message)
{
	char buffer[LINE_SIZE];
	struct belay__text line;

	belay__text_init(&line, buffer, sizeof(buffer) - 1);
	if (the_log.place == PLACE_JOURNAL) {
		belay__text_add(&line, "<");
		belay__text_add_u64(&line, level);
		belay__text_add(&line, ">");
	} else {
		if (the_log.place == PLACE_TERMINAL) {
			add_local_time(&line);
		} else {
			belay__text_add_time(&line, belay__clock_ns(CLOCK_REALTIME));
			belay__text_add(&line, " ");
		}
		belay__text_add(&line, the_log.program);
		belay__text_add(&line, ": ");
		if (level <= BELAY__LOG_WARNING) {
			belay__text_add(&line, name_of(level));
			belay__text_add(&line, ": ");
		}
	}
	add_printable(&line, message);
	/* A line that was too long is cut; the buffer keeps one byte for this. */
	buffer[line.len] = '\n';
	write_line(buffer, line.len + 1);
}

/* Ends and writes a JSON line, unless it was cut: half of one would be worse than none. */
static void write_json(struct belay__text *line)
{
	belay__text_add(line, "\n");
	if (line->overflowed)
		the_log.dropped++;
	else
		write_line(line->chars, line->len);
}

static void write_message_as_json(enum belay__log_level level, const char *message)
{
	char buffer[LINE_SIZE], now[32];
	struct belay__json_writer json;
	struct belay__text line, time;

	belay__text_init(&time, now, sizeof(now));
	belay__text_add_time(&time, belay__clock_ns(CLOCK_REALTIME));

	belay__text_init(&line, buffer, sizeof(buffer));
	belay__json_start(&json, &line);
	belay__json_object(&json, NULL);
	belay__json_string(&json, "time", now);
	belay__json_string(&json, "level", name_of(level));
	belay__json_string(&json, "message", message);
	belay__json_end_object(&json);
	write_json(&line);
}

void belay__log(enum belay__log_level level, const char *format, ...)
{
	char message[1024];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);

	if (the_log.format == BELAY__LOG_JSON)
		write_message_as_json(level, message);
	else
		write_text(level, message);
}

void belay__log_line(enum belay__log_level level, const char *text, const char *json_line)
{
	char buffer[LINE_SIZE];
	struct belay__text line;

	if (the_log.format != BELAY__LOG_JSON) {
		write_text(level, text);
		return;
	}
	belay__text_init(&line, buffer, sizeof(buffer));
	belay__text_add(&line, json_line);
	write_json(&line);
}

uint64_t belay__log_dropped(void)
{
	return the_log.dropped;
}
