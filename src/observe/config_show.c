#include <string.h>

#include "base/json.h"
#include "observe/config.h"

/* Where the origins of values begin on their lines, in bytes. */
#define ORIGIN_COLUMN 44

/* Whether row I stands for its member: other names, and what no file can hold, are not shown. */
static bool is_shown(size_t i)
{
	const struct belay__option *row = &belay__observe_table[i];

	if (row->alias_of != NULL || !row->in_config)
		return false;
	for (size_t k = 0; k < i; k++)
		if (belay__observe_table[k].alias_of == NULL &&
			belay__observe_table[k].offset == row->offset)
			return false;
	return true;
}

/* Writes what RULE says for ROW; nothing when it says nothing. */
static void add_rule_value(const struct belay__option *row, const struct belay__rule *rule,
	struct belay__text *text)
{
	const char *member = (const char *)rule + row->offset;
	uint64_t number;

	if (row->kind == BELAY__OPTION_LIST) { /* the uid */
		if (rule->uid >= 0)
			belay__text_add_i64(text, rule->uid);
		return;
	}
	if (row->kind != BELAY__OPTION_STRING && row->min > 0) {
		memcpy(&number, member, sizeof(number));
		if (number == 0)
			return;
	}
	belay__option_show(row, rule, text);
}

static const char *value_of(const struct belay__option *row, const void *options, bool is_rule,
	char buffer[static BELAY__PATH_SIZE])
{
	struct belay__text text;

	belay__text_init(&text, buffer, BELAY__PATH_SIZE);
	if (is_rule)
		add_rule_value(row, options, &text);
	else
		belay__option_show(row, options, &text);
	return buffer;
}

static void add_line(const char *key, const char *value, const char *from, struct belay__text *text)
{
	size_t start = text->len, width;

	belay__text_add(text, key);
	belay__text_add(text, value[0] == '\0' ? " =" : " = ");
	belay__text_add(text, value);
	if (from != NULL) {
		width = text->len - start;
		belay__text_addf(text, "%*s ; ",
			width < ORIGIN_COLUMN ? (int)(ORIGIN_COLUMN - width) : 0, "");
		belay__text_add(text, from);
	}
	belay__text_add(text, "\n");
}

/* The variable for commands behind ENTRY, NULL at first and at the end: the one list that the
 * observer's options have. */
static const char *next_entry(const struct belay__observe_options *options, const char *entry)
{
	entry = entry == NULL ? options->recovery_env : entry + strlen(entry) + 1;
	return entry < options->recovery_env + options->recovery_env_len ? entry : NULL;
}

/* What is written is a configuration file itself. */
static void show_text(const struct belay__observe_config *config,
	const struct belay__config_sources *sources, struct belay__text *text)
{
	char value[BELAY__PATH_SIZE];
	const struct belay__observe_options *options = &config->options;

	for (unsigned i = 0; i < sources->file_count; i++) {
		belay__text_add(text, "; read: ");
		belay__text_add(text, sources->files[i]);
		belay__text_add(text, "\n");
	}
	belay__text_add(text, "[observe]\n");
	for (size_t i = 0; i < belay__observe_table_count; i++) {
		const struct belay__option *row = &belay__observe_table[i];

		if (!is_shown(i))
			continue;
		if (row->kind != BELAY__OPTION_LIST)
			add_line(row->name, value_of(row, options, false, value), sources->from[i],
				text);
		for (const char *entry = NULL;
			row->kind == BELAY__OPTION_LIST && (entry = next_entry(options, entry));)
			add_line(row->name, entry, sources->from[i], text);
	}

	for (uint32_t k = 0; k < config->rule_count; k++) {
		belay__text_addf(text, "\n[process %s] ; %s\n", config->rules[k].name,
			sources->rule_from[k]);
		for (size_t i = 0; i < belay__process_table_count; i++)
			if (value_of(&belay__process_table[i], &config->rules[k], true, value)[0] !=
				'\0')
				add_line(belay__process_table[i].name, value, NULL, text);
	}
}

/* Counts and flags are JSON's own kinds; all else is text as a file holds it. */
static void add_json_value(struct belay__json_writer *json, const char *key,
	const struct belay__option *row, const void *options, const char *value)
{
	const char *member = (const char *)options + row->offset;
	uint64_t number;

	if (row->kind == BELAY__OPTION_FLAG) {
		belay__json_bool(json, key, *(const bool *)member);
	} else if (row->kind == BELAY__OPTION_COUNT || row->kind == BELAY__OPTION_LIST) {
		memcpy(&number, member, sizeof(number));
		belay__json_u64(json, key, number);
	} else {
		belay__json_string(json, key, value);
	}
}

static void add_json_entries(struct belay__json_writer *json,
	const struct belay__observe_options *options)
{
	belay__json_array(json, "value");
	for (const char *entry = NULL; (entry = next_entry(options, entry)) != NULL;)
		belay__json_string(json, NULL, entry);
	belay__json_end_array(json);
}

static void show_json(const struct belay__observe_config *config,
	const struct belay__config_sources *sources, struct belay__text *text)
{
	struct belay__json_writer json;
	char value[BELAY__PATH_SIZE];

	belay__json_start(&json, text);
	belay__json_object(&json, NULL);
	belay__json_array(&json, "files");
	for (unsigned i = 0; i < sources->file_count; i++)
		belay__json_string(&json, NULL, sources->files[i]);
	belay__json_end_array(&json);

	belay__json_object(&json, "observe");
	for (size_t i = 0; i < belay__observe_table_count; i++) {
		const struct belay__option *row = &belay__observe_table[i];

		if (!is_shown(i))
			continue;
		belay__json_object(&json, row->name);
		if (row->kind == BELAY__OPTION_LIST)
			add_json_entries(&json, &config->options);
		else
			add_json_value(&json, "value", row, &config->options,
				value_of(row, &config->options, false, value));
		belay__json_string(&json, "from", sources->from[i]);
		belay__json_end_object(&json);
	}
	belay__json_end_object(&json);

	belay__json_array(&json, "process");
	for (uint32_t k = 0; k < config->rule_count; k++) {
		const struct belay__rule *rule = &config->rules[k];

		belay__json_object(&json, NULL);
		belay__json_string(&json, "name", rule->name);
		belay__json_string(&json, "from", sources->rule_from[k]);
		for (size_t i = 0; i < belay__process_table_count; i++) {
			const struct belay__option *row = &belay__process_table[i];

			if (value_of(row, rule, true, value)[0] != '\0')
				add_json_value(&json, row->name, row, rule, value);
		}
		belay__json_end_object(&json);
	}
	belay__json_end_array(&json);
	belay__json_end_object(&json);
	belay__text_add(text, "\n");
}

void belay__config_show(const struct belay__observe_config *config,
	const struct belay__config_sources *sources, bool json, struct belay__text *text)
{
	if (json)
		show_json(config, sources, text);
	else
		show_text(config, sources, text);
}

/* Writes the line for ROW when its value changed. */
static unsigned diff_value(const char *prefix, const struct belay__option *row, const void *old,
	const void *fresh, bool is_rule, struct belay__text *text)
{
	char before[BELAY__PATH_SIZE], after[BELAY__PATH_SIZE];

	(void)value_of(row, old, is_rule, before);
	(void)value_of(row, fresh, is_rule, after);
	if (strcmp(before, after) == 0)
		return 0;
	belay__text_add(text, prefix);
	belay__text_addf(text, "%s: %s -> %s\n", row->name, before[0] == '\0' ? "(unset)" : before,
		after[0] == '\0' ? "(unset)" : after);
	return 1;
}

static const struct belay__rule *find_rule(const struct belay__observe_config *config,
	const char *name)
{
	for (uint32_t i = 0; i < config->rule_count; i++)
		if (strcmp(config->rules[i].name, name) == 0)
			return &config->rules[i];
	return NULL;
}

unsigned belay__config_diff(const struct belay__observe_config *old,
	const struct belay__observe_config *fresh, struct belay__text *text)
{
	unsigned changes = 0;

	for (size_t i = 0; i < belay__observe_table_count; i++)
		if (is_shown(i))
			changes += diff_value("", &belay__observe_table[i], &old->options,
				&fresh->options, false, text);

	for (uint32_t k = 0; k < old->rule_count; k++)
		if (find_rule(fresh, old->rules[k].name) == NULL) {
			belay__text_addf(text, "process %s: removed\n", old->rules[k].name);
			changes++;
		}
	for (uint32_t k = 0; k < fresh->rule_count; k++) {
		const struct belay__rule *rule = &fresh->rules[k],
					 *before = find_rule(old, rule->name);
		char prefix[BELAY__NAME_MAX + 16];
		struct belay__text name;

		if (before == NULL) {
			belay__text_addf(text, "process %s: added\n", rule->name);
			changes++;
			continue;
		}
		belay__text_init(&name, prefix, sizeof(prefix));
		belay__text_addf(&name, "process %s: ", rule->name);
		for (size_t i = 0; i < belay__process_table_count; i++)
			changes += diff_value(prefix, &belay__process_table[i], before, rule, true,
				text);
	}
	return changes;
}
