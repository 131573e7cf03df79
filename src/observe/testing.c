#include "observe/testing.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <linux/sched.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/missing.h"
#include "identity/process_info.h"

#define ORDER_MAX   256
#define TMPFS_MAGIC 0x01021994
#define WAIT_MS     10000

enum order_kind { ORDER_SEND = 1, ORDER_SAY, ORDER_HEAR, ORDER_EXIT };

struct order {
	int32_t kind, value;
	uint32_t len;
	uint8_t bytes[ORDER_MAX];
};

/* --- places --- */

void house_open(struct house *house)
{
	const char *base = getenv("TMPDIR");
	struct statfs fs;

	if (base == NULL || strlen(base) > sizeof(house->dir) / 2)
		base = statfs("/dev/shm", &fs) == 0 && fs.f_type == TMPFS_MAGIC ? "/dev/shm"
										: "/tmp";
	(void)snprintf(house->dir, sizeof(house->dir), "%s/belay-test-XXXXXX", base);
	assert_non_null(mkdtemp(house->dir));
	(void)snprintf(house->path, sizeof(house->path), "%s/beat.sock", house->dir);
	(void)snprintf(house->door, sizeof(house->door), "%s%s", house->path, BELAY__HELLO_SUFFIX);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	(void)status;
	(void)kind;
	(void)where;
	return remove(path);
}

static unsigned count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned count = 0;

	assert_non_null(tasks);
	while (readdir(tasks) != NULL)
		count++;
	assert_int_equal(closedir(tasks), 0);
	return count - 2; /* "." and ".." */
}

void house_close(struct house *house)
{
	assert_int_equal(nftw(house->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
	for (unsigned i = 0; i < WAIT_MS && count_threads() > 1; i++)
		(void)poll(NULL, 0, 1);
}

/* --- the observer --- */

uint64_t test_now_ns;

uint64_t test_clock(void *data)
{
	(void)data;
	return test_now_ns;
}

struct belay_observer *observer_start(const struct house *house,
	const struct belay_observer_options *options)
{
	const struct belay_observer_options usual = { .threshold_ms = 1000,
		.capacity = 16,
		.clock = test_clock };
	struct belay_observer *observer = NULL;
	struct belay_error error = { .text = "" };

	if (options == NULL || options->clock != NULL)
		test_now_ns = TEST_S;
	if (belay_observer_new(options != NULL ? options : &usual, &observer, &error) < 0 ||
		belay_observer_listen(observer, house->path, &error) < 0)
		fail_msg("%s", error.text);
	return observer;
}

bool observer_readable(const struct belay_observer *observer, int timeout_ms)
{
	struct pollfd readable = { .fd = belay_observer_fd(observer), .events = POLLIN };
	int r;

	do
		r = poll(&readable, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	return r > 0;
}

const struct belay_event *event_take(struct belay_observer *observer, enum belay_event_kind kind)
{
	uint64_t give_up_ns = belay__clock_ns(CLOCK_MONOTONIC) + WAIT_MS * BELAY__NS_PER_MS;
	const struct belay_event *event;

	for (unsigned turn = 1; (event = belay_observer_next(observer)) == NULL; turn++) {
		/* The first turn may only be the end of that which the last event came from. */
		if (turn == 1)
			continue;
		if (belay__clock_ns(CLOCK_MONOTONIC) > give_up_ns)
			fail_msg("no event came, where there should be \"%s\"",
				belay_event_kind_name(kind));
		(void)observer_readable(observer, WAIT_MS);
	}
	if (event->kind != kind)
		fail_msg("\"%s\" (pid %u, code %d) came instead of \"%s\"",
			belay_event_kind_name(event->kind), event->pid, event->code,
			belay_event_kind_name(kind));
	return event;
}

void event_none(struct belay_observer *observer)
{
	unsigned turns = 0;

	do {
		const struct belay_event *event = belay_observer_next(observer);

		if (event != NULL)
			fail_msg("\"%s\" (pid %u, code %d) came unexpected",
				belay_event_kind_name(event->kind), event->pid, event->code);
		assert_in_range(turns, 0, 1000);
	} while (turns++ < 1 || observer_readable(observer, 0));
}

unsigned event_drain(struct belay_observer *observer)
{
	unsigned count = 0;

	while (belay_observer_next(observer) != NULL)
		count++;
	return count;
}

uint64_t counter_of(struct belay_observer *observer, const char *name, const char *label)
{
	static struct belay_counter counters[256];
	size_t count = belay_observer_counters(observer, counters, 256);

	assert_in_range(count, 1, 256);
	for (size_t i = 0; i < count; i++)
		if (strcmp(counters[i].name, name) == 0 && strcmp(counters[i].label, label) == 0)
			return counters[i].value;
	fail_msg("there is no counter %s{%s}", name, label);
	return 0;
}

int fd_bound_to(const char *path, int type)
{
	for (int fd = 3; fd < 1024; fd++) {
		struct sockaddr_un address = { .sun_family = 0 };
		socklen_t len = sizeof(address), size = sizeof(int);
		int its_type = 0;

		if (getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
			address.sun_family == AF_UNIX && strcmp(address.sun_path, path) == 0 &&
			getsockopt(fd, SOL_SOCKET, SO_TYPE, &its_type, &size) == 0 &&
			its_type == type)
			return fd;
	}
	fail_msg("nothing is bound to %s", path);
	return -EBADF;
}

/* --- puppets --- */

static int address_of(const char *path, struct sockaddr_un *ret_address)
{
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(ret_address->sun_path, sizeof(ret_address->sun_path), "%s", path);
	return 0;
}

static int do_send(const char *path, const struct order *order)
{
	static int fd = -EBADF;
	struct sockaddr_un address;
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(253 * sizeof(int))];
	} control;
	struct iovec part = { (void *)(uintptr_t)order->bytes, order->len };
	struct msghdr message = { .msg_name = &address,
		.msg_namelen = sizeof(address),
		.msg_iov = &part,
		.msg_iovlen = 1 };

	address_of(path, &address);
	if (fd < 0)
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (order->value > 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE((size_t)order->value * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN((size_t)order->value * sizeof(int));
		/* Standard input, which every process has. */
	}
	return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int door_fd = -EBADF; /* a puppet's */

static int do_say(const char *path, const struct order *order)
{
	struct sockaddr_un address;
	char door[108];

	(void)snprintf(door, sizeof(door), "%s%s", path, BELAY__HELLO_SUFFIX);
	address_of(door, &address);
	if (door_fd < 0) {
		door_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		if (connect(door_fd, (struct sockaddr *)&address, sizeof(address)) < 0)
			return -errno;
	}
	return send(door_fd, order->bytes, order->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int do_hear(void)
{
	struct belay__hello_answer answer = { .part = 0 };

	while (answer.part != BELAY__HELLO_DONE)
		if (recv(door_fd, &answer, sizeof(answer), MSG_DONTWAIT) < (ssize_t)sizeof(answer))
			return -EPIPE;
	return answer.code;
}

_Noreturn static void puppet_run(int orders, const char *path)
{
	for (;;) {
		struct order order;
		int32_t answer = 0;

		if (recv(orders, &order, sizeof(order), 0) != (ssize_t)sizeof(order))
			_exit(98);
		switch ((enum order_kind)order.kind) {
		case ORDER_SEND:
			answer = do_send(path, &order);
			break;
		case ORDER_SAY:
			answer = do_say(path, &order);
			break;
		case ORDER_HEAR:
			answer = do_hear();
			break;
		case ORDER_EXIT:
			_exit(order.value);
		}
		if (send(orders, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
			_exit(97);
	}
}

/* clone3(2) with a pid of one's choice needs CAP_CHECKPOINT_RESTORE or root. */
static pid_t start_process(unsigned long flags, pid_t set_tid)
{
	struct clone_args arguments = {
		.flags = flags,
		.exit_signal = SIGCHLD,
		.set_tid = (uint64_t)(uintptr_t)&set_tid,
		.set_tid_size = 1,
	};

	if (set_tid != 0)
		return (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
}

bool puppet_start_with(const struct house *house, unsigned long flags, int64_t uid, pid_t set_tid,
	struct puppet *ret_puppet)
{
	int ends[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	pid = start_process(flags, set_tid);
	if (pid < 0) {
		belay__close(ends[0]);
		belay__close(ends[1]);
		return false;
	}
	if (pid == 0) {
		/* As after an exec: the observer's descriptors, and its lock with them, are not the
		 * puppet's. */
		if (dup2(ends[1], 3) < 0 || syscall(SYS_close_range, 4U, ~0U, 0) < 0)
			_exit(95);
		if (uid >= 0 && setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid) < 0)
			_exit(96);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		puppet_run(3, house->path);
	}
	belay__close(ends[1]);
	*ret_puppet = (struct puppet){ .pid = pid, .orders = ends[0], .path = house->path };
	ret_puppet->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	assert_return_code(ret_puppet->pidfd, errno);
	return true;
}

struct puppet puppet_start(const struct house *house)
{
	struct puppet puppet;

	assert_true(puppet_start_with(house, 0, -1, 0, &puppet));
	return puppet;
}

static int give_order(struct puppet *puppet, enum order_kind kind, int value, const void *bytes,
	size_t len)
{
	struct order order = { .kind = (int32_t)kind, .value = value, .len = (uint32_t)len };
	int32_t answer;

	assert_in_range(len, 0, ORDER_MAX);
	if (len > 0)
		memcpy(order.bytes, bytes, len);
	assert_int_equal(send(puppet->orders, &order, sizeof(order), MSG_NOSIGNAL), sizeof(order));
	if (kind == ORDER_EXIT)
		return 0;
	assert_int_equal(recv(puppet->orders, &answer, sizeof(answer), 0), sizeof(answer));
	return answer;
}

int puppet_send(struct puppet *puppet, const void *bytes, size_t len, unsigned count)
{
	return give_order(puppet, ORDER_SEND, (int)count, bytes, len);
}

void puppet_frame(struct puppet *puppet, const struct belay_frame *frame)
{
	uint8_t bytes[BELAY_FRAME_LEN];

	belay_frame_encode(frame, bytes);
	assert_int_equal(puppet_send(puppet, bytes, sizeof(bytes), 0), 0);
}

void puppet_beat(struct puppet *puppet, enum belay_status status)
{
	puppet->nonce++;
	puppet_frame(puppet,
		&(struct belay_frame){ .status = (uint8_t)status,
			.pid = (uint32_t)puppet->pid,
			.timestamp_ns = puppet->nonce,
			.nonce = puppet->nonce,
			.payload = (uint32_t)puppet->nonce });
}

void puppet_last_word(struct puppet *puppet, uint64_t timestamp_ns)
{
	puppet_frame(puppet,
		&(struct belay_frame){ .status = BELAY_CRITICAL,
			.pid = (uint32_t)puppet->pid,
			.timestamp_ns = timestamp_ns,
			.nonce = BELAY_NONCE_TERMINAL });
}

int puppet_say(struct puppet *puppet, const struct belay__hello *hello)
{
	return give_order(puppet, ORDER_SAY, 0, hello, sizeof(*hello));
}

int puppet_hear(struct puppet *puppet)
{
	return give_order(puppet, ORDER_HEAR, 0, NULL, 0);
}

void puppet_exit(struct puppet *puppet, int code)
{
	(void)give_order(puppet, ORDER_EXIT, code, NULL, 0);
	puppet_wait_ended(puppet);
}

void puppet_signal(const struct puppet *puppet, int signal_nr)
{
	assert_int_equal(syscall(SYS_pidfd_send_signal, puppet->pidfd, signal_nr, NULL, 0), 0);
}

void puppet_wait_state(const struct puppet *puppet, char state)
{
	struct belay__stat stat = { .state = 0 };

	for (unsigned i = 0; i < WAIT_MS; i++) {
		assert_int_equal(belay__read_stat(puppet->pid, &stat), 0);
		if (stat.state == state)
			return;
		(void)poll(NULL, 0, 1);
	}
	fail_msg("the puppet is in state %c instead of %c", stat.state, state);
}

void puppet_wait_ended(const struct puppet *puppet)
{
	siginfo_t info;

	while (waitid(P_PID, (id_t)puppet->pid, &info, WEXITED | WNOWAIT) < 0)
		assert_int_equal(errno, EINTR);
}

void puppet_reap(struct puppet *puppet)
{
	while (waitpid(puppet->pid, NULL, 0) < 0)
		assert_int_equal(errno, EINTR);
	puppet->pid = 0;
	puppet->orders = belay__close(puppet->orders);
	puppet->pidfd = belay__close(puppet->pidfd);
}

void puppet_done(struct puppet *puppet)
{
	if (puppet->pid == 0)
		return;
	puppet_signal(puppet, SIGKILL);
	puppet_reap(puppet);
}

void in_child(int (*body)(void *argument), void *argument)
{
	pid_t pid = fork();
	int status = 0;

	assert_return_code(pid, errno);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* An assertion that fails must not go on with the other tests here. */
		(void)setenv("CMOCKA_TEST_ABORT", "1", 1);
		_exit(body(argument));
	}
	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}
