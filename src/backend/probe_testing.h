/* probe_testing.h - endpoints to probe, for this room's tests
 *
 * The test itself is the daemon: belay_probe_async() never waits, so that one process may ask and
 * answer. Failures end the test that runs. Every place gives back the descriptors it took.
 */
#pragma once

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <belay/probe.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/frame_stream.h"

#define TEST_PLENTY_MS 20000
#define TEST_ALL_PROOFS                                                                            \
	((unsigned)BELAY_PROOF_ENDPOINT | (unsigned)BELAY_PROOF_PROCESS |                          \
		(unsigned)BELAY_PROOF_NONCE | (unsigned)BELAY_PROOF_RECORD |                       \
		(unsigned)BELAY_PROOF_CREDENTIALS | (unsigned)BELAY_PROOF_STILL)

struct place {
	int fds_before;
	int listener;
	char dir[64];
	struct belay_endpoint endpoint;
	struct belay_daemon self; /* this process, listening there */
	struct belay_probe_options options;
};

static inline uint64_t test_deadline(void)
{
	return belay__clock_ns(CLOCK_MONOTONIC) + TEST_PLENTY_MS * BELAY__NS_PER_MS;
}

static inline void fill_address(const struct belay_endpoint *endpoint, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	assert_true(strlen(endpoint->path) < sizeof(address->sun_path));
	memcpy(address->sun_path, endpoint->path, strlen(endpoint->path));
}

static inline int listen_at(const struct belay_endpoint *endpoint, int backlog)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_return_code(fd, errno);
	fill_address(endpoint, &address);
	(void)unlink(endpoint->path);
	assert_return_code(bind(fd, (const struct sockaddr *)&address, sizeof(address)), errno);
	assert_return_code(listen(fd, backlog), errno);
	return fd;
}

static inline int connect_to(const struct belay_endpoint *endpoint)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_return_code(fd, errno);
	fill_address(endpoint, &address);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	assert_int_equal(errno, EAGAIN);
	(void)close(fd);
	return -EAGAIN;
}

/* Hashing this test once is enough for all of its cases. */
static inline struct belay_daemon record_of_test(const struct belay_endpoint *endpoint)
{
	static struct belay_daemon self;

	if (self.pid != (uint32_t)getpid())
		assert_return_code(belay_daemon_capture_self(NULL, &self, NULL), 0);
	self.endpoint = *endpoint;
	return self;
}

static inline int place_set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	place->fds_before = belay__fd_count();
	(void)snprintf(place->dir, sizeof(place->dir), "/tmp/belay-probe-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	(void)snprintf(place->endpoint.namespace_id, sizeof(place->endpoint.namespace_id), "shared");
	(void)snprintf(place->endpoint.path, sizeof(place->endpoint.path), "%s/d.sock", place->dir);
	place->self = record_of_test(&place->endpoint);
	place->listener = listen_at(&place->endpoint, 8);
	place->options.timeout_ms = TEST_PLENTY_MS;
	*state = place;
	return 0;
}

static inline int place_tear_down(void **state)
{
	struct place *place = *state;
	int leaked;

	place->listener = belay__close(place->listener);
	(void)unlink(place->endpoint.path);
	(void)rmdir(place->dir);
	leaked = belay__fd_count() - place->fds_before;
	free(place);
	return leaked == 0 ? 0 : -1;
}

#define PLACE_TEST(function)                                                                       \
	cmocka_unit_test_setup_teardown(function, place_set_up, place_tear_down)

static inline struct belay_prober *ask(const struct place *place)
{
	struct belay_prober *prober = NULL;

	assert_return_code(
		belay_probe_async(&place->endpoint, &place->self, &place->options, &prober, NULL),
		0);
	assert_non_null(prober);
	return prober;
}

static inline int accept_at(int listener)
{
	int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	assert_return_code(connection, errno);
	return connection;
}

static inline void wait_readable(int fd)
{
	struct pollfd end = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&end, 1, TEST_PLENTY_MS), 1);
}

/* Drives PROBER to its end and frees it. */
static inline int conclude(struct belay_prober *prober, struct belay_handle *ret_handle,
	struct belay_probe_report *report, struct belay_error *error)
{
	int r;

	for (;;) {
		r = belay_probe_next(prober, ret_handle, report, error);
		if (r != -EAGAIN)
			break;
		wait_readable(belay_probe_fd(prober));
	}
	assert_null(belay_probe_free(prober));
	return r;
}

/* Reads the request that lies in CONNECTION. */
static inline void read_request(int connection, struct belay_probe_request *request)
{
	static uint8_t buffer[BELAY_FRAME_HEADER + 4096];
	struct belay__frame_stream stream;
	struct belay_frame_found found;
	struct belay_envelope envelope;

	belay__frame_stream_start(&stream, connection, buffer, sizeof(buffer), 4096);
	assert_int_equal(belay__frame_read_until(&stream, test_deadline(), &found), 1);
	assert_return_code(belay_envelope_decode(found.body, found.body_len, &envelope), 0);
	assert_return_code(belay_probe_request_read(&envelope, request, NULL), 0);
}

static inline void send_all(int connection, const void *bytes, size_t len)
{
	assert_return_code(belay__stream_write(connection, bytes, len, test_deadline(), NULL), 0);
}

/* Sends BYTES with a descriptor. False: it did not go, by errno; EPERM: the kernel does not let it. */
static inline bool send_with_descriptor(int connection, void *bytes, size_t len)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec part = { bytes, len };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &connection, sizeof(connection));
	return sendmsg(connection, &message, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Waits until the peer has hung up. */
static inline void wait_hung_up(int connection)
{
	uint8_t bytes[256];
	ssize_t n;

	do
		n = read(connection, bytes, sizeof(bytes));
	while (n > 0 || (n < 0 && errno == EINTR));
}
