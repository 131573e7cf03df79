/* daemon_verify.h - a record proved by whoever knows more of it than belay_daemon_verify() asks */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include <belay/identity.h>

struct belay__verify_how {
	struct belay_hashes *hashes; /* NULL: none */
	/* The record is what a stranger said. Its path is not looked up, which may take as long as the
	 * file system there likes: texts are compared. */
	bool claimed;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC: the executable is not read beyond it; UINT64_MAX: none */
};

/* As belay_daemon_verify(), also -ETIMEDOUT, of class BELAY_VERIFY_EXE_HASH. *ret_exe, on success, is of the
 * file that the process runs; belay__exe_still() tells later whether it still does. */
int belay__daemon_verify(const struct belay_daemon *expected, const struct belay__verify_how *how,
	struct belay_handle *ret_handle, struct stat *ret_exe, enum belay_verify_error *ret_class,
	struct belay_error *reterr);
