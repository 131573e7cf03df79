/* handoff_receiver.h - what the connections of one hand-over receiver share */
#pragma once

#include <belay/handoff.h>

#include "backend/handoff_message.h"
#include "backend/handoff_replays.h"
#include "ipc/closer.h"

struct belay_handoff_receiver {
	bool keep, allow_inet, clients_pass_fds, any_service;
	char service[BELAY_HANDOFF_SERVICE_MAX + 1];
	uid_t uid;
	unsigned timeout_ms, idle_ms;
	struct belay_handoff_tokens *tokens; /* borrowed; NULL: any token, once */
	struct belay__handoff_replays *replays;
	struct belay__closer *closer;
	struct belay_handoff_counts counts;
	struct belay__handoff_inbox inbox; /* of whichever connection reads; last */
};
