/* daemon.h - the mains of the observer's program */
#pragma once

/* `belay observe` with its options. Returns the exit status. */
int belay__parent_main(int argc, char **argv);

/* `belay config show|check`: ARGV[0] is skipped, the options are those of `belay observe` and
 * --json. Returns the exit status. */
int belay__config_main(const char *command, int argc, char **argv);
