/* audit_fuzz.c - any bytes as a line of an audit log, and as the log that an observer finds when it
 * starts
 *
 * Input: a byte, then the rest. Even: the rest is a line. What is read is written again the same.
 * Odd: the rest is a file. Whatever it holds, a log goes on behind it; and when nothing but its end
 * was wrong before, all of it is whole after.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "export/audit_line.h"
#include "export/audit_log.h"
#include "export/audit_verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(const struct belay__audit_line *parsed, char *line, size_t size)
{
	static struct belay__audit_hasher hasher;
	const uint8_t zeros[BELAY__AUDIT_CHAIN_SIZE] = { 0 };
	uint8_t chain[BELAY__AUDIT_CHAIN_SIZE];
	int len;

	if (hasher.context == NULL)
		assert(belay__audit_hasher_init(&hasher) == 0);
	len = belay__audit_format(&hasher, &parsed->record, zeros, line, size, chain);
	assert(len > 0 && line[len - 1] == '\n');
	line[len - 1] = '\0';
}

static void check_line(const char *line, size_t len)
{
	static char again[1 << 17], once_more[1 << 17];
	struct belay__audit_line parsed, reparsed;
	const char *why = NULL;

	if (len > sizeof(again) / 2)
		return;
	if (belay__audit_parse(line, len, &parsed, &why) < 0) {
		assert(why != NULL && why[0] != '\0');
		return;
	}
	assert(parsed.record.seq > 0 && parsed.body_len < len && line[parsed.body_len] == '\t');
	write_again(&parsed, again, sizeof(again));
	assert(belay__audit_parse(again, strlen(again), &reparsed, NULL) == 0);
	write_again(&reparsed, once_more, sizeof(once_more));
	assert(strcmp(again, once_more) == 0);
	assert(reparsed.body_len == parsed.body_len);
	assert(memcmp(line, again, parsed.body_len) == 0);
}

static void verify(int fd, struct belay__audit_verdict *verdict)
{
	const unsigned newest = 0;

	assert(belay__audit_verify_files(&fd, &newest, 1, verdict) == 0);
	assert(!verdict->broken || verdict->why[0] != '\0');
	assert(!(verdict->broken && verdict->torn));
	assert(verdict->records == 0 || verdict->last_seq >= verdict->first_seq);
}

static void go_on(int fd)
{
	const struct belay__audit_options options = { .sync_every = 1000 };
	const struct belay__audit_record record = {
		.kind = BELAY__AUDIT_REFUSED,
		.refused = { .agent_pid = 7, .reason = { .bytes = "debounced", .len = 9 } },
	};
	struct belay__audit_log *log = NULL;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	assert(copy >= 0);
	assert(belay__audit_log_open_take(copy, -EBADF, &options, &log, NULL) == 0);
	assert(belay__audit_log_add(log, &record));
	assert(belay__audit_log_drain(log, (struct belay__audit_time){ 1, 2 }, UINT64_MAX) == 0);
	assert(belay__audit_log_queued(log) == 0);
	(void)belay__audit_log_free(log);
}

static void check_file(const char *bytes, size_t len)
{
	_cleanup_close_ int fd = memfd_create("audit", MFD_CLOEXEC);
	struct belay__audit_verdict before, after;

	assert(fd >= 0 && fcntl(fd, F_SETFL, O_APPEND) == 0);
	assert(belay__write_all(fd, bytes, len) == 0);
	verify(fd, &before);
	go_on(fd);
	verify(fd, &after);
	if (before.broken || before.last_seq > INT64_MAX - 2)
		return;
	assert(!after.broken && !after.torn);
	assert(after.records == before.records + 2);
	/* What looks like a record in front of the header gives the number, too. */
	assert(before.records == 0 || after.last_seq == before.last_seq + 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 1 << 18)
		return 0;
	if ((data[0] & 1) == 0)
		check_line((const char *)data + 1, size - 1);
	else
		check_file((const char *)data + 1, size - 1);
	return 0;
}
