/* daemon_message.h - struct belay_daemon as the message DaemonProcess, and back
 *
 * Both hashes are written (the SHA-256 behind all other fields, where peers up to 4.10.2 look for it)
 * and either is enough to be read. Texts in a message are views that nobody has looked at yet.
 */
#pragma once

#include <sys/types.h>

#include <belay/identity.h>

#include "wire/broker.h"

/* The most bytes that a struct belay_daemon takes on the wire. */
#define BELAY__DAEMON_MESSAGE_MAX 4864

/* Views of DAEMON, which outlives *ret_message. */
void belay__daemon_to_message(const struct belay_daemon *daemon,
	struct belay__daemon_process *ret_message);

/* Whether MESSAGE says all that a record must say: an endpoint, and a BLAKE3 or SHA-256 hash. NULL, or
 * what is missing (static). A SHA-256 of nothing but zeros is how peers write that they have none. */
const char *belay__daemon_message_lacks(const struct belay__daemon_process *message);

/* The first field in which MESSAGE, which lacks nothing, differs from EXPECTED, in broker v1's order:
 * "pid", "exe_path", "exe_hash" ("exe_sha256" where that is the only hash both have), "boot_id",
 * "ipc_endpoint"; NULL: in none of them. */
const char *belay__daemon_message_differs(const struct belay__daemon_process *message,
	const struct belay_daemon *expected);

/* Copies MESSAGE. 0 and *ret_daemon; or -EINVAL and *ret_text (NULL allowed; static): it lacks something,
 * or a text is longer than its field or has a NUL in it. */
int belay__daemon_from_message(const struct belay__daemon_process *message,
	struct belay_daemon *ret_daemon, const char **ret_text);
