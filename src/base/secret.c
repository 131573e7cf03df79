#include "base/secret.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"

enum { DIGITS = 2 * BELAY__SECRET_LEN };

/* The text of a file, in pages of its own that are neither swapped nor dumped. */
struct secret_text {
	char *chars;
	size_t size, len;
};

#define _cleanup_text_ __attribute__((cleanup(wipe)))

static void wipe(struct secret_text *text)
{
	if (text->chars == NULL)
		return;
	explicit_bzero(text->chars, text->size);
	(void)munmap(text->chars, text->size);
}

static int allocate(struct secret_text *text, size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return -ENOMEM;
	/* Where the limit on locked memory is too low for this, it is wiped soon all the same. */
	(void)mlock(pages, size);
	(void)madvise(pages, size, MADV_DONTDUMP);
	*text = (struct secret_text){ .chars = pages, .size = size };
	return 0;
}

static int read_all(int fd, struct secret_text *text)
{
	while (text->len < text->size) {
		ssize_t n = read(fd, text->chars + text->len, text->size - text->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		text->len += (size_t)n;
	}
	return 0;
}

/* Reads what is in PATH, at most MAX bytes; one byte more tells that the file is too long. */
static int read_text(const char *path, const char *what, size_t max, struct secret_text *text,
	struct belay_error *reterr)
{
	_cleanup_close_ int fd = belay__open_secret(path, what, reterr);
	int r;

	if (fd < 0)
		return fd;
	r = allocate(text, max + 1);
	if (r == 0)
		r = read_all(fd, text);
	if (r < 0)
		return belay__fail(reterr, r, "cannot read %s: %s", path, strerror(-r));
	return 0;
}

/* The value of a hexadecimal digit, without a branch or a table that could be timed. *WRONG becomes 1
 * when it is none. */
static unsigned digit_value(char c, unsigned *wrong)
{
	unsigned digit = (unsigned)(unsigned char)c - '0';
	unsigned letter = ((unsigned)(unsigned char)c | 0x20) - 'a';
	unsigned is_digit = ((digit - 10) & ~digit) >> 31;
	unsigned is_letter = ((letter - 6) & ~letter) >> 31;

	*wrong |= 1 ^ (is_digit | is_letter);
	return (digit & (0 - is_digit)) | ((letter + 10) & (0 - is_letter));
}

int belay__secret_parse(const char digits[static 64], uint8_t ret_secret[static BELAY__SECRET_LEN])
{
	uint8_t secret[BELAY__SECRET_LEN];
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(secret); i++) {
		unsigned high = digit_value(digits[2 * i], &wrong);
		unsigned low = digit_value(digits[2 * i + 1], &wrong);

		secret[i] = (uint8_t)(high << 4 | low);
	}
	if (wrong == 0)
		memcpy(ret_secret, secret, sizeof(secret));
	explicit_bzero(secret, sizeof(secret));
	return wrong == 0 ? 0 : -EINVAL;
}

/* The one secret of a text that holds nothing else, but for the end of its line. 0 or -EINVAL. */
static int parse_only(const struct secret_text *text, uint8_t ret_secret[static BELAY__SECRET_LEN])
{
	size_t len = text->len;

	if (len > DIGITS && text->chars[len - 1] == '\n')
		len--;
	if (len > DIGITS && text->chars[len - 1] == '\r')
		len--;
	return len == DIGITS ? belay__secret_parse(text->chars, ret_secret) : -EINVAL;
}

int belay__secret_read(const char *path, const char *what,
	uint8_t ret_secret[static BELAY__SECRET_LEN], struct belay_error *reterr)
{
	_cleanup_text_ struct secret_text text = { 0 };
	int r = read_text(path, what, DIGITS + 2, &text, reterr);

	if (r < 0)
		return r;
	if (parse_only(&text, ret_secret) < 0)
		return belay__fail(reterr, -EINVAL,
			"%s does not hold a %s of %d hexadecimal digits; run: belay key new FILE",
			path, what, DIGITS);
	return 0;
}

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool host_valid(const char *name, size_t len)
{
	if (len == 0 || len > BELAY__HOST_MAX || !is_alphanumeric(name[0]))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!is_alphanumeric(name[i]) && name[i] != '.' && name[i] != '_' && name[i] != '-')
			return false;
	return true;
}

/* Names that the observer itself gives: to keys without one, to master keys, to beats without a key. */
static bool is_reserved(const char *host)
{
	return strcmp(host, "udp") == 0 || strcmp(host, "master") == 0 ||
		(strncmp(host, "key", 3) == 0 && host[3] != '\0' &&
			host[3 + strspn(host + 3, "0123456789")] == '\0');
}

bool belay__host_valid(const char *name)
{
	return host_valid(name, strlen(name)) && !is_reserved(name);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* What the parser is at: the rest of the text, and the line that was taken from it. */
struct reader {
	const char *name;
	const char *next, *end;
	const char *line;
	size_t len, number;
};

/* Takes the next line that counts, without the blanks around it. */
static bool next_line(struct reader *reader)
{
	while (reader->next < reader->end) {
		size_t rest = (size_t)(reader->end - reader->next);
		const char *newline = memchr(reader->next, '\n', rest);

		reader->line = reader->next;
		reader->len = newline == NULL ? rest : (size_t)(newline - reader->next);
		reader->next += reader->len + (newline != NULL);
		reader->number++;
		while (reader->len > 0 && is_blank(reader->line[reader->len - 1]))
			reader->len--;
		for (; reader->len > 0 && is_blank(reader->line[0]); reader->len--)
			reader->line++;
		if (reader->len > 0 && reader->line[0] != '#')
			return true;
	}
	return false;
}

static int parse_line(const struct reader *reader, struct belay__secret_line *line,
	struct belay_error *reterr)
{
	const char *host = reader->line + DIGITS;
	size_t len = reader->len > DIGITS ? reader->len - DIGITS : 0;

	memset(line->host, 0, sizeof(line->host));
	if (reader->len < DIGITS || (len > 0 && !is_blank(host[0])) ||
		belay__secret_parse(reader->line, line->secret) < 0)
		return belay__fail(reterr, -EINVAL,
			"%s, line %zu: not %d hexadecimal digits and perhaps the name of a host",
			reader->name, reader->number, DIGITS);
	for (; len > 0 && is_blank(host[0]); len--)
		host++;
	if (len == 0)
		return 0;
	if (!host_valid(host, len))
		return belay__fail(reterr, -EINVAL,
			"%s, line %zu: not the name of a host: at most %d letters, digits, '.', "
			"'_' and '-', a letter or digit first",
			reader->name, reader->number, BELAY__HOST_MAX);
	memcpy(line->host, host, len);
	if (is_reserved(line->host))
		return belay__fail(reterr, -EINVAL,
			"%s, line %zu: no host can be called '%s': that is what keys without a "
			"name are called; give it another",
			reader->name, reader->number, line->host);
	return 0;
}

static int parse_lines(struct reader *reader, struct belay__secret_line *lines, size_t max,
	struct belay_error *reterr)
{
	size_t count = 0;

	while (next_line(reader)) {
		int r;

		if (count == max)
			return belay__fail(reterr, -E2BIG, "%s, line %zu: more than %zu keys",
				reader->name, reader->number, max);
		r = parse_line(reader, &lines[count], reterr);
		if (r < 0)
			return r;
		count++;
	}
	if (count == 0)
		return belay__fail(reterr, -EINVAL, "%s holds no key; run: belay key new FILE",
			reader->name);
	return (int)count;
}

int belay__secret_parse_lines(const char *text, size_t len, const char *name,
	struct belay__secret_line *lines, size_t max, struct belay_error *reterr)
{
	struct reader reader = { .name = name, .next = text, .end = text + len };
	int r;

	assert(max <= INT_MAX);

	r = parse_lines(&reader, lines, max, reterr);
	if (r < 0)
		explicit_bzero(lines, max * sizeof(*lines));
	return r;
}

/* Reads a file of keys. 0 or a negative errno with a sentence. */
static int read_keys(const char *path, struct secret_text *text, struct belay_error *reterr)
{
	int r = read_text(path, "key", BELAY__SECRET_FILE_MAX, text, reterr);

	if (r == 0 && text->len > BELAY__SECRET_FILE_MAX)
		r = belay__fail(reterr, -EFBIG, "%s is larger than %d bytes; is it a file of keys?",
			path, BELAY__SECRET_FILE_MAX);
	return r;
}

int belay__secret_read_lines(const char *path, struct belay__secret_line *lines, size_t max,
	struct belay_error *reterr)
{
	bool single;

	return belay__secret_read_either(path, lines, max, &single, reterr);
}

int belay__secret_read_either(const char *path, struct belay__secret_line *lines, size_t max,
	bool *ret_single, struct belay_error *reterr)
{
	_cleanup_text_ struct secret_text text = { 0 };
	uint8_t only[BELAY__SECRET_LEN];
	int r = read_keys(path, &text, reterr);

	if (r < 0) {
		explicit_bzero(lines, max * sizeof(*lines));
		return r;
	}
	r = belay__secret_parse_lines(text.chars, text.len, path, lines, max, reterr);
	if (r < 0)
		return r;
	*ret_single = parse_only(&text, only) == 0;
	explicit_bzero(only, sizeof(only));
	return r;
}
