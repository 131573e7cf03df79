#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define NS_PER_MINUTE (60 * BELAY__NS_PER_S)
#define NS_PER_HOUR   (60 * NS_PER_MINUTE)
#define NS_PER_DAY    (24 * NS_PER_HOUR)

void belay__text_init(struct belay__text *text, char *buffer, size_t size)
{
	assert(size >= 1);

	*text = (struct belay__text){ .chars = buffer, .size = size };
	buffer[0] = '\0';
}

void belay__text_add_bytes(struct belay__text *text, const char *bytes, size_t len)
{
	size_t room = text->size - text->len - 1;

	if (len > room) {
		len = room;
		text->overflowed = true;
	}
	if (len > 0)
		memcpy(text->chars + text->len, bytes, len);
	text->len += len;
	text->chars[text->len] = '\0';
}

void belay__text_add(struct belay__text *text, const char *string)
{
	belay__text_add_bytes(text, string, strlen(string));
}

/* Adds VALUE with zeros in front up to WIDTH digits. */
static void add_padded(struct belay__text *text, uint64_t value, size_t width)
{
	char digits[20];
	size_t at = sizeof(digits);

	assert(width <= sizeof(digits));

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0 || sizeof(digits) - at < width);
	belay__text_add_bytes(text, digits + at, sizeof(digits) - at);
}

void belay__text_add_u64(struct belay__text *text, uint64_t value)
{
	add_padded(text, value, 1);
}

void belay__text_add_i64(struct belay__text *text, int64_t value)
{
	if (value < 0)
		belay__text_add_bytes(text, "-", 1);
	belay__text_add_u64(text, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void belay__text_addf(struct belay__text *text, const char *format, ...)
{
	size_t room = text->size - text->len;
	va_list arguments;
	int len;

	va_start(arguments, format);
	len = vsnprintf(text->chars + text->len, room, format, arguments);
	va_end(arguments);

	if (len < 0) {
		text->chars[text->len] = '\0';
		text->overflowed = true;
	} else if ((size_t)len >= room) {
		text->len = text->size - 1;
		text->overflowed = true;
	} else {
		text->len += (size_t)len;
	}
}

/* Adds the two largest units of NS, the lesser one in two digits: 3m05s. */
static void add_two_units(struct belay__text *text, uint64_t ns, uint64_t big_ns, const char *big,
	uint64_t small_ns, const char *small)
{
	belay__text_add_u64(text, ns / big_ns);
	belay__text_add(text, big);
	add_padded(text, ns % big_ns / small_ns, 2);
	belay__text_add(text, small);
}

void belay__text_add_age(struct belay__text *text, uint64_t ns)
{
	if (ns >= NS_PER_DAY) {
		add_two_units(text, ns, NS_PER_DAY, "d", NS_PER_HOUR, "h");
	} else if (ns >= NS_PER_HOUR) {
		add_two_units(text, ns, NS_PER_HOUR, "h", NS_PER_MINUTE, "m");
	} else if (ns >= NS_PER_MINUTE) {
		add_two_units(text, ns, NS_PER_MINUTE, "m", BELAY__NS_PER_S, "s");
	} else if (ns >= 10 * BELAY__NS_PER_S) {
		belay__text_add_u64(text, ns / BELAY__NS_PER_S);
		belay__text_add(text, "s");
	} else if (ns >= BELAY__NS_PER_S / 10) {
		belay__text_add_u64(text, ns / BELAY__NS_PER_S);
		belay__text_add(text, ".");
		belay__text_add_u64(text, ns % BELAY__NS_PER_S / (BELAY__NS_PER_S / 10));
		belay__text_add(text, "s");
	} else {
		belay__text_add_u64(text, ns / BELAY__NS_PER_MS);
		belay__text_add(text, "ms");
	}
}

struct date {
	uint64_t year, month, day;
};

static uint64_t days_of_year(uint64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 366 : 365;
}

/* gmtime_r() opens the time zone file on its first call in glibc, which a caged process must not:
 * hence by hand. */
static struct date date_of(uint64_t days_since_1970)
{
	static const uint8_t days_of_month[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	/* The calendar repeats every 400 years. */
	struct date date = { .year = 1970 + days_since_1970 / 146097 * 400, .month = 1 };
	uint64_t days = days_since_1970 % 146097;

	while (days >= days_of_year(date.year))
		days -= days_of_year(date.year++);

	for (size_t month = 0; month < 11; month++) {
		uint64_t len = days_of_month[month];

		if (month == 1 && days_of_year(date.year) == 366)
			len++;
		if (days < len)
			break;
		days -= len;
		date.month++;
	}
	date.day = days + 1;
	return date;
}

void belay__text_add_time(struct belay__text *text, uint64_t realtime_ns)
{
	struct date date = date_of(realtime_ns / NS_PER_DAY);
	uint64_t ns = realtime_ns % NS_PER_DAY;

	add_padded(text, date.year, 4);
	belay__text_add(text, "-");
	add_padded(text, date.month, 2);
	belay__text_add(text, "-");
	add_padded(text, date.day, 2);
	belay__text_add(text, "T");
	add_padded(text, ns / NS_PER_HOUR, 2);
	belay__text_add(text, ":");
	add_padded(text, ns % NS_PER_HOUR / NS_PER_MINUTE, 2);
	belay__text_add(text, ":");
	add_padded(text, ns % NS_PER_MINUTE / BELAY__NS_PER_S, 2);
	belay__text_add(text, ".");
	add_padded(text, ns % BELAY__NS_PER_S / BELAY__NS_PER_MS, 3);
	belay__text_add(text, "Z");
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads the digits of BASE (at most ten) at *CURSOR and moves it behind them: -EINVAL when there is
 * none. */
static int read_digits(const char **cursor, unsigned base, uint64_t *ret_value)
{
	const char *c = *cursor;
	bool overflow = false;
	uint64_t value = 0;

	if (!is_digit(*c))
		return -EINVAL;
	for (; is_digit(*c); c++) {
		unsigned digit = (unsigned)(*c - '0');

		if (digit >= base)
			return -EINVAL;
		overflow |= __builtin_mul_overflow(value, base, &value) ||
			__builtin_add_overflow(value, digit, &value);
	}
	*cursor = c;
	*ret_value = overflow ? UINT64_MAX : value;
	return overflow ? -ERANGE : 0;
}

int belay__parse_u64(const char *string, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	uint64_t value;
	int r = read_digits(&string, 10, &value);

	if (r == -EINVAL || *string != '\0')
		return -EINVAL;
	if (r < 0 || value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

/* The units of durations, the largest first. */
static const struct {
	const char *name;
	uint64_t ns;
} units[] = {
	{ "d", NS_PER_DAY },
	{ "h", NS_PER_HOUR },
	{ "m", NS_PER_MINUTE },
	{ "s", BELAY__NS_PER_S },
	{ "ms", BELAY__NS_PER_MS },
	{ "us", BELAY__NS_PER_US },
	{ "ns", 1 },
};

/* The length of the unit that STRING is, in nanoseconds, or 0. */
static uint64_t unit_ns(const char *string)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(string, units[i].name) == 0)
			return units[i].ns;
	return 0;
}

void belay__text_add_duration(struct belay__text *text, uint64_t ns)
{
	size_t i = 0;

	if (ns == 0) {
		belay__text_add(text, "0");
		return;
	}
	while (ns % units[i].ns != 0)
		i++;
	belay__text_add_u64(text, ns / units[i].ns);
	belay__text_add(text, units[i].name);
}

/* Adds the decimals at DIGITS, in UNITs, to *NS. What lies below a nanosecond is refused, not
 * rounded to a surprise. */
static int add_fraction(const char *digits, uint64_t unit, uint64_t *ns)
{
	for (; is_digit(*digits); digits++) {
		uint64_t digit = (uint64_t)(*digits - '0');

		if (digit > 0 && unit % 10 != 0)
			return -ERANGE;
		unit /= 10;
		if (__builtin_add_overflow(*ns, digit * unit, ns))
			return -ERANGE;
	}
	return 0;
}

int belay__parse_duration(const char *string, uint64_t *ret_ns)
{
	const char *cursor = string, *fraction = "";
	uint64_t whole, unit, ns;
	int r;

	if (strcmp(string, "0") == 0) {
		*ret_ns = 0;
		return 0;
	}

	r = read_digits(&cursor, 10, &whole);
	if (r == -EINVAL)
		return r;
	if (*cursor == '.') {
		fraction = ++cursor;
		while (is_digit(*cursor))
			cursor++;
		if (cursor == fraction)
			return -EINVAL;
	}
	unit = unit_ns(cursor);
	if (unit == 0)
		return -EINVAL;
	if (r < 0 || __builtin_mul_overflow(whole, unit, &ns) ||
		add_fraction(fraction, unit, &ns) < 0)
		return -ERANGE;
	*ret_ns = ns;
	return 0;
}

int belay__parse_mode(const char *string, unsigned *ret_mode)
{
	uint64_t mode;
	int r;

	if (string[0] == '0' && (string[1] == 'o' || string[1] == 'O'))
		string += 2;
	r = read_digits(&string, 8, &mode);
	if (r == -EINVAL || *string != '\0')
		return -EINVAL;
	if (r < 0 || mode > 07777)
		return -ERANGE;
	*ret_mode = (unsigned)mode;
	return 0;
}

int belay__parse_bool(const char *string, bool *ret_value)
{
	static const char *const words[2][4] = {
		{ "false", "no", "off", "0" },
		{ "true", "yes", "on", "1" },
	};

	for (size_t truth = 0; truth < 2; truth++)
		for (size_t i = 0; i < 4; i++)
			if (strcmp(string, words[truth][i]) == 0) {
				*ret_value = truth == 1;
				return 0;
			}
	return -EINVAL;
}

static bool is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool belay__name_valid(const char *name, size_t len)
{
	if (len == 0 || len > BELAY__NAME_MAX || !is_word(name[0]))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!is_word(name[i]) && (name[i] == '\0' || strchr(".@#-", name[i]) == NULL))
			return false;
	return true;
}

bool belay__full_name_valid(const char *name, size_t len)
{
	const char *slash = memchr(name, '/', len);
	size_t host_len = slash != NULL ? (size_t)(slash - name) : 0;

	if (slash == NULL)
		return belay__name_valid(name, len);
	return len <= BELAY__NAME_MAX && belay__name_valid(name, host_len) &&
		belay__name_valid(slash + 1, len - host_len - 1);
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* The table of edits between all beginnings of A and B, of which only the last row is kept. */
unsigned belay__text_distance(const char *a, const char *b, unsigned max)
{
	enum { LONGEST = 127 };
	size_t a_len = strlen(a), b_len = strlen(b);
	unsigned row[LONGEST + 1];

	if (a_len > LONGEST || b_len > LONGEST)
		return strcmp(a, b) == 0 ? 0 : max + 1;

	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned)j;

	for (size_t i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);

			diagonal = row[j];
			row[j] = least(replaced, row[j] + 1, row[j - 1] + 1);
		}
	}
	return row[b_len] > max ? max + 1 : row[b_len];
}
