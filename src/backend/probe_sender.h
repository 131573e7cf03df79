/* probe_sender.h - who sent the answer to a probe, as the kernel says */
#pragma once

#include <stdbool.h>
#include <sys/uio.h>

#include "backend/probe_exchange.h"

/* Receives into PART once and notes who sent it; descriptors that come along are given to a closer. How
 * many bytes came, 0: he hung up; -EAGAIN: nothing is there; another negative errno. */
int belay__probe_receive(struct belay__exchange *exchange, const struct iovec *part);

/* NULL: all of the answer was sent by the process that was verified or by a descendant of it (the
 * report says which). Otherwise who it was instead, in a few words (static). True of the process only
 * if belay__probe_still_there() afterwards. */
const char *belay__probe_sender_differs(struct belay__exchange *exchange);

/* Whether the process of HANDLE has not ended. */
bool belay__probe_still_there(const struct belay_handle *handle);
