#include "cmd/status_table.h"

#include <stdio.h>
#include <string.h>

enum column {
	COLUMN_NAME,
	COLUMN_STATE,
	COLUMN_PID,
	COLUMN_WATCHED,
	COLUMN_BEATS,
	COLUMN_PROGRESS,
	COLUMN_LAST_BEAT,
	COLUMN_THRESHOLD,
	COLUMN_WHY,
	COLUMNS,
};

struct cells {
	char text[COLUMNS][BELAY__NAME_MAX + 24];
};

static const char *const headings[COLUMNS] = {
	[COLUMN_NAME] = "NAME",
	[COLUMN_STATE] = "STATE",
	[COLUMN_PID] = "PID",
	[COLUMN_WATCHED] = "WATCHED",
	[COLUMN_BEATS] = "BEATS",
	[COLUMN_PROGRESS] = "PROGRESS",
	[COLUMN_LAST_BEAT] = "LAST BEAT",
	[COLUMN_THRESHOLD] = "THRESHOLD",
	[COLUMN_WHY] = "WHY",
};

static const char *const colours[] = {
	[BELAY__STATE_HEALTHY] = "\033[32m",
	[BELAY__STATE_DEGRADED] = "\033[33m",
	[BELAY__STATE_CRITICAL] = "\033[31m",
	[BELAY__STATE_STALLED] = "\033[1;31m",
	[BELAY__STATE_ENDED] = "\033[2m",
	[BELAY__STATE_MISSING] = "\033[1;31m",
	[BELAY__STATE_OTHER] = "\033[33m",
};

static void put_number(char *cell, size_t size, uint64_t number)
{
	if (number == BELAY__NOT_TOLD)
		(void)snprintf(cell, size, "-");
	else
		(void)snprintf(cell, size, "%llu", (unsigned long long)number);
}

static void put_age(char *cell, size_t size, uint64_t ns, const char *behind)
{
	struct belay__text text;

	belay__text_init(&text, cell, size);
	if (ns == BELAY__NOT_TOLD) {
		belay__text_add(&text, "-");
		return;
	}
	belay__text_add_age(&text, ns);
	belay__text_add(&text, behind);
}

static void fill(const struct belay__status_row *row, struct cells *cells)
{
	size_t size = sizeof(cells->text[0]);

	(void)snprintf(cells->text[COLUMN_NAME], size, "%s", row->name);
	(void)snprintf(cells->text[COLUMN_STATE], size, "%s", row->state_word);
	put_number(cells->text[COLUMN_PID], size, row->pid);
	put_age(cells->text[COLUMN_WATCHED], size, row->watched_ns, "");
	put_number(cells->text[COLUMN_BEATS], size, row->beats);
	put_number(cells->text[COLUMN_PROGRESS], size, row->progress);
	put_age(cells->text[COLUMN_LAST_BEAT], size, row->silent_ns, " ago");
	put_age(cells->text[COLUMN_THRESHOLD], size, row->threshold_ns, "");
	(void)snprintf(cells->text[COLUMN_WHY], size, "%s", row->why);
}

static void fill_headings(struct cells *cells)
{
	for (size_t i = 0; i < COLUMNS; i++)
		(void)snprintf(cells->text[i], sizeof(cells->text[i]), "%s", headings[i]);
}

static void widen(size_t width[COLUMNS], const struct cells *cells)
{
	for (size_t i = 0; i < COLUMNS; i++) {
		size_t len = strlen(cells->text[i]);

		width[i] = len > width[i] ? len : width[i];
	}
}

/* Adds one line; no spaces behind its last cell. */
static void add_line(const struct cells *cells, const size_t width[COLUMNS], const char *colour,
	struct belay__output *output)
{
	size_t last = cells->text[COLUMN_WHY][0] == '\0' ? COLUMN_THRESHOLD : COLUMN_WHY;

	for (size_t i = 0; i <= last; i++) {
		bool painted = i == COLUMN_STATE && colour != NULL;

		belay__output_addf(output, "%s%s%s", painted ? colour : "", cells->text[i],
			painted ? "\033[0m" : "");
		if (i < last)
			belay__output_addf(output, "%*s",
				(int)(width[i] - strlen(cells->text[i]) + 2), "");
	}
	belay__output_add(output, "\n");
}

static size_t show_table(const struct belay__status *status, const struct belay__status_look *look,
	struct belay__output *output)
{
	size_t width[COLUMNS] = { 0 }, lines = 1;
	struct cells cells;

	fill_headings(&cells);
	widen(width, &cells);
	for (size_t i = 0; i < status->count; i++) {
		fill(&status->rows[i], &cells);
		widen(width, &cells);
	}

	fill_headings(&cells);
	add_line(&cells, width, NULL, output);
	for (size_t i = 0; i < status->count; i++) {
		const struct belay__status_row *row = &status->rows[i];

		/* The last line, and the one for evidence, stay free. */
		if (look->lines_max > 0 && lines + 2 >= look->lines_max && i + 1 < status->count) {
			belay__output_addf(output, "... and %zu more\n", status->count - i);
			return lines + 1;
		}
		fill(row, &cells);
		add_line(&cells, width, look->coloured ? colours[row->state] : NULL, output);
		lines++;
		if (row->evidence[0] != '\0') {
			belay__output_addf(output, "      why: %s\n", row->evidence);
			lines++;
		}
	}
	return lines;
}

size_t belay__status_show(const struct belay__status *status, const struct belay__status_look *look,
	struct belay__output *output)
{
	if (!look->json)
		return status->count == 0 ? 0 : show_table(status, look, output);

	for (size_t i = 0; i < status->count; i++) {
		belay__output_add_bytes(output, status->bytes + status->rows[i].line,
			status->rows[i].line_len);
		belay__output_add(output, "\n");
	}
	return status->count;
}
