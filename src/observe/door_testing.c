#include "observe/door_testing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/json.h"

int connect_door(const struct house *house)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_return_code(fd, errno);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", house->door);
	assert_return_code(connect(fd, (struct sockaddr *)&address, sizeof(address)), errno);
	return fd;
}

struct belay__hello request(enum belay__hello_type type)
{
	return (struct belay__hello){ .magic = BELAY__HELLO_MAGIC,
		.version = BELAY__HELLO_VERSION,
		.type = (uint8_t)type };
}

void say(int fd, enum belay__hello_type type, const char *name)
{
	struct belay__hello hello = request(type);

	(void)snprintf(hello.name, sizeof(hello.name), "%s", name);
	assert_int_equal(send(fd, &hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
}

struct packet door_packet;

bool hear(struct belay_observer *observer, int fd)
{
	for (unsigned turns = 0; turns < 10000; turns++) {
		ssize_t len = recv(fd, &door_packet, sizeof(door_packet) - 1, MSG_DONTWAIT);

		if (len == 0 || (len < 0 && errno == ECONNRESET))
			return false;
		if (len > 0) {
			assert_in_range(len, sizeof(door_packet.head), BELAY__HELLO_PACKET_MAX);
			assert_int_equal(door_packet.head.magic, BELAY__HELLO_MAGIC);
			assert_int_equal(door_packet.head.version, BELAY__HELLO_VERSION);
			assert_int_equal(door_packet.head.text_len,
				(size_t)len - sizeof(door_packet.head));
			door_packet.text[door_packet.head.text_len] = '\0';
			return true;
		}
		assert_int_equal(errno, EAGAIN);
		if (belay_observer_next(observer) != NULL)
			fail_msg("an event came unexpected");
	}
	fail_msg("no answer came");
	return false;
}

void hear_done(struct belay_observer *observer, int fd, int code)
{
	assert_true(hear(observer, fd));
	assert_int_equal(door_packet.head.part, BELAY__HELLO_DONE);
	assert_int_equal(door_packet.head.code, code);
	assert_int_equal(door_packet.head.text_len > 0, code != 0);
}

unsigned hear_lines(struct belay_observer *observer, int fd)
{
	unsigned lines = 0;
	char *end;

	assert_true(hear(observer, fd));
	if (door_packet.head.part == BELAY__HELLO_DONE)
		return 0;
	assert_int_equal(door_packet.head.part, BELAY__HELLO_LINES);
	for (char *at = door_packet.text; *at != '\0'; at = end + 1) {
		struct belay__json object;

		end = strchr(at, '\n');
		assert_non_null(end);
		assert_int_equal(belay__json_parse(at, (size_t)(end - at), &object, NULL), 0);
		assert_int_equal(object.kind, BELAY__JSON_OBJECT);
		lines++;
	}
	return lines;
}
