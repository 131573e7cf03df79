#include "export/http_door_testing.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

static char directory[] = "/tmp/belay-http-XXXXXX";

struct http_stand stand;

static int render(void *data, enum belay__http_format format, unsigned buffer,
	struct belay__http_content *ret_content)
{
	struct shelf *shelf = data;
	char *text = shelf->text[format][buffer];

	if (shelf->error < 0)
		return shelf->error;
	shelf->renders++;
	shelf->buffers[buffer]++;
	(void)snprintf(text, sizeof(shelf->text[0][0]), "page %s %u\n",
		format == BELAY__HTTP_TEXT ? "text" : "openmetrics", shelf->renders);
	*ret_content = (struct belay__http_content){
		.bytes = shelf->big == NULL ? text : shelf->big,
		.len = shelf->big == NULL ? strlen(text) : BIG,
		.type = format == BELAY__HTTP_TEXT ? BELAY__HTTP_TYPE_TEXT
						   : BELAY__HTTP_TYPE_OPENMETRICS,
		.status = shelf->status,
	};
	return 0;
}

static int listen_unix(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 512), 0);
	return TAKE_FD(fd);
}

int open_stand(void **state)
{
	static const char *const paths[3] = { "/metrics", "/readyz", "/big" };
	struct shelf *const shelves[3] = { &stand.metrics, &stand.ready, &stand.big };
	(void)state;

	memset(&stand, 0, sizeof(stand));
	stand.fds = belay__fd_count();
	(void)snprintf(stand.path, sizeof(stand.path), "%s/http", directory);
	for (unsigned i = 0; i < 3; i++)
		stand.pages[i] = (struct belay__http_page){
			.path = paths[i],
			.negotiated = i == 0,
			.render = render,
			.data = shelves[i],
		};
	stand.unix_fd = listen_unix(stand.path);
	stand.tcp_fd = belay__http_listen("127.0.0.1:0", true, stand.bound, NULL);
	return stand.tcp_fd < 0 || belay__loop_new(&stand.loop) < 0;
}

void open_door(uint32_t burst)
{
	static const uint8_t token[BELAY__HTTP_TOKEN_LEN] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
		0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x11, 0x22, 0x33,
		0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	const struct belay__http_options options = {
		.unix_fd = stand.unix_fd,
		.tcp_fd = stand.tcp_fd,
		.pages = stand.pages,
		.page_count = 3,
		.token = token,
		.rate_per_s = 1,
		.rate_burst = burst,
	};

	assert_int_equal(belay__http_door_new(stand.loop, &options, &stand.door, NULL), 0);
}

int close_stand(void **state)
{
	int left;
	(void)state;

	stand.door = belay__http_door_free(stand.door);
	stand.loop = belay__loop_free(stand.loop);
	stand.unix_fd = belay__close(stand.unix_fd);
	stand.tcp_fd = belay__close(stand.tcp_fd);
	free(stand.big.big);
	left = belay__fd_count() - stand.fds;
	return unlink(stand.path) < 0 || left != 0;
}

int connect_unix(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", stand.path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

int connect_tcp(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	assert_int_equal(getsockname(stand.tcp_fd, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, size), 0);
	assert_int_equal(belay__fd_nonblock(fd), 0);
	return TAKE_FD(fd);
}

void turn(int fd, int wait_ms)
{
	struct pollfd ready[2] = {
		{ .fd = belay__loop_fd(stand.loop), .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};
	uint64_t began_ns, took_ns;

	(void)poll(ready, 2, wait_ms);
	began_ns = belay__clock_ns(CLOCK_MONOTONIC);
	assert_true(belay__loop_turn(stand.loop, 0) >= 0);
	took_ns = belay__clock_ns(CLOCK_MONOTONIC) - began_ns;
	stand.turns++;
	if (took_ns > stand.longest_turn_ns)
		stand.longest_turn_ns = took_ns;
}

void say(int fd, const char *text, size_t len)
{
	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

size_t hear(int fd, char *text, size_t size, const char *end, int *ret_errno)
{
	const uint64_t late_ns = belay__clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	size_t len = 0;

	*ret_errno = 0;
	text[0] = '\0';
	while (end == NULL || len < strlen(end) || strcmp(text + len - strlen(end), end) != 0) {
		ssize_t n = recv(fd, text + len, size - 1 - len, 0);

		if (n == 0)
			break;
		if (n < 0 && errno != EAGAIN) {
			*ret_errno = errno;
			break;
		}
		if (n < 0) {
			assert_true(belay__clock_ns(CLOCK_MONOTONIC) < late_ns);
			turn(fd, 100);
			continue;
		}
		len += (size_t)n;
		text[len] = '\0';
	}
	return len;
}

void ask(bool tcp, const char *request, char *answer, size_t size)
{
	_cleanup_close_ int fd = tcp ? connect_tcp() : connect_unix();
	int error;

	say(fd, request, strlen(request));
	(void)hear(fd, answer, size, NULL, &error);
	assert_int_equal(error, 0);
}

unsigned status_of(const char *answer)
{
	unsigned status = 0;

	/* NOLINTNEXTLINE(cert-err34-c): the format is ours */
	return sscanf(answer, "HTTP/1.%*1[01] %u ", &status) == 1 ? status : 0;
}

unsigned count(const char *text, const char *word)
{
	unsigned found = 0;

	while ((text = strstr(text, word)) != NULL) {
		found++;
		text++;
	}
	return found;
}

int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) == NULL;
}

int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}
