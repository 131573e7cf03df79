/* file.h - small files, read and written with care */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <belay/error.h>

/* Reads at most SIZE - 1 bytes of the file at PATH (relative to DIRFD or AT_FDCWD) into BUFFER and
 * ends them with NUL. For /proc and /sys: one open, reads until the end or the buffer is full,
 * EINTR retried. Returns the number of bytes, or a negative errno. */
ssize_t belay__read_file(int dirfd, const char *path, char *buffer, size_t size);

/* Writes all LEN bytes. Returns 0 or a negative errno; EINTR is retried, a short write
 * continued. */
int belay__write_all(int fd, const void *bytes, size_t len);

/* Opens PATH for reading when it can be trusted as configuration: a regular file, no symlink, owned
 * by root or by this process's uid, not writable by group or others. Returns the fd, or a negative
 * errno with a sentence. */
int belay__open_trusted(const char *path, struct belay_error *reterr);

/* The same for a WHAT ("key"), which nobody else may even read: closed to group and others. Where it
 * is not, the sentence says to make a new one, because what was open has to count as known. */
int belay__open_secret(const char *path, const char *what, struct belay_error *reterr);

/* Opens PATH for appending, creating it 0600: an existing one must be a regular file of this uid
 * with one link and is never a symlink. Returns the fd or a negative errno with a sentence. */
int belay__open_append(const char *path, struct belay_error *reterr);

/* Makes the directory PATH of MODE: bits beyond 0700 are given whatever the umask is. 0, -EEXIST,
 * or another negative errno. */
int belay__make_dir(const char *path, mode_t mode);

/* Makes the directory PATH (0700) and its missing parents (0755). An existing one must be a
 * directory, not a symlink, of this uid or root's. 0 or a negative errno with a sentence. */
int belay__make_private_dir(const char *path, struct belay_error *reterr);

/* Whether FD lies on a memory file system (tmpfs or ramfs). */
bool belay__on_tmpfs(int fd);
