/* handoff_replays.h - the tokens that came last, so that none comes twice
 *
 * Memory is taken once. When it is full, the oldest token is forgotten. Who sends tokens cannot choose
 * them such that looking one up takes long.
 */
#pragma once

#include <stdbool.h>

#include <belay/handoff.h>

#define BELAY__REPLAYS_DEFAULT 1024u
#define BELAY__REPLAYS_MAX     1048576u

struct belay__handoff_replays;

/* Room for COUNT tokens (1 to BELAY__REPLAYS_MAX). 0, -ENOMEM, or what getrandom(2) said. */
int belay__handoff_replays_new(unsigned count, struct belay__handoff_replays **ret_replays);
struct belay__handoff_replays *belay__handoff_replays_free(struct belay__handoff_replays *replays);

/* Whether TOKEN is remembered. */
bool belay__handoff_replays_know(const struct belay__handoff_replays *replays,
	const struct belay_handoff_token *token);

/* Remembers TOKEN, which is not known yet. */
void belay__handoff_replays_add(struct belay__handoff_replays *replays,
	const struct belay_handoff_token *token);
