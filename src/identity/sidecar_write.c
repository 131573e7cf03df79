#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "identity/sidecar.h"

enum { NAME_SIZE = 40 };

static int check_utf8(const char *what, const char *text, struct belay_error *reterr)
{
	size_t len = strlen(text);

	for (size_t at = 0, n; at < len; at += n) {
		n = belay__utf8_len(text + at, len - at);
		if (n == 0)
			return belay__fail(reterr, -EINVAL,
				"%s is no UTF-8 from byte %zu on, which JSON cannot say", what, at);
	}
	return 0;
}

static int check(const struct belay_daemon *daemon, struct belay_error *reterr)
{
	const struct {
		const char *what, *text;
	} texts[] = {
		{ "exe_path", daemon->exe_path },
		{ "boot_id", daemon->boot_id },
		{ "the endpoint's namespace", daemon->endpoint.namespace_id },
		{ "the endpoint's path", daemon->endpoint.path },
	};

	if (!daemon->has_blake3 && !daemon->has_sha256)
		return belay__fail(reterr, -EINVAL,
			"the record has no hash of the executable; nobody would accept it");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int r = check_utf8(texts[i].what, texts[i].text, reterr);

		if (r < 0)
			return r;
	}
	return 0;
}

static void print_hash(struct belay__json_writer *json, const char *key,
	const uint8_t hash[static BELAY_HASH_LEN])
{
	belay__json_array(json, key);
	for (size_t i = 0; i < BELAY_HASH_LEN; i++)
		belay__json_u64(json, NULL, hash[i]);
	belay__json_end_array(json);
}

static void print_compact(const struct belay_daemon *daemon, struct belay__text *text)
{
	struct belay__json_writer json;

	belay__json_start(&json, text);
	belay__json_object(&json, NULL);
	belay__json_u64(&json, "pid", daemon->pid);
	belay__json_string(&json, "exe_path", daemon->exe_path);
	if (daemon->has_blake3) {
		belay__json_string(&json, "exe_hash_algorithm", "blake3");
		print_hash(&json, "exe_hash", daemon->blake3);
	}
	if (daemon->has_sha256)
		print_hash(&json, "legacy_exe_sha256", daemon->sha256);
	belay__json_string(&json, "boot_id", daemon->boot_id);
	belay__json_object(&json, "ipc_endpoint");
	belay__json_string(&json, "namespace_id", daemon->endpoint.namespace_id);
	belay__json_string(&json, "path", daemon->endpoint.path);
	belay__json_end_object(&json);
	belay__json_u64(&json, "started_at_unix_ms", daemon->started_at_ms);
	if (daemon->has_idle_timeout)
		belay__json_u64(&json, "idle_timeout_secs", daemon->idle_timeout_s);
	else
		belay__json_null(&json, "idle_timeout_secs");
	if (daemon->start_ticks != 0)
		belay__json_u64(&json, "start_ticks", daemon->start_ticks);
	belay__json_end_object(&json);
}

static void break_line(struct belay__text *text, unsigned depth)
{
	belay__text_add(text, "\n");
	while (depth-- > 0)
		belay__text_add(text, "  ");
}

/* One member a line; arrays, which are hashes here, stay on theirs. */
static void print_spaced(const char *compact, struct belay__text *text)
{
	bool in_string = false, in_array = false;
	unsigned depth = 0;

	for (const char *c = compact; *c != '\0'; c++) {
		if (!in_string && *c == '}')
			break_line(text, --depth);
		belay__text_add_bytes(text, c, 1);
		if (in_string && *c == '\\') {
			belay__text_add_bytes(text, ++c, 1);
			continue;
		}
		if (*c == '"')
			in_string = !in_string;
		if (in_string)
			continue;
		if (*c == '[' || *c == ']')
			in_array = *c == '[';
		if (*c == '{')
			break_line(text, ++depth);
		if (*c == ',' && !in_array)
			break_line(text, depth);
		if (*c == ':' || (*c == ',' && in_array))
			belay__text_add(text, " ");
	}
	belay__text_add(text, "\n");
}

int belay__sidecar_print(const struct belay_daemon *daemon, struct belay__text *text,
	struct belay_error *reterr)
{
	struct belay__text compact;
	char *chars;
	int r = check(daemon, reterr);

	if (r < 0)
		return r;
	chars = malloc(BELAY__SIDECAR_MAX);
	if (chars == NULL)
		return belay__fail(reterr, -ENOMEM, "no memory to write a record");
	belay__text_init(&compact, chars, BELAY__SIDECAR_MAX);
	print_compact(daemon, &compact);
	print_spaced(chars, text);
	free(chars);
	return 0;
}

/* A file without a name, where the file system has such; nothing is left of it when this process is
 * killed. Otherwise one named NAME. */
static int open_temporary(int dirfd, const char *name, bool *ret_named)
{
	int fd = openat(dirfd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	*ret_named = fd < 0;
	if (fd < 0)
		fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int give_name(int fd, int dirfd, const char *name)
{
	char path[NAME_SIZE];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int fill_and_rename(int fd, bool named, int dirfd, const char *name, const char *base,
	const struct belay__text *text)
{
	int r = fchmod(fd, 0600) < 0 ? -errno : belay__write_all(fd, text->chars, text->len);

	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && !named) {
		r = give_name(fd, dirfd, name);
		named = r == 0;
	}
	if (r == 0 && renameat(dirfd, name, dirfd, base) < 0)
		r = -errno;
	if (r < 0 && named)
		(void)unlinkat(dirfd, name, 0);
	return r;
}

/* Some file systems cannot sync directories; the file is renamed all the same. */
static int sync_directory(int dirfd)
{
	return fsync(dirfd) < 0 && errno != EINVAL && errno != EROFS ? -errno : 0;
}

static int replace(int dirfd, const char *base, const struct belay__text *text, bool *ret_replaced)
{
	_cleanup_close_ int fd = -EBADF;
	char name[NAME_SIZE];
	uint64_t random;
	bool named;
	int r;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	(void)snprintf(name, sizeof(name), ".belay-%016llx.tmp", (unsigned long long)random);
	fd = open_temporary(dirfd, name, &named);
	if (fd < 0)
		return fd;
	r = fill_and_rename(fd, named, dirfd, name, base, text);
	*ret_replaced = r == 0;
	return r < 0 ? r : sync_directory(dirfd);
}

/* Opens the directory that PATH lies in and finds its name there. */
static int open_directory(const char *path, const char **ret_base)
{
	const char *slash = strrchr(path, '/');
	char directory[PATH_MAX];
	size_t len = slash == NULL ? 0 : (size_t)(slash - path);
	int fd;

	if (len >= sizeof(directory))
		return -ENAMETOOLONG;
	memcpy(directory, path, len);
	directory[len] = '\0';
	*ret_base = slash == NULL ? path : slash + 1;
	if (slash == NULL)
		(void)strcpy(directory, ".");
	else if (len == 0)
		(void)strcpy(directory, "/");
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* After a failure that changed nothing, in whatever state it was. */
static const char *what_is_left(int dirfd, const char *base)
{
	struct stat there;

	if (dirfd < 0)
		return "see whether its directory is there and who may use it";
	if (fstatat(dirfd, base, &there, AT_SYMLINK_NOFOLLOW) == 0)
		return "what was there is still there";
	return errno == ENOENT ? "nothing was there, and nothing is" : "nothing there was changed";
}

static int write_file(const char *path, const struct belay__text *text, struct belay_error *reterr)
{
	const char *base = NULL;
	_cleanup_close_ int dirfd = open_directory(path, &base);
	bool replaced = false;
	int r = dirfd < 0 ? dirfd : replace(dirfd, base, text, &replaced);

	if (r == 0)
		return 0;
	if (replaced)
		return belay__fail(reterr, r,
			"%s was written, but may not survive a crash: its directory cannot be "
			"synced (%s); "
			"write it again",
			path, strerror(-r));
	return belay__fail(reterr, r, "cannot write %s: %s; %s", path, strerror(-r),
		what_is_left(dirfd, base));
}

int belay_sidecar_write(const char *path, const struct belay_daemon *daemon,
	struct belay_error *reterr)
{
	char *chars = malloc(BELAY__SIDECAR_MAX);
	struct belay__text text;
	int r;

	if (chars == NULL)
		return belay__fail(reterr, -ENOMEM, "no memory to write %s", path);
	belay__text_init(&text, chars, BELAY__SIDECAR_MAX);
	r = belay__sidecar_print(daemon, &text, reterr);
	if (r == 0) {
		assert(!text.overflowed);
		r = write_file(path, &text, reterr);
	}
	free(chars);
	return r;
}
