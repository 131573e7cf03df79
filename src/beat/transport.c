#include "beat/transport.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <belay/beat.h>

#include "base/clock.h"
#include "beat/beat_internal.h"
#include "beat/fork_epoch.h"
#include "beat/socket_paths.h"
#include "wire/crc32c.h"

static void adopt(struct belay *belay, const struct belay__connection *connection, uint64_t now_ns)
{
	belay__connection_close(&belay->connection);
	belay->connection = *connection;
	belay->checked_ns = now_ns;
	belay->must_connect = false;
}

/* Of several reasons the one is kept that says more than that nobody is there. */
static int connect_to_path(struct belay *belay, uint64_t now_ns)
{
	struct belay__connection connection = BELAY__NO_CONNECTION;
	int told = -ENOENT;

	for (size_t i = 0; i < belay->paths.count; i++) {
		int r = belay__connection_open(belay->paths.path[i], &connection);

		if (r == 0) {
			adopt(belay, &connection, now_ns);
			belay->in_use = i;
			return 0;
		}
		if (i == 0 || belay__nobody_listens(told))
			told = r;
	}
	return told;
}

static int connect_to_address(struct belay *belay, uint64_t now_ns)
{
	struct belay__connection connection = BELAY__NO_CONNECTION;
	int r = belay__connection_open_to(&belay->address.any, belay->address_len, &connection);

	if (r == 0)
		adopt(belay, &connection, now_ns);
	return r;
}

int belay__connect_anew(struct belay *belay, uint64_t now_ns)
{
	int r = 0;

	switch (belay->way) {
	case BELAY__WAY_UNIX:
		r = connect_to_path(belay, now_ns);
		break;
	case BELAY__WAY_UDP:
		r = connect_to_address(belay, now_ns);
		break;
	case BELAY__WAY_CUSTOM:
		return belay->transport.reconnect(belay->transport.data);
	}
	if (r < 0 && belay->connection.fd < 0)
		belay->absent_error = r;
	return r;
}

int belay__handle_begin(struct belay *belay, enum belay__way way)
{
	int r = belay__fork_epoch_init();

	if (r < 0)
		return r;
	belay->way = way;
	belay->connection = BELAY__NO_CONNECTION;
	belay->reconnect_after = 1;
	/* The CPU is asked here what it can do, not by the first beat. */
	(void)belay__crc32c_has_hardware();
	belay->epoch = belay__fork_epoch();
	belay->pid = (uint32_t)getpid();
	belay->start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	return 0;
}

static int set_up_paths(struct belay *belay, const void *socket)
{
	int r = belay__socket_paths_set(&belay->paths, socket);

	if (r == 0)
		r = belay__handle_begin(belay, BELAY__WAY_UNIX);
	if (r < 0)
		return r;
	r = belay__connect_anew(belay, belay->start_ns);
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM ? r : 0;
}

struct belay *belay__handle_new(int (*set_up)(struct belay *belay, const void *where),
	const void *where)
{
	struct belay *belay = calloc(1, sizeof(*belay));
	int r;

	if (belay == NULL)
		return NULL;
	r = set_up(belay, where);
	if (r < 0) {
		free(belay);
		errno = -r;
		return NULL;
	}
	return belay;
}

struct belay *belay_open(const char *socket)
{
	return belay__handle_new(set_up_paths, socket);
}
