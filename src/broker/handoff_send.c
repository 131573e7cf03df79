#include "broker/handoff_send.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "broker/names.h"
#include "ipc/frame_stream.h"
#include "ipc/socket_options.h"

ssize_t belay__handoff_sendmsg(int channel, int fd, const uint8_t *bytes, size_t len)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.space),
	};
	ssize_t sent;

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));

	do
		sent = sendmsg(channel, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

enum belay_handoff_error belay__handoff_dial_error(int code)
{
	switch (-code) {
	case EACCES:
	case EPERM:
		return BELAY_HANDOFF_PERMISSION_DENIED;
	case EAGAIN:
		return BELAY_HANDOFF_WOULD_BLOCK;
	default:
		return BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE;
	}
}

enum belay_handoff_error belay__handoff_send_error(int code)
{
	switch (-code) {
	case EACCES:
	case EPERM:
		return BELAY_HANDOFF_PERMISSION_DENIED;
	case EAGAIN:
	case ENOBUFS:
		return BELAY_HANDOFF_WOULD_BLOCK;
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case ENOTCONN:
		return BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE;
	default:
		return BELAY_HANDOFF_SEND_FAILED;
	}
}

int belay__handoff_service_check(const char *service, struct belay_error *reterr)
{
	return belay__service_check(service, reterr);
}

void belay__handoff_printable(const uint8_t *detail, size_t len, char *ret_text, size_t size)
{
	size_t fitting = len < size - 1 ? len : size - 1;

	for (size_t i = 0; i < fitting; i++)
		ret_text[i] = detail[i] >= 0x20 && detail[i] < 0x7f ? (char)detail[i] : '?';
	ret_text[fitting] = '\0';
}

void belay__handoff_conclude(struct belay_handoff_result *result, enum belay_handoff_stage stage,
	enum belay_handoff_error error, size_t sent)
{
	result->stage = stage;
	result->error = error;
	result->reason = belay_handoff_fallback_reason(error);
	result->rejected = error == BELAY_HANDOFF_REJECTED;
	result->relinquish = belay_handoff_must_relinquish(stage, sent, result->rejected);
}

int belay_handoff_send(int channel, int fd, const struct belay_handoff_token *token,
	size_t *ret_sent, enum belay_handoff_error *ret_error)
{
	ssize_t sent = belay__handoff_sendmsg(channel, fd, token->secret, sizeof(token->secret));

	if (ret_sent != NULL)
		*ret_sent = sent > 0 ? (size_t)sent : 0;
	if (sent == (ssize_t)sizeof(token->secret))
		return 0;

	if (ret_error != NULL)
		*ret_error = sent < 0 ? belay__handoff_send_error((int)sent)
				      : BELAY_HANDOFF_PARTIAL_SEND;
	return sent < 0 ? (int)sent : -EIO;
}

int belay_handoff_send_to(const char *path, int fd, const struct belay_handoff_token *token,
	int *ret_channel, enum belay_handoff_error *ret_error)
{
	_cleanup_close_ int channel = belay__stream_connect(path, 0);
	int r;

	if (channel < 0) {
		if (ret_error != NULL)
			*ret_error = belay__handoff_dial_error(channel);
		return channel;
	}
	(void)belay__socket_refuse_rights(channel);
	r = belay_handoff_send(channel, fd, token, NULL, ret_error);
	if (r == 0)
		*ret_channel = TAKE_FD(channel);
	return r;
}
