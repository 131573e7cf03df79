#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/option.h"

/* Options wider than this put their help on the next line. */
#define WIDEST 34

void belay__option_show(const struct belay__option *row, const void *options,
	struct belay__text *text)
{
	const void *member = (const char *)options + row->offset;

	switch (row->kind) {
	case BELAY__OPTION_FLAG:
		belay__text_add(text, *(const bool *)member ? "yes" : "no");
		break;
	case BELAY__OPTION_COUNT:
		belay__text_add_u64(text, *(const uint64_t *)member);
		break;
	case BELAY__OPTION_DURATION:
		belay__text_add_duration(text, *(const uint64_t *)member);
		break;
	case BELAY__OPTION_MS:
		belay__text_add_u64(text, *(const uint64_t *)member / BELAY__NS_PER_MS);
		break;
	case BELAY__OPTION_MODE:
		belay__text_addf(text, "%04o", *(const unsigned *)member);
		break;
	case BELAY__OPTION_STRING:
		belay__text_add(text, member);
		break;
	case BELAY__OPTION_CHOICE:
		belay__text_add(text, row->choices[*(const unsigned *)member]);
		break;
	case BELAY__OPTION_ACTION:
	case BELAY__OPTION_LIST:
		break; /* holds no value */
	}
}

/* Writes "-n, --name METAVAR" and returns how wide it is. */
static size_t add_usage(const struct belay__option *row, struct belay__text *text)
{
	size_t start = text->len;

	if (row->letter != 0)
		belay__text_addf(text, "-%c, --%s", row->letter, row->name);
	else
		belay__text_addf(text, "    --%s", row->name);
	if (row->metavar != NULL)
		belay__text_addf(text, " %s", row->metavar);
	return text->len - start;
}

static size_t column_of(const struct belay__option *table, size_t count)
{
	size_t widest = 0;

	for (size_t i = 0; i < count; i++) {
		char buffer[128];
		struct belay__text text;
		size_t width;

		belay__text_init(&text, buffer, sizeof(buffer));
		width = add_usage(&table[i], &text);
		if (width > widest && width <= WIDEST)
			widest = width;
	}
	return widest;
}

static void add_row(const struct belay__option *row, size_t column, struct belay__text *text)
{
	size_t width;

	belay__text_add(text, "  ");
	width = add_usage(row, text);
	if (width > column) {
		belay__text_add(text, "\n  ");
		width = 0;
	}
	belay__text_addf(text, "%*s", (int)(column - width + 2), "");

	if (row->alias_of != NULL)
		belay__text_addf(text, "the same as --%s", row->alias_of);
	else
		belay__text_add(text, row->help);
	if (row->default_text != NULL && row->alias_of == NULL)
		belay__text_addf(text, " (default: %s)", row->default_text);
	belay__text_add(text, "\n");
}

void belay__options_help(const struct belay__option *table, size_t count, struct belay__text *text)
{
	size_t column = column_of(table, count);

	for (size_t i = 0; i < count; i++) {
		if (table[i].alias_of != NULL)
			continue;
		add_row(&table[i], column, text);
		for (size_t k = 0; k < count; k++)
			if (table[k].alias_of != NULL &&
				strcmp(table[k].alias_of, table[i].name) == 0)
				add_row(&table[k], column, text);
	}
}

/* What is wrong with ROW by itself, or NULL. */
static const char *fault_of_shape(const struct belay__option *row)
{
	bool takes_value = row->kind != BELAY__OPTION_FLAG && row->kind != BELAY__OPTION_ACTION;
	bool calls = row->kind == BELAY__OPTION_ACTION || row->kind == BELAY__OPTION_LIST;

	if (row->name[0] == '\0' || strchr(row->name, '_') != NULL || strchr(row->name, '=') != NULL)
		return "its name is empty or holds '_' or '='";
	if (row->help == NULL || row->help[0] == '\0' || strchr(row->help, '\n') != NULL)
		return "its help is not one line";
	if (row->help[strlen(row->help) - 1] == '.')
		return "its help ends with a stop";
	if (takes_value != (row->metavar != NULL))
		return takes_value ? "it has no metavar" : "it has a metavar but takes no value";
	if (calls != (row->apply != NULL))
		return calls ? "it has no apply" : "its kind never calls apply";
	if ((row->kind == BELAY__OPTION_CHOICE) != (row->choices != NULL))
		return "choices and kind do not agree";
	if (row->min > row->max)
		return "min is above max";
	if (row->kind == BELAY__OPTION_STRING && row->max == 0)
		return "its string has no room";
	return NULL;
}

/* What is wrong with ROW among its neighbours, or NULL. */
static const char *fault_of_place(const struct belay__option *table, size_t count, size_t i)
{
	const struct belay__option *row = &table[i], *main_row;

	if (i > 0 && strcmp(table[i - 1].name, row->name) >= 0)
		return "it is not sorted by name";
	for (size_t k = 0; k < i; k++)
		if (row->letter != 0 && table[k].letter == row->letter)
			return "its letter is taken";
	if (row->alias_of == NULL)
		return NULL;

	main_row = belay__option_find(table, count, row->alias_of, strlen(row->alias_of));
	if (main_row == NULL || main_row->alias_of != NULL)
		return "it is an alias of no option";
	if (main_row->kind != row->kind || main_row->offset != row->offset)
		return "it differs from the option it is an alias of";
	return NULL;
}

/* Strings and lists may describe their default in words; all others must be able to read it. */
static int check_default(const struct belay__option *row, struct belay_error *reterr)
{
	struct belay__option copy = *row;
	uint64_t scratch = 0;

	if (row->default_text == NULL || row->kind == BELAY__OPTION_STRING || row->apply != NULL)
		return 0;
	copy.offset = 0;
	return belay__option_set(&copy, &scratch, row->default_text, reterr);
}

int belay__options_check(const struct belay__option *table, size_t count, struct belay_error *reterr)
{
	for (size_t i = 0; i < count; i++) {
		const char *fault = fault_of_shape(&table[i]);
		int r;

		if (fault == NULL)
			fault = fault_of_place(table, count, i);
		if (fault != NULL)
			return belay__fail(reterr, -EINVAL, "option --%s: %s", table[i].name, fault);
		r = check_default(&table[i], reterr);
		if (r < 0)
			return belay__wrap(reterr, r, "default of option --%s", table[i].name);
	}
	return 0;
}
