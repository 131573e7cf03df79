/* crew_internal.h - what the files of the crew share
 *
 * crew.c keeps the roles alive and hears the gate; crew_orders.c does what it says.
 */
#pragma once

#include <stdint.h>

#include "observe/parent.h"

/* --- crew.c --- */

/* Sends RECORD of SIZE bytes, and FD unless it is negative, to MEMBER without waiting. 0; -ENOTCONN when it
 * does not run; -EAGAIN when its channel is full; or another negative errno. FD is borrowed. */
int belay__crew_send_now(const struct belay__crew_member *member, uint32_t type, const void *record,
	uint32_t size, int fd);
/* The same for FD with nothing to say of it. A negative one is not sent, and 0 is returned. */
int belay__crew_send_fd(const struct belay__crew_member *member, uint32_t type, int fd);

/* --- crew_orders.c --- */

/* Handlers for belay__channel_receive(); DATA is the parent, and no descriptor comes along. The gate speaks
 * with everybody and may have been taken over, so what it says is looked at. 0, or -EPROTO for what no gate
 * says. */
int belay__crew_on_ready(void *data, const void *record, int fd_consume);
int belay__crew_on_progress(void *data, const void *record, int fd_consume);
int belay__crew_on_rotate(void *data, const void *record, int fd_consume);
int belay__crew_on_rotate_export(void *data, const void *record, int fd_consume);
int belay__crew_on_pause(void *data, const void *record, int fd_consume);
int belay__crew_on_stuck(void *data, const void *record, int fd_consume);
