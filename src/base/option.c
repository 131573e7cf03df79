#include "base/option.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

/* What a reading of argv needs to know at each step. */
struct reading {
	const struct belay__option *table;
	size_t count;
	void *options;
	int argc;
	char **argv;
	bool *seen;
	struct belay_error *reterr;
	int at; /* the word of argv that is read next */
};

static char same_dash(char c)
{
	return c == '_' ? '-' : c;
}

static bool same_name(const char *name, const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (name[i] == '\0' || same_dash(name[i]) != same_dash(word[i]))
			return false;
	return name[len] == '\0';
}

const struct belay__option *belay__option_find(const struct belay__option *table, size_t count,
	const char *name, size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (same_name(table[i].name, name, len))
			return &table[i];
	return NULL;
}

const char *belay__option_nearest(const struct belay__option *table, size_t count, const char *name)
{
	size_t len = strlen(name);
	const char *nearest = NULL;
	char plain[64];
	/* A name all of whose letters would change is no neighbour. */
	unsigned best = len < 4 ? (unsigned)len : 4;

	if (len >= sizeof(plain))
		return NULL;
	for (size_t i = 0; i <= len; i++)
		plain[i] = same_dash(name[i]);

	for (size_t i = 0; i < count; i++) {
		unsigned distance = belay__text_distance(plain, table[i].name, 3);

		if (distance < best) {
			best = distance;
			nearest = table[i].name;
		}
	}
	return nearest;
}

static bool has_value(const struct belay__option *row)
{
	return row->kind != BELAY__OPTION_FLAG && row->kind != BELAY__OPTION_ACTION;
}

static int fail_choice(const struct belay__option *row, const char *dashes, const char *value,
	struct belay_error *reterr)
{
	char buffer[128];
	struct belay__text list;

	belay__text_init(&list, buffer, sizeof(buffer));
	for (const char *const *choice = row->choices; *choice != NULL; choice++)
		belay__text_addf(&list, "%s%s", choice == row->choices ? "" : ", ", *choice);
	return belay__fail(reterr, -EINVAL, "%s%s: '%s' is none of: %s", dashes, row->name, value,
		buffer);
}

/* Says that VALUE lies outside the row's bounds, in the unit in which values of its kind are
 * written. */
static int fail_range(const struct belay__option *row, const char *dashes, const char *value,
	struct belay_error *reterr)
{
	struct belay__option bound = *row;
	char min[32], max[32];
	struct belay__text text;

	bound.offset = 0;
	belay__text_init(&text, min, sizeof(min));
	belay__option_show(&bound, &row->min, &text);
	belay__text_init(&text, max, sizeof(max));
	belay__option_show(&bound, &row->max, &text);
	return belay__fail(reterr, -EINVAL, "%s%s: '%s' is not within %s to %s", dashes, row->name,
		value, min, max);
}

static int read_ms(const char *value, uint64_t *ret_ns)
{
	uint64_t ms;
	int r = belay__parse_u64(value, 0, UINT64_MAX / BELAY__NS_PER_MS, &ms);

	if (r >= 0)
		*ret_ns = ms * BELAY__NS_PER_MS;
	return r;
}

static int set_number(const struct belay__option *row, const char *dashes, uint64_t *member,
	const char *value, struct belay_error *reterr)
{
	const char *wanted;
	uint64_t number;
	int r;

	if (row->kind == BELAY__OPTION_DURATION) {
		wanted = "is no duration; write a number with its unit, like 250ms, 5s or 10m";
		r = belay__parse_duration(value, &number);
	} else if (row->kind == BELAY__OPTION_MS) {
		wanted = "is no number of milliseconds; write digits alone";
		r = read_ms(value, &number);
	} else {
		wanted = "is no number; write digits alone";
		r = belay__parse_u64(value, 0, UINT64_MAX, &number);
	}
	if (r == -EINVAL)
		return belay__fail(reterr, -EINVAL, "%s%s: '%s' %s", dashes, row->name, value,
			wanted);
	if (r < 0 || number < row->min || number > row->max)
		return fail_range(row, dashes, value, reterr);
	*member = number;
	return 0;
}

static int set_choice(const struct belay__option *row, const char *dashes, unsigned *member,
	const char *value, struct belay_error *reterr)
{
	for (unsigned i = 0; row->choices[i] != NULL; i++)
		if (strcmp(row->choices[i], value) == 0) {
			*member = i;
			return 0;
		}
	return fail_choice(row, dashes, value, reterr);
}

static int set_string(const struct belay__option *row, const char *dashes, char *member,
	const char *value, struct belay_error *reterr)
{
	size_t len = strlen(value);

	if (len > row->max)
		return belay__fail(reterr, -EINVAL, "%s%s: value of %zu bytes is longer than %zu",
			dashes, row->name, len, (size_t)row->max);
	memcpy(member, value, len + 1);
	return 0;
}

static int set(const struct belay__option *row, const char *dashes, void *options,
	const char *value, struct belay_error *reterr)
{
	void *member = (char *)options + row->offset;

	switch (row->kind) {
	case BELAY__OPTION_FLAG:
		if (belay__parse_bool(value, member) < 0)
			return belay__fail(reterr, -EINVAL, "%s%s: '%s' is neither yes nor no",
				dashes, row->name, value);
		return 0;
	case BELAY__OPTION_COUNT:
	case BELAY__OPTION_DURATION:
	case BELAY__OPTION_MS:
		return set_number(row, dashes, member, value, reterr);
	case BELAY__OPTION_MODE:
		if (belay__parse_mode(value, member) < 0)
			return belay__fail(reterr, -EINVAL,
				"%s%s: '%s' is no octal file mode; write it like 0600", dashes,
				row->name, value);
		return 0;
	case BELAY__OPTION_STRING:
		return set_string(row, dashes, member, value, reterr);
	case BELAY__OPTION_CHOICE:
		return set_choice(row, dashes, member, value, reterr);
	case BELAY__OPTION_ACTION:
	case BELAY__OPTION_LIST:
		return row->apply(options, value, reterr);
	}
	return belay__fail(reterr, -EINVAL, "%s%s: option of an unknown kind", dashes, row->name);
}

int belay__option_set(const struct belay__option *row, void *options, const char *value,
	struct belay_error *reterr)
{
	if (row == NULL)
		return belay__fail(reterr, -ENOENT, "no option has this name");
	return set(row, "", options, value, reterr);
}

static int fail_unknown(const struct reading *reading, const char *name)
{
	const char *nearest = belay__option_nearest(reading->table, reading->count, name);

	if (nearest == NULL)
		return belay__fail(reading->reterr, -EINVAL,
			"unknown option --%s; --help lists the options", name);
	return belay__fail(reading->reterr, -EINVAL, "unknown option --%s; did you mean --%s?",
		name, nearest);
}

static void note_seen(const struct reading *reading, const struct belay__option *row)
{
	if (reading->seen == NULL)
		return;
	reading->seen[row - reading->table] = true;
	/* Who asks for an option by its main name wants to know of its other names as well. */
	if (row->alias_of != NULL)
		row = belay__option_find(reading->table, reading->count, row->alias_of,
			strlen(row->alias_of));
	if (row != NULL)
		reading->seen[row - reading->table] = true;
}

/* Applies ROW with VALUE, or with the next word of argv when it needs one and VALUE is NULL. */
static int apply(struct reading *reading, const struct belay__option *row, const char *value)
{
	int r;

	if (row->kind == BELAY__OPTION_ACTION && value != NULL)
		return belay__fail(reading->reterr, -EINVAL, "option --%s takes no value",
			row->name);
	if (row->kind == BELAY__OPTION_FLAG && value == NULL)
		value = "yes";
	if (has_value(row) && value == NULL) {
		if (reading->at >= reading->argc)
			return belay__fail(reading->reterr, -EINVAL,
				"option --%s needs a value: --%s %s", row->name, row->name,
				row->metavar == NULL ? "VALUE" : row->metavar);
		value = reading->argv[reading->at++];
	}

	r = set(row, "--", reading->options, value, reading->reterr);
	if (r >= 0)
		note_seen(reading, row);
	return r < 0 ? r : 0;
}

/* Reads "name", "name=value" or "no-name", the dashes already taken off. */
static int read_long(struct reading *reading, const char *word)
{
	const char *equals = strchr(word, '=');
	size_t len = equals == NULL ? strlen(word) : (size_t)(equals - word);
	const struct belay__option *row = belay__option_find(reading->table, reading->count, word,
		len);

	if (row != NULL)
		return apply(reading, row, equals == NULL ? NULL : equals + 1);

	if (equals == NULL && len > 3 && strncmp(word, "no-", 3) == 0) {
		row = belay__option_find(reading->table, reading->count, word + 3, len - 3);
		if (row != NULL && row->kind == BELAY__OPTION_FLAG)
			return apply(reading, row, "no");
	}

	char name[64];
	struct belay__text text;

	belay__text_init(&text, name, sizeof(name));
	belay__text_add_bytes(&text, word, len);
	return fail_unknown(reading, name);
}

/* Reads the letters behind one dash: flags may share it, and the first that takes a value takes the
 * rest. */
static int read_letters(struct reading *reading, const char *letters)
{
	for (; *letters != '\0'; letters++) {
		const struct belay__option *row = NULL;
		int r;

		for (size_t i = 0; i < reading->count && row == NULL; i++)
			if (reading->table[i].letter == *letters)
				row = &reading->table[i];
		if (row == NULL)
			return belay__fail(reading->reterr, -EINVAL,
				"unknown option -%c; --help lists the options", *letters);
		if (has_value(row) && letters[1] != '\0')
			return apply(reading, row, letters + 1);
		r = apply(reading, row, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Reads the next word of argv if it is an option. 1 when it was, 0 when it is none, negative on
 * failure. */
static int read_option(struct reading *reading)
{
	const char *word = reading->argv[reading->at];
	int r;

	if (word[0] != '-' || word[1] == '\0' || strcmp(word, "--") == 0)
		return 0;
	reading->at++;
	r = word[1] == '-' ? read_long(reading, word + 2) : read_letters(reading, word + 1);
	return r < 0 ? -EINVAL : 1;
}

int belay__options_parse(const struct belay__option *table, size_t count, void *options, int argc,
	char **argv, bool *seen, struct belay_error *reterr)
{
	struct reading reading = { table, count, options, argc, argv, seen, reterr, 1 };
	bool all_words = false;
	int words = 0;

	while (reading.at < argc) {
		int r = all_words ? 0 : read_option(&reading);

		if (r < 0)
			return r;
		if (r > 0)
			continue;
		if (!all_words && strcmp(argv[reading.at], "--") == 0) {
			all_words = true;
			reading.at++;
			continue;
		}
		/* Moves to a place that was read already: there are never more words than were
		 * looked at. */
		argv[++words] = argv[reading.at++];
	}
	if (words + 1 < argc)
		argv[words + 1] = NULL;
	return words;
}

int belay__options_parse_until_word(const struct belay__option *table, size_t count, void *options,
	int argc, char **argv, bool *seen, int *ret_first_word, struct belay_error *reterr)
{
	struct reading reading = { table, count, options, argc, argv, seen, reterr, 1 };

	while (reading.at < argc) {
		int r = read_option(&reading);

		if (r < 0)
			return r;
		if (r > 0)
			continue;
		if (strcmp(argv[reading.at], "--") == 0)
			reading.at++;
		break;
	}
	*ret_first_word = reading.at < argc ? reading.at : argc;
	return argc - *ret_first_word;
}
