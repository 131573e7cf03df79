/* door_fuzz.c - a client that says anything at the door
 *
 * Input: packets, each {how, length, bytes}. Bit 0 of HOW: the bytes are laid behind a good head
 * (magic and version), and the request is brought to its full length; bit 1: the client reads what
 * it was answered. This very process is known to the observer, so that what is said can have
 * consequences. Answers are well-formed, and the table stays sound.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "observe/core.h"
#include "observe/door_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TURNS_MAX = 200 };

static uint64_t now_ns;
static struct belay_observer *observer;
static struct sockaddr_un address;
static socklen_t address_len;

static uint64_t read_clock(void *data)
{
	(void)data;
	return now_ns;
}

/* The door alone, at an address that the kernel chooses outside the file system. */
static void open_door(void)
{
	const struct belay_observer_options options = { .capacity = 8, .clock = read_clock };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	now_ns = UINT64_C(1000000000);
	assert(belay_observer_new(&options, &observer, NULL) == 0 && fd >= 0);
	address.sun_family = AF_UNIX;
	assert(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0);
	assert(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0);
	assert(listen(fd, 8) == 0);
	address_len = sizeof(address);
	assert(getsockname(fd, (struct sockaddr *)&address, &address_len) == 0);
	assert(belay__door_listen_take(observer->door, fd) == 0);
}

static void know_ourselves(void)
{
	uint32_t pid = (uint32_t)getpid(), at = belay__table_find(&observer->table, pid);
	struct belay__record *record;

	if (at != BELAY__NO_SLOT)
		return;
	at = belay__table_insert(&observer->table, pid);
	assert(at != BELAY__NO_SLOT);
	record = &observer->table.records[observer->table.slots[at].record];
	(void)snprintf(record->name, sizeof(record->name), "fuzzer");
	record->uid = geteuid();
	observer->table.slots[at].last_ns = now_ns;
	belay__deadlines_heard(&observer->table.deadlines, at, observer->default_list, now_ns);
}

/* Reads one packet of an answer; whether there was one. */
static bool hear(int client)
{
	static struct {
		struct belay__hello_answer head;
		char text[BELAY__HELLO_PACKET_MAX];
	} packet;
	ssize_t len = recv(client, &packet, sizeof(packet), MSG_DONTWAIT);

	if (len <= 0)
		return false;
	assert((size_t)len >= sizeof(packet.head) && (size_t)len <= BELAY__HELLO_PACKET_MAX);
	assert(packet.head.magic == BELAY__HELLO_MAGIC &&
		packet.head.version == BELAY__HELLO_VERSION);
	assert(packet.head.part == BELAY__HELLO_DONE || packet.head.part == BELAY__HELLO_LINES);
	assert(packet.head.text_len == (size_t)len - sizeof(packet.head));
	assert(packet.head.code <= 0 && packet.head.reserved == 0);
	assert(packet.head.part == BELAY__HELLO_DONE ||
		(packet.head.text_len > 0 && packet.text[packet.head.text_len - 1] == '\n'));
	return true;
}

static void work(void)
{
	unsigned idle = 0;

	for (unsigned turn = 0; turn < TURNS_MAX && idle < 2; turn++)
		idle = belay_observer_next(observer) == NULL ? idle + 1 : 0;
	assert(idle == 2);
}

static void say(int client, uint8_t how, const uint8_t *bytes, size_t len)
{
	static uint8_t packet[256 + sizeof(struct belay__hello)];
	struct belay__hello hello = { .magic = BELAY__HELLO_MAGIC, .version = BELAY__HELLO_VERSION };
	size_t head = how & 1 ? offsetof(struct belay__hello, type) : 0;

	memset(packet, 0, sizeof(packet));
	memcpy(packet, &hello, head);
	memcpy(packet + head, bytes, len);
	len += head;
	if ((how & 1) && len > sizeof(hello) - 1)
		len = sizeof(hello) - 1; /* its last byte ends the name */
	if (how & 1) {
		packet[sizeof(hello) - 1] = 0;
		len = sizeof(hello);
	}
	(void)send(client, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int client = -EBADF;

	if (observer == NULL)
		open_door();
	know_ourselves();
	client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert(client >= 0 && connect(client, (struct sockaddr *)&address, address_len) == 0);
	while (size >= 2) {
		size_t len = data[1] < size - 2 ? data[1] : size - 2;

		say(client, data[0], data + 2, len);
		if (data[0] & 2) {
			work();
			while (hear(client))
				;
		}
		now_ns += data[0] >> 2;
		data += 2 + len;
		size -= 2 + len;
	}
	work();
	while (hear(client))
		work();
	belay__close(TAKE_FD(client));
	work();
	belay__table_check(&observer->table);
	return 0;
}
