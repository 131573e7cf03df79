/* http_token.h - the secret that a scrape over TCP shows */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/error.h>

#include "base/secret.h"

#define BELAY__HTTP_TOKEN_LEN BELAY__SECRET_LEN

/* Reads the token in PATH, a secret as secret.h describes it. 0 and RET_TOKEN, which the caller wipes
 * with explicit_bzero(), or a negative errno with a sentence that never holds what was read. */
int belay__http_token_read(const char *path, uint8_t ret_token[static BELAY__HTTP_TOKEN_LEN],
	struct belay_error *reterr);

/* Whether AUTHORIZATION, the value of that header (NULL: there was none), is "Bearer " and TOKEN in
 * hexadecimal digits. How long it takes says nothing about where the two differ. */
bool belay__http_token_matches(const uint8_t token[static BELAY__HTTP_TOKEN_LEN],
	const char *authorization);
