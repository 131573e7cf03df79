/* syscall_name.h - the system calls that processes wait in */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct belay__syscall {
	int32_t nr;
	bool on_fd; /* its first argument is a descriptor */
	const char *name;
};

/* The row of NR, or NULL. belay__syscall_name() is in verdict.h. */
const struct belay__syscall *belay__syscall_find(int32_t nr);
