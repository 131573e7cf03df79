/* backend.h - belay backend: what its command line says, for `belay` and for the program behind it
 *
 * Hashing executables takes libcrypto, so `belay` reads the command line, answers what is wrong with it
 * and becomes belay-backend, which reads it by the same rows again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cmd/cmd.h"

#define BELAY__BACKEND_PATH_MAX 107 /* sun_path */

enum belay__backend_word { BELAY__BACKEND_CONFORM, BELAY__BACKEND_PROBE };

struct belay__backend_options {
	enum belay__backend_word word;
	const char *target; /* SIDECAR or SOCKET; borrowed from the command line */
	bool help, json;
	uint64_t timeout_ns; /* 0: the default */
	char handoff[BELAY__BACKEND_PATH_MAX + 1];
	char service[65];
	char sidecar[4096];
};

/* Reads argv, which is permuted. 0 and *ret_options; or -1 when nothing is left to do: *ret_exit is the
 * exit code then. */
int belay__backend_parse(int argc, char **argv, struct belay__backend_options *ret_options,
	int *ret_exit);

/* The two commands; each returns the exit code. */
int belay__backend_probe(const struct belay__backend_options *options);
int belay__backend_conform(const struct belay__backend_options *options);

/* Says why there is no sidecar to go by; returns the exit code. */
int belay__backend_complain_of_sidecar(const struct belay_error *error);
