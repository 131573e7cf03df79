/* payload_protocol.h - whose a payload protocol is: the broker's own, or a consumer's */
#pragma once

#include <stdint.h>

enum belay__protocol_owner {
	BELAY__FIRST_PARTY,
	BELAY__CONSUMER,
};

/* By who has registered PROTOCOL, else by its range: numbers from 0x7000 on that nobody has registered are
 * no protocols of the broker's. */
enum belay__protocol_owner belay__payload_protocol_owner(uint32_t protocol);
