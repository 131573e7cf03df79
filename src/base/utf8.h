/* utf8.h - where characters end in UTF-8 */
#pragma once

#include <stddef.h>

/* How many bytes, 1 to 4, the character at the beginning of BYTES has; 0 when they are no UTF-8
 * (overlong forms, surrogates, values past U+10FFFF, a cut sequence) or LEN is 0. */
size_t belay__utf8_len(const char *bytes, size_t len);

/* Writes the character CODE, at most U+10FFFF and no surrogate, and returns its length. */
size_t belay__utf8_put(char bytes[static 4], unsigned code);
