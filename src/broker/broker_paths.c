#include "broker/names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/blake3.h"
#include "base/error.h"
#include "broker/hex.h"

#define PATH_LEN_MAX (BELAY__BROKER_PATH_SIZE - 1)

int belay__broker_dir(char ret_dir[BELAY__BROKER_PATH_SIZE], struct belay_error *reterr)
{
	/* A program that runs with more rights than its caller takes no paths from its caller. */
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	char dir[BELAY__BROKER_PATH_SIZE];
	int len;

	if (runtime != NULL && runtime[0] == '/')
		len = snprintf(dir, sizeof(dir), "%s%srunning-process/broker", runtime,
			runtime[strlen(runtime) - 1] == '/' ? "" : "/");
	else
		len = snprintf(dir, sizeof(dir), "/tmp/running-process-%u/broker",
			(unsigned)getuid());
	if (len > PATH_LEN_MAX)
		return belay__fail(reterr, -ENAMETOOLONG,
			"XDG_RUNTIME_DIR is too long: the directory below it would have %d bytes, "
			"and a socket's whole path has at most %d; set it to a shorter one",
			len, PATH_LEN_MAX);
	memcpy(ret_dir, dir, (size_t)len + 1);
	return 0;
}

int belay__broker_path(const char *name, char ret_path[BELAY__BROKER_PATH_SIZE],
	struct belay_error *reterr)
{
	char dir[BELAY__BROKER_PATH_SIZE], path[2 * BELAY__BROKER_PATH_SIZE + 16];
	int len, r = belay__broker_dir(dir, reterr);

	if (r < 0)
		return r;
	if (strlen(name) >= BELAY__BROKER_NAME_SIZE || strchr(name, '/') != NULL || name[0] == '\0')
		return belay__fail(reterr, -EINVAL, "this is no name of a socket in %s", dir);

	len = snprintf(path, sizeof(path), "%s/%s.sock", dir, name);
	if (len > PATH_LEN_MAX)
		return belay__fail(reterr, -ENAMETOOLONG,
			"%s.sock in %s would be a path of %d bytes, and a socket's has at most %d; "
			"shorten the name or XDG_RUNTIME_DIR",
			name, dir, len, PATH_LEN_MAX);
	memcpy(ret_path, path, (size_t)len + 1);
	return 0;
}

/* Whether "STEM.handoff.sock" fits; it is written to RET_PATH then. */
static bool long_form(const char *stem, size_t stem_len, char ret_path[BELAY__BROKER_PATH_SIZE])
{
	char path[BELAY__BROKER_PATH_SIZE];
	int len = snprintf(path, sizeof(path), "%.*s.handoff.sock", (int)stem_len, stem);

	if (len > PATH_LEN_MAX)
		return false;
	memcpy(ret_path, path, (size_t)len + 1);
	return true;
}

int belay__handoff_path(const char *backend_path, char ret_path[BELAY__BROKER_PATH_SIZE],
	struct belay_error *reterr)
{
	static const char suffix[] = ".sock", rest[] = ".handoff.sock";
	const char *slash = strrchr(backend_path, '/');
	size_t len = strlen(backend_path), dir_len;
	uint8_t hash[BELAY__BLAKE3_LEN];
	struct belay__blake3 state;
	char digits[17], path[BELAY__BROKER_PATH_SIZE];
	int made;

	if (backend_path[0] != '/' || slash[1] == '\0')
		return belay__fail(reterr, -EINVAL,
			"a backend's path is absolute and ends in the name of its socket");
	dir_len = (size_t)(slash - backend_path);
	if (len - dir_len - 1 > strlen(suffix) &&
		strcmp(backend_path + len - strlen(suffix), suffix) == 0)
		len -= strlen(suffix);
	if (len < BELAY__BROKER_PATH_SIZE && long_form(backend_path, len, ret_path))
		return 0;

	/* Of the long form, whole: whoever knows the backend's path computes the same. */
	belay__blake3_start(&state);
	belay__blake3_add(&state, backend_path, len);
	belay__blake3_add(&state, rest, strlen(rest));
	belay__blake3_end(&state, hash);
	belay__hex(hash, sizeof(digits) / 2, digits);
	made = dir_len > PATH_LEN_MAX
		? BELAY__BROKER_PATH_SIZE
		: snprintf(path, sizeof(path), "%.*s/h-%s.sock", (int)dir_len, backend_path, digits);
	if (made > PATH_LEN_MAX)
		return belay__fail(reterr, -ENAMETOOLONG,
			"the directory of the backend's socket has %zu bytes, which leaves no room "
			"for a "
			"hand-over endpoint in a path of at most %d; choose a shorter one",
			dir_len, PATH_LEN_MAX);
	memcpy(ret_path, path, (size_t)made + 1);
	return 0;
}
