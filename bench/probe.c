/* probe.c - a probe of a daemon whose executable is known, beside the least that asks the same
 *
 * The daemon is a child on the same CPU that answers both alike. The floor is socket, connect, one
 * exchange of a nonce, close, and three reads of /proc/PID/stat; ours is belay_probe() with a warm
 * cache. They take turns. Prints one line of JSON.
 *
 * Usage: bench-probe SOCKET [SAMPLES]
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <belay/probe.h>

#include "common.h"

enum { WARM_UP = 200, SAMPLES = 5000, REQUEST_SIZE = 128 };

static struct belay_daemon self;

static int listen_at(const char *path)
{
	struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, 16) < 0)
		die(path);
	return fd;
}

/* Reads one request and answers it. */
static void answer(int connection)
{
	static uint8_t out[BELAY_PROBE_ANSWER_MAX];
	uint8_t bytes[REQUEST_SIZE];
	ssize_t n = recv(connection, bytes, sizeof(bytes), 0);
	struct belay_probe_request request;
	struct belay_frame_found found;
	struct belay_envelope envelope;

	if (n <= 0 || belay_frame_scan(bytes, (size_t)n, sizeof(bytes), &found) != 1 ||
		belay_envelope_decode(found.body, found.body_len, &envelope) < 0 ||
		belay_probe_request_read(&envelope, &request, NULL) < 0)
		return;
	n = belay_probe_answer(&request, &self, out, sizeof(out));
	if (n > 0)
		(void)send(connection, out, (size_t)n, MSG_NOSIGNAL);
}

__attribute__((noreturn)) static void serve(int listener, const char *path, int ready)
{
	const struct belay_endpoint *endpoint = &self.endpoint;
	struct belay_error error;
	static struct belay_daemon captured;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(self.endpoint.path, sizeof(self.endpoint.path), "%s", path);
	(void)snprintf(self.endpoint.namespace_id, sizeof(self.endpoint.namespace_id), "shared");
	if (belay_daemon_capture_self(endpoint, &captured, &error) < 0)
		die(error.text);
	self = captured;
	if (write(ready, &self, sizeof(self)) != sizeof(self))
		die("write");
	for (;;) {
		int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (connection < 0)
			die("accept4");
		answer(connection);
		(void)close(connection);
	}
}

static void read_stat(pid_t pid)
{
	char path[32], text[1024];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text)) <= 0)
		die(path);
	(void)close(fd);
}

static uint64_t floor_ns(const struct sockaddr_un *address, const uint8_t *frame, size_t len)
{
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	static uint8_t reply[BELAY_PROBE_ANSWER_MAX];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
		send(fd, frame, len, MSG_NOSIGNAL) != (ssize_t)len ||
		recv(fd, reply, sizeof(reply), 0) <= 0)
		die("exchange");
	(void)close(fd);
	for (int i = 0; i < 3; i++)
		read_stat((pid_t)self.pid);
	return belay__clock_ns(CLOCK_MONOTONIC) - start_ns;
}

static uint64_t ours_ns(const struct belay_probe_options *options)
{
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct belay_error error;

	if (belay_probe(&self.endpoint, &self, options, NULL, NULL, &error) < 0) {
		(void)fprintf(stderr, "%s\n", error.text);
		exit(1);
	}
	return belay__clock_ns(CLOCK_MONOTONIC) - start_ns;
}

static void measure(const char *path, size_t samples)
{
	static const uint8_t nonce[BELAY_PROBE_NONCE_LEN] = { 7 };
	struct belay_envelope envelope = { .version = 1,
		.payload_protocol = BELAY_PROTOCOL_PROBE,
		.payload = { nonce, sizeof(nonce) },
		.request_id = 1 };
	uint64_t *ours = calloc(samples, sizeof(*ours)), *floor = calloc(samples, sizeof(*floor));
	struct sockaddr_un address = address_of(path);
	struct belay_probe_options options = { .timeout_ms = 5000 };
	uint8_t frame[REQUEST_SIZE];
	ssize_t len = belay_envelope_encode(&envelope, frame, sizeof(frame));

	if (ours == NULL || floor == NULL || len < 0 || belay_hashes_new(&options.hashes) < 0)
		die("measure");
	for (size_t i = 0; i < WARM_UP + samples; i++) {
		size_t slot = i < WARM_UP ? 0 : i - WARM_UP;

		floor[slot] = floor_ns(&address, frame, (size_t)len);
		ours[slot] = ours_ns(&options);
	}
	printf("{\"ours_p50_ns\":%ju,\"floor_p50_ns\":%ju,\"ours_p99_ns\":%ju,\"floor_p99_ns\":%ju}"
	       "\n",
		(uintmax_t)percentile_of(ours, samples, 50),
		(uintmax_t)percentile_of(floor, samples, 50),
		(uintmax_t)percentile_of(ours, samples, 99),
		(uintmax_t)percentile_of(floor, samples, 99));
	belay_hashes_free(options.hashes);
	free(ours);
	free(floor);
}

int main(int argc, char **argv)
{
	size_t samples = argc > 2 ? strtoul(argv[2], NULL, 10) : SAMPLES;
	int listener, ready[2];
	pid_t child;

	if (argc < 2 || samples == 0) {
		(void)fprintf(stderr, "usage: bench-probe SOCKET [SAMPLES]\n");
		return 64;
	}
	stay_on_cpu(0);
	listener = listen_at(argv[1]);
	if (pipe(ready) < 0)
		die("pipe");
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0)
		serve(listener, argv[1], ready[1]);
	(void)close(listener);
	if (read(ready[0], &self, sizeof(self)) != sizeof(self))
		die("read");
	measure(argv[1], samples);
	return 0;
}
