#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <belay/identity.h>

#include "base/clock.h"
#include "base/error.h"
#include "identity/boot_id.h"
#include "identity/exe_file.h"
#include "identity/live.h"

static_assert(BELAY_EXE_SIZE >= PATH_MAX, "a path of an executable fits");

static int read_executable(const struct belay__live *live, struct belay_hashes *hashes,
	struct belay_daemon *daemon, struct belay_error *reterr)
{
	struct belay__exe_hash hash;
	struct stat stat;
	int r = belay__exe_look(live->procfd, daemon->exe_path, &stat);

	if (r < 0)
		return belay__fail(reterr, r,
			"cannot read /proc/%d/exe: %s; look as the same user or as root", live->pid,
			strerror(-r));
	r = belay__exe_hash_of(live->procfd, &stat, BELAY__HASH_BLAKE3 | BELAY__HASH_SHA256, hashes,
		UINT64_MAX, &hash);
	if (r < 0)
		return belay__fail(reterr, r, "cannot read the executable %s: %s", daemon->exe_path,
			strerror(-r));
	memcpy(daemon->blake3, hash.blake3, sizeof(daemon->blake3));
	memcpy(daemon->sha256, hash.sha256, sizeof(daemon->sha256));
	daemon->has_blake3 = daemon->has_sha256 = true;
	return 0;
}

/* What a look at a process that ended meanwhile says is nothing; that it ended is what counts. */
static int ended_or(const struct belay__live *live, int r, struct belay_error *reterr)
{
	if (belay__live_check(live) != -ESRCH)
		return r;
	return belay__fail(reterr, -ESRCH, "process %d ended while it was looked at", live->pid);
}

int belay_daemon_capture(pid_t pid, const struct belay_endpoint *endpoint,
	struct belay_hashes *hashes, struct belay_daemon *ret_daemon, struct belay_error *reterr)
{
	struct belay_daemon daemon = { .pid = (uint32_t)pid };
	enum belay_verify_error class;
	struct belay__live live;
	const char *boot_id;
	int r;

	if (pid <= 0)
		return belay__fail(reterr, -EINVAL, "%d is no process id; it must be positive", pid);
	r = belay__boot_id_text(&boot_id);
	if (r < 0)
		return belay__fail(reterr, r, "cannot read this boot's id: %s; " BELAY__MORE_ROOM,
			strerror(-r));
	r = belay__live_open(pid, &live, &class, reterr);
	if (r < 0)
		return r;
	r = ended_or(&live, read_executable(&live, hashes, &daemon, reterr), reterr);
	belay__live_done(&live);
	if (r < 0)
		return r;
	daemon.start_ticks = live.start_ticks;
	daemon.started_at_ms = belay__clock_ns(CLOCK_REALTIME) / BELAY__NS_PER_MS;
	(void)strncpy(daemon.boot_id, boot_id, sizeof(daemon.boot_id) - 1);
	if (endpoint != NULL)
		daemon.endpoint = *endpoint;
	*ret_daemon = daemon;
	return 0;
}

int belay_daemon_capture_self(const struct belay_endpoint *endpoint,
	struct belay_daemon *ret_daemon, struct belay_error *reterr)
{
	return belay_daemon_capture(getpid(), endpoint, NULL, ret_daemon, reterr);
}

bool belay_endpoint_equal(const struct belay_endpoint *left, const struct belay_endpoint *right)
{
	return strcmp(left->namespace_id, right->namespace_id) == 0 &&
		strcmp(left->path, right->path) == 0;
}
