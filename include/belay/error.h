/* belay/error.h - what went wrong, for programs and for people
 *
 * Functions of Belay return a negative errno. Those that can say more take a `struct belay_error *`
 * as their last argument: NULL when the sentence is not wanted, otherwise filled on failure and
 * left alone on success.
 */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* Marks what the libraries export; everything else stays inside. */
#define BELAY_API __attribute__((visibility("default")))

struct belay_error {
	int code;       /* negative errno, the same that was returned */
	char text[256]; /* one sentence: what was tried, why it failed, what to do; no newline */
};

#ifdef __cplusplus
}
#endif
