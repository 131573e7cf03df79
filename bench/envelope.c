/* envelope.c - decoding and encoding the golden messages, beside protobuf-c doing the same
 *
 * Batches of both take turns on each message; the fastest batch of each counts. Prints one line of
 * JSON for each message. protobuf-c checks neither UTF-8 nor the width of varints, and allocates.
 *
 * Usage: bench-envelope [BATCHES]
 */
#include <string.h>

#include "broker.pb-c.h"

#include "common.h"
#include "wire/broker.h"

enum { BATCH = 1000, BATCHES = 400, OUT_SIZE = 512 };

struct golden {
	const char *name;
	const struct belay__proto_type *type;
	const ProtobufCMessageDescriptor *descriptor;
	const char *hex;
};

/* clang-format off */
static const struct golden goldens[] = {
	{ "Frame", &belay__type_frame, &running_process__broker__v1__frame__descriptor,
	  "080110011881da022204deadbeef282a30013880d095ffbc3142"
	  "3730302d30616637363531393136636434336464383434386562323131633830333139632d623761643662373136393230333333312d3031"
	  "4a0472703d31" },
	{ "Hello", &belay__type_hello, &running_process__broker__v1__hello__descriptor,
	  "080110031a0b6275696c642d6361636865220a312e322e332d72632e312a06332e302e31353081808080808080808001"
	  "3a0301020342087265712d303030315092215a0f72756e6e696e672d70726f636573736206332e302e31356a02aabb7201cc781e" },
	{ "HelloReply", &belay__type_hello_reply, &running_process__broker__v1__hello_reply__descriptor,
	  "0a3408021206332e302e31351a0c72702d6261636b656e642d37220277312202773228818080808080808080"
	  "01303c3a0310203040" "63" },
	{ "Refused", &belay__type_refused, &running_process__broker__v1__refused__descriptor,
	  "0a1376657273696f6e2062656c6f7720666c6f6f7210021803200" "82a0a0a05666c6f6f7212013230dc0b" },
	{ "HandoffOffer", &belay__type_handoff_offer, &running_process__broker__v1__handoff_offer__descriptor,
	  "08ec171210000102030405060708090a0b0c0d0e0f1a0b6275696c642d63616368652007" },
	{ "HandoffAck", &belay__type_handoff_ack, &running_process__broker__v1__handoff_ack__descriptor,
	  "0a10000102030405060708090a0b0c0d0e0f10011a026f6b2007" },
};
/* clang-format on */

static unsigned long allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_malloc(size_t size)
{
	allocations++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	allocations++;
	return __real_calloc(count, size);
}

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t len = 0;
	unsigned value;

	for (; sscanf(hex, "%2x", &value) == 1; hex += 2)
		out[len++] = (uint8_t)value;
	return len;
}

static uint64_t ours(const struct golden *golden, const uint8_t *bytes, size_t len)
{
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	union {
		struct belay_envelope frame;
		struct belay__broker_hello hello;
		struct belay__hello_reply reply;
		struct belay__handoff_offer offer;
	} message;
	uint8_t out[OUT_SIZE];

	for (int i = 0; i < BATCH; i++)
		if (belay__proto_decode(golden->type, bytes, len, &message) < 0 ||
			belay__proto_encode(golden->type, &message, out, sizeof(out)) !=
				(ssize_t)len)
			die(golden->name);
	return belay__clock_ns(CLOCK_MONOTONIC) - start_ns;
}

static uint64_t theirs(const struct golden *golden, const uint8_t *bytes, size_t len)
{
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	uint8_t out[OUT_SIZE];

	for (int i = 0; i < BATCH; i++) {
		ProtobufCMessage *message = protobuf_c_message_unpack(golden->descriptor, NULL, len,
			bytes);

		if (message == NULL || protobuf_c_message_pack(message, out) != len)
			die(golden->name);
		protobuf_c_message_free_unpacked(message, NULL);
	}
	return belay__clock_ns(CLOCK_MONOTONIC) - start_ns;
}

static void measure(const struct golden *golden, unsigned batches)
{
	uint64_t best = UINT64_MAX, floor = UINT64_MAX;
	unsigned long allocated;
	uint8_t bytes[OUT_SIZE];
	size_t len = from_hex(golden->hex, bytes);

	allocations = 0;
	(void)ours(golden, bytes, len);
	allocated = allocations;
	for (unsigned i = 0; i < batches; i++) {
		uint64_t a = ours(golden, bytes, len), b = theirs(golden, bytes, len);

		best = a < best ? a : best;
		floor = b < floor ? b : floor;
	}
	printf("{\"name\":\"%s\",\"bytes\":%zu,\"ours_ns\":%.1f,\"floor_ns\":%.1f,\"allocations\":%"
	       "lu}\n",
		golden->name, len, (double)best / BATCH, (double)floor / BATCH, allocated);
}

int main(int argc, char **argv)
{
	unsigned batches = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : BATCHES;

	stay_on_cpu(0);
	for (size_t i = 0; i < sizeof(goldens) / sizeof(goldens[0]); i++)
		measure(&goldens[i], batches);
	return 0;
}
