/* banner.h - what somebody sees who starts an observer on a terminal */
#pragma once

#include <stdint.h>

#include "observe/parent.h"

/* On a terminal: socket, threshold, room, what the kernel's queue holds and means, and what to try
 * next. Elsewhere only the warnings. */
void belay__banner(const struct belay__parent *parent, uint32_t going_on);
