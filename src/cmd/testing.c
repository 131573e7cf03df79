#include "cmd/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "cmd/cmd.h"

#define CLIENTS  8
#define LEAKED   99
#define LIMIT_NS (30 * BELAY__NS_PER_S)

static pid_t child_pid;

pid_t test_child(void)
{
	return child_pid;
}

void test_door_reopen(struct test_door *door)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	door->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(door->fd >= 0);
	memcpy(address.sun_path, door->door, strlen(door->door) + 1);
	assert_int_equal(bind(door->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(door->fd, CLIENTS), 0);
}

void test_door_open(struct test_door *door)
{
	(void)snprintf(door->directory, sizeof(door->directory), "/tmp/belay-cmd-XXXXXX");
	assert_non_null(mkdtemp(door->directory));
	(void)snprintf(door->socket, sizeof(door->socket), "%.40s/beat.sock", door->directory);
	(void)snprintf(door->door, sizeof(door->door), "%.63s%s", door->socket, BELAY__HELLO_SUFFIX);
	test_door_reopen(door);
}

void test_door_shut(struct test_door *door)
{
	door->fd = belay__close(door->fd);
	(void)unlink(door->door);
}

void test_door_done(struct test_door *door)
{
	char command[80];

	test_door_shut(door);
	(void)snprintf(command, sizeof(command), "rm -rf %s", door->directory);
	/* A test's own directory, whose name is known to be harmless.
	 * NOLINTNEXTLINE(cert-env33-c) */
	assert_int_equal(system(command), 0);
}

void test_door_file(const struct test_door *door, const char *name, const char *text)
{
	_cleanup_close_ int fd = -EBADF;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", door->directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(belay__write_all(fd, text, strlen(text)), 0);
}

void test_send(int fd, enum belay__hello_part part, int code, const char *text)
{
	static char packet[BELAY__HELLO_PACKET_MAX];
	struct belay__hello_answer head = {
		.magic = BELAY__HELLO_MAGIC,
		.version = BELAY__HELLO_VERSION,
		.part = (uint8_t)part,
		.code = code,
		.text_len = (uint32_t)strlen(text),
	};

	assert_true(sizeof(head) + head.text_len <= sizeof(packet));
	memcpy(packet, &head, sizeof(head));
	memcpy(packet + sizeof(head), text, head.text_len);
	(void)send(fd, packet, sizeof(head) + head.text_len, MSG_NOSIGNAL);
}

__attribute__((noreturn)) static void be_child(const struct test_door *door, int out_fd, int err_fd,
	const char *const *words)
{
	static char program[] = "belay";
	char *argv[16] = { program };
	int argc = 1, before, code;

	for (; words[argc - 1] != NULL; argc++) {
		argv[argc] = strdup(words[argc - 1]);
		if (argc == 15 || argv[argc] == NULL)
			_exit(98);
	}
	(void)setenv("BELAY_SOCKET", door->socket, 1);
	(void)setenv("HOME", door->directory, 1);
	(void)setenv("XDG_STATE_HOME", door->directory, 1);
	if (dup2(out_fd, STDOUT_FILENO) < 0 || dup2(err_fd, STDERR_FILENO) < 0)
		_exit(98);
	before = belay__fd_count();
	code = belay__belay(argc, argv);
	for (int i = 1; i < argc; i++)
		free(argv[i]);
	_exit(belay__fd_count() == before ? code : LEAKED);
}

/* Hears one request of a client. False when it hung up. */
static bool hear(struct test_run *run, int fd, const struct test_answer *how)
{
	struct belay__hello hello;
	ssize_t len = recv(fd, &hello, sizeof(hello), MSG_DONTWAIT);

	if (len < 0 && errno == EAGAIN)
		return true;
	if (len <= 0)
		return false;
	assert_int_equal(len, sizeof(hello));
	assert_int_equal(hello.magic, BELAY__HELLO_MAGIC);
	assert_int_equal(hello.version, BELAY__HELLO_VERSION);
	run->requests++;
	run->hello = hello;
	if (how != NULL && how->answer != NULL)
		how->answer(fd, &hello, how->data);
	return true;
}

/* Serves until the other end of ALIVE is closed, that is, until the child has ended. */
static void serve(struct test_run *run, struct test_door *door, const struct test_answer *how,
	int alive)
{
	uint64_t end_ns = belay__clock_ns(CLOCK_MONOTONIC) + LIMIT_NS;
	struct pollfd fds[2 + CLIENTS] = { { .fd = alive, .events = POLLIN } };

	for (size_t i = 0; i < CLIENTS; i++)
		fds[2 + i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	while (fds[0].revents == 0) {
		if (belay__clock_ns(CLOCK_MONOTONIC) > end_ns) {
			(void)kill(child_pid, SIGKILL);
			fail_msg("the command does not end");
		}
		fds[1] = (struct pollfd){ .fd = door->fd, .events = POLLIN };
		(void)poll(fds, 2 + CLIENTS, 1000);
		for (size_t i = 2; i < 2 + CLIENTS; i++)
			if (fds[i].fd >= 0 && fds[i].revents != 0 && !hear(run, fds[i].fd, how)) {
				(void)belay__close(fds[i].fd);
				fds[i].fd = -1;
			}
		for (size_t i = 2;
			(fds[1].revents & POLLIN) != 0 && door->fd >= 0 && i < 2 + CLIENTS; i++)
			if (fds[i].fd < 0) {
				fds[i].fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC);
				break;
			}
	}
	for (size_t i = 2; i < 2 + CLIENTS; i++)
		(void)belay__close(fds[i].fd);
}

static size_t read_back(int fd, char *buffer, size_t size)
{
	ssize_t len = pread(fd, buffer, size - 1, 0);

	assert_true(len >= 0);
	buffer[len] = '\0';
	return (size_t)len;
}

void test_run(struct test_run *run, struct test_door *door, const struct test_answer *how,
	const char *const *words)
{
	_cleanup_close_ int out_fd = memfd_create("out", MFD_CLOEXEC),
			    err_fd = memfd_create("err", MFD_CLOEXEC);
	_cleanup_close_ int alive = -EBADF;
	int ends[2] = { -EBADF, -EBADF }, status;

	assert_true(out_fd >= 0 && err_fd >= 0 && pipe2(ends, O_CLOEXEC) == 0);
	alive = ends[0];
	memset(run, 0, sizeof(*run));
	child_pid = fork();
	assert_true(child_pid >= 0);
	if (child_pid == 0) {
		(void)belay__close(ends[0]);
		(void)belay__close(door->fd);
		be_child(door, how != NULL && how->out_fd != 0 ? how->out_fd : out_fd, err_fd,
			words);
	}
	(void)belay__close(ends[1]);
	serve(run, door, how, alive);
	assert_int_equal(waitpid(child_pid, &status, 0), child_pid);
	run->exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	run->out_len = read_back(out_fd, run->out, sizeof(run->out));
	(void)read_back(err_fd, run->err, sizeof(run->err));
}
