#include "export/event_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"

/* An event is far shorter; what is longer was not written by us, and is skipped as torn ones
 * are. */
#define LONGEST_LINE 32768
#define LONGEST_PATH 2048

/* Whether the last of SIZE bytes in FD is no newline. FD is open for writing only: its file is opened
 * once more to look. Who may not look (a role in its cage) was given it by who did, below. */
static bool is_torn(int fd, off_t size)
{
	_cleanup_close_ int readable = -EBADF;
	char path[32], last;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readable = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return readable >= 0 && pread(readable, &last, 1, size - 1) == 1 && last != '\n';
}

void belay__event_file_init_take(struct belay__event_file *file, int fd)
{
	struct stat stat;

	*file = (struct belay__event_file){ .fd = fd };
	if (fd < 0 || fstat(fd, &stat) < 0 || stat.st_size <= 0)
		return;
	file->bytes = (uint64_t)stat.st_size;
	file->torn = is_torn(fd, stat.st_size);
}

void belay__event_file_done(struct belay__event_file *file)
{
	file->fd = belay__close(file->fd);
}

int belay__event_file_append(struct belay__event_file *file, const char *line, size_t len)
{
	char newline = '\n';
	struct iovec parts[2] = {
		{ .iov_base = &newline, .iov_len = file->torn ? 1 : 0 },
		{ .iov_base = (void *)(uintptr_t)line, .iov_len = len }, /* only read */
	};
	size_t before = parts[0].iov_len;
	ssize_t n;

	if (file->fd < 0) {
		file->lost++;
		return 0;
	}
	/* Nobody could rotate it: what is on disk stays bounded all the same. */
	if (file->bytes >= 2 * BELAY__EVENT_FILE_BYTES) {
		file->lost++;
		return 1;
	}
	do
		n = writev(file->fd, parts, 2);
	while (n < 0 && errno == EINTR);

	if (n > 0)
		file->bytes += (uint64_t)n;
	if (n == (ssize_t)(before + len)) {
		file->written++;
		file->torn = false;
	} else {
		file->lost++;
		/* A newline alone has ended the torn line and begun no other. */
		if (n > 0)
			file->torn = (size_t)n > before;
	}
	return file->bytes >= BELAY__EVENT_FILE_BYTES ? 1 : 0;
}

/* The name of generation I of PATH: itself, PATH.1, PATH.2 ... */
static int name_of(const char *path, unsigned i, char *name, size_t size)
{
	int len = i == 0 ? snprintf(name, size, "%s", path) : snprintf(name, size, "%s.%u", path, i);

	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

int belay__event_file_open(const char *path, struct belay_error *reterr)
{
	const char *slash = strrchr(path, '/');
	char directory[LONGEST_PATH];
	struct stat stat;
	size_t len = slash == NULL || slash == path ? 1 : (size_t)(slash - path);
	int r;

	if (strlen(path) + 2 >= sizeof(directory))
		return belay__fail(reterr, -ENAMETOOLONG,
			"the path %.64s... is too long for an event file", path);
	memcpy(directory, slash == NULL ? "." : path, len);
	directory[len] = '\0';

	r = belay__make_private_dir(directory, reterr);
	if (r == 0)
		r = belay__open_append(path, reterr);
	if (r >= 0 && fstat(r, &stat) == 0 && stat.st_size > 0 && is_torn(r, stat.st_size))
		(void)!write(r, "\n", 1);
	return r;
}

int belay__event_file_rotate(const char *path, struct belay_error *reterr)
{
	char from[LONGEST_PATH], to[LONGEST_PATH];

	for (unsigned i = BELAY__EVENT_FILES - 1; i > 0; i--) {
		if (name_of(path, i - 1, from, sizeof(from)) < 0 ||
			name_of(path, i, to, sizeof(to)) < 0)
			return belay__fail(reterr, -ENAMETOOLONG, "the path %.64s... is too long",
				path);
		if (rename(from, to) < 0 && errno != ENOENT)
			return belay__fail(reterr, -errno, "cannot move %s to %s: %s", from, to,
				strerror(errno));
	}
	return belay__event_file_open(path, reterr);
}

/* The files of one PATH, newest first, as they were when they were opened: what is appended later
 * is not looked at. */
struct generation {
	int fd;
	off_t size;
	dev_t dev;
	ino_t ino;
};

/* A file being read line by line. */
struct lines {
	int fd;
	off_t at, end;
	char *bytes;       /* LONGEST_LINE */
	size_t start, len; /* of what is in `bytes` and not given yet */
	bool skipping;     /* inside a line that is too long */
};

/* Moves what is left to the front and reads more behind it. False at the end. */
static bool fill(struct lines *lines)
{
	ssize_t n;

	memmove(lines->bytes, lines->bytes + lines->start, lines->len);
	lines->start = 0;
	if (lines->len == LONGEST_LINE) {
		lines->skipping = true;
		lines->len = 0;
	}
	size_t room = LONGEST_LINE - lines->len;

	if (lines->end - lines->at < (off_t)room)
		room = (size_t)(lines->end - lines->at);
	if (room == 0)
		return false;
	do
		n = pread(lines->fd, lines->bytes + lines->len, room, lines->at);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	lines->at += n;
	lines->len += (size_t)n;
	return true;
}

/* The next whole line, its newline left out; NULL at the end. One that is not ended yet is none. */
static const char *next_line(struct lines *lines, size_t *ret_len)
{
	size_t searched = 0;

	for (;;) {
		const char *line = lines->bytes + lines->start;
		const char *end = memchr(line + searched, '\n', lines->len - searched);

		if (end == NULL) {
			searched = lines->len < LONGEST_LINE ? lines->len : 0;
			if (!fill(lines))
				return NULL;
			continue;
		}
		size_t len = (size_t)(end - line);

		lines->start += len + 1;
		lines->len -= len + 1;
		searched = 0;
		if (!lines->skipping) {
			*ret_len = len;
			return line;
		}
		lines->skipping = false;
	}
}

/* A torn line is no JSON object: its closing brace is its last byte. */
static bool is_event(const char *line, size_t len)
{
	struct belay__json value;

	return len >= 2 && line[0] == '{' && belay__json_parse(line, len, &value, NULL) >= 0;
}

/* Gives all events of FILE but the first SKIP to EACH (NULL: counts only). Returns how many there
 * are without SKIP. */
static uint64_t walk(const struct generation *file, char *bytes, uint64_t skip,
	void (*each)(void *data, const char *line, size_t len), void *data)
{
	struct lines lines = { .fd = file->fd, .end = file->size, .bytes = bytes };
	uint64_t count = 0;
	const char *line;
	size_t len;

	while ((line = next_line(&lines, &len)) != NULL) {
		if (!is_event(line, len))
			continue;
		if (skip > 0) {
			skip--;
			continue;
		}
		count++;
		if (each != NULL)
			each(data, line, len);
	}
	return count;
}

/* Opens NAME as one more generation behind the COUNT already open. 1, 0 when there is none or it is
 * already among them (it was moved while we were looking), or a negative errno. */
static int open_generation(const char *name, struct generation *files, unsigned count)
{
	_cleanup_close_ int fd = open(name,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat stat;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -EINVAL;
	for (unsigned i = 0; i < count; i++)
		if (files[i].dev == stat.st_dev && files[i].ino == stat.st_ino)
			return 0;
	files[count] = (struct generation){ .size = stat.st_size,
		.dev = stat.st_dev,
		.ino = stat.st_ino,
		.fd = TAKE_FD(fd) };
	return 1;
}

/* Opens all files of PATH, newest first. Returns how many, or a negative errno with none left
 * open. */
static int open_generations(const char *path, struct generation files[static BELAY__EVENT_FILES])
{
	unsigned count = 0;
	char name[LONGEST_PATH];
	int r = 0;

	for (unsigned i = 0; i < BELAY__EVENT_FILES && r >= 0; i++) {
		r = name_of(path, i, name, sizeof(name));
		if (r >= 0)
			r = open_generation(name, files, count);
		if (r > 0)
			count++;
	}
	if (r >= 0 && count > 0)
		return (int)count;
	while (count > 0)
		(void)belay__close(files[--count].fd);
	return r < 0 ? r : -ENOENT;
}

int64_t belay__event_file_tail(const char *path, uint64_t count,
	void (*each)(void *data, const char *line, size_t len), void *data)
{
	struct generation files[BELAY__EVENT_FILES] = { 0 };
	uint64_t found = 0, given = 0;
	char *bytes;
	int files_open, oldest;

	files_open = open_generations(path, files);
	if (files_open < 0)
		return files_open;
	bytes = calloc(1, LONGEST_LINE);

	/* Count from the newest file back to the one in which the first wanted event lies, then
	 * give from there on. */
	for (oldest = 0; bytes != NULL && oldest < files_open && found < count; oldest++)
		found += walk(&files[oldest], bytes, 0, NULL, NULL);
	for (int i = oldest - 1; bytes != NULL && i >= 0; i--)
		given += walk(&files[i], bytes,
			i == oldest - 1 && found > count ? found - count : 0, each, data);

	for (int i = 0; i < files_open; i++)
		(void)belay__close(files[i].fd);
	if (bytes == NULL)
		return -ENOMEM;
	free(bytes);
	return (int64_t)given;
}
