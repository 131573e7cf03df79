/* connection.h - a datagram socket connected to an observer, that can be told from one that took
 * its number
 *
 * A program may close descriptors that are not its own (closefrom(3)) and get the same number for
 * something else. So the socket's inode is kept, and nothing is closed here that is not the socket
 * that was made here.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

struct belay__connection {
	int fd; /* -EBADF: none */
	dev_t device;
	ino_t inode;
};

#define BELAY__NO_CONNECTION ((struct belay__connection){ .fd = -EBADF })

/* Connects a non-blocking, close-on-exec datagram socket to PATH. 0, or a negative errno with *ret
 * untouched: -ENOENT and -ECONNREFUSED when nobody listens, -EMFILE and -ENFILE, -ENAMETOOLONG, or
 * connect(2)'s. */
int belay__connection_open(const char *path, struct belay__connection *ret);

/* The same to ADDRESS, LEN bytes of any family. Over UDP connecting asks nobody: -ENETUNREACH,
 * -EADDRNOTAVAIL and their like mean that this host has no way there now. */
int belay__connection_open_to(const struct sockaddr *address, socklen_t len,
	struct belay__connection *ret);

/* Whether it is worth trying again what belay__connection_open_to() returned R for: 0, or the
 * network is not what it may be later. */
bool belay__connection_may_come(int r);

/* Whether the descriptor is still the socket that was made. One system call; false without a
 * connection. */
bool belay__connection_is_ours(const struct belay__connection *connection);

/* Closes the socket, unless somebody else has its number by now, and forgets it. Keeps errno. */
void belay__connection_close(struct belay__connection *connection);
