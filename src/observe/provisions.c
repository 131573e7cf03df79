/* What the roles get: sockets, files, and the program itself as a descriptor. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "export/event_file.h"
#include "export/http_listen.h"
#include "export/http_token.h"
#include "ipc/socket_path.h"
#include "ipc/udp.h"
#include "observe/brakes.h"
#include "observe/crash_directory.h"
#include "observe/keys.h"
#include "observe/parent.h"
#include "observe/state_file.h"
#include "observe/totals.h"
#include "wire/hello.h"

#define FIRST_PASSED_FD 3
/* Holds some whole event lines in any case. */
#define LAST_BYTES 16384
/* A gate whose parent was killed ends by itself, but not before it has noticed. */
#define ORPHAN_PATIENCE_MS 1000
#define ORPHAN_PAUSE_MS    20

static int resolve_paths(struct belay__parent *parent, struct belay_error *reterr)
{
	struct belay__observe_options *options = &parent->config.options;
	int r;

	if (options->socket[0] == '\0') {
		parent->socket_is_default = true;
		r = belay__socket_to_bind(options->socket, reterr);
		if (r < 0)
			return r;
	}
	if (options->state[0] == '\0') {
		char path[BELAY__SOCKET_PATH_SIZE];

		r = belay__socket_sibling(options->socket, ".state", path);
		if (r < 0)
			return belay__fail(reterr, r,
				"cannot use %s: the path is too long for a socket", options->socket);
		memcpy(options->state, path, sizeof(path));
	}
	parent->events_wanted = strcmp(options->events, "none") != 0;
	if (!parent->events_wanted)
		return 0;
	r = belay__events_path(options->events, options->socket, parent->socket_is_default,
		options->events, sizeof(options->events));
	if (r < 0)
		return belay__fail(reterr, r,
			"no place is known to keep events in; name one with --events PATH, or use "
			"--events none");
	return 0;
}

/* Whether nobody holds the lock of the beat socket at PATH, and yet there is a socket. */
static bool is_orphaned(const char *path)
{
	char lock_path[BELAY__SOCKET_PATH_SIZE];
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode) ||
		belay__socket_sibling(path, ".lock", lock_path) < 0)
		return false;
	fd = open(lock_path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* Binds, waiting a moment for the gate of an observer that was killed to let go of the socket.
 * ORPHANED: we know that it is nobody else's, because we hold the lock. */
static int bind_patiently(const struct belay__bind *bind, bool orphaned,
	struct belay__bound *ret_bound, struct belay_error *reterr)
{
	uint64_t give_up_ns = belay__clock_ns(CLOCK_MONOTONIC) +
		ORPHAN_PATIENCE_MS * BELAY__NS_PER_MS;
	int r;

	for (;;) {
		r = belay__bind_guarded(bind, ret_bound, reterr);
		if (r != -EADDRINUSE || !(orphaned || is_orphaned(bind->path)) ||
			belay__clock_ns(CLOCK_MONOTONIC) > give_up_ns)
			return r;
		(void)poll(NULL, 0, ORPHAN_PAUSE_MS);
	}
}

static int bind_sockets(struct belay__parent *parent, struct belay_error *reterr)
{
	const struct belay__observe_options *options = &parent->config.options;
	char hello_path[BELAY__SOCKET_PATH_SIZE];
	struct belay__bind bind = {
		.path = options->socket,
		.type = SOCK_DGRAM,
		.mode = options->socket_mode,
		.rcvbuf_bytes = (uint32_t)options->rcvbuf_bytes,
		.lock = true,
		.dgram_qlen = (unsigned)options->dgram_qlen,
	};
	int r = bind_patiently(&bind, /* orphaned= */ false, &parent->beats, reterr);

	if (r < 0)
		return r;
	r = belay__socket_sibling(options->socket, BELAY__HELLO_SUFFIX, hello_path);
	if (r < 0)
		return belay__fail(reterr, r, "cannot use %s: the path is too long for a socket",
			options->socket);
	bind = (struct belay__bind){ .path = hello_path,
		.type = SOCK_SEQPACKET,
		.mode = options->socket_mode };
	return bind_patiently(&bind, /* orphaned= */ true, &parent->hello, reterr);
}

static bool is_default_path(const char *path)
{
	struct belay__socket_candidates candidates;

	belay__socket_candidates(&candidates);
	for (size_t i = 0; i < candidates.count; i++)
		if (strcmp(candidates.path[i], path) == 0)
			return true;
	return false;
}

/* Takes the sockets that a service manager bound for us: the datagram one for beats, the other for
 * the door. */
static int adopt_sockets(struct belay__parent *parent, int count, struct belay_error *reterr)
{
	for (int fd = FIRST_PASSED_FD; fd < FIRST_PASSED_FD + count; fd++) {
		int type = 0, r;
		socklen_t size = sizeof(type);
		struct belay__bound *place;

		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
			return belay__fail(reterr, -errno,
				"descriptor %d, passed by the service manager, is no socket", fd);
		place = type == SOCK_DGRAM ? &parent->beats : &parent->hello;
		if (place->fd >= 0)
			return belay__fail(reterr, -EINVAL,
				"the service manager passed two sockets of one kind; one datagram "
				"and one seqpacket socket are meant");
		r = belay__bind_adopt_consume(fd, type == SOCK_DGRAM ? SOCK_DGRAM : SOCK_SEQPACKET,
			place, reterr);
		if (r < 0)
			return r;
	}
	if (parent->beats.fd < 0)
		return belay__fail(reterr, -EINVAL,
			"the service manager passed no datagram socket for beats");
	if (parent->beats.path[0] != '\0')
		memcpy(parent->config.options.socket, parent->beats.path,
			sizeof(parent->config.options.socket));
	parent->socket_is_default = is_default_path(parent->beats.path);
	return 0;
}

/* A socket that was passed to us may hold beats already, so another one made now is measured in its
 * place. */
static int measure_queue(const struct belay__parent *parent, bool adopted)
{
	_cleanup_close_ int other = adopted
		? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
		: -EBADF;
	int frames = belay__measure_queue(adopted ? other : parent->beats.fd);

	return frames > 0 ? frames : 1;
}

static int open_sockets(struct belay__parent *parent, struct belay_error *reterr)
{
	int count = belay__listen_fds(), r;

	if (count > 0) {
		r = adopt_sockets(parent, count, reterr);
		if (r == 0)
			r = resolve_paths(parent, reterr);
	} else {
		r = resolve_paths(parent, reterr);
		if (r == 0)
			r = bind_sockets(parent, reterr);
	}
	if (r < 0)
		return r;
	parent->queue_frames = measure_queue(parent, /* adopted= */ count > 0);
	if (parent->beats.qlen_refused)
		belay__log(BELAY__LOG_WARNING,
			"--dgram-qlen is not permitted here; as root: sysctl "
			"net.unix.max_dgram_qlen=512");
	return 0;
}

/* An orphaned gate has the file locked until it has noticed that it is one. */
static int open_patiently(const char *path, struct belay_error *reterr)
{
	uint64_t give_up_ns = belay__clock_ns(CLOCK_MONOTONIC) +
		ORPHAN_PATIENCE_MS * BELAY__NS_PER_MS;

	for (;;) {
		int fd = belay__state_open(path, reterr);

		if (fd != -EBUSY || belay__clock_ns(CLOCK_MONOTONIC) > give_up_ns)
			return fd;
		(void)poll(NULL, 0, ORPHAN_PAUSE_MS);
	}
}

/* Without a file the table lives in memory that we hold: then a gate may still die without anybody being lost, but the next
 * observer knows nobody. */
static void open_state(struct belay__parent *parent)
{
	struct belay__observe_options *options = &parent->config.options;
	struct belay_error error;

	if (strcmp(options->state, "none") != 0) {
		_cleanup_close_ int fd = open_patiently(options->state, &error);

		int r = fd;

		if (fd >= 0) {
			r = belay__state_reserve(fd, (uint32_t)options->capacity, &error);
			if (r < 0)
				(void)belay__wrap(&error, r, "%s", options->state);
		}
		if (r >= 0) {
			parent->state_fd = TAKE_FD(fd);
			return;
		}
		belay__log(BELAY__LOG_NOTICE, "%s", error.text);
		memcpy(options->state, "none", sizeof("none"));
	}
	parent->state_fd = memfd_create("belay-state", MFD_CLOEXEC);
}

int belay__append_only_consume(int fd)
{
	_cleanup_close_ int readable = fd;
	char path[32];

	if (fd < 0)
		return fd;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", readable);
	fd = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int belay__open_export(const struct belay__parent *parent)
{
	struct belay_error error;
	int fd;

	if (parent->config.options.export_file[0] == '\0')
		return -EBADF;
	fd = belay__generations_open(parent->config.options.export_file, &error);
	if (fd < 0)
		belay__log(BELAY__LOG_WARNING, "%s", error.text);
	fd = belay__append_only_consume(fd);
	return fd >= 0 ? fd : -EBADF;
}

/* An open file of its own: what came from FD could be written. */
static int open_view(int fd)
{
	char path[64];
	int view;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	view = fd >= 0 ? open(path, O_RDONLY | O_CLOEXEC) : -EBADF;
	return view >= 0 ? view : -EBADF;
}

int belay__open_state_view(const struct belay__parent *parent)
{
	return open_view(parent->state_fd);
}

int belay__open_totals_view(const struct belay__parent *parent)
{
	return open_view(parent->totals_fd);
}

int belay__open_journal(const struct belay__parent *parent)
{
	char path[BELAY__SOCKET_PATH_SIZE];
	struct stat st;
	int fd;

	if (belay__socket_sibling(parent->config.options.socket, ".journal", path) < 0)
		return -EBADF;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd >= 0 &&
		(fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
			st.st_nlink != 1 || (st.st_mode & 077) != 0)) {
		belay__close(fd);
		fd = -1;
		errno = EPERM;
	}
	if (fd >= 0)
		return fd;
	belay__log(BELAY__LOG_ERROR,
		"no action can be run: cannot keep the journal in %s: %s; it must be a private "
		"regular file of this user",
		path, strerror(errno));
	return -EBADF;
}

int belay__open_events(struct belay__parent *parent)
{
	struct belay_error error;
	int fd;

	if (!parent->events_wanted)
		return -EBADF;
	fd = belay__event_file_open(parent->config.options.events, &error);
	if (fd < 0)
		belay__log(BELAY__LOG_WARNING, "%s", error.text);
	return fd >= 0 ? fd : -EBADF;
}

/* The number at the start of the last whole line of FD's last LAST_BYTES; 0: none. Nothing else of
 * a line is looked at. */
static uint64_t last_seq(int fd)
{
	static const char head[] = "{\"seq\":";
	static char bytes[LAST_BYTES + 1];
	off_t size = lseek(fd, 0, SEEK_END);
	ssize_t n = size > 0
		? pread(fd, bytes, LAST_BYTES, size > LAST_BYTES ? size - LAST_BYTES : 0)
		: 0;
	uint64_t seq = 0;

	bytes[n > 0 ? n : 0] = '\0';
	for (const char *line = strstr(bytes, head); line != NULL; line = strstr(line + 1, head))
		if (line == bytes || line[-1] == '\n')
			seq = strtoull(line + sizeof(head) - 1, NULL, 10);
	return seq;
}

uint64_t belay__next_seq(const struct belay__parent *parent)
{
	char older[BELAY__PATH_SIZE + 2];
	const char *const paths[] = { parent->config.options.events, older };
	uint64_t seq = 0;

	(void)snprintf(older, sizeof(older), "%s.1", parent->config.options.events);
	for (unsigned i = 0; i < 2 && seq == 0 && parent->events_wanted; i++) {
		_cleanup_close_ int fd = open(paths[i],
			O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		if (fd >= 0)
			seq = last_seq(fd);
	}
	return seq < UINT64_MAX ? seq + 1 : 1;
}

/* The exporter's program lies beside ours. Without it everything else still works. */
static void open_exporter(struct belay__parent *parent)
{
	static const char name[] = "belay-exporter";
	char path[4096];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof(name));

	while (len > 0 && path[len - 1] != '/')
		len--;
	if (len <= 0)
		return;
	memcpy(path + len, name, sizeof(name));
	parent->exporter_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (parent->exporter_fd < 0)
		belay__log(BELAY__LOG_WARNING, "no metrics are served: cannot open %s: %s", path,
			strerror(errno));
}

/* Where metrics are served; all of it is optional, but what was asked for by name must be there. */
static int open_metrics(struct belay__parent *parent, struct belay_error *reterr)
{
	struct belay__observe_options *options = &parent->config.options;
	struct belay__bind bind = { .path = options->metrics_socket,
		.type = SOCK_STREAM,
		.mode = options->socket_mode };
	bool by_default = options->metrics_socket[0] == '\0';
	char bound[BELAY__HTTP_BOUND_SIZE];
	int r = 0;

	if (by_default)
		r = belay__socket_sibling(options->socket, ".metrics", options->metrics_socket);
	if (r == 0 && strcmp(options->metrics_socket, "none") != 0)
		r = bind_patiently(&bind, /* orphaned= */ by_default, &parent->metrics, reterr);
	if (r < 0)
		return belay__wrap(reterr, r, "metrics");
	if (options->metrics_addr[0] == '\0')
		return 0;
	if (options->metrics_token_file[0] != '\0') {
		r = belay__http_token_read(options->metrics_token_file, parent->token.token, reterr);
		if (r < 0)
			return r;
		parent->has_token = true;
	}
	parent->metrics_tcp_fd = belay__http_listen(options->metrics_addr, parent->has_token, bound,
		reterr);
	if (parent->metrics_tcp_fd < 0)
		return parent->metrics_tcp_fd;
	belay__log(BELAY__LOG_NOTICE, "metrics at http://%s/metrics", bound);
	return 0;
}

/* Keys that cannot be read now would be of no use later: they are looked at before anything listens, and
 * read again for each gate. */
static int check_keys(struct belay__parent *parent, struct belay_error *reterr)
{
	struct belay__keys *keys = NULL;
	int r;

	if (!belay__udp_is_sealed(&parent->config.options))
		return 0;
	r = belay__key_hosts_init(&parent->key_hosts);
	if (r < 0)
		return belay__fail(reterr, r, "cannot begin with keys: %s", strerror(-r));
	r = belay__keys_read(&parent->config.options, &keys, reterr);
	if (r < 0)
		return r;
	parent->key_count = keys->count;
	r = belay__key_hosts_assign(&parent->key_hosts, keys->keys, keys->count,
		belay__clock_ns(CLOCK_MONOTONIC), reterr);
	belay__keys_free(keys);
	return r;
}

static int open_udp(struct belay__parent *parent, struct belay_error *reterr)
{
	struct belay__observe_options *options = &parent->config.options;
	union belay__address address, bound;
	char text[BELAY__ADDRESS_SIZE];
	const char *ip = belay__udp_bind_addr(options);
	int r;

	if (options->udp_port == 0)
		return 0;
	r = belay__address_parse_ip(ip, (uint16_t)options->udp_port, &address);
	if (r < 0)
		return belay__fail(reterr, r, "--udp-bind-addr: '%s' is no IP address", ip);
	if (options->udp_bind_addr[0] == '\0')
		(void)snprintf(options->udp_bind_addr, sizeof(options->udp_bind_addr), "%s", ip);
	r = check_keys(parent, reterr);
	if (r < 0)
		return r;
	parent->udp_fd = belay__udp_bind(&address, (uint32_t)options->rcvbuf_bytes, &bound, reterr);
	if (parent->udp_fd < 0)
		return belay__wrap(reterr, parent->udp_fd, "--udp-port");
	belay__address_text(&bound, text);
	if (belay__udp_is_sealed(options))
		belay__log(BELAY__LOG_NOTICE, "beats over UDP at %s, %u key%s", text,
			parent->key_count, parent->key_count == 1 ? "" : "s");
	else
		belay__log(BELAY__LOG_NOTICE, "beats over UDP at %s, without keys", text);
	return 0;
}

static void open_crashes(struct belay__parent *parent)
{
	struct belay_error error;

	parent->crashes_fd = belay__crash_directory_open(parent->config.options.socket, &error);
	if (parent->crashes_fd < 0)
		belay__log(BELAY__LOG_WARNING, "%s", error.text);
}

/* Records that were asked for by name must be possible; who writes them opens them again. */
static int check_records(const struct belay__parent *parent, struct belay_error *reterr)
{
	const struct belay__observe_options *options = &parent->config.options;
	const char *const paths[] = { options->audit_file, options->export_file };

	for (unsigned i = 0; i < 2; i++) {
		_cleanup_close_ int fd = paths[i][0] != '\0'
			? belay__generations_open(paths[i], reterr)
			: -EBADF;

		if (paths[i][0] != '\0' && fd < 0)
			return fd;
	}
	return 0;
}

int belay__provide(struct belay__parent *parent, struct belay_error *reterr)
{
	int r;

	parent->self_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (parent->self_fd < 0)
		return belay__fail(reterr, -errno,
			"cannot open our own program: %s; is /proc mounted?", strerror(errno));
	open_exporter(parent);
	r = open_sockets(parent, reterr);
	if (r < 0)
		return r;
	open_state(parent);
	parent->totals_fd = belay__totals_create();
	parent->brakes_fd = belay__brakes_create();
	r = check_records(parent, reterr);
	if (r >= 0)
		r = open_udp(parent, reterr);
	if (r >= 0)
		r = open_metrics(parent, reterr);
	if (r >= 0)
		open_crashes(parent);
	return r;
}

void belay__provisions_done(struct belay__parent *parent)
{
	belay__unbind(&parent->hello);
	belay__unbind(&parent->beats);
	belay__unbind(&parent->metrics);
	explicit_bzero(&parent->token, sizeof(parent->token));
	belay__crash_directory_remove(parent->config.options.socket, parent->crashes_fd);
	parent->crashes_fd = belay__close(parent->crashes_fd);
	parent->udp_fd = belay__close(parent->udp_fd);
	parent->metrics_tcp_fd = belay__close(parent->metrics_tcp_fd);
	parent->totals_fd = belay__close(parent->totals_fd);
	parent->brakes_fd = belay__close(parent->brakes_fd);
	parent->state_fd = belay__close(parent->state_fd);
	parent->self_fd = belay__close(parent->self_fd);
	parent->exporter_fd = belay__close(parent->exporter_fd);
}
