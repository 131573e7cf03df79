/* probe_words.h - what a probe's failures are called, and what people are told about them */
#pragma once

#include <belay/error.h>
#include <belay/probe.h>

/* Fills *reterr (NULL allowed) for the failure in REPORT at ENDPOINT, which CODE stands for. DETAIL (NULL:
 * none) is what else is known. Returns CODE. */
int belay__probe_sentence(const struct belay_probe_report *report, const char *endpoint, int code,
	const char *detail, struct belay_error *reterr);
