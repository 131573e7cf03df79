/* handoff_send.h - the one message of a hand-over that carries the descriptor, for this room */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/handoff.h>

/* One sendmsg(2): the LEN bytes with FD attached. Never blocks, raises no SIGPIPE. How many bytes the kernel
 * took (FD went with the first of them), or a negative errno: nothing went out. */
ssize_t belay__handoff_sendmsg(int channel, int fd, const uint8_t *bytes, size_t len);

/* The class of a negative errno of connect(2), and of sendmsg(2) of the message above. */
enum belay_handoff_error belay__handoff_dial_error(int code);
enum belay_handoff_error belay__handoff_send_error(int code);

/* Whether SERVICE (NULL: no) is a name that receivers know: 0, or -EINVAL with a sentence. */
int belay__handoff_service_check(const char *service, struct belay_error *reterr);

/* Writes DETAIL, which a peer sent, to RET_TEXT of SIZE: what is not printable ASCII as '?'. */
void belay__handoff_printable(const uint8_t *detail, size_t len, char *ret_text, size_t size);

/* Fills what follows from the stage, the error, how much was SENT, and a rejection: reason and relinquish. */
void belay__handoff_conclude(struct belay_handoff_result *result, enum belay_handoff_stage stage,
	enum belay_handoff_error error, size_t sent);
