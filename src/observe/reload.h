/* reload.h - new rules and limits for a running observer */
#pragma once

#include "observe/core.h"

/* Puts the rules and those options in force that can change under way: threshold, rates,
 * within-max. Everyone is named and judged by the new rules from now on, with one threshold of
 * credit; names that no rule gives stay. */
void belay__reload(struct belay_observer *observer, const struct belay__observe_options *options,
	const struct belay__rule *rules, uint32_t rule_count);
