#include "export/http_accept.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* A piece of the header without the blanks around it. */
struct piece {
	const char *chars;
	size_t len;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Cuts the piece before the next SEPARATOR off *rest; strings in quotes are not looked into, for no
 * type or version that matters here needs them. */
static struct piece cut(struct piece *rest, char separator)
{
	const char *end = memchr(rest->chars, separator, rest->len);
	struct piece piece = { rest->chars, end == NULL ? rest->len : (size_t)(end - rest->chars) };
	size_t used = end == NULL ? piece.len : piece.len + 1;

	rest->chars += used;
	rest->len -= used;
	while (piece.len > 0 && is_blank(piece.chars[0])) {
		piece.chars++;
		piece.len--;
	}
	while (piece.len > 0 && is_blank(piece.chars[piece.len - 1]))
		piece.len--;
	return piece;
}

static bool is(struct piece piece, const char *word)
{
	return piece.len == strlen(word) && strncasecmp(piece.chars, word, piece.len) == 0;
}

/* "0.75" as 750; what is no quality counts as 0, so that nothing is preferred by mistake. */
static unsigned parse_quality(struct piece piece)
{
	unsigned quality = 0, unit = 1000;

	for (size_t i = 0; i < piece.len; i++) {
		char c = piece.chars[i];

		if (i == 1 ? c != '.' : c < '0' || c > '9')
			return 0;
		if (i == 1)
			continue;
		quality += (unsigned)(c - '0') * unit;
		unit /= 10;
	}
	return piece.len > 5 || quality > 1000 ? 0 : quality;
}

/* One media range with its parameters. */
struct range {
	struct piece type, version;
	unsigned quality;
};

static struct range read_range(struct piece text)
{
	struct range range = { .type = cut(&text, ';'), .quality = 1000 };

	while (text.len > 0) {
		struct piece value = cut(&text, ';');
		struct piece name = cut(&value, '=');

		if (is(name, "q"))
			range.quality = parse_quality(cut(&value, ';'));
		else if (is(name, "version"))
			range.version = cut(&value, ';');
	}
	return range;
}

/* How closely TYPE names the text format: 0 not at all. */
static unsigned closeness_to_text(struct piece type)
{
	static const char *const names[] = { "*/*", "text/*", "text/plain" };

	for (unsigned i = 0; i < 3; i++)
		if (is(type, names[i]))
			return i + 1;
	return 0;
}

enum belay__http_format belay__http_accept(const char *accept)
{
	struct piece rest = { accept, accept == NULL ? 0 : strlen(accept) };
	unsigned openmetrics = 0, text = 0, closest = 0;

	while (rest.len > 0) {
		struct range range = read_range(cut(&rest, ','));
		unsigned closeness = closeness_to_text(range.type);

		if (is(range.type, "application/openmetrics-text") &&
			(range.version.len == 0 || is(range.version, "1.0.0"))) {
			if (range.quality > openmetrics)
				openmetrics = range.quality;
		} else if (closeness > closest ||
			(closeness == closest && closeness > 0 && range.quality > text)) {
			closest = closeness;
			text = range.quality;
		}
	}
	return openmetrics > 0 && openmetrics >= text ? BELAY__HTTP_OPENMETRICS : BELAY__HTTP_TEXT;
}
