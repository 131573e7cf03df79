/* frame_stream.h - broker frames on a connected stream socket, with one deadline over everything
 *
 * Nothing here waits but for the deadline it was given, whether the socket is non-blocking or not.
 *
 * Reading takes no descriptor. Those that come along all the same are counted and closed by a thread
 * (ipc/closer.h), because close(2) of a descriptor that a peer passed may block as long as he likes.
 * What the kernel drops itself, when this process may open no more, it drops inside recvmsg(2): only
 * SO_PASSRIGHTS=0, where there is one, keeps that from blocking.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <belay/envelope.h>

#include "ipc/closer.h"

/* Bytes that arrived, in a buffer of the caller's that no peer can make grow. */
struct belay__frame_stream {
	int fd; /* borrowed */
	uint8_t *buffer;
	size_t size, start, end;
	uint32_t cap;     /* bytes of a body */
	bool want_sender; /* receive credentials (SO_PASSCRED is on) */
	/* Reads no byte beyond the frame, in two calls of recvmsg(2) instead of one: what follows is
	 * for somebody else, to whom the socket is handed over. */
	bool exact;
	/* Borrowed. NULL: whenever strays come along they start one of their own, and a peer that has
	 * made that happen BELAY__CLOSER_THREADS times is read no more. */
	struct belay__closer *closer;
	unsigned own_closers;
	/* Who wrote the bytes that were read last. Of a frame whose bytes have several writers nobody
	 * is the sender. */
	bool has_sender;
	struct ucred sender;
	uint64_t strays; /* descriptors that came along since the start, as far as the kernel told */
};

/* BUFFER of SIZE bytes, BELAY_FRAME_HEADER + CAP at least, is borrowed. All that is optional is off
 * and may be set afterwards. */
void belay__frame_stream_start(struct belay__frame_stream *stream, int fd, uint8_t *buffer,
	size_t size, uint32_t cap);

/* The next whole frame, its body valid until the next call. 1 and *ret_found; 0: more is needed and
 * nothing is there now (EAGAIN); -ENOTCONN: hung up between two frames (also with something of ours
 * unread); -ECONNRESET: in the middle of one (belay__frame_stream_place() says where);
 * -EPROTONOSUPPORT, -EMSGSIZE as belay_frame_scan(); -EPROTO: strays too often, without a closer; a
 * negative errno of recvmsg(2). */
int belay__frame_read(struct belay__frame_stream *stream, struct belay_frame_found *ret_found);

/* The same, waiting until DEADLINE_NS (CLOCK_MONOTONIC): -ETIMEDOUT instead of 0. However often a peer
 * sends a byte, the deadline holds. */
int belay__frame_read_until(struct belay__frame_stream *stream, uint64_t deadline_ns,
	struct belay_frame_found *ret_found);

/* Where the stream stands, in broker v1's words: "framing byte", "body length header", "frame body". */
const char *belay__frame_stream_place(const struct belay__frame_stream *stream);

/* Writes header and BODY by one writev(2) (sendmsg, MSG_NOSIGNAL), the rest, if the kernel took less,
 * until DEADLINE_NS; 0: without waiting, and -EAGAIN or -EMSGSIZE (a part went out: the connection is
 * of no use any more) where it would have to. 0, -ETIMEDOUT or a negative errno (-EFBIG: LEN is more
 * than BELAY_FRAME_MAX, nothing went out; -EPIPE: nobody reads). */
int belay__frame_write(int fd, const uint8_t *body, size_t len, uint64_t deadline_ns);

/* The same for bytes that are framed already. *ret_sent (NULL allowed): how many went out, also on failure. */
int belay__stream_write(int fd, const uint8_t *bytes, size_t len, uint64_t deadline_ns,
	size_t *ret_sent);

/* Waits until FD is ready for EVENTS, has hung up or failed (the next call on it will say), or DEADLINE_NS
 * has come. 0, -ETIMEDOUT or a negative errno. */
int belay__wait_until(int fd, short events, uint64_t deadline_ns);

/* Connects a new SOCK_STREAM socket (close-on-exec, non-blocking) to PATH until DEADLINE_NS; 0: at once or
 * not at all (-EAGAIN: its backlog is full). Where the kernel can (SO_PASSRIGHTS), it refuses the peer's
 * descriptors from the first moment on. The fd or a negative errno (-ENAMETOOLONG, -EINVAL: empty,
 * -ETIMEDOUT). */
int belay__stream_connect(const char *path, uint64_t deadline_ns);
