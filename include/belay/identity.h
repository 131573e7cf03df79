/* belay/identity.h - who a daemon is, written down so that others can prove it
 *
 *	struct belay_daemon self;
 *
 *	belay_daemon_capture_self(&(struct belay_endpoint){ "shared", "/run/user/1000/app/d.sock" }, &self, NULL);
 *	belay_sidecar_write("/run/user/1000/app/daemon-app.json", &self, NULL);
 *
 * and whoever has that record asks whether it is still true: belay_daemon_verify() for the process alone,
 * belay_probe() (belay/probe.h) for the process that answers at its endpoint. Records are those of broker v1
 * (DaemonProcess), on the wire and in JSON; both of its hashes are written and either is accepted.
 *
 * The proof: a pidfd first; its start time; the boot; the path of the executable; the hash of the very file
 * that runs, read through /proc/PID/exe whatever lies at its path by now; start time and pidfd once more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BELAY_HASH_LEN       32
#define BELAY_NAMESPACE_SIZE 128
#define BELAY_ENDPOINT_SIZE                                                                        \
	256 /* a Unix socket's path has 107 bytes at most; records may say more */
#define BELAY_BOOT_ID_SIZE 128
#define BELAY_EXE_SIZE     4096
#define BELAY_EXE_MAX      (INT64_C(16) << 30) /* bytes of an executable; larger ones are not read */

struct belay_endpoint {
	char namespace_id[BELAY_NAMESPACE_SIZE]; /* "shared", "private:SERVICE", "explicit:NAME" */
	char path[BELAY_ENDPOINT_SIZE];
};

struct belay_daemon {
	uint32_t pid;
	bool has_blake3, has_sha256; /* which hashes are known; at least one */
	bool has_idle_timeout;
	uint8_t blake3[BELAY_HASH_LEN], sha256[BELAY_HASH_LEN]; /* of the whole executable */
	uint32_t idle_timeout_s;                                /* for information */
	uint64_t started_at_ms; /* since the epoch, when the record was made; never compared */
	uint64_t start_ticks; /* of the process, since boot; 0: not known. Not on the wire, only in
				   sidecars that Belay wrote; compared when it is known */
	char boot_id[BELAY_BOOT_ID_SIZE];
	struct belay_endpoint endpoint;
	char exe_path[BELAY_EXE_SIZE];
};

/* Why a record is not true of any process, in the order in which it is looked at. */
enum belay_verify_error {
	BELAY_VERIFIED,
	BELAY_VERIFY_INVALID_PID,      /* 0, or beyond INT_MAX */
	BELAY_VERIFY_BOOT_ID_MISMATCH, /* of another boot; not looked at when either is empty */
	BELAY_VERIFY_NOT_FOUND,        /* nobody has that pid, or only a zombie */
	BELAY_VERIFY_START_MISMATCH,   /* the pid was recycled: its process began at another time */
	BELAY_VERIFY_EXE_PATH, /* /proc/PID/exe cannot be read, or /proc has other numbers */
	BELAY_VERIFY_EXE_PATH_MISMATCH, /* it runs another executable */
	BELAY_VERIFY_EXE_HASH,          /* the executable cannot be read, or only in parts */
	BELAY_VERIFY_EXE_HASH_MISMATCH, /* of the same path, but other bytes */
	BELAY_VERIFY_ENDED,             /* it ended while it was looked at */
	BELAY_VERIFY_HANDLE,            /* the system has no descriptor or memory left */
};

/* A process for certain. */
struct belay_handle {
	pid_t pid;
	int pidfd; /* owned; -EBADF where the system has none */
	uint64_t start_ticks;
};

/* Hashes of executables that were read before, by device, inode, size and both times; 64 of them, the
 * oldest go. What had changed less than a second before it was read is not kept. For one thread at a time. */
struct belay_hashes;
BELAY_API int belay_hashes_new(struct belay_hashes **ret_hashes);              /* 0 or -ENOMEM */
BELAY_API struct belay_hashes *belay_hashes_free(struct belay_hashes *hashes); /* NULL */

/* Writes down this process, listening at ENDPOINT (NULL: none yet), with both hashes. 0, or a negative
 * errno with a sentence. */
BELAY_API int belay_daemon_capture_self(const struct belay_endpoint *endpoint,
	struct belay_daemon *ret_daemon, struct belay_error *reterr);
/* The same of process PID, which the caller may have to be permitted to look at (ptrace(2)'s rule).
 * -ESRCH: there is none, or it ended meanwhile; -EBUSY: its executable changed each time it was read;
 * -EFBIG: that has more than BELAY_EXE_MAX bytes; -EXDEV: /proc shows another pid namespace than the
 * caller's. HASHES (NULL allowed) remembers. */
BELAY_API int belay_daemon_capture(pid_t pid, const struct belay_endpoint *endpoint,
	struct belay_hashes *hashes, struct belay_daemon *ret_daemon, struct belay_error *reterr);

/* Whether EXPECTED is true of the process that has its pid. 0 and *ret_handle (NULL: not wanted), which
 * the caller closes; or a negative errno with *ret_class (NULL allowed; BELAY_VERIFIED on success) and a
 * sentence: -EINVAL invalid pid, -ESTALE boot, path, hash or start time are another's, -ESRCH not found
 * or ended, -EBUSY, -EFBIG and -EXDEV as above, else what the system said; never -EAGAIN. HASHES may be
 * NULL. It takes as long as reading the executable takes. */
BELAY_API int belay_daemon_verify(const struct belay_daemon *expected, struct belay_hashes *hashes,
	struct belay_handle *ret_handle, enum belay_verify_error *ret_class,
	struct belay_error *reterr);

/* The error's name as broker v1 writes it ("ExePathMismatch"); never NULL. */
BELAY_API const char *belay_verify_error_name(enum belay_verify_error error);

/* 1 alive, 0 ended (a zombie has), or a negative errno. */
BELAY_API int belay_handle_alive(const struct belay_handle *handle);
/* Sends SIGNAL through the pidfd, never by number. 0, -ESRCH (ended), -ENOTSUP (no pidfd), -EPERM. */
BELAY_API int belay_handle_signal(const struct belay_handle *handle, int signal);
/* Closes the pidfd and forgets it. */
BELAY_API void belay_handle_close(struct belay_handle *handle);

/* Whether both name the same endpoint, byte by byte. */
BELAY_API bool belay_endpoint_equal(const struct belay_endpoint *left,
	const struct belay_endpoint *right);

/* Writes DAEMON as JSON to PATH, 0600, by way of a file beside it that is synced and renamed: readers see
 * the old record or the new one, whole. 0 or a negative errno with a sentence: what was there, if anything,
 * is still there, unless it says that the record was written but may not survive a crash, because the directory
 * could not be synced. */
BELAY_API int belay_sidecar_write(const char *path, const struct belay_daemon *daemon,
	struct belay_error *reterr);
/* Reads one: what broker v1 of any release wrote, or Belay. Unknown members count for nothing. 0; -ENOENT:
 * none there; -EINVAL: it is no record (the sentence says what is wrong and where); -EPERM: others can
 * write it; another negative errno. At most 64 KiB are read. */
BELAY_API int belay_sidecar_read(const char *path, struct belay_daemon *ret_daemon,
	struct belay_error *reterr);

#ifdef __cplusplus
}
#endif
