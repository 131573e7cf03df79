#include "backend/handoff_judge.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "wire/handoff_frame.h"
#include "wire/service_name.h"

static int say(const char *text, const char **ret_text)
{
	*ret_text = text;
	return -EACCES;
}

/* What came before takes nothing from the store. */
static int use_up(struct belay_handoff_receiver *receiver, const struct belay_handoff_token *token,
	const char **ret_text)
{
	int r = 0;

	if (belay__handoff_replays_know(receiver->replays, token))
		return say("handoff token replayed", ret_text);
	if (receiver->tokens != NULL)
		r = belay_handoff_tokens_consume(receiver->tokens, token, token,
			belay__clock_ns(CLOCK_MONOTONIC) / BELAY__NS_PER_MS);
	if (r < 0)
		return say(r == -ETIME ? "handoff token expired" : "handoff token is not pending",
			ret_text);
	belay__handoff_replays_add(receiver->replays, token);
	return 0;
}

static int copy_service(const struct belay_bytes *name,
	char ret_service[static BELAY_HANDOFF_SERVICE_MAX + 1], const char **ret_text)
{
	if (name->len > 0 && !belay__service_name_valid((const char *)name->at, name->len))
		return say("handoff offer names no service", ret_text);
	if (name->len > 0)
		memcpy(ret_service, name->at, name->len);
	ret_service[name->len] = '\0';
	return 0;
}

int belay__handoff_judge(struct belay_handoff_receiver *receiver,
	const struct belay__handoff_self *self, int client, const struct belay__handoff_offer *offer,
	struct belay_adoption *adoption, const char **ret_text)
{
	struct belay__handoff_client info = { .is_unix = false };
	int r = belay__handoff_offer_check(offer, &adoption->token,
		receiver->any_service ? NULL : receiver->service, ret_text);

	if (r < 0)
		return -EACCES;
	r = copy_service(&offer->service_name, adoption->service, ret_text);
	if (r == 0)
		r = belay__handoff_stream_check(client, receiver->allow_inet, self, &info, ret_text);
	if (r == 0)
		r = use_up(receiver, &adoption->token, ret_text);
	if (r == 0)
		r = belay__handoff_stream_claim(client, &info, receiver->clients_pass_fds, ret_text);
	if (r < 0)
		return r;

	adoption->correlation_id = offer->correlation_id;
	adoption->client_pid = info.owner.pid;
	adoption->client_uid = info.owner.uid;
	adoption->client_gid = info.owner.gid;
	return 0;
}
