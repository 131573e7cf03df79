/* roles_fuzz.c - each role of the observer as it hears any of its peers, through a real channel
 *
 * Input: whom (one of the ears below) and what it has heard before, then packets {type, how, at,
 * length, bytes}. TYPE below 128 is one of those that the ear takes, any other as it is. Bits 0 to 2
 * of HOW choose the descriptor to send; bit 3: the packet keeps to the rules of its type, in all but
 * its contents, which are the bytes, laid from 8 * AT on over what an honest peer says; bit 4: the
 * role does what it has to do before it hears the next one; bits 5 to 7: after a second, a minute,
 * five hours. Without bit 3 the bytes are the packet behind its header; bit 5: the header tells their
 * true length; bit 6: a descriptor comes along; bit 7: two.
 *
 * What does not keep to the rules ends the channel and reaches nobody, descriptors are neither lost
 * nor closed twice, and whatever keeps to them does no harm.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "roles.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PACKETS_MAX = 24, RAW_TYPES = 128 };

enum how {
	HOW_THING = 7,
	HOW_HONEST = 1 << 3,
	HOW_WORK = 1 << 4,
	HOW_SECOND = 1 << 5,
	HOW_MINUTE = 1 << 6,
	HOW_HOURS = 1 << 7,
	HOW_TRUE_LENGTH = 1 << 5,
	HOW_WITH_FD = 1 << 6,
	HOW_WITH_TWO = 1 << 7,
};

static const struct ear *const ears[] = {
	&ear_gate_of_parent,
	&ear_gate_of_prober,
	&ear_gate_of_exporter,
	&ear_gate_of_runner,
	&ear_runner_of_parent,
	&ear_runner_of_gate,
	&ear_exporter_of_parent,
	&ear_exporter_of_gate,
	&ear_prober_of_parent,
	&ear_prober_of_gate,
	&ear_parent_of_gate,
	&ear_parent_of_others,
};
#define EARS (sizeof(ears) / sizeof(ears[0]))

/* What one message says, and how it travels. */
struct message {
	uint32_t type, size; /* of the header */
	size_t len;          /* of the record that really comes */
	unsigned fd_count;
	int fds[2];
	_Alignas(8) uint8_t record[BELAY__MESSAGE_MAX];
};

static const struct belay__message_rule *rule_of(const struct ear *ear, uint32_t type)
{
	for (size_t i = 0; i < ear->rule_count; i++)
		if (ear->rules[i].type == type)
			return &ear->rules[i];
	return NULL;
}

/* Whether MESSAGE is one that EAR may take. */
static bool is_permitted(const struct ear *ear, const struct message *message)
{
	const struct belay__message_rule *rule = rule_of(ear, message->type);

	return rule != NULL && message->size == rule->size && message->len == rule->size &&
		message->fd_count == (rule->fd == BELAY__WITH_FD ? 1 : 0);
}

static void send_it(int channel, const struct message *message)
{
	struct {
		uint32_t type, size;
	} header = { message->type, message->size };
	struct iovec parts[2] = {
		{ .iov_base = &header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)(uintptr_t)message->record, .iov_len = message->len },
	};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = { 0 };
	struct msghdr packet = { .msg_iov = parts, .msg_iovlen = 2 };

	if (message->fd_count > 0) {
		struct cmsghdr *rights;

		packet.msg_control = control;
		packet.msg_controllen = CMSG_SPACE(message->fd_count * sizeof(int));
		rights = CMSG_FIRSTHDR(&packet);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(message->fd_count * sizeof(int));
		memcpy(CMSG_DATA(rights), message->fds, message->fd_count * sizeof(int));
	}
	assert(sendmsg(channel, &packet, MSG_DONTWAIT | MSG_NOSIGNAL) ==
		(ssize_t)(sizeof(header) + message->len));
}

/* What an honest peer says, with BYTES over it where the ear does not believe. */
static void make_honest(const struct ear *ear, const struct belay__message_rule *rule, uint8_t at,
	const uint8_t *bytes, size_t len, struct message *message)
{
	size_t from = (size_t)at * 8;

	message->size = rule->size;
	message->len = rule->size;
	message->fd_count = rule->fd == BELAY__WITH_FD ? 1 : 0;
	memset(message->record, 0, rule->size);
	if (ear->fill != NULL)
		ear->fill(rule->type, message->record);
	if (ear->believes || from >= rule->size)
		return;
	memcpy(message->record + from, bytes, len < rule->size - from ? len : rule->size - from);
}

static void make_any(uint8_t how, const uint8_t *bytes, size_t len, struct message *message)
{
	memcpy(message->record, bytes, len);
	message->len = len;
	message->size = how & HOW_TRUE_LENGTH ? (uint32_t)len : (uint32_t)len + how;
	message->fd_count = how & HOW_WITH_TWO ? 2 : how & HOW_WITH_FD ? 1 : 0;
}

static void let_pass(uint8_t how)
{
	world_passed_ns += how & HOW_SECOND ? BELAY__NS_PER_S : 0;
	world_passed_ns += how & HOW_MINUTE ? 60 * BELAY__NS_PER_S : 0;
	world_passed_ns += how & HOW_HOURS ? 5 * 3600 * BELAY__NS_PER_S : 0;
}

/* One packet of the input. False: the channel has ended. */
static bool hear(const struct ear *ear, const int channel[2], const uint8_t head[4],
	const uint8_t *bytes, size_t len)
{
	static struct message message;
	const struct belay__message_rule *rule;
	uint8_t how = head[1];
	bool permitted;
	int r;

	message.type = head[0] < RAW_TYPES && ear->rule_count > 0
		? ear->rules[head[0] % ear->rule_count].type
		: (uint32_t)(head[0] - RAW_TYPES);
	message.fds[0] = message.fds[1] = world_thing(how & HOW_THING);
	rule = rule_of(ear, message.type);
	if (rule != NULL && (how & HOW_HONEST))
		make_honest(ear, rule, head[2], bytes, len, &message);
	else
		make_any(how, bytes, len, &message);
	permitted = is_permitted(ear, &message);
	if (permitted && ear->believes &&
		(!(how & HOW_HONEST) || (ear->expects != NULL && !ear->expects(message.type))))
		return true;
	send_it(channel[1], &message);
	r = belay__channel_receive(channel[0], ear->rules, ear->rule_count, ear->self(), 1);
	assert(permitted ? r == 1 || r < 0 : r == -EPROTO);
	if (how & HOW_HONEST)
		let_pass(how);
	if (ear->work != NULL && (how & HOW_WORK))
		ear->work();
	return r >= 0;
}

static void listen_to(const struct ear *ear, uint8_t stage, const uint8_t *data, size_t size)
{
	int channel[2];
	bool goes_on = true;

	assert(belay__channel_pair(channel) == 0);
	ear->open(stage);
	for (unsigned i = 0; i < PACKETS_MAX && size >= 4 && goes_on; i++) {
		size_t len = data[3] < size - 4 ? data[3] : size - 4;

		goes_on = hear(ear, channel, data, data + 4, len);
		data += 4 + len;
		size -= 4 + len;
	}
	if (ear->work != NULL)
		ear->work();
	ear->close();
	belay__close(channel[0]);
	belay__close(channel[1]);
}

/* What is opened once and kept is no leak. */
static void warm_up(void)
{
	for (unsigned i = 0; i < WORLD_THINGS; i++)
		(void)world_thing(i);
	world_begin();
	for (size_t i = 0; i < EARS; i++)
		for (uint8_t stage = 0; stage < 2; stage++)
			listen_to(ears[i], stage, NULL, 0);
	world_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool warm;
	int before;

	if (size < 2)
		return 0;
	if (!warm)
		warm_up();
	warm = true;
	world_begin();
	before = belay__fd_count();
	listen_to(ears[data[0] % EARS], data[1], data + 2, size - 2);
	assert(belay__fd_count() == before);
	world_end();
	return 0;
}
