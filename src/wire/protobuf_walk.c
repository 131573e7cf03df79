#include <assert.h>

#include "base/hot.h"
#include "wire/protobuf_internal.h"

/* Where a walk is. Its cursor holds two offsets into the root: of what comes next, and of the end of
 * what the walk is in, an occurrence of OUTER or a packed run (0: in the root itself). So the next
 * step goes on from here, however often somebody repeated what is around the elements. */
struct walk {
	const uint8_t *root, *at, *root_end;
	const uint8_t *end; /* NULL: in the root itself */
};

BELAY__INLINE struct walk resume(const struct belay__repeated *repeated, uint64_t cursor)
{
	const uint8_t *root = repeated->root.at;
	size_t end = (size_t)(cursor >> 32);

	if (cursor == 0 && repeated->outer != NULL)
		end = repeated->outer_len;
	return (struct walk){
		.root = root,
		.at = root + (uint32_t)cursor,
		.root_end = root + repeated->root.len,
		.end = end == 0 ? NULL : root + end,
	};
}

BELAY__INLINE uint64_t suspend(const struct walk *walk)
{
	uint64_t end = walk->end == NULL ? 0 : (uint64_t)(walk->end - walk->root);

	return end << 32 | (uint64_t)(walk->at - walk->root);
}

/* Enters what is around elements, whose length comes next. */
static void enter(struct walk *walk)
{
	struct belay__varint len = belay__read_len(walk->at, walk->root_end);

	assert(len.end != NULL);
	walk->at = len.end;
	walk->end = len.end + len.value;
}

/* Goes on to the next element's bytes; false: there is none. Whatever is passed was found to be in
 * order when it was decoded. */
BELAY__INLINE bool find_element(const struct belay__repeated *repeated, struct walk *walk)
{
	const struct belay__proto_field *field = repeated->field, *outer = repeated->outer;

	for (;;) {
		struct belay__varint key;

		if (walk->at == walk->end)
			walk->end = NULL;
		if (walk->at == walk->root_end)
			return false;
		if (walk->end != NULL && outer == NULL)
			return true;

		key = belay__read_key(walk->at, walk->root_end);
		assert(key.end != NULL);
		walk->at = key.end;
		if (key.value == field->key && (walk->end != NULL || outer == NULL))
			return true;
		if (walk->end == NULL &&
			(outer == NULL ? belay__is_packed(field, key.value)
				       : key.value == outer->key))
			enter(walk);
		else
			walk->at = belay__skip_field(walk->at, walk->root_end, key.value,
				BELAY__PROTO_DEPTH);
		assert(walk->at != NULL);
	}
}

BELAY__HOT int belay__repeated_next(const struct belay__repeated *repeated, uint64_t *cursor,
	void *ret_element)
{
	const struct belay__proto_field *field = repeated->field;
	struct belay__varint value;
	struct walk walk;

	assert(repeated->items == NULL);
	if (repeated->count == 0)
		return 0;
	assert(repeated->root.at != NULL);
	walk = resume(repeated, *cursor);
	if (!find_element(repeated, &walk))
		return 0;

	if (field->kind < BELAY__PROTO_STRING) {
		value = belay__read_varint(walk.at, walk.root_end);
		belay__store_number(field->kind, ret_element, value.value);
		walk.at = value.end;
	} else {
		value = belay__read_len(walk.at, walk.root_end);
		if (field->kind == BELAY__PROTO_MESSAGE)
			(void)belay__proto_decode(field->type, value.end, (size_t)value.value,
				ret_element);
		else
			*(struct belay_bytes *)ret_element = (struct belay_bytes){ value.end,
				value.value };
		walk.at = value.end + value.value;
	}
	assert(value.end != NULL);
	*cursor = suspend(&walk);
	return 1;
}
