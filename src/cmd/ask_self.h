/* ask_self.h - what an observer says of itself */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>

#include "base/json.h"
#include "cmd/ask.h"

struct belay__self {
	size_t len;
	char bytes[BELAY__HELLO_PACKET_MAX];
	struct belay__json
		object; /* inside of `bytes`; set on success only, and the functions below need it */
};

/* Asks the observer on ASK about itself. 0 or a negative errno with a sentence. */
int belay__ask_self(struct belay__ask *ask, struct belay__self *ret_self,
	struct belay_error *reterr);

/* Member KEY as a number, or OTHERWISE when there is none. */
uint64_t belay__self_number(const struct belay__self *self, const char *key, uint64_t otherwise);

/* Member KEY as a string as it is, "" when there is none; false when it does not fit. */
bool belay__self_string(const struct belay__self *self, const char *key, char *string, size_t size);
