#include "ipc/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "ipc/place.h"
#include "ipc/queue.h"
#include "ipc/socket_options.h"

/* Connections that may wait to be accepted. */
#define BACKLOG 64

/* umask belongs to the whole process: narrowed here, it would narrow what other threads make. */
static int check_single_threaded(const char *path, struct belay_error *reterr)
{
	struct stat tasks;

	/* Two links and one for each thread; without /proc nobody can tell, and the caller has
	 * promised it. */
	if (stat("/proc/self/task", &tasks) < 0 || tasks.st_nlink <= 3)
		return 0;
	return belay__fail(reterr, -EBUSY,
		"cannot bind %s: this process has %u threads already, and the socket's mode needs "
		"the umask for itself; bind before starting threads",
		path, (unsigned)tasks.st_nlink - 2);
}

static int make_socket(const struct belay__bind *bind, struct belay__bound *bound,
	struct belay_error *reterr)
{
	struct belay__queue_limit limit;
	int saved_errno, r = 0;

	belay__queue_limit_raise(bind->type == SOCK_DGRAM ? bind->dgram_qlen : 0, &limit);
	bound->fd = socket(AF_UNIX, bind->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	saved_errno = errno;
	belay__queue_limit_restore(&limit);
	bound->qlen_refused = limit.refused;
	if (bound->fd < 0)
		return belay__fail(reterr, -saved_errno, "cannot make a socket for %s: %s",
			bind->path, strerror(saved_errno));

	/* Before it has a name, so that nothing can arrive without credentials. */
	if (!bind->takes_rights)
		bound->rights_refused = belay__socket_refuse_rights(bound->fd);
	if (!bind->anonymous)
		r = belay__socket_set_passing(bound->fd, bind->type);
	if (r < 0)
		return belay__fail(reterr, r,
			"cannot make the kernel name the senders to %s (SO_PASSCRED): %s",
			bind->path, strerror(-r));
	bound->rcvbuf_bytes = belay__socket_set_rcvbuf(bound->fd, bind->rcvbuf_bytes);
	return 0;
}

static const char *who(const struct belay__bind *bind)
{
	return bind->who == NULL ? "observer" : bind->who;
}

static int bind_to(int fd, const struct sockaddr_un *address)
{
	return bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
}

/* bind(2) with the mode that the file shall have from its first moment. 0 or a negative errno. */
static int bind_with_mode(const struct belay__bind *bind, int fd, const struct sockaddr_un *address)
{
	mode_t before;
	int r;

	/* The file gets the socket's own mode, less the umask. */
	if (bind->has_threads)
		return fchmod(fd, (mode_t)bind->mode) < 0 ? -errno : bind_to(fd, address);
	before = umask((mode_t)(~bind->mode & 0777));
	r = bind_to(fd, address);
	(void)umask(before);
	return r;
}

static int fail_in_use(const struct belay__bind *bind, struct belay_error *reterr)
{
	return belay__fail(reterr, -EADDRINUSE,
		"another %s is already running at %s: use that one, stop it, or choose another "
		"socket path",
		who(bind), bind->path);
}

/* Finds out whether a process still listens at the address: 0 when it is stale. */
static int probe(const struct belay__bind *bind, const struct sockaddr_un *address,
	struct belay_error *reterr)
{
	_cleanup_close_ int fd = socket(AF_UNIX, bind->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return belay__fail(reterr, -errno, "cannot make a socket to probe %s: %s",
			bind->path, strerror(errno));

	r = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	switch (r) {
	case -ECONNREFUSED:
	case -ENOENT:
		return 0;
	case 0:
	case -EAGAIN: /* its backlog is full, so it has one */
		return fail_in_use(bind, reterr);
	case -EPROTOTYPE:
		return belay__fail(reterr, -EADDRINUSE,
			"a socket of another kind is in use at %s: stop its owner or choose "
			"another socket path",
			bind->path);
	default:
		return belay__fail(reterr, r,
			"cannot probe the socket that is at %s: %s; remove it if nobody uses it",
			bind->path, strerror(-r));
	}
}

/* Returns 1 and what is at the place, 0 when nothing is there any more, or a negative errno with
 * a sentence. */
static int look(const struct belay__place *place, struct stat *ret_status,
	struct belay_error *reterr)
{
	if (fstatat(place->dir_fd, place->name, ret_status, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	if (errno == ENOENT)
		return 0;
	return belay__fail(reterr, -errno, "cannot look at %s: %s", place->path, strerror(errno));
}

/* Removes the socket file that stands in the way, if it is certain that nobody listens behind
 * it. */
static int remove_stale(const struct belay__bind *bind, const struct belay__place *place,
	const struct sockaddr_un *address, struct belay_error *reterr)
{
	struct stat before, after;
	int r;

	r = look(place, &before, reterr);
	if (r <= 0)
		return r;
	if (!S_ISSOCK(before.st_mode))
		return belay__fail(reterr, -EADDRINUSE,
			"%s exists and is no socket: remove it or choose another socket path",
			bind->path);

	r = probe(bind, address, reterr);
	if (r < 0)
		return r;

	r = look(place, &after, reterr);
	if (r <= 0)
		return r;
	if (after.st_dev != before.st_dev || after.st_ino != before.st_ino ||
		!S_ISSOCK(after.st_mode))
		return belay__fail(reterr, -EAGAIN,
			"%s changed while it was probed: another starts there; try again",
			bind->path);
	if (unlinkat(place->dir_fd, place->name, 0) < 0 && errno != ENOENT)
		return belay__fail(reterr, -errno,
			"cannot remove the socket that a dead %s left at %s: %s; remove it as its "
			"owner",
			who(bind), bind->path, strerror(errno));
	return 0;
}

static int bind_or_replace(const struct belay__bind *bind, const struct belay__place *place, int fd,
	struct belay_error *reterr)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r;

	memcpy(address.sun_path, bind->path, strlen(bind->path) + 1);
	r = bind_with_mode(bind, fd, &address);
	if (r == -EADDRINUSE) {
		r = remove_stale(bind, place, &address, reterr);
		if (r < 0)
			return r;
		r = bind_with_mode(bind, fd, &address);
		if (r == -EADDRINUSE)
			return belay__fail(reterr, -EAGAIN,
				"%s changed while it was probed: somebody else is starting there; "
				"try again",
				bind->path);
	}
	if (r < 0)
		return belay__fail(reterr, r,
			"cannot bind %s: %s; check the directory or choose another", bind->path,
			strerror(-r));
	return 0;
}

/* Remembers which file is ours and makes sure that it is what was asked for. */
static int confirm(const struct belay__bind *bind, const struct belay__place *place,
	struct belay__bound *bound, struct belay_error *reterr)
{
	struct stat status;

	if (fstatat(place->dir_fd, place->name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISSOCK(status.st_mode) || status.st_uid != geteuid())
		return belay__fail(reterr, -EAGAIN,
			"%s was replaced once bound: somebody else writes in its directory",
			bind->path);

	bound->dev = status.st_dev;
	bound->ino = status.st_ino;
	if ((status.st_mode & 07777) != bind->mode)
		return belay__fail(reterr, -EPERM,
			"%s got mode %04o, not %04o: remove the directory's default ACL%s",
			bind->path, (unsigned)status.st_mode & 07777u, bind->mode,
			bind->has_threads ? ", or widen the umask" : "");
	return 0;
}

static int make_known(const struct belay__bind *bind, const struct belay__place *place,
	struct belay__bound *bound, struct belay_error *reterr)
{
	int r = confirm(bind, place, bound, reterr);

	if (r < 0)
		return r;
	if (bind->type != SOCK_DGRAM && listen(bound->fd, BACKLOG) < 0)
		return belay__fail(reterr, -errno, "cannot listen at %s: %s", bind->path,
			strerror(errno));
	bound->directory_sync_failed = belay__place_sync(place) < 0;
	return 0;
}

static int check_request(const struct belay__bind *bind, struct belay_error *reterr)
{
	if (bind->type != SOCK_DGRAM && bind->type != SOCK_SEQPACKET && bind->type != SOCK_STREAM)
		return belay__fail(reterr, -EINVAL,
			"cannot bind %s: socket type %d is neither datagram, packet nor stream",
			bind->path, bind->type);
	if ((bind->mode & ~0777u) != 0)
		return belay__fail(reterr, -EINVAL,
			"cannot bind %s with mode %#o: a mode is at most 0777", bind->path,
			bind->mode);
	return bind->has_threads ? 0 : check_single_threaded(bind->path, reterr);
}

int belay__bind_guarded(const struct belay__bind *bind, struct belay__bound *ret_bound,
	struct belay_error *reterr)
{
	struct belay__bound bound = { .fd = -EBADF, .lock_fd = -EBADF };
	struct belay__place place;
	int r = check_request(bind, reterr);

	if (r < 0)
		return r;
	r = belay__place_open(bind->path, &place, reterr);
	if (r < 0)
		return r;

	memcpy(bound.path, bind->path, strlen(bind->path) + 1);
	if (bind->lock)
		r = belay__place_lock(&place, who(bind), &bound.lock_fd, reterr);
	if (r >= 0)
		r = make_socket(bind, &bound, reterr);
	if (r >= 0)
		r = bind_or_replace(bind, &place, bound.fd, reterr);
	if (r >= 0)
		r = make_known(bind, &place, &bound, reterr);
	belay__place_close(&place);
	if (r < 0) {
		belay__unbind(&bound);
		return r;
	}
	*ret_bound = bound;
	return 0;
}

void belay__unbind(struct belay__bound *bound)
{
	struct stat status;

	/* The lock is let go last: before that nobody else can have bound the same path. */
	if (bound->ino != 0 && lstat(bound->path, &status) == 0 && S_ISSOCK(status.st_mode) &&
		status.st_dev == bound->dev && status.st_ino == bound->ino)
		(void)unlink(bound->path);
	bound->ino = 0;
	bound->fd = belay__close(bound->fd);
	/* A child that was forked since has the lock's descriptor, too. */
	if (bound->lock_fd >= 0)
		(void)flock(bound->lock_fd, LOCK_UN);
	bound->lock_fd = belay__close(bound->lock_fd);
}
