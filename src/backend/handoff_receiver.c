#include "backend/handoff_receiver.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "wire/service_name.h"

static int check(const struct belay_handoff_receiver_options *options, struct belay_error *reterr)
{
	if (options->service != NULL &&
		!belay__service_name_valid(options->service, strlen(options->service)))
		return belay__fail(reterr,
			-EINVAL, "the service of a hand-over receiver is no name: use 1 to %d of a-z, 0-9 and -",
			BELAY_HANDOFF_SERVICE_MAX);
	if (options->uid == (uid_t)-1)
		return belay__fail(reterr, -EINVAL,
			"the uid of a hand-over receiver is nobody's: name the sender's");
	if (options->timeout_ms > INT_MAX)
		return belay__fail(reterr, -EINVAL,
			"timeout_ms of a hand-over receiver is %u: use at most %d",
			options->timeout_ms, INT_MAX);
	if (options->idle_ms > INT_MAX)
		return belay__fail(reterr, -EINVAL,
			"idle_ms of a hand-over receiver is %u: use at most %d", options->idle_ms,
			INT_MAX);
	if (options->replay_count > BELAY__REPLAYS_MAX)
		return belay__fail(reterr, -EINVAL,
			"replay_count of a hand-over receiver is %u: use at most %u",
			options->replay_count, BELAY__REPLAYS_MAX);
	for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++)
		if (options->reserved[i] != 0)
			return belay__fail(reterr, -EINVAL,
				"the reserved options of a hand-over receiver are in use: this "
				"library is older than the program, or they were not zeroed");
	return 0;
}

static void apply(struct belay_handoff_receiver *receiver,
	const struct belay_handoff_receiver_options *options)
{
	receiver->keep = options->keep;
	receiver->allow_inet = options->allow_inet;
	receiver->clients_pass_fds = options->clients_pass_fds;
	receiver->any_service = options->service == NULL;
	if (options->service != NULL)
		memcpy(receiver->service, options->service, strlen(options->service) + 1);
	receiver->uid = options->uid != 0 ? options->uid : geteuid();
	receiver->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms
							: BELAY_HANDOFF_ACK_TIMEOUT_MS;
	receiver->idle_ms = options->keep ? options->idle_ms : 0;
	receiver->tokens = options->tokens;
}

int belay_handoff_receiver_new(const struct belay_handoff_receiver_options *options,
	struct belay_handoff_receiver **ret_receiver, struct belay_error *reterr)
{
	static const struct belay_handoff_receiver_options defaults;
	struct belay_handoff_receiver *receiver;
	int r;

	if (options == NULL)
		options = &defaults;
	r = check(options, reterr);
	if (r < 0)
		return r;

	receiver = calloc(1, sizeof(*receiver));
	if (receiver == NULL)
		return belay__fail(reterr, -ENOMEM, "no memory for a hand-over receiver");
	apply(receiver, options);
	r = belay__handoff_replays_new(options->replay_count != 0 ? options->replay_count
								  : BELAY__REPLAYS_DEFAULT,
		&receiver->replays);
	if (r == 0)
		r = belay__closer_new(&receiver->closer);
	if (r < 0) {
		(void)belay_handoff_receiver_free(receiver);
		return belay__fail(reterr, r, "cannot make a hand-over receiver: %s", strerror(-r));
	}
	*ret_receiver = receiver;
	return 0;
}

struct belay_handoff_receiver *belay_handoff_receiver_free(struct belay_handoff_receiver *receiver)
{
	if (receiver == NULL)
		return NULL;

	(void)belay__closer_free(receiver->closer);
	(void)belay__handoff_replays_free(receiver->replays);
	free(receiver);
	return NULL;
}

void belay_handoff_receiver_counts(const struct belay_handoff_receiver *receiver,
	struct belay_handoff_counts *ret_counts)
{
	*ret_counts = receiver->counts;
}
