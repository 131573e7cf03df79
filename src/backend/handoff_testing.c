#include "backend/handoff_testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/handoff_receiver.h"
#include "base/clock.h"
#include "ipc/testing.h"
#include "wire/handoff_frame.h"

#define SERVICE "build-cache"

static void close_it(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -EBADF;
}

int test_handoff_set_up(void **state)
{
	struct test_handoff *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds_before = test_fd_count();
	f->sender = f->clients[0] = f->clients[1] = -EBADF;
	test_handoff_client(f);
	*state = f;
	return 0;
}

int test_handoff_tear_down(void **state)
{
	struct test_handoff *f = *state;

	f->peer = belay_handoff_peer_free(f->peer);
	if (f->receiver != NULL)
		test_handoff_settle(f);
	f->receiver = belay_handoff_receiver_free(f->receiver);
	close_it(&f->sender);
	close_it(&f->clients[0]);
	close_it(&f->clients[1]);
	assert_int_equal(test_fd_count(), f->fds_before);
	free(f);
	return 0;
}

void test_handoff_start(struct test_handoff *f, const struct belay_handoff_receiver_options *options)
{
	struct belay_error error = { 0 };

	f->peer = belay_handoff_peer_free(f->peer);
	if (f->receiver != NULL)
		test_handoff_settle(f);
	f->receiver = belay_handoff_receiver_free(f->receiver);
	if (belay_handoff_receiver_new(options, &f->receiver, &error) < 0)
		fail_msg("%s", error.text);
	test_handoff_connect(f);
}

void test_handoff_connect(struct test_handoff *f)
{
	struct belay_error error = { 0 };
	int ends[2];

	f->peer = belay_handoff_peer_free(f->peer);
	close_it(&f->sender);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	f->sender = ends[0];
	if (belay_handoff_peer_new(f->receiver, ends[1], &f->peer, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(belay_handoff_peer_fd(f->peer), ends[1]);
}

void test_handoff_client(struct test_handoff *f)
{
	close_it(&f->clients[0]);
	close_it(&f->clients[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->clients), 0);
}

void test_handoff_settle(const struct test_handoff *f)
{
	uint64_t taken, closed, leaked;

	belay__closer_counts(f->receiver->closer, &taken, &closed, &leaked);
	assert_int_equal(leaked, 0);
	test_wait_closed(f->receiver->closer, taken);
}

struct belay_handoff_token test_token(uint8_t n)
{
	struct belay_handoff_token token;

	for (uint8_t i = 0; i < BELAY_HANDOFF_TOKEN_LEN; i++)
		token.secret[i] = (uint8_t)(n + i);
	return token;
}

static size_t put_token(uint8_t n, uint8_t *bytes)
{
	struct belay_handoff_token token = test_token(n);

	memcpy(bytes, token.secret, sizeof(token.secret));
	return sizeof(token.secret);
}

size_t test_handoff_bytes(uint8_t n, const char *service, uint64_t correlation_id,
	uint8_t ret_bytes[TEST_HANDOFF_SIZE])
{
	struct belay_handoff_token token = test_token(n);
	size_t at = put_token(n, ret_bytes);
	ssize_t len = belay__handoff_offer_frame(&token, service, correlation_id, ret_bytes + at);

	assert_true(len > 0);
	return at + (size_t)len;
}

size_t test_handoff_frame(uint8_t n, const struct belay_envelope *envelope,
	const struct belay__handoff_offer *offer, uint8_t ret_bytes[TEST_HANDOFF_SIZE])
{
	struct belay_envelope whole = *envelope;
	uint8_t payload[TEST_HANDOFF_SIZE];
	size_t at = put_token(n, ret_bytes);
	ssize_t len;

	if (offer != NULL) {
		len = belay__proto_encode(&belay__type_handoff_offer, offer, payload,
			sizeof(payload));
		assert_true(len >= 0);
		whole.payload = (struct belay_bytes){ payload, (size_t)len };
	}
	len = belay_envelope_encode(&whole, ret_bytes + at, TEST_HANDOFF_SIZE - at);
	assert_true(len > 0);
	return at + (size_t)len;
}

void test_handoff_send(const struct test_handoff *f, const void *bytes, size_t len, int attached,
	unsigned count)
{
	assert_int_equal(test_send(f->sender, bytes, len, attached, count), 0);
}

void test_handoff_pass(const struct test_handoff *f, uint8_t n, int attached)
{
	uint8_t bytes[TEST_HANDOFF_SIZE];

	test_handoff_send(f, bytes, test_handoff_bytes(n, SERVICE, n, bytes), attached, 1);
}

void test_handoff_expect(struct test_handoff *f, int r, struct belay_adoption *ret_adoption)
{
	struct belay_error error = { .text = "none" }, untouched_error = error;
	struct belay_adoption adoption, untouched;
	int got, flags;

	memset(&untouched, 0xa5, sizeof(untouched));
	adoption = untouched;
	memcpy(&adoption, &untouched, sizeof(adoption));
	flags = fcntl(f->clients[0], F_GETFL);
	got = belay_handoff_peer_next(f->peer, &adoption, &error);
	if (got != r)
		fail_msg("%d instead of %d: %s", got, r, error.text);
	if (r == 1)
		*ret_adoption = adoption;
	else
		assert_memory_equal(&adoption, &untouched, sizeof(adoption));
	if (r != 1 && r != -EPIPE && r != -ENOBUFS)
		assert_int_equal(fcntl(f->clients[0], F_GETFL), flags);
	if (r < 0 && r != -ENOTCONN)
		assert_int_equal(error.code, r);
	else
		assert_memory_equal(&error, &untouched_error, sizeof(error));
}

void test_handoff_answer(const struct test_handoff *f, uint8_t n, const char *text)
{
	struct belay_handoff_token token = test_token(n);
	struct belay_frame_found found = { 0 };
	struct belay_envelope envelope;
	struct belay__handoff_ack ack;
	uint8_t bytes[1024];
	ssize_t len = recv(f->sender, bytes, BELAY_FRAME_HEADER, MSG_DONTWAIT);

	assert_int_equal(len, BELAY_FRAME_HEADER);
	len += recv(f->sender, bytes + len, bytes[1], MSG_DONTWAIT);
	assert_int_equal(belay_frame_scan(bytes, (size_t)len, 1024, &found), 1);
	assert_int_equal(found.consumed, len);
	assert_int_equal(belay_envelope_decode(found.body, found.body_len, &envelope), 0);
	assert_int_equal(envelope.version, 1);
	assert_int_equal(envelope.kind, BELAY_ENVELOPE_RESPONSE);
	assert_int_equal(envelope.payload_protocol, BELAY_PROTOCOL_HANDOFF);
	assert_int_equal(envelope.request_id, n);
	assert_int_equal(belay__proto_decode(&belay__type_handoff_ack, envelope.payload.at,
				 envelope.payload.len, &ack),
		0);
	assert_int_equal(ack.correlation_id, n);
	assert_int_equal(ack.accepted, text == NULL);
	assert_int_equal(ack.error_detail.len, text == NULL ? 0 : strlen(text));
	if (text != NULL)
		assert_memory_equal(ack.error_detail.at, text, strlen(text));
	if (ack.token.len == sizeof(token.secret) && text == NULL)
		assert_memory_equal(ack.token.at, token.secret, sizeof(token.secret));
}

void test_handoff_silence(const struct test_handoff *f)
{
	char byte;

	assert_int_equal(recv(f->sender, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

void test_handoff_counts(const struct test_handoff *f, uint64_t adopted, uint64_t refused,
	uint64_t strays, uint64_t truncated)
{
	struct belay_handoff_counts counts;

	belay_handoff_receiver_counts(f->receiver, &counts);
	assert_int_equal(counts.adopted, adopted);
	assert_int_equal(counts.refused, refused);
	assert_int_equal(counts.strays, strays);
	assert_int_equal(counts.truncated, truncated);
}

void test_handoff_talk(const struct test_handoff *f, int fd)
{
	char text[3] = { 0 };

	assert_int_equal(send(f->clients[1], "hi", 2, MSG_NOSIGNAL), 2);
	assert_int_equal(recv(fd, text, sizeof(text), 0), 2);
	assert_string_equal(text, "hi");
	(void)close(fd);
}

void test_handoff_orphaned(struct test_handoff *f)
{
	struct pollfd end = { .fd = f->clients[1], .events = POLLIN };
	char byte;

	close_it(&f->clients[0]);
	assert_int_equal(poll(&end, 1, 10000), 1);
	assert_true(recv(f->clients[1], &byte, 1, MSG_DONTWAIT) <= 0);
	test_handoff_client(f);
}

static void fill_and_linger(int fd)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 5 };
	static char bytes[65536];

	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
}

int test_tcp(int *ret_peer, int lingering)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(listener >= 0 && fd >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	*ret_peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*ret_peer >= 0);
	(void)close(listener);
	if (lingering)
		fill_and_linger(fd);
	return fd;
}
