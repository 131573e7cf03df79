/* http_listen.h - a TCP socket to be scraped at */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <belay/error.h>

#include "base/address.h"

#define BELAY__HTTP_BOUND_SIZE BELAY__ADDRESS_SIZE

/* Listens at ADDRESS: "127.0.0.1:9478", "[::1]:9478", numbers only; port 0 lets the system choose;
 * "[::]" means IPv4, too. Without a token (HAS_TOKEN) only loopback addresses are possible. Returns
 * the fd (non-blocking, close-on-exec) and in RET_BOUND the address that was bound as text, without
 * a newline; or a negative errno with a sentence: -EINVAL (no such address), -EPERM (needs a token),
 * -EADDRINUSE and others from the system. */
int belay__http_listen(const char *address, bool has_token,
	char ret_bound[static BELAY__HTTP_BOUND_SIZE], struct belay_error *reterr);
