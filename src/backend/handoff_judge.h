/* handoff_judge.h - whether an offer is accepted, with what came with its token */
#pragma once

#include <belay/handoff.h>

#include "backend/handoff_receiver.h"
#include "backend/handoff_stream_check.h"
#include "wire/broker.h"

/* Judges OFFER, which came over SELF behind adoption->token, to which CLIENT (borrowed) was attached:
 * another token, another service, no connected stream, a token that is not pending or came before. The
 * token is used up last: who is refused for another reason may come again with it. After that CLIENT is
 * made non-blocking: who is refused keeps it as it was. 0 and all of *ADOPTION but its fd; -EACCES and
 * *ret_text, a static string for the sender. */
int belay__handoff_judge(struct belay_handoff_receiver *receiver,
	const struct belay__handoff_self *self, int client, const struct belay__handoff_offer *offer,
	struct belay_adoption *adoption, const char **ret_text);
