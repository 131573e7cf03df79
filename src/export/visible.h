/* visible.h - text from elsewhere, made harmless for a terminal */
#pragma once

#include <stddef.h>

#include "base/text.h"

/* Adds BYTES with a '?' for every control character, C1 ones included, and for every byte that is
 * no UTF-8. */
void belay__text_add_visible(struct belay__text *text, const char *bytes, size_t len);
