#include "export/audit_verify.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "export/line_reader.h"

struct verifier {
	struct belay__audit_hasher hasher;
	struct belay__audit_verdict verdict;
	bool foreign; /* in lines of another schema, behind which a header may begin the log */
	struct belay__line_reader reader;
};

__attribute__((format(printf, 2, 3))) static void blame(struct verifier *verifier,
	const char *format, ...)
{
	struct belay__audit_verdict *verdict = &verifier->verdict;
	va_list arguments;

	verdict->broken = true;
	verdict->bad_line = verifier->reader.number;
	va_start(arguments, format);
	(void)vsnprintf(verdict->why, sizeof(verdict->why), format, arguments);
	va_end(arguments);
}

/* The first record says itself what is before it. */
static void begin(struct verifier *verifier, const struct belay__audit_record *record)
{
	if (record->kind != BELAY__AUDIT_BOOT) {
		blame(verifier, "the log does not begin with the record of a start or a rotation");
		return;
	}
	if (record->boot.has_previous)
		memcpy(verifier->verdict.head, record->boot.previous, BELAY__AUDIT_CHAIN_SIZE);
	verifier->verdict.first_seq = record->seq;
	verifier->verdict.last_seq = record->seq - 1;
}

/* Behind a torn line the original names nothing, and goes on with the chain all the same. */
static bool names_another(const struct verifier *verifier, const struct belay__audit_record *record)
{
	return record->kind == BELAY__AUDIT_BOOT &&
		(record->boot.has_previous ? memcmp(record->boot.previous, verifier->verdict.head,
						     BELAY__AUDIT_CHAIN_SIZE) != 0
					   : record->boot.reason != BELAY__AUDIT_CORRUPT_TAIL);
}

static void check_record(struct verifier *verifier, const char *line,
	const struct belay__audit_line *parsed)
{
	struct belay__audit_verdict *verdict = &verifier->verdict;
	const struct belay__audit_record *record = &parsed->record;
	uint8_t chain[BELAY__AUDIT_CHAIN_SIZE];

	if (!parsed->has_chain) {
		blame(verifier, "it carries no chain");
	} else if (verdict->records > 0 && names_another(verifier, record)) {
		blame(verifier,
			"it does not name the chain of the record before it: records between "
			"them are gone, or were changed");
	} else if (verdict->records > 0 && record->seq <= verdict->last_seq) {
		blame(verifier, "its sequence number %" PRIu64 " does not follow %" PRIu64,
			record->seq, verdict->last_seq);
	} else {
		if (verdict->records == 0)
			begin(verifier, record);
		if (verdict->broken)
			return;
		if (belay__audit_chain(&verifier->hasher, record->kind, verdict->head, line,
			    parsed->body_len, chain) < 0) {
			blame(verifier, "libcrypto could not compute its chain");
		} else if (memcmp(chain, parsed->chain, sizeof(chain)) != 0) {
			blame(verifier,
				"its chain is not that of its text and the record before it");
		} else {
			memcpy(verdict->head, chain, sizeof(chain));
			verdict->missing += record->seq - verdict->last_seq - 1;
			verdict->last_seq = record->seq;
			verdict->records++;
		}
	}
}

static bool is_header(const char *line, size_t len)
{
	return len == strlen(BELAY__AUDIT_HEADER) && memcmp(line, BELAY__AUDIT_HEADER, len) == 0;
}

static void check_line(struct verifier *verifier, const char *line, size_t len)
{
	struct belay__audit_line parsed;
	const char *why = "";

	/* A header stands first in a file, or behind all that is of another schema. */
	if ((verifier->reader.number == 1 || verifier->foreign) && is_header(line, len)) {
		verifier->foreign = false;
	} else if (verifier->reader.number == 1 && verifier->verdict.records > 0) {
		blame(verifier, "it is not the header of an audit log of version 2");
	} else if (verifier->reader.number == 1 || verifier->foreign) {
		verifier->foreign = true;
		verifier->verdict.foreign_lines++;
	} else if (belay__audit_parse(line, len, &parsed, &why) < 0) {
		blame(verifier, "%s", why);
	} else {
		check_record(verifier, line, &parsed);
	}
}

/* One file; NEWEST: it may end inside a line. 0 or a negative errno. */
static int check_file(struct verifier *verifier, int fd, bool newest)
{
	const char *line = NULL;
	size_t len = 0;
	int r;

	belay__line_reader_init(&verifier->reader, fd, 0);
	for (;;) {
		r = belay__line_reader_next(&verifier->reader, &line, &len);
		if (r == BELAY__LINE_NONE)
			return 0;
		if (r < 0 && r != -EMSGSIZE)
			return r;
		if (r == -EMSGSIZE) {
			blame(verifier, "it is longer than %d bytes", BELAY__LINE_MAX);
		} else if (r == BELAY__LINE_WHOLE) {
			check_line(verifier, line, len);
		} else if (newest) {
			verifier->verdict.torn = true;
			verifier->verdict.bad_line = verifier->reader.number;
			return 0;
		} else {
			blame(verifier, "it is cut short, and newer files follow");
		}
		if (verifier->verdict.broken)
			return 0;
	}
}

static int check_files(struct verifier *verifier, const int *fds, const unsigned *generations,
	unsigned count)
{
	int r = 0;

	for (unsigned i = count; i-- > 0 && r >= 0 && !verifier->verdict.broken;) {
		verifier->verdict.bad_generation = generations[i];
		r = check_file(verifier, fds[i], i == 0);
	}
	if (r >= 0 && !verifier->verdict.broken && verifier->foreign) {
		verifier->reader.number = 1;
		verifier->verdict.bad_generation = generations[count - 1];
		blame(verifier, "it is not the header of an audit log of version 2");
	}
	verifier->verdict.torn = verifier->verdict.torn && !verifier->verdict.broken;
	return r;
}

int belay__audit_verify_files(const int *fds, const unsigned *generations, unsigned count,
	struct belay__audit_verdict *ret_verdict)
{
	struct verifier *verifier;
	int r;

	assert(count > 0);

	verifier = calloc(1, sizeof(*verifier));
	if (verifier == NULL)
		return -ENOMEM;
	verifier->verdict.files = count;
	r = belay__audit_hasher_init(&verifier->hasher);
	if (r >= 0)
		r = check_files(verifier, fds, generations, count);
	if (r >= 0)
		*ret_verdict = verifier->verdict;
	belay__audit_hasher_done(&verifier->hasher);
	free(verifier);
	return r;
}

struct files {
	int fds[BELAY__AUDIT_FILES];
	unsigned generations[BELAY__AUDIT_FILES];
	ino_t inodes[BELAY__AUDIT_FILES];
	unsigned count;
};

static bool is_known(const struct files *files, ino_t inode)
{
	for (unsigned i = 0; i < files->count; i++)
		if (files->inodes[i] == inode)
			return true;
	return false;
}

/* Opens generation I behind the newer ones. One that is not there is left out, and so is one that
 * was moved up while we were looking. */
static int open_one(const char *path, unsigned i, struct files *files, struct belay_error *reterr)
{
	_cleanup_close_ int fd = -EBADF;
	char name[BELAY__GENERATION_PATH_SIZE];
	struct stat stat;

	if (belay__generation_name(path, i, name, sizeof(name)) < 0)
		return belay__fail(reterr, -ENAMETOOLONG, "the path %.64s... is too long", path);
	fd = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 && errno == ELOOP)
		return belay__fail(reterr, -ELOOP, "%s is a symbolic link; name the file itself",
			name);
	if (fd < 0 || fstat(fd, &stat) < 0)
		return belay__fail(reterr, -errno, "cannot open %s: %s", name, strerror(errno));
	if (!S_ISREG(stat.st_mode))
		return belay__fail(reterr, -EINVAL, "%s is not a regular file", name);
	if (is_known(files, stat.st_ino))
		return 0;
	files->inodes[files->count] = stat.st_ino;
	files->generations[files->count] = i;
	files->fds[files->count++] = TAKE_FD(fd);
	return 0;
}

int belay__audit_verify(const char *path, struct belay__audit_verdict *ret_verdict,
	struct belay_error *reterr)
{
	struct files files = { 0 };
	int r = 0;

	for (unsigned i = 0; i < BELAY__AUDIT_FILES && r >= 0; i++)
		r = open_one(path, i, &files, reterr);
	if (r >= 0 && files.count == 0)
		r = belay__fail(reterr, -ENOENT, "there is no file %s", path);
	if (r >= 0) {
		r = belay__audit_verify_files(files.fds, files.generations, files.count,
			ret_verdict);
		if (r < 0)
			(void)belay__fail(reterr, r, "cannot verify %s: %s", path, strerror(-r));
	}
	while (files.count > 0)
		(void)belay__close(files.fds[--files.count]);
	return r;
}
