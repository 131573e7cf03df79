/* config_file.h - one configuration file, and from which places several are read */
#pragma once

#include <stddef.h>

#include <belay/error.h>

#include "observe/config.h"

/* Reads the file open at FD into CONFIG and notes in SOURCES where each value stands; NAME is what
 * sentences call the file. After a failure both hold some of its values and are of no use. 0, or a
 * negative errno with a sentence (-EINVAL: a wrong line). */
int belay__config_read(int fd, const char *name, struct belay__observe_config *config,
	struct belay__config_sources *sources, struct belay_error *reterr);

/* Opens PATH as configuration that can be trusted, reads it as above and adds it to SOURCES'
 * files. */
int belay__config_read_path(const char *path, struct belay__observe_config *config,
	struct belay__config_sources *sources, struct belay_error *reterr);

/* Notes that the value of TABLE's row at INDEX, and so that of all rows of the same member, came
 * from FROM. */
void belay__config_note(struct belay__config_sources *sources, size_t index, const char *from);

/* What belay__config_load() does, with the two directories that hold belay.conf (and conf.d in
 * SYSTEM_DIR's case) given. NULL: there is none. */
int belay__config_load_from(const char *system_dir, const char *user_dir, int argc, char **argv,
	struct belay__observe_config *ret_config, struct belay__config_sources *ret_sources,
	struct belay_error *reterr);
