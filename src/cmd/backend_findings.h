/* backend_findings.h - what came of a probe, for people, for programs, and as an exit code */
#pragma once

#include <stdbool.h>

#include <belay/probe.h>

/* What is known in the end. All zero but `target`: nothing was tried. */
struct belay__findings {
	const char *target;
	bool claimed; /* the record is the daemon's own word: there was no sidecar */
	bool has_record;
	bool unread; /* there is a sidecar that could not be read: `error` says why */
	struct belay_daemon record;
	struct belay_probe_report report;
	struct belay_error error; /* code 0: all is proved */
};

/* Prints it on stdout, as lines or as one JSON object, and on stderr what there is to do; returns the exit code. */
int belay__findings_print(const struct belay__findings *found, bool json);
/* Only the object. 0, or the exit code of what could not be written. */
int belay__findings_show(const struct belay__findings *found);

/* Whether CODE says that this very process, or the system, has no descriptor or memory left. */
bool belay__is_shortage(int code);
