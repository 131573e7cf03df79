/* error.h - filling a struct belay_error */
#pragma once

#include <belay/error.h>

/* Writes CODE and the sentence to *reterr unless it is NULL, and returns CODE, which is a negative
 * errno. */
__attribute__((format(printf, 3, 4))) int belay__fail(struct belay_error *reterr, int code,
	const char *format, ...);

/* Puts "PREFIX: " in front of the sentence already in *reterr (cut at the end when it no longer
 * fits); returns CODE. */
__attribute__((format(printf, 3, 4))) int belay__wrap(struct belay_error *reterr, int code,
	const char *format, ...);
