/* bind.h - bind a Unix socket that nobody can take over, and remove only what is ours
 *
 * The parent directory is checked (no symlink; ours or root's; if others can write, sticky), the
 * mode is there from the first moment on, a lock file beside the socket (`<socket>.lock`, flock
 * for the observer's lifetime) lets exactly one of two starters through, a socket file without an
 * owner is probed and its identity re-checked before it is removed. The process must be
 * single-threaded while binding, because umask is its whole state, unless it says that it has
 * threads.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/error.h>

#include "ipc/socket_path.h"

struct belay__bind {
	const char *path;
	int type;              /* SOCK_DGRAM, SOCK_SEQPACKET or SOCK_STREAM */
	unsigned mode;         /* 0600 ... */
	uint32_t rcvbuf_bytes; /* 0: the kernel's default */
	bool lock;             /* hold `<path>.lock`, which covers the siblings of the socket too */
	unsigned dgram_qlen;   /* at least this max_dgram_qlen while it is made; 0: as it is */
	bool takes_rights;     /* descriptors may come; else SO_PASSRIGHTS=0 where there is one */
	bool anonymous;        /* no SO_PASSCRED: who connects is asked for with SO_PEERCRED */
	bool has_threads;      /* leave the umask alone: MODE loses what it takes, which fails */
	const char *who;       /* what sentences call one that is there already; NULL: "observer" */
};

struct belay__bound {
	int fd;      /* bound, non-blocking, close-on-exec, SO_PASSCRED on as asked; owned */
	int lock_fd; /* owned; -EBADF without lock */
	dev_t dev;   /* of the socket file: what belay__unbind() may unlink */
	ino_t ino;
	uint32_t rcvbuf_bytes; /* granted, 0 when left alone or refused */
	bool rights_refused;   /* SO_PASSRIGHTS=0 from the first moment on: no fd can come */
	bool directory_sync_failed;
	bool qlen_refused; /* dgram_qlen was wanted and not permitted */
	char path[BELAY__SOCKET_PATH_SIZE];
};

/* Binds as above. All but datagram sockets also listen, SOCK_SEQPACKET with SO_PASSPIDFD where the
 * kernel has it; what is accepted inherits these options. 0 and *ret_bound, or a negative errno with a sentence: -EADDRINUSE (another observer, or something
 * that is no socket, is there), -EPERM, -EINVAL, -ELOOP (directory), -EAGAIN (the path changed
 * while it was probed), others from the system. */
int belay__bind_guarded(const struct belay__bind *bind, struct belay__bound *ret_bound,
	struct belay_error *reterr);

/* Adopts FD (consumed), a socket that somebody else bound: socket activation, or a re-exec. Checks
 * its type and sets the same options. It will never be unlinked by us. */
int belay__bind_adopt_consume(int fd, int type, struct belay__bound *ret_bound,
	struct belay_error *reterr);

/* For tests: behave as on a kernel before 6.16, which has no SO_PASSRIGHTS. */
extern bool belay__ipc_without_passrights;

/* Unlinks the socket if it is still the one that was bound, closes both descriptors. Works on a
 * half-made one. */
void belay__unbind(struct belay__bound *bound);

/* How many 32-byte frames FD's queue holds, measured by filling a datagram socket made under the
 * same limits (net.unix.max_dgram_qlen + 1) from several senders and reading it empty; FD itself
 * must not be in use yet. Negative errno on failure. */
int belay__measure_queue(int fd);

/* Descriptors that a service manager passed (LISTEN_PID, LISTEN_FDS): their number, first one is 3;
 * 0 when none are meant for this process. Sets close-on-exec on them and removes the variables from
 * the environment. */
int belay__listen_fds(void);
