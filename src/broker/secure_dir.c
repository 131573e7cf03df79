#include "broker/names.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

static int fail_made(const char *path, int code, struct belay_error *reterr)
{
	return belay__fail(reterr, code,
		"cannot make the directory %.100s: %s; choose another place", path, strerror(-code));
}

/* Makes PATH, and before it what it is missing above; it ends without a slash. */
static int make_levels(char *path, struct belay_error *reterr)
{
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		int r;

		*slash = '\0';
		r = belay__make_dir(path, 0700);
		/* A level that is there is somebody's business; whether it is one is seen below it. */
		if (r < 0 && access(path, F_OK) < 0) {
			r = fail_made(path, r, reterr);
			*slash = '/';
			return r;
		}
		*slash = '/';
	}
	return 0;
}

/* Whether somebody else can replace what lies in PARENT, as STATUS describes it. */
static int check_keeper(const char *parent, const struct stat *status, struct belay_error *reterr)
{
	if (status->st_uid != geteuid() && status->st_uid != 0)
		return belay__fail(reterr, -EPERM,
			"%.100s belongs to uid %u, who could put another directory in the place of "
			"ours: "
			"have it removed, or set XDG_RUNTIME_DIR to a directory of yours",
			parent, (unsigned)status->st_uid);
	if (S_ISDIR(status->st_mode) && (status->st_mode & 0022) != 0 &&
		(status->st_mode & S_ISVTX) == 0)
		return belay__fail(reterr, -EPERM,
			"others can write in %.100s (mode %04o) and so replace the directory below "
			"it: "
			"chmod go-w %.60s",
			parent, (unsigned)status->st_mode & 07777u, parent);
	return 0;
}

/* The level above, and where it leads to if it is a link. */
static int check_parent(char *path, struct belay_error *reterr)
{
	char *slash = strrchr(path, '/');
	const char *parent = slash == path ? "/" : path;
	struct stat link = { 0 }, target = { 0 };
	int r;

	*slash = '\0';
	if (lstat(parent, &link) < 0 || stat(parent, &target) < 0)
		r = belay__fail(reterr, -errno, "cannot look at the directory %.100s: %s", parent,
			strerror(errno));
	else
		r = check_keeper(parent, &link, reterr);
	if (r >= 0)
		r = check_keeper(parent, &target, reterr);
	*slash = '/';
	return r;
}

/* What broker v1 asks of the directory itself. */
static int check_own(const char *path, struct belay_error *reterr)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return belay__fail(reterr, -errno, "cannot look at the directory %.100s: %s", path,
			strerror(errno));
	if (S_ISLNK(status.st_mode))
		return belay__fail(reterr, -ELOOP,
			"%.100s is a symbolic link, which whoever made it can turn elsewhere: "
			"remove it, "
			"or name the directory that it leads to",
			path);
	if (!S_ISDIR(status.st_mode))
		return belay__fail(reterr, -ENOTDIR, "%.100s is no directory: remove it", path);
	if (status.st_uid != geteuid())
		return belay__fail(reterr, -EPERM,
			"%.100s belongs to uid %u, not to uid %u, who runs this: remove it or "
			"choose "
			"another",
			path, (unsigned)status.st_uid, (unsigned)geteuid());
	if ((status.st_mode & 0777) != 0700)
		return belay__fail(reterr,
			-EPERM, "%.100s has mode %04o, and sockets of one user alone need 0700: chmod 700 %.60s",
			path, (unsigned)status.st_mode & 07777u, path);
	return 0;
}

int belay__broker_dir_secure(const char *path, struct belay_error *reterr)
{
	char copy[PATH_MAX];
	size_t len = strlen(path);
	int r;

	while (len > 1 && path[len - 1] == '/')
		len--;
	if (path[0] != '/' || len < 2)
		return belay__fail(reterr,
			-EINVAL, "the sockets' directory needs an absolute path, and the root is none of ours");
	if (len >= sizeof(copy))
		return belay__fail(reterr, -ENAMETOOLONG,
			"the path of the sockets' directory has %zu bytes", len);
	memcpy(copy, path, len);
	copy[len] = '\0';

	r = make_levels(copy, reterr);
	if (r >= 0)
		r = check_parent(copy, reterr);
	if (r < 0)
		return r;
	r = belay__make_dir(copy, 0700);
	if (r < 0 && r != -EEXIST)
		return fail_made(copy, r, reterr);
	return check_own(copy, reterr);
}
