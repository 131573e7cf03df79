/* selection.h - the words that say whom a command means: a pid, a glob over names, or UID/glob */
#pragma once

#include <stdbool.h>

#include "base/text.h"

/* Whether there can be a process that SELECTION means: a pid, or a glob that some name matches
 * (belay__name_valid()), alone or behind a user id. */
bool belay__selection_possible(const char *selection);

/* Adds WORD as a shell takes it for one word. */
void belay__text_add_shell_word(struct belay__text *text, const char *word);
