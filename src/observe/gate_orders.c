/* What the parent says and sends to the gate: options, rules, sockets, files, channels. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "ipc/channel.h"
#include "observe/gate.h"
#include "observe/reload.h"

static int replace_fd(int *fd, int fd_consume)
{
	belay__close(*fd);
	*fd = fd_consume;
	return 0;
}

static int on_options(void *data, const void *record, int fd_consume)
{
	(void)fd_consume;
	((struct belay__gate *)data)->incoming.options = *(
		const struct belay__observe_options *)record;
	return 0;
}

static int on_forget_rules(void *data, const void *record, int fd_consume)
{
	(void)record;
	(void)fd_consume;
	((struct belay__gate *)data)->incoming.rule_count = 0;
	return 0;
}

static int on_rule(void *data, const void *record, int fd_consume)
{
	struct belay__observe_config *incoming = &((struct belay__gate *)data)->incoming;

	(void)fd_consume;
	if (incoming->rule_count == BELAY__RULES_MAX)
		return -EPROTO;
	incoming->rules[incoming->rule_count++] = *(const struct belay__rule *)record;
	return 0;
}

/* What a gate is given once, it has as long as it lives. */
static int take_once(const struct belay__gate *gate, int *fd, int fd_consume)
{
	if (!gate->ready && *fd < 0) {
		*fd = fd_consume;
		return 0;
	}
	belay__close(fd_consume);
	return -EPROTO;
}

static int on_beats(void *data, const void *record, int fd_consume)
{
	const struct belay__msg_beats *beats = record;
	struct belay__gate *gate = data;

	if (gate->ready || gate->beats.fd >= 0) {
		belay__close(fd_consume);
		return -EPROTO;
	}
	gate->queue_frames = beats->queue_frames;
	gate->beats = (struct belay__bound){
		.fd = fd_consume,
		.lock_fd = -EBADF,
		.rcvbuf_bytes = beats->rcvbuf_bytes,
		.rights_refused = beats->rights_refused,
		.directory_sync_failed = beats->directory_sync_failed,
	};
	/* Path, dev and ino stay the parent's: the gate has nothing to unlink. */
	return 0;
}

static int on_hello(void *data, const void *record, int fd_consume)
{
	(void)record;
	return take_once(data, &((struct belay__gate *)data)->hello_fd, fd_consume);
}

static int on_state(void *data, const void *record, int fd_consume)
{
	(void)record;
	return take_once(data, &((struct belay__gate *)data)->state_fd, fd_consume);
}

static int on_events(void *data, const void *record, int fd_consume)
{
	struct belay__gate *gate = data;

	(void)record;
	if (gate->ready)
		belay__teller_file_take(&gate->teller, fd_consume);
	else
		replace_fd(&gate->events_fd, fd_consume);
	return 0;
}

static int on_prober(void *data, const void *record, int fd_consume)
{
	struct belay__gate *gate = data;

	(void)record;
	belay__io_remove(&gate->prober_io);
	replace_fd(&gate->prober_fd, fd_consume);
	gate->told = gate->asked; /* whoever was asked is gone */
	gate->owes = 0;
	if (gate->ready)
		belay__gate_watch_prober(gate);
	return 0;
}

static int on_export_file(void *data, const void *record, int fd_consume)
{
	struct belay__gate *gate = data;

	(void)record;
	if (!gate->ready)
		return replace_fd(&gate->export_fd, fd_consume);
	belay__original_switch_take(&gate->original, fd_consume);
	return 0;
}

/* Without them what processes had counted goes with them. */
static int on_totals(void *data, const void *record, int fd_consume)
{
	struct belay__gate *gate = data;

	(void)record;
	if (gate->totals == NULL && !gate->ready)
		(void)belay__totals_open(fd_consume, &gate->totals);
	belay__close(fd_consume);
	return 0;
}

static int on_udp(void *data, const void *record, int fd_consume)
{
	struct belay__gate *gate = data;

	(void)record;
	/* There is one as long as the parent lives. */
	if (gate->ready)
		belay__close(fd_consume);
	else
		replace_fd(&gate->udp_fd, fd_consume);
	return 0;
}

static int on_crashes(void *data, const void *record, int fd_consume)
{
	struct belay__gate *gate = data;

	(void)record;
	replace_fd(&gate->crashes_fd, fd_consume);
	if (gate->observer != NULL)
		gate->observer->crashes_fd = gate->crashes_fd;
	return 0;
}

static int on_forget_keys(void *data, const void *record, int fd_consume)
{
	struct belay__gate *gate = data;

	(void)record;
	(void)fd_consume;
	if (!gate->ready && gate->keys == NULL && belay__gate_expect_keys(gate) < 0)
		return -ENOMEM;
	belay__gate_forget_keys(gate);
	return 0;
}

static int on_key(void *data, const void *record, int fd_consume)
{
	struct belay__gate *gate = data;
	struct belay__msg_key *key;

	(void)fd_consume;
	if (gate->keys == NULL || gate->key_count == BELAY__KEYS_MAX)
		return -EPROTO;
	key = &gate->keys[gate->key_count++];
	*key = *(const struct belay__msg_key *)record;
	key->host[sizeof(key->host) - 1] = '\0';
	/* Nothing of it stays where messages are received. */
	explicit_bzero((void *)(uintptr_t)record, sizeof(*key));
	return 0;
}

static int on_runner(void *data, const void *record, int fd_consume)
{
	struct belay__gate *gate = data;

	(void)record;
	if (!gate->ready)
		return replace_fd(&gate->runner_fd, fd_consume);
	belay__actor_runner_take(gate->actor, fd_consume);
	return 0;
}

static int on_pause(void *data, const void *record, int fd_consume)
{
	struct belay__gate *gate = data;

	(void)fd_consume;
	return belay__pausing_goes_on(&gate->pausing, record);
}

static int on_exporter(void *data, const void *record, int fd_consume)
{
	struct belay__gate *gate = data;

	(void)record;
	belay__io_remove(&gate->exporter_io);
	replace_fd(&gate->exporter_fd, fd_consume);
	if (gate->ready)
		belay__gate_watch_exporter(gate);
	return 0;
}

static int on_role(void *data, const void *record, int fd_consume)
{
	const struct belay__msg_role *role = record;
	struct belay__gate *gate = data;
	unsigned i = 0;

	(void)fd_consume;
	while (i < gate->role_count &&
		strncmp(gate->roles[i].name, role->name, sizeof(role->name)) != 0)
		i++;
	if (i == BELAY__GATE_ROLES_MAX)
		return -EPROTO;
	gate->roles[i] = *role;
	gate->roles[i].name[sizeof(role->name) - 1] = '\0';
	if (i == gate->role_count)
		gate->role_count++;
	return 0;
}

static int on_note(void *data, const void *record, int fd_consume)
{
	struct belay__msg_note note = *(const struct belay__msg_note *)record;
	struct belay__gate *gate = data;

	(void)fd_consume;
	if (!gate->ready)
		return -EPROTO;
	note.what[sizeof(note.what) - 1] = '\0';
	note.text[sizeof(note.text) - 1] = '\0';
	belay__teller_note(&gate->teller, note.what, note.text);
	return 0;
}

static int on_go(void *data, const void *record, int fd_consume)
{
	struct belay__gate *gate = data;

	(void)fd_consume;
	gate->go = *(const struct belay__msg_go *)record;
	gate->options = gate->incoming.options;
	gate->rule_count = gate->incoming.rule_count;
	memcpy(gate->rules, gate->incoming.rules, gate->rule_count * sizeof(gate->rules[0]));
	if (gate->go.reload && gate->actor != NULL) {
		belay__reload(gate->observer, &gate->options, gate->rules, gate->rule_count);
		belay__actor_configured(gate->actor);
		belay__gate_network_reload(gate);
	}
	return 0;
}

static int on_stop(void *data, const void *record, int fd_consume)
{
	(void)record;
	(void)fd_consume;
	((struct belay__gate *)data)->over = true;
	return 0;
}

#define NOTHING sizeof(struct belay__msg_nothing)

static const struct belay__message_rule parent_rules[] = {
	{ BELAY__MSG_OPTIONS, sizeof(struct belay__observe_options), BELAY__WITHOUT_FD, on_options },
	{ BELAY__MSG_FORGET_RULES, NOTHING, BELAY__WITHOUT_FD, on_forget_rules },
	{ BELAY__MSG_RULE, sizeof(struct belay__rule), BELAY__WITHOUT_FD, on_rule },
	{ BELAY__MSG_BEATS, sizeof(struct belay__msg_beats), BELAY__WITH_FD, on_beats },
	{ BELAY__MSG_HELLO, NOTHING, BELAY__WITH_FD, on_hello },
	{ BELAY__MSG_STATE, NOTHING, BELAY__WITH_FD, on_state },
	{ BELAY__MSG_EVENTS, NOTHING, BELAY__WITH_FD, on_events },
	{ BELAY__MSG_EXPORT_FILE, NOTHING, BELAY__WITH_FD, on_export_file },
	{ BELAY__MSG_PROBER, NOTHING, BELAY__WITH_FD, on_prober },
	{ BELAY__MSG_EXPORTER, NOTHING, BELAY__WITH_FD, on_exporter },
	{ BELAY__MSG_TOTALS, NOTHING, BELAY__WITH_FD, on_totals },
	{ BELAY__MSG_RUNNER, NOTHING, BELAY__WITH_FD, on_runner },
	{ BELAY__MSG_UDP, NOTHING, BELAY__WITH_FD, on_udp },
	{ BELAY__MSG_CRASHES, NOTHING, BELAY__WITH_FD, on_crashes },
	{ BELAY__MSG_FORGET_KEYS, NOTHING, BELAY__WITHOUT_FD, on_forget_keys },
	{ BELAY__MSG_KEY, sizeof(struct belay__msg_key), BELAY__WITHOUT_FD, on_key },
	{ BELAY__MSG_PAUSE, sizeof(struct belay__msg_pause), BELAY__WITHOUT_FD, on_pause },
	{ BELAY__MSG_GO, sizeof(struct belay__msg_go), BELAY__WITHOUT_FD, on_go },
	{ BELAY__MSG_ROLE, sizeof(struct belay__msg_role), BELAY__WITHOUT_FD, on_role },
	{ BELAY__MSG_NOTE, sizeof(struct belay__msg_note), BELAY__WITHOUT_FD, on_note },
	{ BELAY__MSG_STOP, NOTHING, BELAY__WITHOUT_FD, on_stop },
};
#define PARENT_RULES (sizeof(parent_rules) / sizeof(parent_rules[0]))

int belay__gate_tell_parent(uint32_t type, const void *record, uint32_t size)
{
	const struct belay__msg_nothing nothing = { 0 };

	if (record == NULL)
		return belay__channel_send(BELAY__ROLE_CHANNEL, type, &nothing, sizeof(nothing),
			-EBADF);
	return belay__channel_send(BELAY__ROLE_CHANNEL, type, record, size, -EBADF);
}

static void on_parent(struct belay__io *io, uint32_t events)
{
	struct belay__gate *gate = io->data;

	(void)events;
	if (belay__channel_receive(BELAY__ROLE_CHANNEL, parent_rules, PARENT_RULES, gate,
		    BELAY__GATE_MESSAGES_PER_TURN) < 0)
		gate->over = true;
}

int belay__gate_receive_orders(struct belay__gate *gate)
{
	struct pollfd channel = { .fd = BELAY__ROLE_CHANNEL, .events = POLLIN };

	while (gate->go.first_seq == 0 && !gate->over) {
		int r;

		if (poll(&channel, 1, -1) < 0 && errno != EINTR)
			return -errno;
		r = belay__channel_receive(BELAY__ROLE_CHANNEL, parent_rules, PARENT_RULES, gate, 1);
		if (r < 0 && r != -EAGAIN)
			return r;
	}
	return 0;
}

int belay__gate_follow_orders(struct belay__gate *gate)
{
	return belay__io_add(belay__observer_loop(gate->observer), &gate->parent_io,
		BELAY__ROLE_CHANNEL, EPOLLIN, on_parent, gate);
}
