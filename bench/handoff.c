/* handoff.c - a connection moves: beside the same system calls with no logic at all
 *
 * "kept": one thread is sender and backend on a kept channel; CPU time of passing, receiving with
 * its checks, and acknowledging. "full": broker v1's whole sequence to a backend on the same CPU:
 * dial, token, offer, ack, ready frame. Ours and the floor take turns. Prints one line of JSON for
 * each. With "count" it makes COUNT kept hand-overs and nothing else, for strace.
 *
 * Usage: bench-handoff DIRECTORY [SAMPLES] | bench-handoff count COUNT
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <belay/handoff.h>

#include "base/missing.h"
#include "common.h"

enum { WARM_UP = 100, SAMPLES = 3000, BATCH = 32, ROUNDS = 400, HEADER = 5 };

/* What goes over the wire, of broker v1's golden frames: an offer, an ack, a ready frame. */
static const uint8_t offer[] =
	"\x01\x2b\0\0\0\x08\x01\x18\xff\xa1\x03\x22\x21\x12\x10\0\1\2\3\4\5\6\7"
	"\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x1a\x0b"
	"build-cache"
	"\x20\x07\x28\x07";
static const uint8_t ack[] =
	"\x01\x22\0\0\0\x08\x01\x10\x01\x18\xff\xa1\x03\x22\x16\x0a\x10\0\1\2\3\4"
	"\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x01\x20\x07\x28\x07";
static const uint8_t ready[] =
	"\x01\x22\0\0\0\x08\x01\x10\x02\x18\xff\xa1\x03\x22\x16\x0a\x10\0\1\2\3"
	"\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x01\x20\x07\x28\x07";
enum {
	OFFER = sizeof(offer) - 1,
	ACK = sizeof(ack) - 1,
	READY = sizeof(ready) - 1,
	TOKEN = BELAY_HANDOFF_TOKEN_LEN
};

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static void fail(const struct belay_error *error)
{
	(void)fprintf(stderr, "bench-handoff: %s\n", error->text);
	exit(1);
}

static void pair(int ret_ends[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_ends) < 0)
		die("socketpair");
}

static uint64_t cpu_ns(void)
{
	return belay__clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* A token that no receiver has seen. */
static void next_token(struct belay_handoff_request *request)
{
	request->correlation_id++;
	memcpy(request->token.secret, &request->correlation_id, sizeof(request->correlation_id));
}

/* --- the floor --- */

static void bare_send(int channel, int fd, size_t len)
{
	uint8_t bytes[TOKEN + OFFER] = { 0 };
	struct iovec iov = { bytes, len };
	union control control = { .bytes = { 0 } };
	struct msghdr message = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	memcpy(bytes + TOKEN, offer, OFFER);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		die("sendmsg");
}

static int bare_receive(int channel, size_t len)
{
	uint8_t bytes[TOKEN + OFFER];
	struct iovec iov = { bytes, len };
	union control control;
	struct msghdr message = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) <= 0)
		die("recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

/* What a receiver has to ask about what it was given: the seven of backend/handoff_stream_check.c. */
static void bare_checks(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int type, on = 1, off = 0;
	uint64_t cookie;
	struct ucred peer;

	if (getpeername(fd, (struct sockaddr *)&address, &len) < 0)
		die("getpeername");
	len = sizeof(type);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		die("SO_TYPE");
	len = sizeof(cookie);
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		die("SO_COOKIE");
	len = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || ioctl(fd, FIONBIO, &on) < 0)
		die("SO_PEERCRED");
	/* Kernels before 6.16 do not know the second. */
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}

static void bare_say(int fd, const uint8_t *bytes, size_t len)
{
	if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
		die("send");
}

static void bare_hear(int fd, size_t len)
{
	uint8_t bytes[64];

	if (recv(fd, bytes, len, MSG_WAITALL) != (ssize_t)len)
		die("recv");
}

/* --- a kept channel --- */

struct kept {
	int client[2], bare[2];
	struct belay_handoff_channel *channel;
	struct belay_handoff_receiver *receiver;
	struct belay_handoff_peer *peer;
	struct belay_handoff_request request;
};

static void kept_set_up(struct kept *kept)
{
	struct belay_handoff_receiver_options options = { .service = "build-cache", .keep = true };
	struct belay_error error;
	int ends[2];

	pair(kept->client);
	pair(kept->bare);
	pair(ends);
	kept->request = (struct belay_handoff_request){ .fd = kept->client[1],
		.service = "build-cache" };
	if (belay_handoff_receiver_new(&options, &kept->receiver, &error) < 0 ||
		belay_handoff_peer_new(kept->receiver, ends[1], &kept->peer, &error) < 0)
		fail(&error);
	if (belay_handoff_channel_new(ends[0], &kept->channel) < 0)
		die("belay_handoff_channel_new");
}

static void kept_once(struct kept *kept)
{
	uint64_t now_ms = belay__clock_ns(CLOCK_MONOTONIC) / BELAY__NS_PER_MS;
	struct belay_handoff_result result;
	struct belay_adoption adoption;
	struct belay_error error;

	next_token(&kept->request);
	if (belay_handoff_channel_pass(kept->channel, &kept->request, now_ms) < 0)
		die("belay_handoff_channel_pass");
	if (belay_handoff_peer_next(kept->peer, &adoption, &error) != 1)
		fail(&error);
	(void)close(adoption.fd);
	if (belay_handoff_channel_next(kept->channel, now_ms, &result) != 1 ||
		result.error != BELAY_HANDED_OVER)
		die("belay_handoff_channel_next");
}

static void kept_bare(const struct kept *kept)
{
	int fd;

	bare_send(kept->bare[0], kept->client[1], TOKEN + OFFER);
	fd = bare_receive(kept->bare[1], TOKEN + OFFER);
	bare_checks(fd);
	bare_say(kept->bare[1], ack, ACK);
	(void)close(fd);
	bare_hear(kept->bare[0], ACK);
}

static void measure_kept(void)
{
	uint64_t *ours = calloc(ROUNDS, sizeof(*ours)), *floor = calloc(ROUNDS, sizeof(*floor));
	struct kept kept = { 0 };

	if (ours == NULL || floor == NULL)
		die("calloc");
	kept_set_up(&kept);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start_ns = cpu_ns();

		for (int i = 0; i < BATCH; i++)
			kept_bare(&kept);
		floor[round] = cpu_ns() - start_ns;
		start_ns = cpu_ns();
		for (int i = 0; i < BATCH; i++)
			kept_once(&kept);
		ours[round] = cpu_ns() - start_ns;
	}
	printf("{\"name\":\"kept\",\"ours_ns\":%ju,\"floor_ns\":%ju}\n",
		(uintmax_t)(percentile_of(ours, ROUNDS, 50) / BATCH),
		(uintmax_t)(percentile_of(floor, ROUNDS, 50) / BATCH));
	free(ours);
	free(floor);
}

static void count_kept(unsigned long count)
{
	struct kept kept = { 0 };

	kept_set_up(&kept);
	for (unsigned long i = 0; i < count; i++)
		kept_once(&kept);
}

/* --- the whole sequence --- */

static int listen_at(const char *path)
{
	struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, 16) < 0)
		die(path);
	return fd;
}

static void serve_bare(int connection)
{
	int fd = bare_receive(connection, TOKEN);

	bare_checks(fd);
	bare_hear(connection, OFFER);
	bare_say(connection, ack, ACK);
	(void)close(fd);
}

static void start_backend(int listener, struct belay_handoff_receiver *receiver)
{
	struct belay_adoption adoption;
	struct belay_error error;
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child > 0)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (connection < 0)
			die("accept4");
		if (receiver == NULL)
			serve_bare(connection);
		else if (belay_handoff_receive(receiver, connection, &adoption, &error) < 0)
			fail(&error);
		else
			(void)close(adoption.fd);
		(void)close(connection);
	}
}

static uint64_t full_bare(const char *path)
{
	struct sockaddr_un address = address_of(path);
	uint64_t start_ns, end_ns;
	int client[2], fd;

	pair(client);
	start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		die("connect");
	bare_send(fd, client[1], TOKEN);
	bare_say(fd, offer, OFFER);
	bare_hear(fd, ACK);
	bare_say(client[1], ready, READY);
	(void)close(client[1]);
	(void)close(fd);
	bare_hear(client[0], HEADER);
	bare_hear(client[0], READY - HEADER);
	end_ns = belay__clock_ns(CLOCK_MONOTONIC);
	(void)close(client[0]);
	return end_ns - start_ns;
}

static uint64_t full_ours(struct belay_handoff_request *request)
{
	struct belay_handoff_result result;
	struct belay_error error;
	uint64_t start_ns, end_ns;
	int client[2];

	pair(client);
	next_token(request);
	request->fd = client[1];
	start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	if (belay_handoff(request, &result, &error) < 0)
		fail(&error);
	if (belay_handoff_ready_send(client[1], &request->token, request->correlation_id, true) < 0)
		die("belay_handoff_ready_send");
	(void)close(client[1]);
	if (belay_handoff_ready_wait(client[0], &request->token, 0) < 0)
		die("belay_handoff_ready_wait");
	end_ns = belay__clock_ns(CLOCK_MONOTONIC);
	(void)close(client[0]);
	return end_ns - start_ns;
}

static void measure_full(const char *directory, size_t samples)
{
	uint64_t *ours = calloc(samples, sizeof(*ours)), *floor = calloc(samples, sizeof(*floor));
	struct belay_handoff_request request = { .service = "build-cache" };
	struct belay_handoff_receiver *receiver;
	char path[80], bare_path[80];
	struct belay_error error;

	(void)snprintf(path, sizeof(path), "%s/ours", directory);
	(void)snprintf(bare_path, sizeof(bare_path), "%s/bare", directory);
	request.path = path;
	if (ours == NULL || floor == NULL)
		die("calloc");
	if (belay_handoff_receiver_new(NULL, &receiver, &error) < 0)
		fail(&error);
	start_backend(listen_at(path), receiver);
	start_backend(listen_at(bare_path), NULL);
	for (size_t i = 0; i < WARM_UP + samples; i++) {
		size_t slot = i < WARM_UP ? 0 : i - WARM_UP;

		floor[slot] = full_bare(bare_path);
		ours[slot] = full_ours(&request);
	}
	printf("{\"name\":\"full\",\"ours_p50_ns\":%ju,\"floor_p50_ns\":%ju,\"ours_p99_ns\":%ju,"
	       "\"floor_p99_ns\":%ju}\n",
		(uintmax_t)percentile_of(ours, samples, 50),
		(uintmax_t)percentile_of(floor, samples, 50),
		(uintmax_t)percentile_of(ours, samples, 99),
		(uintmax_t)percentile_of(floor, samples, 99));
	free(ours);
	free(floor);
}

int main(int argc, char **argv)
{
	size_t samples = argc > 2 ? strtoul(argv[2], NULL, 10) : SAMPLES;

	if (argc < 2 || samples == 0) {
		(void)fprintf(stderr, "usage: bench-handoff DIRECTORY [SAMPLES]\n");
		return 64;
	}
	stay_on_cpu(0);
	if (strcmp(argv[1], "count") == 0) {
		count_kept(samples);
		return 0;
	}
	measure_kept();
	measure_full(argv[1], samples);
	return 0;
}
