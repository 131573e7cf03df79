/* proc_own.h - whether the numbers in /proc are those of our own pid namespace
 *
 * The kernel takes the numbers of its calls from the caller's pid namespace, and /proc has those of
 * whoever mounted it. Where the two differ (a namespace without a /proc of its own), a number leads to one
 * process here and to another there, and nothing that /proc says may be believed of a pidfd.
 */
#pragma once

/* PROCFD is the directory of any process below /proc, or AT_FDCWD for what lies at /proc now. 0;
 * -EXDEV: it shows another pid namespace; -ENOENT: nothing is mounted there; or another negative errno:
 * it could not be found out. One link is read each time, and once in each process its status. */
int belay__proc_own(int procfd);
