/* status_table.h - rows of a status as a table for people, or as the JSON lines they came as */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cmd/output.h"
#include "cmd/status_rows.h"

struct belay__status_look {
	bool json;
	bool coloured;
	size_t lines_max; /* as many lines, the heading included; 0: all */
};

/* Adds the rows to OUTPUT; returns how many lines. */
size_t belay__status_show(const struct belay__status *status, const struct belay__status_look *look,
	struct belay__output *output);
