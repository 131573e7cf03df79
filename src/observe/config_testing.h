/* config_testing.h - for the tests of configuration: where it is read to, and text that is read as a file
 *
 * Failures end the test that runs.
 */
#pragma once

#include <stddef.h>

#include "observe/config.h"

/* Too large for a stack; each test fills them anew. */
extern struct belay__observe_config config;
extern struct belay__config_sources sources;
extern struct belay_error load_error;

/* Reads TEXT, or LEN bytes, as a file called "f". */
int read_text(const char *text);
int read_bytes(const char *bytes, size_t len);

/* Where the option NAME has its value from. */
const char *from(const char *name);

void assert_ends(const char *text, const char *end);
