#include "export/metrics_table.h"

#include <errno.h>
#include <stdbool.h>

#include "export/metrics.h"

/* clang-format off */
#define VALUE                 .source = BELAY__FROM_VALUE
#define COUNTED_AS(name)      .source = BELAY__FROM_VALUE, .counted_as = (name)
#define MILLIS                .source = BELAY__FROM_MILLIS
#define NANOS_OF(id)          .source = BELAY__FROM_NANOS, .at = BELAY__METRIC_##id
#define HISTOGRAM_OF(id)      .source = BELAY__FROM_HISTOGRAM, .at = BELAY__HISTOGRAM_##id
#define GROUP(member)         .source = BELAY__FROM_GROUP, .at = offsetof(struct belay__metrics_group, member)
#define GROUP_SECONDS(member) .source = BELAY__FROM_GROUP_SECONDS, .at = offsetof(struct belay__metrics_group, member)
#define STATES                .source = BELAY__FROM_STATES
#define PROCESS(member)       .source = BELAY__FROM_PROCESS, .at = offsetof(struct belay__metrics_process, member)
#define PROCESS_STATUS        .source = BELAY__FROM_PROCESS_STATUS
#define PROCESS_INFO          .source = BELAY__FROM_PROCESS_INFO
#define BUILD                 .source = BELAY__FROM_BUILD

const struct belay__metric_row belay__metric_rows[BELAY__METRIC_COUNT] = {
#define X(ID, NAME, LABEL, TYPE, SOURCE, SETS, HELP) \
	[BELAY__METRIC_##ID] = { .name = NAME, .label = LABEL, .help = HELP, \
		.type = BELAY__METRIC_##TYPE, SOURCE, .sets = BELAY__METRICS_##SETS },
	BELAY__METRICS(X)
#undef X
};
/* clang-format on */

/* The longest line of the table is that of recovery_outcomes_total. */
enum { TABLE_LINE_MAX = 2048 };

const char *belay__metrics_prefix(enum belay__metrics_set set)
{
	return set == BELAY__METRICS_VARTA ? "varta" : "belay";
}

const char *belay__metric_type_name(enum belay__metric_type type)
{
	static const char *const names[BELAY__METRIC_TYPES] = {
		[BELAY__METRIC_COUNTER] = "counter",
		[BELAY__METRIC_GAUGE] = "gauge",
		[BELAY__METRIC_HISTOGRAM] = "histogram",
		[BELAY__METRIC_INFO] = "info",
	};

	return names[type];
}

int belay__metric_find(const char *name, const char *label)
{
	for (int i = 0; i < BELAY__METRIC_COUNT; i++) {
		const struct belay__metric_row *row = &belay__metric_rows[i];
		const char *its = row->counted_as == NULL ? row->name : row->counted_as;

		if (row->source <= BELAY__FROM_MILLIS && strcmp(its, name) == 0 &&
			strcmp(row->label, label) == 0)
			return i;
	}
	return -ENOENT;
}

/* What each source is called in the table, and the labels that it brings by itself. */
static const struct {
	const char *name, *labels;
} sources[BELAY__METRIC_SOURCES] = {
	[BELAY__FROM_VALUE] = { "value", "" },
	[BELAY__FROM_MILLIS] = { "value", "" },
	[BELAY__FROM_NANOS] = { "value", "" },
	[BELAY__FROM_HISTOGRAM] = { "histogram", "le" },
	[BELAY__FROM_GROUP] = { "name", "name" },
	[BELAY__FROM_GROUP_SECONDS] = { "name", "name" },
#define X(id, name) " " name
	[BELAY__FROM_STATES] = { "name", "name, state:" BELAY__METRICS_STATES(X) },
#undef X
	[BELAY__FROM_PROCESS] = { "pid", "pid" },
	[BELAY__FROM_PROCESS_STATUS] = { "pid", "pid" },
	[BELAY__FROM_PROCESS_INFO] = { "pid", "name, pid, uid" },
	[BELAY__FROM_BUILD] = { "build", "version" },
};

/* Writes the labels of the family that begins at row ID: the key once, and all values. */
static char *put_labels(char *at, int id, enum belay__metrics_set set)
{
	const struct belay__metric_row *first = &belay__metric_rows[id];
	const char *own = sources[first->source].labels;
	bool keyed = false;

	for (const struct belay__metric_row *row = first;
		row < belay__metric_rows + BELAY__METRIC_COUNT &&
		strcmp(row->name, first->name) == 0;
		row++) {
		const char *equals = strchr(row->label, '=');

		if (equals == NULL || (row->sets & set) == 0)
			continue;
		if (!keyed) {
			at = belay__put(at, row->label, (size_t)(equals - row->label));
			*at++ = ':';
		}
		keyed = true;
		*at++ = ' ';
		/* Without the quotes. */
		at = belay__put(at, equals + 2, strlen(equals + 2) - 1);
	}
	if (keyed && own[0] != '\0')
		at = belay__put_string(at, ", ");
	return belay__put_string(at, !keyed && own[0] == '\0' ? "-" : own);
}

static char *put_line(char *at, int id, enum belay__metrics_set set)
{
	const struct belay__metric_row *row = &belay__metric_rows[id];

	at = belay__put_string(at, belay__metrics_prefix(set));
	*at++ = '_';
	at = belay__put_string(at, row->name);
	*at++ = '\t';
	at = belay__put_string(at, belay__metric_type_name(row->type));
	*at++ = '\t';
	at = put_labels(at, id, set);
	*at++ = '\t';
	at = belay__put_string(at, sources[row->source].name);
	*at++ = '\t';
	at = belay__put_string(at, row->help);
	*at++ = '\n';
	return at;
}

int belay__metrics_write_table(enum belay__metrics_set set, struct belay__metrics_text *text)
{
	const char *family = "";

	for (int i = 0; i < BELAY__METRIC_COUNT; i++) {
		const struct belay__metric_row *row = &belay__metric_rows[i];
		char *at;

		if ((row->sets & set) == 0 || strcmp(row->name, family) == 0)
			continue;
		family = row->name;
		at = belay__metrics_text_room(text, TABLE_LINE_MAX);
		if (at == NULL)
			return text->error;
		at = put_line(at, i, set);
		*at = '\0';
		belay__metrics_text_end(text, at);
	}
	return 0;
}
