#include "export/metrics.h"

#include <assert.h>
#include <errno.h>

/* More than any line takes, with a name of 64 bytes that are all escaped. */
enum { LINE_SIZE = 512, STEM_BLOCK = 32, STEM_SIZE = 6 * STEM_BLOCK };

/* The body being written, and how the lines of the row at hand begin. */
struct rendering {
	const struct belay__metrics_snapshot *snapshot;
	const struct belay__metrics_style *style;
	struct belay__metrics_text *text;
	const struct belay__metric_row *row;
	size_t stem_len;
	char stem[STEM_SIZE];
};

#define PUT_LITERAL(at, literal) belay__put((at), (literal), sizeof(literal) - 1)

static bool is_openmetrics(const struct rendering *r)
{
	return r->style->format == BELAY__METRICS_OPENMETRICS;
}

static char *put_name(char *at, const struct rendering *r)
{
	at = belay__put_string(at, belay__metrics_prefix(r->style->set));
	*at++ = '_';
	return belay__put_string(at, r->row->name);
}

/* In whole blocks, which a compiler makes moves of: a line has room for what is too much. */
static inline char *put_stem(char *at, const struct rendering *r)
{
	for (size_t i = 0; i < r->stem_len; i += STEM_BLOCK)
		memcpy(at + i, r->stem + i, STEM_BLOCK);
	return at + r->stem_len;
}

/* LEN, or what of it is left without ENDING. */
static size_t without(const char *name, size_t len, const char *ending)
{
	size_t ending_len = strlen(ending);

	if (len > ending_len && memcmp(name + len - ending_len, ending, ending_len) == 0)
		return len - ending_len;
	return len;
}

/* OpenMetrics names a family without its samples' ending; Prometheus does not. */
static size_t family_len(const struct rendering *r, const char *name, size_t len)
{
	if (!is_openmetrics(r))
		return len;
	if (r->row->type == BELAY__METRIC_INFO)
		return without(name, len, "_info");
	return r->row->type == BELAY__METRIC_COUNTER ? without(name, len, "_total") : len;
}

/* Prometheus knows no infos, and OpenMetrics no counter without an ending, as the original has
 * one. */
static const char *type_name(const struct rendering *r, bool has_ending)
{
	if (!is_openmetrics(r) && r->row->type == BELAY__METRIC_INFO)
		return belay__metric_type_name(BELAY__METRIC_GAUGE);
	if (is_openmetrics(r) && r->row->type == BELAY__METRIC_COUNTER && !has_ending)
		return "unknown";
	return belay__metric_type_name(r->row->type);
}

static char *put_about(char *at, const char *word, const char *family, size_t len, const char *what)
{
	at = PUT_LITERAL(at, "# ");
	at = belay__put_string(at, word);
	*at++ = ' ';
	at = belay__put(at, family, len);
	*at++ = ' ';
	at = belay__put_string(at, what);
	*at++ = '\n';
	return at;
}

/* OpenMetrics wants the unit told that the family's name ends in. */
static char *put_unit(char *at, const char *family, size_t len)
{
	static const char *const units[] = { "_seconds", "_bytes" };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (without(family, len, units[i]) < len)
			at = put_about(at, "UNIT", family, len, units[i] + 1);
	return at;
}

static int render_head(const struct rendering *r)
{
	char name[STEM_SIZE];
	size_t full = (size_t)(put_name(name, r) - name);
	size_t len = family_len(r, name, full);
	char *at = belay__metrics_text_room(r->text, (size_t)3 * LINE_SIZE);

	if (at == NULL)
		return r->text->error;
	at = put_about(at, "HELP", name, len, r->row->help);
	at = put_about(at, "TYPE", name, len, type_name(r, len < full));
	if (is_openmetrics(r))
		at = put_unit(at, name, len);
	belay__metrics_text_end(r->text, at);
	return 0;
}

/* Sets how the row's lines begin: its name, ENDING, its labels if any, LABELS. */
static void set_stem(struct rendering *r, const char *ending, const char *labels)
{
	char *at = belay__put_string(put_name(r->stem, r), ending);

	if (r->row->label[0] != '\0' || labels[0] != '\0')
		*at++ = '{';
	at = belay__put_string(at, r->row->label);
	if (r->row->label[0] != '\0' && labels[0] != '\0')
		*at++ = ',';
	at = belay__put_string(at, labels);
	r->stem_len = (size_t)(at - r->stem);
}

static int render_value(struct rendering *r)
{
	const struct belay__metric_row *row = r->row;
	size_t at_row = row->source == BELAY__FROM_NANOS ? row->at
							 : (size_t)(row - belay__metric_rows);
	uint64_t value = r->snapshot->values[at_row];
	char *at = belay__metrics_text_room(r->text, LINE_SIZE);

	if (at == NULL)
		return r->text->error;
	set_stem(r, "", "");
	at = put_stem(at, r);
	if (row->label[0] != '\0')
		*at++ = '}';
	*at++ = ' ';
	if (row->source == BELAY__FROM_VALUE)
		at = belay__put_u64(at, value);
	else
		at = belay__put_seconds(at, value, row->source == BELAY__FROM_MILLIS ? 3 : 9);
	*at++ = '\n';
	belay__metrics_text_end(r->text, at);
	return 0;
}

static char *put_buckets(char *at, struct rendering *r, const struct belay__histogram *histogram,
	uint64_t *ret_count)
{
	static const char *const bounds[BELAY__HISTOGRAM_BUCKETS] = { "0.001", "0.005", "0.01",
		"0.05", "0.1", "0.25", "0.5", "1", "+Inf" };
	uint64_t count = 0;

	set_stem(r, "_bucket", "le=\"");
	for (size_t i = 0; i < BELAY__HISTOGRAM_BUCKETS; i++) {
		count += histogram->counts[i];
		at = put_stem(at, r);
		at = belay__put_string(at, bounds[i]);
		/* There a whole number is no canonical bound. */
		if (is_openmetrics(r) && bounds[i][1] == '\0')
			at = PUT_LITERAL(at, ".0");
		at = PUT_LITERAL(at, "\"} ");
		at = belay__put_u64(at, count);
		*at++ = '\n';
	}
	*ret_count = count;
	return at;
}

static char *put_stem_closed(char *at, struct rendering *r, const char *ending)
{
	set_stem(r, ending, "");
	at = put_stem(at, r);
	if (r->row->label[0] != '\0')
		*at++ = '}';
	*at++ = ' ';
	return at;
}

static int render_histogram(struct rendering *r)
{
	const struct belay__histogram *histogram = &r->snapshot->histograms[r->row->at];
	char *at = belay__metrics_text_room(r->text,
		(size_t)(BELAY__HISTOGRAM_BUCKETS + 2) * LINE_SIZE);
	uint64_t count;

	if (at == NULL)
		return r->text->error;
	at = put_buckets(at, r, histogram, &count);
	at = put_stem_closed(at, r, "_sum");
	at = belay__put_seconds(at, histogram->sum_ns, 9);
	*at++ = '\n';
	at = put_stem_closed(at, r, "_count");
	at = belay__put_u64(at, count);
	*at++ = '\n';
	belay__metrics_text_end(r->text, at);
	return 0;
}

static uint64_t member(const void *record, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)record + offset, sizeof(value));
	return value;
}

/* What lies beyond the limit is told only when something does. */
static bool tells_other(const struct belay__metrics_snapshot *snapshot)
{
	return snapshot->other_names > 0 || snapshot->other.processes > 0 ||
		snapshot->other.beats_total > 0;
}

/* The groups one after the other, _other last, then NULL. */
static const struct belay__metrics_group *group_at(const struct belay__metrics_snapshot *snapshot,
	size_t i)
{
	if (i < snapshot->group_count)
		return &snapshot->groups[i];
	return i == snapshot->group_count && tells_other(snapshot) ? &snapshot->other : NULL;
}

/* The stem, the name and, where the name alone is not one of a kind, the uid; without the last
 * quote. */
static inline char *put_group(char *at, const struct rendering *r,
	const struct belay__metrics_group *group)
{
	at = put_stem(at, r);
	if (__builtin_expect(group->name_plain, 1))
		at = belay__put(at, group->name, group->name_len);
	else
		at = belay__put_label_value(at, group->name, group->name_len);
	if (__builtin_expect(group->name_shared, 0))
		at = belay__put_u64(PUT_LITERAL(at, "\",uid=\""), group->uid);
	return at;
}

static int render_groups(struct rendering *r)
{
	const struct belay__metrics_group *group;
	bool seconds = r->row->source == BELAY__FROM_GROUP_SECONDS;

	set_stem(r, "", "name=\"");
	for (size_t i = 0; (group = group_at(r->snapshot, i)) != NULL; i++) {
		uint64_t value = member(group, r->row->at);
		char *at;

		/* What is not known is not told. */
		if (seconds && value == 0)
			continue;
		at = belay__metrics_text_room(r->text, LINE_SIZE);
		if (at == NULL)
			return r->text->error;
		at = PUT_LITERAL(put_group(at, r, group), "\"} ");
		at = seconds ? belay__put_seconds(at, value, 3) : belay__put_u64(at, value);
		*at++ = '\n';
		belay__metrics_text_end(r->text, at);
	}
	return 0;
}

/* How a line goes on behind the name, up to the value. */
static const struct {
	const char *bytes;
	size_t len;
} state_labels[] = {
#define X(id, name)                                                                                \
	[BELAY__METRICS_STATE_##                                                                   \
		id] = { "\",state=\"" name "\"} ", sizeof("\",state=\"" name "\"} ") - 1 },
	BELAY__METRICS_STATES(X)
#undef X
};

enum { STATES_TOLD = sizeof(state_labels) / sizeof(state_labels[0]) };

static int render_states(struct rendering *r)
{
	const struct belay__metrics_group *group;

	set_stem(r, "", "name=\"");
	for (size_t i = 0; (group = group_at(r->snapshot, i)) != NULL; i++) {
		char *at = belay__metrics_text_room(r->text, (size_t)STATES_TOLD * LINE_SIZE);
		const char *begin = at;
		size_t begin_len;

		if (at == NULL)
			return r->text->error;
		at = put_group(at, r, group);
		begin_len = (size_t)(at - begin);
		for (size_t state = 0; state < STATES_TOLD; state++) {
			if (state > 0)
				at = belay__put(at, begin, begin_len);
			at = belay__put(at, state_labels[state].bytes, state_labels[state].len);
			at = belay__put_u64(at, group->states[state]);
			*at++ = '\n';
		}
		belay__metrics_text_end(r->text, at);
	}
	return 0;
}

/* The pid; of another host's process behind its host, because pids are not one of a kind there. */
static inline char *put_pid(char *at, const struct belay__metrics_process *process)
{
	return belay__put_u64(belay__put(at, process->name, process->host_len), process->pid);
}

static int render_processes(struct rendering *r)
{
	bool status = r->row->source == BELAY__FROM_PROCESS_STATUS;

	set_stem(r, "", "pid=\"");
	for (size_t i = 0; i < r->snapshot->process_count; i++) {
		const struct belay__metrics_process *process = &r->snapshot->processes[i];
		char *at;

		if (status && process->status == BELAY__METRICS_NO_STATUS)
			continue;
		at = belay__metrics_text_room(r->text, LINE_SIZE);
		if (at == NULL)
			return r->text->error;
		at = put_stem(at, r);
		at = PUT_LITERAL(put_pid(at, process), "\"} ");
		at = belay__put_u64(at, status ? process->status : member(process, r->row->at));
		*at++ = '\n';
		belay__metrics_text_end(r->text, at);
	}
	return 0;
}

static int render_process_info(struct rendering *r)
{
	set_stem(r, "", "name=\"");
	for (size_t i = 0; i < r->snapshot->process_count; i++) {
		const struct belay__metrics_process *process = &r->snapshot->processes[i];
		char *at = belay__metrics_text_room(r->text, LINE_SIZE);

		if (at == NULL)
			return r->text->error;
		at = put_stem(at, r);
		at = belay__put_label_value(at, process->name,
			strnlen(process->name, BELAY__NAME_MAX));
		at = belay__put_u64(PUT_LITERAL(at, "\",pid=\""), process->pid);
		at = PUT_LITERAL(at, "\",uid=\"");
		if (process->host_len == 0)
			at = belay__put_u64(at, process->uid);
		at = PUT_LITERAL(at, "\"} 1\n");
		belay__metrics_text_end(r->text, at);
	}
	return 0;
}

static int render_build(struct rendering *r)
{
	char *at = belay__metrics_text_room(r->text, LINE_SIZE);

	if (at == NULL)
		return r->text->error;
	set_stem(r, "", "version=\"");
	at = put_stem(at, r);
	at = PUT_LITERAL(at, BELAY_VERSION "\"} 1\n");
	belay__metrics_text_end(r->text, at);
	return 0;
}

static int (*const renderers[BELAY__METRIC_SOURCES])(struct rendering *r) = {
	[BELAY__FROM_VALUE] = render_value,
	[BELAY__FROM_MILLIS] = render_value,
	[BELAY__FROM_NANOS] = render_value,
	[BELAY__FROM_HISTOGRAM] = render_histogram,
	[BELAY__FROM_GROUP] = render_groups,
	[BELAY__FROM_GROUP_SECONDS] = render_groups,
	[BELAY__FROM_STATES] = render_states,
	[BELAY__FROM_PROCESS] = render_processes,
	[BELAY__FROM_PROCESS_STATUS] = render_processes,
	[BELAY__FROM_PROCESS_INFO] = render_process_info,
	[BELAY__FROM_BUILD] = render_build,
};

static bool wanted(const struct belay__metric_row *row, const struct belay__metrics_style *style)
{
	return (row->sets & style->set) != 0 &&
		(row->source != BELAY__FROM_PROCESS_INFO || style->pids);
}

static int render_rows(struct rendering *r)
{
	const char *family = "";
	int rc = 0;

	for (size_t i = 0; i < BELAY__METRIC_COUNT && rc == 0; i++) {
		r->row = &belay__metric_rows[i];
		if (!wanted(r->row, r->style))
			continue;
		if (strcmp(r->row->name, family) != 0)
			rc = render_head(r);
		family = r->row->name;
		if (rc == 0)
			rc = renderers[r->row->source](r);
	}
	return rc;
}

static int render_end(struct rendering *r)
{
	char *at = belay__metrics_text_room(r->text, LINE_SIZE);

	if (at == NULL)
		return r->text->error;
	if (is_openmetrics(r))
		at = PUT_LITERAL(at, "# EOF\n");
	*at = '\0';
	belay__metrics_text_end(r->text, at);
	return 0;
}

int belay__metrics_render(const struct belay__metrics_snapshot *snapshot,
	const struct belay__metrics_style *style, struct belay__metrics_text *text)
{
	struct rendering r = { .snapshot = snapshot, .style = style, .text = text };
	int rc;

	assert(snapshot->prepared);
	assert(style->set == BELAY__METRICS_BELAY || style->set == BELAY__METRICS_VARTA);

	text->len = 0;
	text->error = 0;
	rc = render_rows(&r);
	if (rc == 0)
		rc = render_end(&r);
	if (rc < 0)
		text->len = 0;
	return rc;
}

const char *belay__metrics_content_type(enum belay__metrics_format format)
{
	return format == BELAY__METRICS_OPENMETRICS
		? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		: "text/plain; version=0.0.4";
}
