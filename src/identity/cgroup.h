/* cgroup.h - what a process's control groups do to it: frozen or not, and how hard its CPUs are
 * fought for
 *
 * Works with cgroup version 1, 2 and both at once, wherever they are mounted.
 */
#pragma once

#include <stdint.h>

/* Whether the process behind PROCFD (/proc/PID) is frozen by a cgroup: 0 no, 1 by a version 1
 * freezer, 2 by version 2. A negative errno when it cannot be told. */
int belay__cgroup_frozen(int procfd);

/* CPU pressure ("some", over 10 s) of the process's cgroup, else of the host, in thousandths. 0 or
 * a negative errno. */
int belay__cgroup_cpu_pressure(int procfd, uint32_t *ret_milli);
