#include "cmd/ask_self.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

static int take(void *data, const char *line, size_t len, struct belay_error *reterr)
{
	struct belay__self *self = data;

	if (self->len > 0 || len > sizeof(self->bytes))
		return belay__fail(reterr, -EPROTO,
			"the observer says more about itself than can be understood");
	memcpy(self->bytes, line, len);
	self->len = len;
	return 0;
}

int belay__ask_self(struct belay__ask *ask, struct belay__self *ret_self, struct belay_error *reterr)
{
	int r;

	ret_self->len = 0;
	r = belay__ask_lines(ask, BELAY__HELLO_SELF, "", take, ret_self, reterr);
	if (r < 0)
		return r;
	if (belay__json_parse(ret_self->bytes, ret_self->len, &ret_self->object, NULL) < 0 ||
		ret_self->object.kind != BELAY__JSON_OBJECT)
		return belay__fail(reterr, -EPROTO,
			"what the observer at %s says about itself cannot be understood; its "
			"release may differ",
			ask->socket);
	return 0;
}

uint64_t belay__self_number(const struct belay__self *self, const char *key, uint64_t otherwise)
{
	struct belay__json value;
	uint64_t number;

	if (belay__json_member(&self->object, key, &value) < 0 ||
		belay__json_get_u64(&value, &number) < 0)
		return otherwise;
	return number;
}

bool belay__self_string(const struct belay__self *self, const char *key, char *string, size_t size)
{
	struct belay__json value;

	string[0] = '\0';
	if (belay__json_member(&self->object, key, &value) < 0 || value.kind != BELAY__JSON_STRING)
		return true;
	return belay__json_get_string(&value, string, size) >= 0;
}
