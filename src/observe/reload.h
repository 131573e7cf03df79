/* reload.h - new rules and limits for a running observer */
#pragma once

#include "observe/core.h"

/* Puts the rules and those options in force that can change under way: threshold, rates,
 * within-max. Everyone is named and judged by the new rules from now on, with one threshold of
 * credit; names that no rule gives stay. What is missing, and which mass stalls go on, stays told by
 * the rule's name. */
void belay__reload(struct belay_observer *observer, const struct belay__observe_options *options,
	const struct belay__rule *rules, uint32_t rule_count);

/* Of the processes of each rule, silences with the verdicts that are acted on count in mass stalls
 * and alerts (crowds.h). Before anybody gets one of these rules. */
void belay__blame_by(struct belay_observer *observer, const struct belay__observe_options *options,
	const struct belay__rule *rules, uint32_t rule_count);
