/* key_new.h - a new key, in a file or on standard output */
#pragma once

/* Makes a key of random bytes and writes it, 64 digits and a newline, to a new file at PATH (0600), or
 * to standard output when PATH is NULL. Returns the exit code; what failed was said. */
int belay__key_new(const char *path);
