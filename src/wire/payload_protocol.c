#include "wire/payload_protocol.h"

#include <stddef.h>

#include <belay/envelope.h>

/* What a range of numbers is for, in order and without a gap. */
#define CONSUMER_FIRST 0x7000
#define RESERVED_FIRST 0x7F00
#define PRIVATE_FIRST  0xF000
#define LAST           0xFFFF

/* Who has registered a number. A new protocol is a new row here; two rows of one number, and a
 * consumer's outside its range, do not compile. */
#define PROTOCOLS(ROW)                                                                             \
	ROW(BELAY_PROTOCOL_CONTROL, BELAY__FIRST_PARTY, "control")                                 \
	ROW(BELAY_PROTOCOL_ADMIN, BELAY__FIRST_PARTY, "admin")                                     \
	ROW(BELAY_PROTOCOL_PROBE, BELAY__FIRST_PARTY, "probe")                                     \
	ROW(BELAY_PROTOCOL_HANDOFF, BELAY__FIRST_PARTY, "handoff")                                 \
	ROW(BELAY_PROTOCOL_SESSION, BELAY__FIRST_PARTY, "session")                                 \
	ROW(0x7A63u, BELAY__CONSUMER, "zccache")                                                   \
	ROW(0x7C4Cu, BELAY__CONSUMER, "clud")                                                      \
	ROW(0x7EB1u, BELAY__CONSUMER, "fbuild")

#define CHECK_RANGE(number, owner, name)                                                           \
	_Static_assert(((number) >= CONSUMER_FIRST && (number) < RESERVED_FIRST) ==                \
				((owner) == BELAY__CONSUMER) &&                                    \
			(number) < PRIVATE_FIRST,                                                  \
		name " has a number of its owner's range");
PROTOCOLS(CHECK_RANGE)

#define CASE(number, owner, name)                                                                  \
	case number:                                                                               \
		return name;

/* A switch, because the compiler refuses two cases of one number. */
static const char *registered_name(uint32_t protocol)
{
	switch (protocol) {
		PROTOCOLS(CASE)
	default:
		return NULL;
	}
}

#define OWNER_CASE(number, owner, name)                                                            \
	case number:                                                                               \
		return owner;

enum belay__protocol_owner belay__payload_protocol_owner(uint32_t protocol)
{
	switch (protocol) {
		PROTOCOLS(OWNER_CASE)
	default:
		return protocol < CONSUMER_FIRST ? BELAY__FIRST_PARTY : BELAY__CONSUMER;
	}
}

static const char *range_name(uint32_t protocol)
{
	if (protocol < CONSUMER_FIRST)
		return "first-party";
	if (protocol < RESERVED_FIRST)
		return "consumer";
	if (protocol < PRIVATE_FIRST)
		return "reserved";
	return protocol <= LAST ? "private" : "invalid";
}

const char *belay_payload_protocol_name(uint32_t protocol)
{
	const char *name = registered_name(protocol);

	return name != NULL ? name : range_name(protocol);
}
