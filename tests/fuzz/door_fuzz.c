/* door_fuzz.c - clients that say anything at the door, and whoever answers what the gate cannot
 *
 * Input: packets, each {how, length, bytes}. Bit 0 of HOW: the bytes are laid behind a good head
 * (magic and version), and the request is brought to its full length; bit 1: the client reads what
 * it was answered; bit 4: it is the other client. Bit 2: nobody says the bytes, they are the runner's
 * {which request, code, text}; bit 3: they are an event's line, for who follows. This very process is
 * known to the observer, so that what is said can have consequences. Answers are well-formed, and
 * the table stays sound.
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

enum { TURNS_MAX = 200, CLIENTS = 2 };

enum how {
	HOW_GOOD = 1 << 0,
	HOW_READS = 1 << 1,
	HOW_ANSWER = 1 << 2,
	HOW_EVENT = 1 << 3,
	HOW_OTHER = 1 << 4,
	HOW_TIME = 5, /* the bits from here on */
};

static uint64_t now_ns, last_request;
static struct belay_observer *observer;
static struct sockaddr_un address;
static socklen_t address_len;

static uint64_t read_clock(void *data)
{
	(void)data;
	return now_ns;
}

/* --- the program around the door --- */

static void tell_self(void *data, struct belay__json_writer *json)
{
	(void)data;
	belay__json_u64(json, "pid", 1);
}

static void on_paused(void *data, const char *pattern, uint64_t until_realtime_ns, uint32_t uid)
{
	(void)data;
	(void)until_realtime_ns;
	assert(pattern[0] != '\0' && strlen(pattern) < BELAY__NAME_SIZE && uid == geteuid());
}

static int plan(void *data, uint32_t at, bool really, uint64_t request)
{
	(void)data;
	(void)really;
	assert(at < observer->table.slot_count && observer->table.slots[at].pid != 0);
	assert(request >= last_request);
	last_request = request;
	return now_ns % 8 == 7 ? -EAGAIN : 0;
}

static int test_alert(void *data, uint64_t request)
{
	(void)data;
	assert(request >= last_request);
	last_request = request;
	return now_ns % 8 == 7 ? -ENOTCONN : 0;
}

/* What actor_runner.c lets through of the runner's answers. */
static void answer(const uint8_t *bytes, size_t len)
{
	if (len >= 2)
		belay__door_planned(observer->door, last_request - (bytes[0] & 3), -(int)bytes[1],
			(const char *)bytes + 2, len - 2);
}

static void publish(const uint8_t *bytes, size_t len)
{
	char line[257];

	for (size_t i = 0; i < len; i++)
		line[i] = bytes[i] == '\n' ? ' ' : (char)bytes[i];
	line[len] = '\n';
	belay__door_publish(observer->door, line, len + 1);
}

/* The door alone, at an address that the kernel chooses outside the file system. */
static void open_door(void)
{
	const struct belay_observer_options options = { .capacity = 8, .clock = read_clock };
	const struct belay__door_host host = { .self = tell_self,
		.publishes = true,
		.paused = on_paused,
		.plan = plan,
		.test_alert = test_alert };
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
	belay__door_set_host(observer->door, &host);
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
	size_t head = how & HOW_GOOD ? offsetof(struct belay__hello, type) : 0;

	memset(packet, 0, sizeof(packet));
	memcpy(packet, &hello, head);
	memcpy(packet + head, bytes, len);
	len += head;
	if ((how & HOW_GOOD) && len > sizeof(hello) - 1)
		len = sizeof(hello) - 1; /* its last byte ends the name */
	if (how & HOW_GOOD) {
		packet[sizeof(hello) - 1] = 0;
		len = sizeof(hello);
	}
	(void)send(client, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void hear_all(int client)
{
	while (hear(client))
		;
}

static void step(const int *clients, uint8_t how, const uint8_t *bytes, size_t len)
{
	int client = clients[(how & HOW_OTHER) != 0];

	if (how & HOW_ANSWER)
		answer(bytes, len);
	else if (how & HOW_EVENT)
		publish(bytes, len);
	else
		say(client, how, bytes, len);
	if (how & HOW_READS) {
		work();
		hear_all(client);
	}
	now_ns += how >> HOW_TIME;
}

static void leave(int *client)
{
	work();
	while (hear(*client))
		work();
	*client = belay__close(*client);
}

/* The next input finds the door as this one did. */
static void forget(void)
{
	work();
	observer->pauses = (struct belay__pauses){ .count = 0 };
	belay__table_check(&observer->table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int clients[CLIENTS];

	if (observer == NULL)
		open_door();
	know_ourselves();
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert(clients[i] >= 0 &&
			connect(clients[i], (struct sockaddr *)&address, address_len) == 0);
	}
	while (size >= 2) {
		size_t len = data[1] < size - 2 ? data[1] : size - 2;

		step(clients, data[0], data + 2, len);
		data += 2 + len;
		size -= 2 + len;
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		leave(&clients[i]);
	forget();
	return 0;
}
