/* protobuf.h - protocol buffers, pulled apart field by field and put together again
 *
 * By the rules of the Rust library that the peers use (prost): varints of up to ten bytes, the tenth
 * 0 or 1; numbers of 32 bits take the low half of a wider varint; unknown fields are skipped at every
 * level, groups too, at most BELAY__PROTO_DEPTH deep; of equal scalars the last wins, of equal
 * messages all are merged; strings must be valid UTF-8; field 0, wire types 6 and 7, a wire type that
 * a known field cannot have, and an end of a group that was not begun are errors; repeated scalars
 * come packed or not. Fields are written in the order of their rows, defaults are left out.
 *
 * No allocation, no recursion beyond BELAY__PROTO_DEPTH, no copy: what is read points into the
 * caller's bytes.
 *
 * Tables obey two rules, which an assertion guards when they are used: a repeated field lies in the
 * message that is decoded (or in an element of one) or one message below it, and a repeated number
 * in no message below.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/envelope.h>

#define BELAY__PROTO_DEPTH 100

enum belay__proto_kind {
	BELAY__PROTO_U32,     /* uint32_t */
	BELAY__PROTO_U64,     /* uint64_t */
	BELAY__PROTO_I32,     /* int32_t */
	BELAY__PROTO_ENUM,    /* int32_t, open */
	BELAY__PROTO_BOOL,    /* bool */
	BELAY__PROTO_STRING,  /* struct belay_bytes, UTF-8 */
	BELAY__PROTO_BYTES,   /* struct belay_bytes */
	BELAY__PROTO_MESSAGE, /* its struct, in place */
};

enum belay__proto_label {
	BELAY__PROTO_PLAIN,    /* left out when zero */
	BELAY__PROTO_OPTIONAL, /* a bool at has_offset says whether it is there; all MESSAGEs are */
	BELAY__PROTO_REPEATED, /* struct belay__repeated */
	BELAY__PROTO_ONEOF, /* MESSAGE whose number is in the uint32_t at has_offset when it is the one */
};

struct belay__proto_field {
	uint32_t key;  /* as written: number * 8 + wire type of one element */
	uint8_t kind;  /* enum belay__proto_kind */
	uint8_t label; /* enum belay__proto_label */
	uint16_t offset, has_offset;
	const struct belay__proto_type *type; /* of a MESSAGE */
};

/* A message: its rows in the order in which they are written. */
struct belay__proto_type {
	const char *name; /* "HandoffOffer" */
	size_t size;      /* of its struct, at most BELAY__PROTO_STRUCT_MAX */
	const struct belay__proto_field *fields;
	size_t field_count;
};

#define BELAY__PROTO_STRUCT_MAX 1024

/* The elements of a repeated field or a map. To be written: COUNT of them at ITEMS, each a struct
 * belay_bytes (STRING, BYTES), a number of its kind's type, or the struct of a MESSAGE (a map's
 * entry: struct belay__proto_entry). As read: ITEMS is NULL, COUNT is how many there are, and
 * belay__repeated_next() walks them; what was read can be written again, too. */
struct belay__repeated {
	const void *items;
	size_t count;
	/* Where they lie: from the first of them to the end of the message that was decoded; those of a
	 * message below it first to the end of that one, then in whatever else there is of OUTER. */
	struct belay_bytes root;
	size_t outer_len;
	const struct belay__proto_field *outer, *field;
};

struct belay__proto_entry { /* of a map from strings to strings */
	struct belay_bytes key, value;
};
extern const struct belay__proto_type belay__type_entry;

/* Decodes the LEN bytes at BYTES into MESSAGE, TYPE's struct, which is zeroed first. 0, or -EBADMSG
 * (the content of MESSAGE is undefined then), also when LEN is beyond INT32_MAX. */
int belay__proto_decode(const struct belay__proto_type *type, const uint8_t *bytes, size_t len,
	void *message);

/* How many bytes MESSAGE takes; -EMSGSIZE beyond INT32_MAX, -EINVAL: a string is no UTF-8. */
ssize_t belay__proto_size(const struct belay__proto_type *type, const void *message);

/* Writes MESSAGE to OUT of SIZE bytes. The number of bytes, or as belay__proto_size(), and -EMSGSIZE:
 * they do not fit. */
ssize_t belay__proto_encode(const struct belay__proto_type *type, const void *message, uint8_t *out,
	size_t size);

/* Walks what was read: *cursor starts at 0. Copies the next element (struct belay_bytes, number,
 * message struct) into RET_ELEMENT: 1, or 0 at the end. Cannot fail: all was checked when it was
 * decoded. */
int belay__repeated_next(const struct belay__repeated *repeated, uint64_t *cursor,
	void *ret_element);

/* --- rows ---
 *
 * The struct's member must have the type that goes with the kind; another does not compile.
 */
#define BELAY__PROTO_C_U32    uint32_t
#define BELAY__PROTO_C_U64    uint64_t
#define BELAY__PROTO_C_I32    int32_t
#define BELAY__PROTO_C_ENUM   int32_t
#define BELAY__PROTO_C_BOOL   bool
#define BELAY__PROTO_C_STRING struct belay_bytes
#define BELAY__PROTO_C_BYTES  struct belay_bytes

#define BELAY__PROTO_KEY(number_, kind_)                                                           \
	((uint32_t)(number_) << 3 | (uint32_t)((kind_) >= BELAY__PROTO_STRING ? 2 : 0))
#define BELAY__PROTO_AT(struct_, member_, type_)                                                   \
	(offsetof(struct_, member_) +                                                              \
		0 *                                                                                \
			sizeof(char[__builtin_types_compatible_p(                                  \
					    __typeof__(((struct_ *)0)->member_), type_)            \
					? 1                                                        \
					: -1]))
#define BELAY__PROTO_ROW(number_, kind_, label_, at_, has_, type_)                                 \
	{                                                                                          \
		.key = BELAY__PROTO_KEY(number_, kind_), .kind = (kind_), .label = (label_),       \
		.offset = (at_), .has_offset = (has_), .type = (type_)                             \
	}

#define BELAY__PLAIN(number_, kind_, struct_, member_)                                             \
	BELAY__PROTO_ROW(number_, BELAY__PROTO_##kind_, BELAY__PROTO_PLAIN,                        \
		BELAY__PROTO_AT(struct_, member_, BELAY__PROTO_C_##kind_), 0, NULL)
#define BELAY__OPTIONAL(number_, kind_, struct_, member_) /* has_MEMBER beside it */               \
	BELAY__PROTO_ROW(number_, BELAY__PROTO_##kind_, BELAY__PROTO_OPTIONAL,                     \
		BELAY__PROTO_AT(struct_, member_, BELAY__PROTO_C_##kind_),                         \
		BELAY__PROTO_AT(struct_, has_##member_, bool), NULL)
#define BELAY__OPTIONAL_MESSAGE(number_, struct_, member_, member_struct_, type_)                  \
	BELAY__PROTO_ROW(number_, BELAY__PROTO_MESSAGE, BELAY__PROTO_OPTIONAL,                     \
		BELAY__PROTO_AT(struct_, member_, member_struct_),                                 \
		BELAY__PROTO_AT(struct_, has_##member_, bool), type_)
#define BELAY__REPEATED(number_, kind_, struct_, member_)                                          \
	BELAY__PROTO_ROW(number_, BELAY__PROTO_##kind_, BELAY__PROTO_REPEATED,                     \
		BELAY__PROTO_AT(struct_, member_, struct belay__repeated), 0, NULL)
#define BELAY__REPEATED_MESSAGE(number_, struct_, member_, type_)                                  \
	BELAY__PROTO_ROW(number_, BELAY__PROTO_MESSAGE, BELAY__PROTO_REPEATED,                     \
		BELAY__PROTO_AT(struct_, member_, struct belay__repeated), 0, type_)
#define BELAY__ONEOF(number_, struct_, which_, member_, member_struct_, type_)                     \
	BELAY__PROTO_ROW(number_, BELAY__PROTO_MESSAGE, BELAY__PROTO_ONEOF,                        \
		BELAY__PROTO_AT(struct_, member_, member_struct_),                                 \
		BELAY__PROTO_AT(struct_, which_, uint32_t), type_)

#define BELAY__PROTO_TYPE(name_, struct_, rows_)                                                   \
	{                                                                                          \
		.name = (name_), .size = sizeof(struct_), .fields = (rows_),                       \
		.field_count = sizeof(rows_) / sizeof((rows_)[0])                                  \
	}
