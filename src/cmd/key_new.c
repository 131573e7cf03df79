#include "cmd/key_new.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/secret.h"
#include "cmd/cmd.h"
#include "cmd/output.h"

enum { DIGITS = 2 * BELAY__SECRET_LEN };

/* A line with a new key, and what the key is made of. */
struct fresh {
	char line[DIGITS + 1];
	uint8_t secret[BELAY__SECRET_LEN];
};

static int make_key(struct fresh *ret_fresh)
{
	uint8_t *secret = ret_fresh->secret;
	size_t len = 0;

	while (len < BELAY__SECRET_LEN) {
		ssize_t n = getrandom(secret + len, BELAY__SECRET_LEN - len, 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
	}
	for (size_t i = 0; i < DIGITS; i++) {
		unsigned value = i % 2 == 0 ? secret[i / 2] >> 4 : secret[i / 2] & 15u;

		ret_fresh->line[i] = (char)(value < 10 ? '0' + value : 'a' + value - 10);
	}
	ret_fresh->line[DIGITS] = '\n';
	return 0;
}

/* The name of a new file lasts when its directory is on the disk, too. Not every file system can do
 * that, and none has to. */
static void sync_directory(const char *path)
{
	_cleanup_close_ int fd = -EBADF;
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - path) + 1;
	char directory[PATH_MAX];

	if (len >= sizeof(directory))
		return;
	memcpy(directory, path, len);
	directory[len] = '\0';
	fd = open(len == 0 ? "." : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		(void)fsync(fd);
}

static int fill_file(int fd, const struct fresh *fresh)
{
	int r;

	/* Whatever the umask is, its owner can read it. */
	if (fchmod(fd, 0600) < 0)
		return -errno;
	r = belay__write_all(fd, fresh->line, sizeof(fresh->line));
	if (r < 0)
		return r;
	return fsync(fd) < 0 ? -errno : 0;
}

static int write_file(const char *path, const struct fresh *fresh, struct belay_error *reterr)
{
	_cleanup_close_ int fd = open(path,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, 0600);
	int r;

	if (fd < 0 && errno == EEXIST)
		return belay__fail(reterr, -EEXIST,
			"%s exists, and nothing is written over a key; name another file, or move "
			"this one away first",
			path);
	if (fd < 0)
		return belay__fail(reterr, -errno, "cannot make %s: %s", path, strerror(errno));
	r = fill_file(fd, fresh);
	if (r < 0) {
		(void)unlink(path);
		return belay__fail(reterr, r, "cannot write %s: %s; it was removed", path,
			strerror(-r));
	}
	sync_directory(path);
	return 0;
}

static int print_key(const struct fresh *fresh)
{
	static struct belay__output output;
	int exit_code;

	(void)mlock(&output, sizeof(output));
	belay__output_start(&output, STDOUT_FILENO);
	belay__output_add_bytes(&output, fresh->line, sizeof(fresh->line));
	exit_code = belay__output_finish(&output);
	explicit_bzero(&output, sizeof(output));
	return exit_code;
}

int belay__key_new(const char *path)
{
	static struct fresh fresh;
	struct belay_error error = { 0 };
	int r, exit_code = BELAY__EXIT_OK;

	if (path != NULL && path[0] == '\0') {
		belay__complain("name the file that is to be made: belay key new FILE");
		return BELAY__EXIT_USAGE;
	}
	/* A limit on the size of files is an error like others. */
	(void)signal(SIGXFSZ, SIG_IGN);
	/* Where the limit on locked memory is too low for this, it is wiped soon all the same. */
	(void)mlock(&fresh, sizeof(fresh));
	r = make_key(&fresh);
	if (r < 0) {
		explicit_bzero(&fresh, sizeof(fresh));
		belay__complain("the system gives no random bytes: %s", strerror(-r));
		return BELAY__EXIT_FAILED;
	}
	if (path == NULL)
		exit_code = print_key(&fresh);
	else
		r = write_file(path, &fresh, &error);
	explicit_bzero(&fresh, sizeof(fresh));
	if (r == 0)
		return exit_code;
	belay__complain("%s", error.text);
	return r == -EACCES || r == -EPERM || r == -EROFS ? BELAY__EXIT_PERMISSION
							  : BELAY__EXIT_FAILED;
}
