/* key_check.h - whether files of keys can be used, told without a digit of them */
#pragma once

#include <stdbool.h>

/* Examines COUNT files, whose paths are shorter than PATH_MAX, and prints what each holds; JSON: as one
 * object a file. Returns the exit code; what is wrong with a file was said. */
int belay__key_check(char *const *paths, int count, bool json);
