/* The parent as a part of roles_fuzz.c: what it hears of a gate that anybody may have taken over; of
 * the others it hears nothing. */

#include "roles.h"

/* The table by which it hears. NOLINTBEGIN(bugprone-suspicious-include) */
#include "observe/crew.c"
/* NOLINTEND(bugprone-suspicious-include) */

#include <stdlib.h>

enum { STAGE_ANNOUNCED = 1, FILES = 6 };

static struct belay__parent role;
static char directory[64];
static int peers[2];

static void drain(void)
{
	world_drain(peers[0]);
	world_drain(peers[1]);
}

static void join(enum belay__role which, int *peer)
{
	int ends[2];

	world_channel(ends);
	*peer = ends[0];
	role.crew[which].channel = ends[1];
}

static void open_parent(uint8_t stage)
{
	struct belay__observe_options *options = &role.config.options;

	memset(&role, 0, sizeof(role));
	role.config = *world_configuration();
	for (unsigned i = 0; i < BELAY__ROLE_COUNT; i++)
		role.crew[i] = (struct belay__crew_member){ .parent = &role,
			.role = (enum belay__role)i,
			.pidfd = -EBADF,
			.channel = -EBADF };
	join(BELAY__ROLE_GATE, &peers[0]);
	join(BELAY__ROLE_RUNNER, &peers[1]);
	role.manager.fd = -EBADF;
	role.announced = stage & STAGE_ANNOUNCED;
	role.events_wanted = true;
	role.queue_frames = 512;
	(void)snprintf(directory, sizeof(directory), "/dev/shm/belay-roles-XXXXXX");
	assert(mkdtemp(directory) != NULL);
	(void)snprintf(options->events, sizeof(options->events), "%s/events", directory);
	(void)snprintf(options->export_file, sizeof(options->export_file), "%s/export", directory);
}

static void close_parent(void)
{
	static const char *const names[] = { "events", "export" };

	for (unsigned i = 0; i < 2 * FILES; i++) {
		char path[sizeof(directory) + 16];

		if (i / 2 == 0)
			(void)snprintf(path, sizeof(path), "%s/%s", directory, names[i % 2]);
		else
			(void)snprintf(path, sizeof(path), "%s/%s.%u", directory, names[i % 2],
				i / 2);
		(void)unlink(path);
	}
	/* Nothing else was made. */
	assert(rmdir(directory) == 0);
	for (unsigned i = 0; i < BELAY__ROLE_COUNT; i++)
		role.crew[i].channel = belay__close(role.crew[i].channel);
	belay__close(peers[0]);
	belay__close(peers[1]);
	assert(role.pause_count <= BELAY__PAUSES_MAX);
}

static void fill_pause(uint32_t type, void *record)
{
	if (type == BELAY__MSG_PAUSE)
		*(struct belay__msg_pause *)record = (struct belay__msg_pause){ .pattern = "neigh*",
			.until_realtime_ns = 1 };
}

static void *self(void)
{
	return &role;
}

#define RULES(table) (table), sizeof(table) / sizeof((table)[0])

const struct ear ear_parent_of_gate = { RULES(gate_rules), .open = open_parent, .fill = fill_pause,
	.work = drain, .close = close_parent, .self = self };
const struct ear ear_parent_of_others = {
	.open = open_parent, .work = drain, .close = close_parent, .self = self
};
