/* records_testing.h - a directory of its own for each test of files of records
 *
 * For tests only: a failure ends the test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Made and removed with everything in it by these, for cmocka. */
extern char belay__test_directory[64];
extern char belay__test_path[96]; /* "records" in it */
int belay__test_make_directory(void **state);
int belay__test_remove_directory(void **state);

/* The name of generation I of the path (0: itself), in memory of its own for each I up to 9. */
const char *belay__test_generation(unsigned i);

void belay__test_write_file(const char *name, const char *bytes, size_t len);
/* The whole file, NUL-terminated, in memory that the next call uses again. */
const char *belay__test_read_file(const char *name, size_t *ret_len);
uint64_t belay__test_file_size(const char *name);
bool belay__test_exists(const char *name);

/* Runs BODY in a child with a mount namespace of its own, in which the directory is a tmpfs of 64
 * KiB: 0 is success, other results fail the test. False when that is not permitted here. */
bool belay__test_on_small_disk(int (*body)(void));

/* Fills the directory's file system until nothing fits; *ret_fd is the file that does it. */
int belay__test_fill_disk(int *ret_fd);

/* No file may grow beyond BYTES, RLIM_INFINITY: as before. SIGXFSZ is ignored. */
void belay__test_limit_file_size(uint64_t bytes);
