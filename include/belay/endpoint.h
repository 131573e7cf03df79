/* belay/endpoint.h - a place where a daemon is found, and nobody else is
 *
 *	struct belay_endpoint_paths paths;
 *	struct belay_listener *listener;
 *
 *	belay_endpoint_paths_for("build-cache", &paths, NULL);
 *	belay_endpoint_listen(paths.endpoint.path, 0, &listener, NULL);
 *	for (;;) {
 *		poll(&(struct pollfd){ belay_endpoint_fd(listener), POLLIN, 0 }, 1, -1);
 *		while ((client = belay_endpoint_accept(listener, NULL)) >= 0)
 *			serve(client); (reads by belay_endpoint_receive(), ends by belay_endpoint_hang_up())
 *	}
 *
 * A Unix stream socket, mode 0600, in a directory of this user alone. A lock beside it, held for as long
 * as it listens, lets exactly one process have the path: a socket that a killed process left is replaced,
 * one that is served never is, and nothing but a socket ever is. Who connects has this process's
 * effective uid, or is hung up on.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include <belay/error.h>
#include <belay/identity.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BELAY_ENDPOINT_PATH_SIZE 108 /* sun_path */

/* Flags of belay_endpoint_listen(). */
#define BELAY_ENDPOINT_TAKES_FDS 1u /* a hand-over endpoint: descriptors may come */

struct belay_listener;

/* Listens at PATH, which is absolute. Its directory is made if it is missing, each level 0700, and
 * must be this user's, of mode 0700 and no symbolic link. Without BELAY_ENDPOINT_TAKES_FDS the
 * kernel (from 6.16 on) refuses descriptors that clients attach. Threads do not matter; a umask
 * that takes the owner's rights does. 0 and *ret_listener, or a negative errno with a sentence:
 * -EADDRINUSE (another process has it, or what is there is no socket), -EPERM, -ELOOP (the
 * directory), -ENAMETOOLONG, -EINVAL, ... */
BELAY_API int belay_endpoint_listen(const char *path, unsigned flags,
	struct belay_listener **ret_listener, struct belay_error *reterr);

/* Readable when somebody connects; stays the listener's. */
BELAY_API int belay_endpoint_fd(const struct belay_listener *listener);

/* The next connection: a descriptor, close-on-exec, non-blocking and with SO_OOBINLINE, which is
 * the caller's. Processes of other users are hung up on, with no byte read or written, and skipped.
 * Does not wait: -EAGAIN: nobody is there. -EMFILE, -ENFILE: there is no descriptor left; whoever
 * came has been hung up on with one that was kept in reserve, so that the listener is not readable
 * because of him: go on as after any other. -ENOMEM and others: try again later.
 *
 * A hand-over endpoint does not hang up: who does not know whether his client was taken has lost
 * it. He is accepted with the reserve, and the kernel, which has no room for what he attached,
 * drops that: the receiver answers so (belay/handoff.h). While the reserve is out, -EMFILE: nobody
 * was accepted, and the listener stays readable; do not watch it until a connection was closed,
 * then call this again. */
BELAY_API int belay_endpoint_accept(struct belay_listener *listener, struct belay_error *reterr);

/* Reads at most SIZE bytes from FD, a stream socket: a connection that was accepted here, or an
 * adoption (belay/handoff.h). Like recv(2), but it never takes descriptors, and never waits,
 * whether FD is non-blocking or not: recv(2) closes what came along before it returns, which takes
 * as long as whoever sent it likes (a TCP socket that lingers, a file on a file system of his).
 * This leaves that to a thread, as above, which all of the process share. Any thread may call it;
 * so may a child that was forked since. How many bytes; 0: the other end hung up; a negative errno:
 * -EAGAIN: nothing is there; -EINVAL: SIZE is 0. Only when this process may open no more
 * descriptors (RLIMIT_NOFILE) does the kernel itself close what finds no room, and wait. */
BELAY_API ssize_t belay_endpoint_receive(int fd, void *bytes, size_t size);

/* Hangs up on whoever is at the other end of FD, a stream socket, and closes it: never waits,
 * though descriptors may lie in it unread, which close(2) closes, too, or TCP be told to linger. As
 * with belay_endpoint_receive(), any thread. A negative FD is nothing. */
BELAY_API void belay_endpoint_hang_up(int fd_consume);

/* Stops listening, also in processes that share the socket, hangs up on whoever was not accepted
 * yet, unlinks the socket if it is still the one that was made here, and lets the lock go. In a
 * child that was forked since, only closes what it inherited: the socket is its parent's. NULL
 * allowed; returns NULL.
 *
 * Neither this nor belay_endpoint_accept() waits for what it hangs up on: whoever passed
 * descriptors over a connection that nobody reads decides how long closing them takes, so that is
 * left to a thread, started when first needed, that takes no signal and may outlive the listener.
 * If no thread can be had by the end, such connections stay open until the process ends. */
BELAY_API struct belay_listener *belay_endpoint_close(struct belay_listener *listener);

/* Where the backend of a service is by default. */
struct belay_endpoint_paths {
	struct belay_endpoint endpoint;         /* "private:SERVICE", and where it listens */
	char handoff[BELAY_ENDPOINT_PATH_SIZE]; /* where connections are handed over to it */
	char sidecar[BELAY_ENDPOINT_SIZE];      /* where its record is: belay_sidecar_write() */
};

/* The same for everybody of this user who asks about SERVICE ([a-z0-9-], at most 64): below
 * $XDG_RUNTIME_DIR, or /tmp when that is not set or empty. Makes nothing. 0, or a negative errno
 * with a sentence: -EINVAL (SERVICE; or the variable is not absolute), -ENOENT, -ENOTDIR, -EPERM
 * (what it names is not there, no directory, not this user's), -ENAMETOOLONG ... Programs that run
 * with more rights than their caller do not look at it. */
BELAY_API int belay_endpoint_paths_for(const char *service, struct belay_endpoint_paths *ret_paths,
	struct belay_error *reterr);

/* The hand-over endpoint that belongs to a backend's own at PATH, beside it: "NAME.handoff.sock"
 * for "NAME.sock", or a short name where that has no room. 0, or a negative errno with a
 * sentence. */
BELAY_API int belay_endpoint_handoff_path(const char *path, char ret_path[BELAY_ENDPOINT_PATH_SIZE],
	struct belay_error *reterr);

#ifdef __cplusplus
}
#endif
