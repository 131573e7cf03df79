#include <belay/endpoint.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/blake3.h"
#include "base/error.h"
#include "broker/hex.h"
#include "broker/names.h"

_Static_assert(BELAY_ENDPOINT_PATH_SIZE == BELAY__BROKER_PATH_SIZE, "both are sun_path");

/* A backend's name in broker v1's sense ("-be-"), but the same at each start: "-svc-" is where a
 * client looks for the broker of a service. 0 and the hash of what names it. */
static int name_of(const char *service, uint8_t ret_hash[BELAY__BLAKE3_LEN],
	char ret_name[BELAY__BROKER_NAME_SIZE], struct belay_error *reterr)
{
	static const char label[] = "belay:endpoint:v1:";
	struct belay__blake3 state;
	char user[BELAY__USER_HASH_SIZE];
	int r = belay__service_check(service, reterr);

	if (r >= 0)
		r = belay__user_hash(user, reterr);
	if (r < 0)
		return r;
	belay__blake3_start(&state);
	belay__blake3_add(&state, label, strlen(label));
	belay__blake3_add(&state, service, strlen(service));
	belay__blake3_end(&state, ret_hash);
	return belay__name_backend(user, ret_hash, ret_name, reterr);
}

/* Names alone would do with any directory, and broker v1 does. But what is made below one that is
 * gone, or another user's, nobody finds; and a client that looks for a backend there is told so,
 * instead of "nobody is there". */
static int check_runtime_dir(struct belay_error *reterr)
{
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	struct stat status;

	if (runtime == NULL || runtime[0] == '\0')
		return 0;
	if (runtime[0] != '/')
		return belay__fail(reterr, -EINVAL,
			"XDG_RUNTIME_DIR is %.100s, which is no absolute path: set it to a "
			"directory of yours, or unset it",
			runtime);
	if (stat(runtime, &status) < 0)
		return belay__fail(reterr, -errno,
			"XDG_RUNTIME_DIR is %.100s: %s; make that, with mode 0700, or unset it",
			runtime, strerror(errno));
	if (!S_ISDIR(status.st_mode))
		return belay__fail(reterr, -ENOTDIR,
			"XDG_RUNTIME_DIR is %.100s, which is no directory: set it to one of yours, "
			"or unset it",
			runtime);
	if (status.st_uid != geteuid())
		return belay__fail(reterr, -EPERM,
			"XDG_RUNTIME_DIR is %.100s, which belongs to uid %u, not to uid %u, who "
			"runs this: run it as that user, or unset it",
			runtime, (unsigned)status.st_uid, (unsigned)geteuid());
	return 0;
}

int belay_endpoint_paths_for(const char *service, struct belay_endpoint_paths *ret_paths,
	struct belay_error *reterr)
{
	struct belay_endpoint_paths paths = { 0 };
	char dir[BELAY__BROKER_PATH_SIZE], name[BELAY__BROKER_NAME_SIZE];
	uint8_t hash[BELAY__BLAKE3_LEN];
	int r = name_of(service, hash, name, reterr);

	if (r >= 0)
		r = belay__broker_dir(dir, reterr);
	if (r >= 0)
		r = check_runtime_dir(reterr);
	if (r >= 0)
		r = belay__namespace_id(BELAY__ISOLATION_PRIVATE, service,
			paths.endpoint.namespace_id, sizeof(paths.endpoint.namespace_id), reterr);
	if (r < 0)
		return r;

	r = belay__broker_path(name, paths.endpoint.path, NULL);
	if (r == -ENAMETOOLONG) {
		/* Ten digits of uid leave no room for all of a name. */
		name[0] = 'b';
		name[1] = '-';
		belay__hex(hash, 8, name + 2);
		r = belay__broker_path(name, paths.endpoint.path, reterr);
	}
	if (r >= 0)
		r = belay__handoff_path(paths.endpoint.path, paths.handoff, reterr);
	if (r < 0)
		return r;
	(void)snprintf(paths.sidecar, sizeof(paths.sidecar), "%s/daemon-%s.json", dir, service);
	*ret_paths = paths;
	return 0;
}

int belay_endpoint_handoff_path(const char *path, char ret_path[BELAY_ENDPOINT_PATH_SIZE],
	struct belay_error *reterr)
{
	return belay__handoff_path(path, ret_path, reterr);
}
