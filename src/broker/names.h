/* names.h - broker v1's names: whose broker, which service, where its sockets are
 *
 * (broker-system, section 3.) Names are part of the wire: a client finds a broker by computing the same
 * ones.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/error.h>

#define BELAY__USER_HASH_SIZE   17  /* 16 lowercase hexadecimal digits and NUL */
#define BELAY__BROKER_NAME_SIZE 128 /* of a socket's name, without directory and ".sock" */
#define BELAY__BROKER_PATH_SIZE 108 /* sun_path */

/* This user on this machine: the first 8 bytes of BLAKE3 over "UID:MACHINE-ID". 0, or a negative errno with a
 * sentence (/etc/machine-id is there and cannot be read). */
int belay__user_hash(char ret_hash[BELAY__USER_HASH_SIZE], struct belay_error *reterr);
/* The same of a given uid and machine id (trimmed by this). */
void belay__user_hash_of(uid_t uid, const char *machine_id, char ret_hash[BELAY__USER_HASH_SIZE]);
/* The machine's id: /etc/machine-id, else /var/lib/dbus/machine-id, else "boot:" and the boot id; read below
 * ROOT ("" for the real one). */
int belay__machine_id(const char *root, char ret_id[80], struct belay_error *reterr);

/* 0, or -EINVAL with a sentence: [a-z0-9-]{1,64} (upper case gets its own: names that differ in case only
 * are refused, not merged); versions "1.2.3" or "1.2.3-rc.1", at most 64 bytes; 16 lowercase hex digits. */
int belay__service_check(const char *service, struct belay_error *reterr);
int belay__instance_check(const char *instance, struct belay_error *reterr);
int belay__version_check(const char *version, struct belay_error *reterr);
int belay__user_hash_check(const char *hash, struct belay_error *reterr);

/* "rpb-v1-HASH-shared", "...-svc-SERVICE", "...-inst-NAME", "...-be-32HEX" (RANDOM128). 0, or what the checks
 * above say. */
int belay__name_shared(const char *hash, char ret_name[BELAY__BROKER_NAME_SIZE],
	struct belay_error *reterr);
int belay__name_service(const char *hash, const char *service,
	char ret_name[BELAY__BROKER_NAME_SIZE], struct belay_error *reterr);
int belay__name_instance(const char *hash, const char *instance,
	char ret_name[BELAY__BROKER_NAME_SIZE], struct belay_error *reterr);
int belay__name_backend(const char *hash, const uint8_t random128[16],
	char ret_name[BELAY__BROKER_NAME_SIZE], struct belay_error *reterr);

/* "shared", "private:SERVICE", "explicit:NAME": what Endpoint.namespace_id says. */
enum belay__isolation {
	BELAY__ISOLATION_PRIVATE,
	BELAY__ISOLATION_SHARED,
	BELAY__ISOLATION_EXPLICIT
};
int belay__namespace_id(enum belay__isolation isolation, const char *name, char *ret_id,
	size_t size, struct belay_error *reterr);

/* The directory of all of them: $XDG_RUNTIME_DIR/running-process/broker, else
 * /tmp/running-process-UID/broker. Makes nothing. 0 or -ENAMETOOLONG. */
int belay__broker_dir(char ret_dir[BELAY__BROKER_PATH_SIZE], struct belay_error *reterr);
/* DIR/NAME.sock there; -ENAMETOOLONG with a sentence that names the limit. */
int belay__broker_path(const char *name, char ret_path[BELAY__BROKER_PATH_SIZE],
	struct belay_error *reterr);
/* A hand-over endpoint for a backend whose own path is BACKEND_PATH: "NAME.handoff.sock" beside it as consumers
 * of broker v1 call theirs when that fits 107 bytes, else a short form, "h-16HEX.sock" (of BLAKE3 over
 * the long one) in the same directory, which fits under any /run/user/UID. */
int belay__handoff_path(const char *backend_path, char ret_path[BELAY__BROKER_PATH_SIZE],
	struct belay_error *reterr);

/* Endpoints of backends that this process gave out: 16 random bytes each, tried up to 16 times against those
 * it gave out before (at most MAX, never given back, as with broker v1). RANDOM NULL: getrandom(2). 0,
 * -EINVAL (MAX is over 1048576), -ENOMEM. */
struct belay__endpoints;
int belay__endpoints_new(unsigned max, int (*random)(void *data, uint8_t ret_random[16]),
	void *data, struct belay__endpoints **ret_endpoints);
struct belay__endpoints *belay__endpoints_free(struct belay__endpoints *endpoints);
/* 0 and a path; -EEXIST "CollisionExhausted"; -ENOSPC; or what the names say. */
int belay__endpoints_allocate(struct belay__endpoints *endpoints, const char *hash,
	char ret_path[BELAY__BROKER_PATH_SIZE], struct belay_error *reterr);

/* Makes the directory PATH, every missing level 0700, and checks what broker v1 checks: a directory and no
 * symlink, this euid's, of exactly mode 0700. 0, or a negative errno with a sentence that says what to do.
 * ("Secure directories", section 3; broker v1 makes one level only.) */
int belay__broker_dir_secure(const char *path, struct belay_error *reterr);
