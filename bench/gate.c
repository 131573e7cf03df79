/* gate.c - what an accepted beat costs the observer, beside reading the same datagrams and nothing
 * else
 *
 * One socket is filled with beats of many processes and emptied in turns: by the observer's own
 * turn (receive, decode, admit, track), and by bare recvmmsg(2) of 64 with credentials. What is
 * counted is CPU time of this thread. The processes are made up: they are put into the table
 * beforehand, and between receiving and admitting the kernel's pid, which is that of this program,
 * is replaced by the one in the frame (the linker puts __wrap_belay__receive() in between).
 *
 * Run it where net.unix.max_dgram_qlen is at least 4,096, such as in a network namespace of its
 * own, and as root, because one sender's buffer holds 278 datagrams otherwise.
 *
 * Usage: bench-gate DIRECTORY PROCESSES
 */
#include <poll.h>
#include <unistd.h>

#include <belay/observer.h>

#include "common.h"
#include "observe/core.h"
#include "wire/bytes.h"

enum {
	FRAMES = 4000,
	ROUNDS = 41,
	BATCH = 64,
	FIRST_PID = 1000,
	PID_AT = 4,
	PATIENCE_MS = 1000,
	SEND_BUFFER = 64 << 20
};

static bool replace_pids;
static uint64_t random_state = UINT64_C(88172645463325252);

int __real_belay__receive(struct belay__receiver *receiver, int fd,
	const struct belay__datagram **ret_datagrams);
int __wrap_belay__receive(struct belay__receiver *receiver, int fd,
	const struct belay__datagram **ret_datagrams);

/* The work of it, a load and a store a frame, is charged to the observer. */
int __wrap_belay__receive(struct belay__receiver *receiver, int fd,
	const struct belay__datagram **ret_datagrams)
{
	int count = __real_belay__receive(receiver, fd, ret_datagrams);

	for (int i = 0; replace_pids && i < count; i++) {
		struct belay__datagram *datagram = (struct belay__datagram *)(uintptr_t) &
			(*ret_datagrams)[i];

		datagram->pid = (pid_t)belay__get_le32(datagram->bytes + PID_AT);
	}
	return count;
}

static uint32_t draw(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 20) % limit);
}

static uint64_t cpu_ns(void)
{
	return belay__clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static struct belay_observer *observer_of(const char *path, uint32_t processes)
{
	struct belay_observer_options options = { .threshold_ms = 3600000,
		.capacity = processes,
		.max_beat_rate = 0,
		.global_beat_rate = 0,
		.global_beat_burst = 0,
		.quiet_beats = true };
	struct belay_observer *observer;
	struct belay_error error;

	if (belay_observer_new(&options, &observer, &error) < 0 ||
		belay_observer_listen(observer, path, &error) < 0) {
		(void)fprintf(stderr, "bench-gate: %s\n", error.text);
		exit(1);
	}
	observer->pid_max = FIRST_PID + processes;
	observer->pid_max_read_ns = UINT64_MAX / 2;
	for (uint32_t i = 0; i < processes; i++) {
		struct belay_frame frame = { .pid = FIRST_PID + i, .nonce = 1 };
		struct belay__sender sender = { .pid = FIRST_PID + i,
			.origin = BELAY__KERNEL_ATTESTED };
		uint32_t slot;

		(void)belay__track(&observer->table, &observer->tracked, &frame, &sender,
			observer->default_list, observer->now_ns, NULL, NULL, &slot);
	}
	return observer;
}

static void fill(int fd, uint32_t processes)
{
	static uint64_t nonce = 1;

	nonce++;
	for (unsigned i = 0; i < FRAMES; i++) {
		struct belay_frame frame = { .pid = FIRST_PID + draw(processes),
			.nonce = nonce * FRAMES + i,
			.timestamp_ns = nonce,
			.payload = i };
		uint8_t bytes[BELAY_FRAME_LEN];

		belay_frame_encode(&frame, bytes);
		if (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) < 0)
			die("send (is net.unix.max_dgram_qlen at least 4096?)");
	}
}

static uint64_t beats_of(struct belay_observer *observer)
{
	return observer->counts[BELAY__COUNT_BEATS];
}

static double observer_ns(struct belay_observer *observer)
{
	uint64_t before = beats_of(observer), start_ns = cpu_ns(), spent_ns;
	struct pollfd readable = { .fd = belay_observer_fd(observer), .events = POLLIN };

	replace_pids = true;
	while (beats_of(observer) < before + FRAMES) {
		uint64_t so_far = beats_of(observer);

		while (belay_observer_next(observer) != NULL)
			continue;
		/* While it collects, what is queued waits for the tick. */
		if (beats_of(observer) == so_far && poll(&readable, 1, PATIENCE_MS) <= 0)
			break;
	}
	spent_ns = cpu_ns() - start_ns;
	replace_pids = false;
	if (beats_of(observer) != before + FRAMES) {
		(void)fprintf(stderr, "bench-gate: %llu of %d beats were accepted\n",
			(unsigned long long)(beats_of(observer) - before), FRAMES);
		exit(1);
	}
	return (double)spent_ns / FRAMES;
}

static double bare_ns(int fd)
{
	static uint8_t bytes[BATCH][BELAY_FRAME_LEN + 1];
	static union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control[BATCH];
	static struct iovec parts[BATCH];
	static struct mmsghdr messages[BATCH];
	uint64_t start_ns = cpu_ns();
	int total = 0;

	while (total < FRAMES) {
		int count;

		for (unsigned i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){ bytes[i], sizeof(bytes[i]) };
			messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i],
				.msg_iovlen = 1,
				.msg_control = &control[i],
				.msg_controllen = sizeof(control[i]) };
		}
		count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
		if (count <= 0)
			die("recvmmsg");
		total += count;
	}
	return (double)(cpu_ns() - start_ns) / FRAMES;
}

static int ascending(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double median(double *samples)
{
	qsort(samples, ROUNDS, sizeof(*samples), ascending);
	return samples[ROUNDS / 2];
}

static void measure(struct belay_observer *observer, int sender, uint32_t processes)
{
	double ours[ROUNDS], bare[ROUNDS], ratio[ROUNDS];
	int receiver = observer->listeners[0].beats.fd;

	/* The first round warms up and is overwritten. */
	for (int round = -1; round < ROUNDS; round++) {
		int slot = round < 0 ? 0 : round;

		fill(sender, processes);
		bare[slot] = bare_ns(receiver);
		fill(sender, processes);
		ours[slot] = observer_ns(observer);
		ratio[slot] = ours[slot] / bare[slot];
	}
	printf("{\"ours_ns\":%.1f,\"floor_ns\":%.1f,\"ratio\":%.3f,\"processes\":%u}\n",
		median(ours), median(bare), median(ratio), processes);
}

int main(int argc, char **argv)
{
	uint32_t processes = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
	int size = SEND_BUFFER, sender;
	struct belay_observer *observer;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];

	if (processes == 0 || processes > BELAY__CAPACITY_MAX) {
		(void)fprintf(stderr, "usage: bench-gate DIRECTORY PROCESSES\n");
		return 64;
	}
	(void)snprintf(path, sizeof(path), "%s/gate.sock", argv[1]);
	stay_on_cpu(0);
	observer = observer_of(path, processes);
	sender = connected_to(path);
	(void)setsockopt(sender, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	measure(observer, sender, processes);
	(void)close(sender);
	(void)belay_observer_free(observer);
	return 0;
}
