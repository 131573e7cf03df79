#include "identity/proc_text.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* Bytes that are still to be read. */
struct rest {
	const char *next, *end;
};

static struct rest rest_of(const char *bytes, size_t len)
{
	return (struct rest){ .next = bytes, .end = bytes + len };
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* Takes the next word: 1, or 0 when there is none left. */
static int take_word(struct rest *rest, const char **ret_word, size_t *ret_len)
{
	const char *word;

	while (rest->next < rest->end && is_blank(*rest->next))
		rest->next++;
	word = rest->next;
	while (rest->next < rest->end && !is_blank(*rest->next))
		rest->next++;
	if (rest->next == word)
		return 0;
	*ret_word = word;
	*ret_len = (size_t)(rest->next - word);
	return 1;
}

static bool word_is(const char *word, size_t len, const char *string)
{
	return len == strlen(string) && memcmp(word, string, len) == 0;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return INT_MAX;
}

static int parse_number(const char *word, size_t len, int base, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (len == 0)
		return -EBADMSG;
	for (size_t i = 0; i < len; i++) {
		int digit = digit_value(word[i]);

		if (digit >= base || __builtin_mul_overflow(number, (uint64_t)base, &number) ||
			__builtin_add_overflow(number, (uint64_t)digit, &number))
			return -EBADMSG;
	}
	*ret_number = number;
	return 0;
}

static int take_number(struct rest *rest, uint64_t *ret_number)
{
	const char *word;
	size_t len;

	if (take_word(rest, &word, &len) == 0)
		return -EBADMSG;
	return parse_number(word, len, 10, ret_number);
}

/* Numbers of /proc/PID/stat by their place in proc(5). */
enum stat_field {
	FIELD_STATE = 3,
	FIELD_PPID = 4,
	FIELD_USER_TICKS = 14,
	FIELD_SYSTEM_TICKS = 15,
	FIELD_THREADS = 20,
	FIELD_START_TICKS = 22,
	FIELD_EXIT_STATUS = 52,
};

static int set_field(struct belay__stat *stat, int field, const char *word, size_t len)
{
	uint64_t number = 0;
	int r = 0;

	switch (field) {
	case FIELD_STATE:
		stat->state = word[0];
		return len == 1 ? 0 : -EBADMSG;
	case FIELD_USER_TICKS:
		return parse_number(word, len, 10, &stat->user_ticks);
	case FIELD_SYSTEM_TICKS:
		return parse_number(word, len, 10, &stat->system_ticks);
	case FIELD_START_TICKS:
		return parse_number(word, len, 10, &stat->start_ticks);
	case FIELD_PPID:
	case FIELD_THREADS:
	case FIELD_EXIT_STATUS:
		r = parse_number(word, len, 10, &number);
		break;
	default:
		return 0;
	}
	if (r < 0 || number > INT_MAX)
		return -EBADMSG;
	if (field == FIELD_PPID)
		stat->ppid = (pid_t)number;
	else if (field == FIELD_THREADS)
		stat->threads = (uint32_t)number;
	else
		stat->exit_status = (int)number;
	return 0;
}

int belay__parse_stat(const char *bytes, size_t len, struct belay__stat *ret_stat)
{
	const char *open = len > 0 ? memchr(bytes, '(', len) : NULL;
	const char *close = len > 0 ? memrchr(bytes, ')', len) : NULL;
	struct belay__stat stat = { 0 };
	struct rest rest;
	size_t comm_len;

	if (open == NULL || close == NULL || close < open)
		return -EBADMSG;

	comm_len = (size_t)(close - open) - 1;
	if (comm_len > sizeof(stat.comm) - 1)
		comm_len = sizeof(stat.comm) - 1; /* kernel threads show longer ones */
	memcpy(stat.comm, open + 1, comm_len);

	rest = rest_of(close + 1, len - (size_t)(close + 1 - bytes));
	for (int field = FIELD_STATE; field <= FIELD_EXIT_STATUS; field++) {
		const char *word;
		size_t word_len;

		if (take_word(&rest, &word, &word_len) == 0 ||
			set_field(&stat, field, word, word_len) < 0)
			return -EBADMSG;
	}
	*ret_stat = stat;
	return 0;
}

int belay__parse_status_line(const char *line, size_t len, const char *key, bool last,
	uint64_t *ret_number)
{
	struct rest rest = rest_of(line, len);
	uint64_t number = 0;
	const char *word;
	size_t word_len;

	if (take_word(&rest, &word, &word_len) == 0 || !word_is(word, word_len, key))
		return 0;
	if (take_number(&rest, &number) < 0)
		return -EBADMSG;
	while (last && take_word(&rest, &word, &word_len) == 1) {
		if (parse_number(word, word_len, 10, &number) < 0)
			return -EBADMSG;
	}
	*ret_number = number;
	return 1;
}

int belay__parse_namespace(const char *link, size_t len, uint64_t *ret_inode)
{
	const char *open = len > 0 ? memchr(link, '[', len) : NULL;

	if (open == NULL || link[len - 1] != ']')
		return -EBADMSG;
	return parse_number(open + 1, (size_t)(link + len - 1 - (open + 1)), 10, ret_inode);
}

int belay__parse_schedstat(const char *bytes, size_t len, struct belay__schedstat *ret_schedstat)
{
	struct rest rest = rest_of(bytes, len);
	struct belay__schedstat schedstat;

	if (take_number(&rest, &schedstat.cpu_ns) < 0 ||
		take_number(&rest, &schedstat.run_delay_ns) < 0 ||
		take_number(&rest, &schedstat.slices) < 0)
		return -EBADMSG;
	*ret_schedstat = schedstat;
	return 0;
}

int belay__parse_syscall(const char *bytes, size_t len, int32_t *ret_nr,
	uint64_t *ret_first_argument)
{
	struct rest rest = rest_of(bytes, len);
	uint64_t nr, argument;
	const char *word;
	size_t word_len;

	if (take_word(&rest, &word, &word_len) == 0)
		return -EBADMSG;
	if (word_is(word, word_len, "running") || word_is(word, word_len, "-1")) {
		*ret_nr = -1;
		*ret_first_argument = 0;
		return 0;
	}
	if (parse_number(word, word_len, 10, &nr) < 0 || nr > INT32_MAX)
		return -EBADMSG;
	if (take_word(&rest, &word, &word_len) == 0 || word_len < 3 || memcmp(word, "0x", 2) != 0 ||
		parse_number(word + 2, word_len - 2, 16, &argument) < 0)
		return -EBADMSG;
	*ret_nr = (int32_t)nr;
	*ret_first_argument = argument;
	return 0;
}

static bool is_symbol_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '.' || c == '$';
}

int belay__parse_wchan(const char *bytes, size_t len, char *wchan, size_t size)
{
	if (len > 0 && bytes[len - 1] == '\n')
		len--;
	if (len == 0 || size == 0)
		return -EBADMSG;
	for (size_t i = 0; i < len; i++) {
		if (!is_symbol_char(bytes[i]))
			return -EBADMSG;
	}
	if (len == 1 && bytes[0] == '0')
		len = 0;
	if (len > size - 1)
		len = size - 1;
	if (len > 0)
		memcpy(wchan, bytes, len);
	wchan[len] = '\0';
	return 0;
}

/* "12.34", a percentage, in thousandths: 123. */
static int parse_percentage(const char *word, size_t len, uint32_t *ret_milli)
{
	const char *point = memchr(word, '.', len);
	uint64_t percent, hundredths;
	size_t whole_len;

	if (point == NULL)
		return -EBADMSG;
	whole_len = (size_t)(point - word);
	if (len - whole_len != 3 || parse_number(word, whole_len, 10, &percent) < 0 ||
		parse_number(point + 1, 2, 10, &hundredths) < 0 || percent > 100)
		return -EBADMSG;
	*ret_milli = (uint32_t)(percent * 10 + hundredths / 10);
	return 0;
}

int belay__parse_pressure(const char *bytes, size_t len, uint32_t *ret_milli)
{
	static const char key[] = "avg10=";
	struct rest rest = rest_of(bytes, len);
	const char *word;
	size_t word_len;

	if (take_word(&rest, &word, &word_len) == 0 || !word_is(word, word_len, "some"))
		return -EBADMSG;
	if (take_word(&rest, &word, &word_len) == 0 || word_len <= sizeof(key) - 1 ||
		memcmp(word, key, sizeof(key) - 1) != 0)
		return -EBADMSG;
	return parse_percentage(word + sizeof(key) - 1, word_len - (sizeof(key) - 1), ret_milli);
}

int belay__parse_cgroup_line(const char *line, size_t len, struct belay__cgroup_line *ret_line)
{
	const char *end = line + len;
	const char *first = len > 0 ? memchr(line, ':', len) : NULL;
	const char *second = first == NULL ? NULL
					   : memchr(first + 1, ':', (size_t)(end - first - 1));

	if (second == NULL || second + 1 == end || second[1] != '/')
		return -EBADMSG;
	*ret_line = (struct belay__cgroup_line){
		.controllers = first + 1,
		.controllers_len = (size_t)(second - first - 1),
		.path = second + 1,
		.path_len = (size_t)(end - second - 1),
		.unified = first == line + 1 && line[0] == '0' && second == first + 1,
	};
	return 0;
}

bool belay__list_has(const char *list, size_t len, const char *word)
{
	const char *end = list + len;

	while (list < end) {
		const char *comma = memchr(list, ',', (size_t)(end - list));
		const char *stop = comma == NULL ? end : comma;

		if (word_is(list, (size_t)(stop - list), word))
			return true;
		list = comma == NULL ? end : comma + 1;
	}
	return false;
}

/* The kernel writes blanks and backslashes in a mount point as three octal digits behind a
 * backslash. */
static int unescape(const char *word, size_t len, char *string, size_t size)
{
	size_t out = 0;

	for (size_t i = 0; i < len; out++) {
		unsigned c = (unsigned char)word[i];

		if (out + 1 >= size)
			return -EBADMSG;
		if (c == '\\') {
			if (len - i < 4)
				return -EBADMSG;
			c = 0;
			for (size_t k = 1; k <= 3; k++) {
				if (word[i + k] < '0' || word[i + k] > '7')
					return -EBADMSG;
				c = c * 8 + (unsigned)(word[i + k] - '0');
			}
			i += 3;
		}
		string[out] = (char)(unsigned char)c;
		i++;
	}
	string[out] = '\0';
	return 0;
}

int belay__parse_mount_line(const char *line, size_t len, const char *type, const char *option,
	char *point, size_t size)
{
	struct rest rest = rest_of(line, len);
	const char *word[4];
	size_t word_len[4];

	for (size_t i = 0; i < 4; i++) {
		if (take_word(&rest, &word[i], &word_len[i]) == 0)
			return 0;
	}
	if (!word_is(word[2], word_len[2], type))
		return 0;
	if (option != NULL && !belay__list_has(word[3], word_len[3], option))
		return 0;
	/* What does not fit has spoilt POINT's bytes, not the caller's belief in them. */
	return unescape(word[1], word_len[1], point, size) == 0 ? 1 : 0;
}
