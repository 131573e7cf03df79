#include "cmd/order.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

bool belay__order_name(struct belay__order *order, const struct belay__command *command,
	const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > BELAY__NAME_MAX) {
		belay__complain(
			"'%.64s' is no name: a name, a glob or a pid has 1 to %d characters; see: "
			"belay %s --help",
			name, BELAY__NAME_MAX, command->name);
		return false;
	}
	memcpy(order->hello.name, name, len);
	return true;
}

/* Hears packets until the last one, which is left in *ret_answer. */
static int hear(struct belay__ask *ask, const struct belay__order *order,
	struct belay__answer *ret_answer, struct belay_error *reterr)
{
	uint64_t bytes = 0;
	int r;

	for (;;) {
		r = belay__ask_hear(ask, belay__clock_ns(CLOCK_MONOTONIC) + order->within_ns,
			ret_answer, reterr);
		if (r < 0 || ret_answer->part == BELAY__HELLO_DONE)
			return r;
		bytes += ret_answer->len;
		if (order->each == NULL || bytes > BELAY__ASK_BYTES_MAX)
			return belay__fail(reterr, -EPROTO,
				"what answers at %s is no observer; see: belay doctor", ask->socket);
		r = belay__answer_lines(ret_answer, order->each, order->data, reterr);
		if (r < 0)
			return r;
	}
}

int belay__order_give(const struct belay__order *order, bool *ret_refused, char *sentence,
	size_t size, struct belay_error *reterr)
{
	static struct belay__ask ask;
	struct belay__answer answer = { .code = 0 };
	int r = belay__ask_open(&ask, order->socket,
		belay__clock_ns(CLOCK_MONOTONIC) + BELAY__ASK_PACKET_NS, reterr);

	*ret_refused = false;
	if (r < 0)
		return r;
	r = belay__ask_say(&ask, &order->hello, reterr);
	if (r >= 0)
		r = hear(&ask, order, &answer, reterr);
	if (r >= 0 && answer.code < 0) {
		*ret_refused = true;
		r = belay__fail(reterr, answer.code, "the observer at %s says: %s", ask.socket,
			answer.len > 0 ? answer.text : strerror(-answer.code));
	} else if (r >= 0) {
		(void)snprintf(sentence, size, "%s", answer.len > 0 ? answer.text : "");
	}
	belay__ask_close(&ask);
	return r;
}

/* What the observer finds is not what a command finds: a name that it does not know, a runner that
 * does not answer. */
int belay__order_failed(const struct belay_error *error, bool refused)
{
	int exit_code = belay__complain_error(error);

	if (!refused || exit_code == BELAY__EXIT_PERMISSION || exit_code == BELAY__EXIT_PROTOCOL)
		return exit_code;
	return error->code == -ENOENT ? BELAY__EXIT_UNKNOWN : BELAY__EXIT_FAILED;
}
