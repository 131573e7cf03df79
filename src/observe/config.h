/* config.h - from defaults, files, environment and command line to one configuration, and where
 * each value came from
 *
 * Files, in this order: /etc/belay/belay.conf, /etc/belay/conf.d/ *.conf (by name), and for
 * ordinary users $XDG_CONFIG_HOME/belay/belay.conf (~/.config/belay/belay.conf); or the one given
 * with --config alone. INI by inih: sections [observe] and [process NAME]. An unknown key or
 * section is an error that names file, line and the nearest key. A file that others can write is
 * refused. Environment: BELAY_<OPTION> with '-' as '_' (BELAY_SOCKET, BELAY_THRESHOLD ...).
 */
#pragma once

#include <belay/error.h>

#include "base/text.h"
#include "observe/options.h"

#define BELAY__CONFIG_FILES_MAX 64
#define BELAY__OPTIONS_MAX      96

/* Where values came from: one entry per row of belay__observe_table. */
struct belay__config_sources {
	char from[BELAY__OPTIONS_MAX]
		 [128]; /* "default", "/etc/belay/belay.conf:12", "BELAY_SOCKET", "--socket" */
	char rule_from[BELAY__RULES_MAX][128];    /* where the section of each rule begins first */
	char files[BELAY__CONFIG_FILES_MAX][256]; /* that were read */
	unsigned file_count;
	bool socket_given; /* by file, environment or flag */
};

/* Loads everything. argv[0] is skipped; words that are no options are an error. 0 and both outputs,
 * or a negative errno with a sentence (-EINVAL: wrong value or line; -EPERM: file not to be
 * trusted). */
int belay__config_load(int argc, char **argv, struct belay__observe_config *ret_config,
	struct belay__config_sources *ret_sources, struct belay_error *reterr);

/* Writes the configuration in force, one `key = value` a line with its origin behind it; or as one
 * JSON object. */
void belay__config_show(const struct belay__observe_config *config,
	const struct belay__config_sources *sources, bool json, struct belay__text *text);

/* Writes one line for each value in which FRESH differs from OLD ("threshold: 5s -> 10s"); returns
 * how many. */
unsigned belay__config_diff(const struct belay__observe_config *old,
	const struct belay__observe_config *fresh, struct belay__text *text);
