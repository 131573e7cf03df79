/* probe_sender.h - who sent the answer to a probe, as the kernel says */
#pragma once

#include <sys/uio.h>

#include "backend/probe_exchange.h"

/* Receives into PART once and notes who sent it; descriptors that come along are given to a closer. How
 * many bytes came, 0: he hung up; -EAGAIN: nothing is there; -EPROTO: descriptors came too often; another
 * negative errno. */
int belay__probe_receive(struct belay__exchange *exchange, const struct iovec *part);

/* 0: all of the answer was sent by the process that was verified or by a descendant of it (the report says
 * which). -ESTALE: it was not, and *ret_who says in a few words who it was (static). Another negative errno,
 * such as -EMFILE: that could not be found out. True of the process only if it is there afterwards. */
int belay__probe_sender_check(struct belay__exchange *exchange, const char **ret_who);
