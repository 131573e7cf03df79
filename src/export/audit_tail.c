#include "export/audit_tail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/line_reader.h"

/* Several of the longest lines. */
#define NEAR_THE_END ((uint64_t)4 * BELAY__LINE_MAX)

static bool is_text(const char *line, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(line, text, len) == 0;
}

/* Looks at the first line; the beginning of a header that was torn is ours as well. */
static int read_header(struct belay__line_reader *reader, int fd, struct belay__audit_tail *tail)
{
	const char *line = "";
	size_t len = 0;
	int r;

	belay__line_reader_init(reader, fd, 0);
	r = belay__line_reader_next(reader, &line, &len);
	if (r < 0 && r != -EMSGSIZE)
		return r;
	if (r == BELAY__LINE_NONE)
		tail->ours = true;
	else if (r == BELAY__LINE_TORN)
		tail->ours = len < sizeof(BELAY__AUDIT_HEADER) &&
			memcmp(line, BELAY__AUDIT_HEADER, len) == 0;
	else if (r == BELAY__LINE_WHOLE)
		tail->ours = is_text(line, len, BELAY__AUDIT_HEADER);
	tail->legacy = r == BELAY__LINE_WHOLE && is_text(line, len, BELAY__AUDIT_HEADER_V1);
	return 0;
}

/* Remembers the last record among the whole lines from FROM on. */
static int find_record(struct belay__line_reader *reader, int fd, uint64_t from,
	struct belay__audit_tail *tail)
{
	struct belay__audit_line parsed;
	const char *line;
	size_t len;
	int r;

	belay__line_reader_init(reader, fd, from);
	while ((r = belay__line_reader_next(reader, &line, &len)) == BELAY__LINE_WHOLE ||
		r == -EMSGSIZE) {
		if (r >= 0 && is_text(line, len, BELAY__AUDIT_HEADER))
			tail->ours = true;
		tail->record_is_end = r >= 0 && belay__audit_parse(line, len, &parsed, NULL) == 0;
		if (!tail->record_is_end)
			continue;
		tail->has_record = true;
		tail->seq = parsed.record.seq;
		tail->has_chain = parsed.has_chain;
		memcpy(tail->chain, parsed.chain, sizeof(tail->chain));
	}
	return r < 0 ? r : 0;
}

/* A record is found from its own beginning only: the second half of a line might look like one. */
static int near_the_end(int fd, uint64_t bytes, uint64_t *ret_from)
{
	*ret_from = 0;
	return bytes <= NEAR_THE_END ? 0 : belay__last_line_end(fd, bytes - NEAR_THE_END, ret_from);
}

int belay__audit_tail_read(int fd, struct belay__audit_tail *ret_tail)
{
	struct belay__line_reader *reader;
	struct belay__audit_tail tail = { 0 };
	struct stat stat;
	uint64_t from;
	int r;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -EINVAL;
	r = belay__last_line_end(fd, (uint64_t)stat.st_size, &tail.bytes);
	if (r < 0)
		return r;
	tail.torn = (uint64_t)stat.st_size > tail.bytes;

	reader = malloc(sizeof(*reader));
	if (reader == NULL)
		return -ENOMEM;
	r = read_header(reader, fd, &tail);
	if (r >= 0)
		r = near_the_end(fd, tail.bytes, &from);
	if (r >= 0)
		r = find_record(reader, fd, from, &tail);
	if (r >= 0 && !tail.has_record && from > 0)
		r = find_record(reader, fd, 0, &tail);
	free(reader);
	if (r >= 0)
		*ret_tail = tail;
	return r;
}
