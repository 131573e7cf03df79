/* signal_name.h - what a signal is called */
#pragma once

#include <stdint.h>

#include "base/text.h"

/* "SIGSEGV", or NULL for numbers that have no name of their own (real-time signals among them). */
const char *belay__signal_name(int64_t number);

/* Adds "SIGSEGV (11)", or "signal 42". */
void belay__text_add_signal(struct belay__text *text, int64_t number);
