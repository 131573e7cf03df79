/* The prober: takes {pid, start time}, answers with a fixed record of what /proc says, within 100
 * ms. Who waits for an answer (WHO) goes before who does not (ASK). It tells of processes of its own user
 * only: those whose beats are accepted. */

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "loop/loop.h"
#include "observe/cage.h"
#include "observe/roles.h"

#define LOOKS_MAX 1024
#define ASKS_MAX  1024
#define BATCH     64

struct look {
	struct belay__msg_answer answer;
	uint64_t due_ns;
};

struct prober {
	struct belay__loop *loop;
	struct belay__io parent_io, gate_io;
	struct belay__timer timer;
	int gate; /* -EBADF: the gate is being replaced */
	bool over;
	uint32_t head, count; /* second looks, in order of time */
	struct look looks[LOOKS_MAX];
	uint32_t ask_head, ask_count; /* first looks, in the order in which they were asked for */
	struct belay__msg_ask asks[ASKS_MAX];
};

static void answer(struct prober *prober, const struct belay__msg_answer *record)
{
	/* A gate that does not read gets no answer: its question runs out and the stall is told
	 * without evidence. */
	if (prober->gate >= 0)
		(void)belay__channel_send(prober->gate, BELAY__MSG_ANSWER, record, sizeof(*record),
			-EBADF);
}

static struct look *look_at(struct prober *prober, uint32_t i)
{
	return &prober->looks[(prober->head + i) % LOOKS_MAX];
}

static void on_second_look(struct belay__timer *timer, uint64_t now_ns)
{
	struct prober *prober = timer->data;

	while (prober->count > 0 && look_at(prober, 0)->due_ns <= now_ns) {
		struct belay__msg_answer *record = &look_at(prober, 0)->answer;

		record->code = belay__evidence_look_again((pid_t)record->pid, record->start_ticks,
			now_ns, &record->evidence);
		answer(prober, record);
		prober->head = (prober->head + 1) % LOOKS_MAX;
		prober->count--;
	}
	if (prober->count > 0)
		belay__timer_set(prober->loop, timer, look_at(prober, 0)->due_ns, on_second_look,
			prober);
}

/* Its real uid is what the kernel says of its beats. With CAP_SYS_PTRACE we could see everybody. */
static int check_user(uint32_t pid)
{
	uid_t uid;
	int r = belay__read_uid((pid_t)pid, &uid);

	if (r < 0)
		return r;
	return uid == geteuid() ? 0 : -EACCES;
}

static void look_first(struct prober *prober, const struct belay__msg_ask *ask)
{
	struct belay__msg_answer found = { .pid = ask->pid, .start_ticks = ask->start_ticks };
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	int r = check_user(ask->pid);

	if (r == 0)
		r = belay__evidence_look((pid_t)ask->pid, ask->start_ticks, now_ns, &found.evidence);
	found.code = r < 0 ? r : 0;
	if (r <= 0 || prober->count == LOOKS_MAX) {
		answer(prober, &found);
		return;
	}
	*look_at(prober, prober->count) = (struct look){ .answer = found,
		.due_ns = now_ns + BELAY__LOOK_APART_NS };
	if (prober->count++ == 0)
		belay__timer_set(prober->loop, &prober->timer, now_ns + BELAY__LOOK_APART_NS,
			on_second_look, prober);
}

static void look_next(struct prober *prober)
{
	const struct belay__msg_ask ask = prober->asks[prober->ask_head];

	prober->ask_head = (prober->ask_head + 1) % ASKS_MAX;
	prober->ask_count--;
	look_first(prober, &ask);
}

static int on_ask(void *data, const void *record, int fd_consume)
{
	struct prober *prober = data;

	(void)fd_consume;
	if (prober->ask_count == ASKS_MAX)
		look_next(prober);
	prober->asks[(prober->ask_head + prober->ask_count++) % ASKS_MAX] = *(
		const struct belay__msg_ask *)record;
	return 0;
}

static int on_who(void *data, const void *record, int fd_consume)
{
	struct prober *prober = data;
	const struct belay__msg_who *who = record;
	struct belay__msg_facts found = { .number = who->number };

	(void)fd_consume;
	if (who->want != 0 && check_user(who->pid) == 0)
		belay__aide_look((pid_t)who->pid, who->start_ticks, who->want, &found.facts);
	if (prober->gate >= 0)
		(void)belay__channel_send(prober->gate, BELAY__MSG_FACTS, &found, sizeof(found),
			-EBADF);
	return 0;
}

static const struct belay__message_rule gate_rules[] = {
	{ BELAY__MSG_WHO, sizeof(struct belay__msg_who), BELAY__WITHOUT_FD, on_who },
	{ BELAY__MSG_ASK, sizeof(struct belay__msg_ask), BELAY__WITHOUT_FD, on_ask },
};

static void drop_gate(struct prober *prober)
{
	belay__io_remove(&prober->gate_io);
	prober->gate = belay__close(prober->gate);
	prober->ask_count = 0;
}

static void on_gate(struct belay__io *io, uint32_t events)
{
	struct prober *prober = io->data;

	(void)events;
	if (belay__channel_receive(prober->gate, gate_rules,
		    sizeof(gate_rules) / sizeof(gate_rules[0]), prober, BATCH) < 0)
		drop_gate(prober);
}

/* A new gate's end of the channel. */
static int on_new_gate(void *data, const void *record, int fd_consume)
{
	struct prober *prober = data;

	(void)record;
	drop_gate(prober);
	prober->gate = fd_consume;
	return belay__io_add(prober->loop, &prober->gate_io, prober->gate, EPOLLIN, on_gate, prober);
}

static const struct belay__message_rule parent_rules[] = {
	{ BELAY__MSG_PROBER, sizeof(struct belay__msg_nothing), BELAY__WITH_FD, on_new_gate },
};

static void on_parent(struct belay__io *io, uint32_t events)
{
	struct prober *prober = io->data;

	(void)events;
	if (belay__channel_receive(BELAY__ROLE_CHANNEL, parent_rules, 1, prober, BATCH) < 0)
		prober->over = true;
}

int belay__prober_main(void)
{
	static struct prober prober = { .gate = -EBADF, .gate_io = { .fd = -EBADF } };

	const struct belay__cage_files files = { .removable_dirfd = -EBADF };
	struct belay_error error;

	if (belay__role_begin("belay-prober") < 0 || belay__loop_new(&prober.loop) < 0)
		return 71;
	belay__log_init("belay", BELAY__LOG_TEXT);
	if (belay__cage(BELAY__CAGE_PROBER, &files, NULL, &error) < 0) {
		belay__log(BELAY__LOG_ERROR, "%s", error.text);
		return 71;
	}
	if (belay__io_add(prober.loop, &prober.parent_io, BELAY__ROLE_CHANNEL, EPOLLIN, on_parent,
		    &prober) < 0)
		return 71;
	while (!prober.over) {
		if (belay__loop_turn(prober.loop, prober.ask_count > 0 ? 0 : UINT64_MAX) < 0)
			return 71;
		if (prober.ask_count > 0)
			look_next(&prober);
	}
	return 0;
}
