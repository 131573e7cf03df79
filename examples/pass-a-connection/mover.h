/* mover.h - finds a backend, proves it, and moves connections into it
 *
 * Nothing here waits for anybody. The backend is looked for by its service's name: its record says who it is
 * and where, and a probe says that it is true. Until that is done, and whenever it is gone, nothing can be
 * passed, and whoever asked goes on with his client himself; it is looked for again soon.
 *
 * What is not waiting but takes its time is reading the backend's executable, once for each content. A server
 * that cannot be still for so long (a few ms for some MB) proves the backend in a thread of its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/handoff.h>

struct mover;

/* FRESH: dial for each connection that is passed, as broker v1 does; else over one that is kept. 0 or a
 * negative errno. */
int mover_new(const char *service, bool fresh, struct mover **ret_mover, struct belay_error *error);

/* Readable when mover_next() has something to do. */
int mover_fd(const struct mover *mover);
/* After how long it has, too; -1: not by itself. */
int mover_wait_ms(const struct mover *mover);
/* Whether there is a backend that was proved. */
bool mover_ready(const struct mover *mover);

/* Passes FD, a client's connection, under the number ID. 0: it is on its way: keep FD open and do not touch
 * it until mover_next() tells of ID. Negative errno: nothing happened (-ENOTCONN: no backend, or not yet). */
int mover_pass(struct mover *mover, int fd, uint64_t id);

/* Goes on with all that is on its way, and looks for a backend while there is none. 1: *ret_result is what
 * became of the client `correlation_id`; 0: nothing more now. */
int mover_next(struct mover *mover, struct belay_handoff_result *ret_result);
