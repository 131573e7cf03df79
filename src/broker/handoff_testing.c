#include "broker/handoff_testing.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"

const struct belay_handoff_token test_token = { { 'O', 'p', 'e', 'n', 'S', 'e', 's', 'a', 'm', 'e',
	'!', '!', 'W', 'i', 'd', 'e' } };

/* --- a kernel that fails on demand --- */

static struct test_step script[8];
static unsigned script_len, calls;

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

void test_sendmsg(const struct test_step *steps, unsigned count)
{
	assert_true(count <= TEST_COUNT(script));
	if (count > 0)
		memcpy(script, steps, count * sizeof(script[0]));
	script_len = count;
	calls = 0;
}

unsigned test_sendmsg_calls(void)
{
	return calls;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	const struct test_step *step = calls < script_len ? &script[calls] : NULL;
	struct msghdr less = *message;
	struct iovec part = message->msg_iov[0];

	calls++;
	if (step != NULL && step->error != 0) {
		errno = step->error;
		return -1;
	}
	if (step != NULL && step->most > 0) {
		less.msg_iov = &part;
		less.msg_iovlen = 1;
		if (part.iov_len > step->most)
			part.iov_len = step->most;
	}
	return __real_sendmsg(fd, &less, flags);
}

/* --- peers --- */

void test_stream_pair(int ret_ends[2])
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_ends), 0);
}

int test_endpoint_set_up(void **state)
{
	static struct test_endpoint here;
	struct test_endpoint *endpoint = &here;
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	endpoint->fds_before = belay__fd_count();
	strcpy(endpoint->dir, "/tmp/belay-handoff-XXXXXX");
	if (mkdtemp(endpoint->dir) == NULL)
		return -1;
	/* An ordinary user may look, too. */
	if (chmod(endpoint->dir, 0755) < 0)
		return -1;
	(void)snprintf(endpoint->path, sizeof(endpoint->path), "%s/h.sock", endpoint->dir);
	memcpy(address.sun_path, endpoint->path, sizeof(address.sun_path));
	endpoint->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (endpoint->listener < 0 ||
		bind(endpoint->listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(endpoint->listener, 0) < 0)
		return -1;
	test_sendmsg(NULL, 0);
	*state = endpoint;
	return 0;
}

int test_endpoint_tear_down(void **state)
{
	struct test_endpoint *endpoint = *state;
	int fds_before = endpoint->fds_before;

	(void)close(endpoint->listener);
	(void)unlink(endpoint->path);
	(void)rmdir(endpoint->dir);
	return belay__fd_count() == fds_before ? 0 : -1;
}

ssize_t test_receive(int end, uint8_t *bytes, size_t size, int *ret_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { bytes, size };
	struct msghdr message = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t len = recvmsg(end, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = len >= 0 ? CMSG_FIRSTHDR(&message) : NULL;

	*ret_fd = -EBADF;
	if (header != NULL && header->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(header), sizeof(int));
	return len;
}

void test_read(int end, uint8_t *bytes, size_t len)
{
	for (size_t have = 0; have < len;) {
		ssize_t more = read(end, bytes + have, len - have);

		assert_true(more > 0);
		have += (size_t)more;
	}
}

void test_write(int end, const void *bytes, size_t len)
{
	assert_int_equal(send(end, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT), len);
}

void test_fill(int end)
{
	static const uint8_t zeros[4096];
	size_t len = sizeof(zeros);

	while (len > 0) {
		if (send(end, zeros, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			len /= 2;
	}
}

size_t test_ack_frame(const struct test_ack *ack, uint8_t ret_frame[256])
{
	const char *detail = ack->detail != NULL ? ack->detail : "";
	const struct belay__handoff_ack message = {
		.token = { ack->token.secret, sizeof(ack->token.secret) },
		.accepted = ack->accepted,
		.error_detail = { (const uint8_t *)detail, strlen(detail) },
		.correlation_id = ack->correlation_id,
	};
	uint8_t payload[200];
	ssize_t len = belay__proto_encode(&belay__type_handoff_ack, &message, payload,
		sizeof(payload));
	const struct belay_envelope envelope = {
		.version = 1,
		.kind = BELAY_ENVELOPE_RESPONSE,
		.payload_protocol = BELAY_PROTOCOL_HANDOFF,
		.payload = { payload, (size_t)len },
		.request_id = ack->request_id,
	};

	assert_true(len > 0);
	len = belay_envelope_encode(&envelope, ret_frame, 256);
	assert_true(len > 0);
	return (size_t)len;
}

void test_answer(int end, const struct belay_handoff_token *token, uint64_t id, bool accepted,
	const char *detail)
{
	const struct test_ack ack = { *token, id, id, accepted, detail };
	uint8_t frame[256];

	test_write(end, frame, test_ack_frame(&ack, frame));
}

struct belay_handoff_token test_token_of(unsigned n)
{
	struct belay_handoff_token token = test_token;

	memcpy(token.secret, &n, sizeof(n));
	return token;
}

bool test_same_file(int left, int right)
{
	struct stat one, other;

	return fstat(left, &one) == 0 && fstat(right, &other) == 0 && one.st_dev == other.st_dev &&
		one.st_ino == other.st_ino;
}

uint64_t test_now_ms(void)
{
	return belay__clock_ns(CLOCK_MONOTONIC) / BELAY__NS_PER_MS;
}

int test_as_ordinary_user(int (*what)(void *data), void *data)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (geteuid() == 0 &&
			(setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
				setresuid(65534, 65534, 65534) < 0))
			_exit(99);
		_exit(what(data));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}
