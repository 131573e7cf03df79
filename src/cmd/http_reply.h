/* http_reply.h - one whole answer of an HTTP/1.1 server, as it was received until the server hung up
 *
 * Bytes only: nothing is received here and nothing is allocated. The bytes are not trusted; what is
 * not exactly one answer, with a length or in chunks, is refused rather than guessed at.
 */
#pragma once

#include <stddef.h>

#define BELAY__HTTP_REPLY_HEAD_MAX 16384
/* A body longer than this is refused, whatever the server says: 4,096 processes need 1 MiB. */
#define BELAY__HTTP_REPLY_BODY_MAX ((size_t)64 << 20)

struct belay__http_reply {
	unsigned status;
	char *body; /* inside of the bytes that were read */
	size_t body_len;
};

/* Reads the LEN BYTES of an answer; those of a body in chunks are moved together in place. 0;
 * -ENODATA: it ends too early; -EPROTO: it is no answer of HTTP/1.x with a body whose end is known,
 * or it is too long. *ret_reply is written on success only. */
int belay__http_reply_read(char *bytes, size_t len, struct belay__http_reply *ret_reply);
