/* The exporter: tells numbers over HTTP and in a text file. It reads what the gate keeps in shared
 * memory and asks it for the rest; a gate that does not answer is waited for a fifth of a second, and
 * then what was known last is told. It starts no process and has no privilege. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "export/http_door.h"
#include "export/textfile.h"
#include "ipc/channel.h"
#include "loop/loop.h"
#include "observe/cage.h"
#include "observe/collect.h"
#include "observe/roles.h"
#include "observe/tallies.h"

#define MESSAGES_PER_TURN 128
#define ANSWER_WITHIN_NS  (200 * BELAY__NS_PER_MS)
#define ASK_AGAIN_NS      BELAY__NS_PER_S
#define ALIVE_NS          (2 * BELAY__NS_PER_S)
#define TEXTFILE_EVERY_NS (15 * BELAY__NS_PER_S)
#define TEXTFILE_RETRY_NS (250 * BELAY__NS_PER_MS)
#define SENTENCE_SIZE     128
#define EXIT_OSERR        71

struct exporter {
	/* what the parent sent; rules are collected until it says go */
	struct belay__observe_options options;
	struct belay__rule rules[BELAY__RULES_MAX];
	uint32_t rule_count;
	int state_fd, unix_fd, tcp_fd;
	uint8_t token[BELAY__HTTP_TOKEN_LEN];
	bool has_token;
	const struct belay__totals *totals;

	struct belay__loop *loop;
	struct belay__io parent_io, gate_io;
	struct belay__timer textfile;
	struct belay__http_page pages[3];
	struct belay__http_door *door;
	bool door_stale; /* something it was opened with has changed */
	bool over;
	int status;
	uint32_t own_uid; /* the observer's; ours may be another */

	/* the gate */
	int gate;                        /* -EBADF: it is being replaced */
	uint64_t asked_ns, heard_ns;     /* CLOCK_MONOTONIC; 0: never */
	struct belay__msg_counts counts; /* its last answer */

	struct belay__state_view view;
	struct belay__collector *collector; /* NULL: it did not say go yet */
	struct belay__tallies tallies;
	struct belay__metrics_text texts[BELAY__HTTP_FORMAT_COUNT][2], file_text;
	char sentences[2][2][SENTENCE_SIZE];
	bool textfile_failed;
};

#define NOTHING sizeof(struct belay__msg_nothing)

/* --- the gate --- */

static int on_counts(void *data, const void *record, int fd_consume)
{
	struct exporter *exporter = data;

	(void)fd_consume;
	exporter->counts = *(const struct belay__msg_counts *)record;
	exporter->heard_ns = belay__clock_ns(CLOCK_MONOTONIC);
	return 0;
}

static const struct belay__message_rule gate_rules[] = {
	{ BELAY__MSG_COUNTS, sizeof(struct belay__msg_counts), BELAY__WITHOUT_FD, on_counts },
};

static void drop_gate(struct exporter *exporter)
{
	belay__io_remove(&exporter->gate_io);
	exporter->gate = belay__close(exporter->gate);
}

static void hear_gate(struct exporter *exporter)
{
	int r = belay__channel_receive(exporter->gate, gate_rules, 1, exporter, MESSAGES_PER_TURN);

	if (r < 0 && r != -EAGAIN)
		drop_gate(exporter);
}

static void on_gate_ready(struct belay__io *io, uint32_t events)
{
	(void)events;
	hear_gate(io->data);
}

/* Whether an answer is still to come. */
static bool waits(const struct exporter *exporter)
{
	return exporter->gate >= 0 && exporter->heard_ns < exporter->asked_ns;
}

/* Asks the gate for its numbers and waits a moment for them; not again for one that has just let us
 * wait, because others are waiting for us. */
static void ask_gate(struct exporter *exporter)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);

	if (exporter->gate >= 0)
		hear_gate(exporter);
	if (exporter->gate < 0 || (waits(exporter) && now_ns - exporter->asked_ns < ASK_AGAIN_NS))
		return;
	exporter->asked_ns = now_ns;
	if (belay__channel_send(exporter->gate, BELAY__MSG_COUNT, &(struct belay__msg_nothing){ 0 },
		    NOTHING, -EBADF) < 0)
		return;
	while (waits(exporter) && now_ns < exporter->asked_ns + ANSWER_WITHIN_NS) {
		uint64_t left_ns = exporter->asked_ns + ANSWER_WITHIN_NS - now_ns;
		struct pollfd answer = { .fd = exporter->gate, .events = POLLIN };

		if (poll(&answer, 1, (int)(left_ns / BELAY__NS_PER_MS) + 1) > 0)
			hear_gate(exporter);
		now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	}
}

static bool gate_lives(const struct exporter *exporter)
{
	return exporter->heard_ns != 0 &&
		belay__clock_ns(CLOCK_MONOTONIC) - exporter->heard_ns <= ALIVE_NS;
}

/* --- numbers --- */

static void open_view(struct exporter *exporter)
{
	belay__state_view_follow(exporter->state_fd, exporter->options.capacity, &exporter->view);
}

static int write_numbers(struct exporter *exporter, enum belay__metrics_format format,
	struct belay__metrics_text *text)
{
	const struct belay__metrics_style style = {
		.set = exporter->options.metric_prefix == BELAY__PREFIX_VARTA ? BELAY__METRICS_VARTA
									      : BELAY__METRICS_BELAY,
		.format = format,
		.pids = exporter->options.metric_pids,
	};
	struct belay__collector_sources sources = {
		.view = &exporter->view,
		.totals = exporter->totals,
		.default_threshold_ns = exporter->options.threshold_ns,
	};
	uint64_t began_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct belay__metrics_snapshot *snapshot;
	int r;

	ask_gate(exporter);
	open_view(exporter);
	sources.realtime_ns = exporter->counts.realtime_ns;
	sources.observer_ns = exporter->counts.observer_ns;
	if (exporter->counts.default_threshold_ns != 0)
		sources.default_threshold_ns = exporter->counts.default_threshold_ns;
	snapshot = belay__collect(exporter->collector, &sources,
		style.pids || style.set == BELAY__METRICS_VARTA);
	belay__tallies_fill(&exporter->tallies, &exporter->counts,
		exporter->door != NULL ? belay__http_door_counters(exporter->door) : NULL, snapshot);
	r = belay__metrics_render(snapshot, &style, text);
	belay__tallies_scraped(&exporter->tallies, belay__clock_ns(CLOCK_MONOTONIC) - began_ns);
	return r;
}

/* --- pages --- */

static int show_metrics(void *data, enum belay__http_format format, unsigned buffer,
	struct belay__http_content *ret_content)
{
	struct exporter *exporter = data;
	struct belay__metrics_text *text = &exporter->texts[format][buffer];
	enum belay__metrics_format written = format == BELAY__HTTP_OPENMETRICS
		? BELAY__METRICS_OPENMETRICS
		: BELAY__METRICS_TEXT;
	int r = write_numbers(exporter, written, text);

	if (r < 0)
		return r;
	*ret_content = (struct belay__http_content){
		.bytes = text->bytes,
		.len = text->len,
		.type = belay__metrics_content_type(written),
	};
	return 0;
}

static int show_sentence(struct exporter *exporter, char *sentence, bool good,
	struct belay__http_content *ret_content)
{
	if (!good && exporter->gate < 0)
		(void)snprintf(sentence, SENTENCE_SIZE, "the gate is being replaced\n");
	else if (!good && exporter->heard_ns == 0)
		(void)snprintf(sentence, SENTENCE_SIZE, "the gate has not answered yet\n");
	else if (!good)
		(void)snprintf(sentence, SENTENCE_SIZE, "the gate has not answered for %llu s\n",
			(unsigned long long)((belay__clock_ns(CLOCK_MONOTONIC) - exporter->heard_ns) /
				BELAY__NS_PER_S));
	*ret_content = (struct belay__http_content){
		.bytes = sentence,
		.len = strlen(sentence),
		.status = good ? 200 : 503,
	};
	return 0;
}

static int show_alive(void *data, enum belay__http_format format, unsigned buffer,
	struct belay__http_content *ret_content)
{
	struct exporter *exporter = data;
	char *sentence = exporter->sentences[0][buffer];
	bool good;

	(void)format;
	ask_gate(exporter);
	good = gate_lives(exporter);
	(void)snprintf(sentence, SENTENCE_SIZE, "alive\n");
	return show_sentence(exporter, sentence, good, ret_content);
}

/* Without a state file the gate's own table is not to be seen from here. */
static bool has_table(struct exporter *exporter)
{
	const struct belay__record *records;
	const struct belay__slot *slots;

	open_view(exporter);
	return exporter->state_fd < 0 || belay__state_view_tables(&exporter->view, &slots, &records);
}

static int show_ready(void *data, enum belay__http_format format, unsigned buffer,
	struct belay__http_content *ret_content)
{
	struct exporter *exporter = data;
	char *sentence = exporter->sentences[1][buffer];
	bool tabled;

	(void)format;
	ask_gate(exporter);
	tabled = has_table(exporter);
	(void)snprintf(sentence, SENTENCE_SIZE, tabled ? "ready\n" : "the gate has no table yet\n");
	show_sentence(exporter, sentence, gate_lives(exporter), ret_content);
	if (!tabled)
		ret_content->status = 503;
	return 0;
}

/* --- the text file --- */

static void on_textfile_due(struct belay__timer *timer, uint64_t now_ns)
{
	struct exporter *exporter = timer->data;
	struct belay__metrics_text *text = &exporter->file_text;
	struct belay_error error = { .text = "" };
	int r = write_numbers(exporter, BELAY__METRICS_TEXT, text);

	if (r == 0)
		r = belay__textfile_write(exporter->options.metrics_textfile, text->bytes, text->len,
			/* sync= */ false, &error);
	else
		belay__fail(&error, r, "cannot write %s: %s", exporter->options.metrics_textfile,
			strerror(-r));
	if (r < 0 && !exporter->textfile_failed)
		belay__log(BELAY__LOG_WARNING, "%s", error.text);
	exporter->textfile_failed = r < 0;
	/* Written at once, it may have nothing to tell but zeros: the gate has not answered yet. */
	belay__timer_set(exporter->loop, timer,
		now_ns + (exporter->heard_ns == 0 ? TEXTFILE_RETRY_NS : TEXTFILE_EVERY_NS),
		on_textfile_due, exporter);
}

static void schedule_textfile(struct exporter *exporter)
{
	if (exporter->options.metrics_textfile[0] == '\0')
		belay__timer_clear(&exporter->textfile);
	else
		belay__timer_set(exporter->loop, &exporter->textfile,
			belay__clock_ns(CLOCK_MONOTONIC), on_textfile_due, exporter);
}

/* --- messages from the parent --- */

static int replace_fd(int *fd, int fd_consume)
{
	belay__close(*fd);
	*fd = fd_consume;
	return 0;
}

static int on_options(void *data, const void *record, int fd_consume)
{
	const struct belay__observe_options *options = record;
	struct exporter *exporter = data;

	(void)fd_consume;
	exporter->door_stale = exporter->door_stale ||
		exporter->options.metrics_rate != options->metrics_rate ||
		exporter->options.metrics_burst != options->metrics_burst;
	exporter->options = *options;
	return 0;
}

static int on_forget_rules(void *data, const void *record, int fd_consume)
{
	(void)record;
	(void)fd_consume;
	((struct exporter *)data)->rule_count = 0;
	return 0;
}

static int on_rule(void *data, const void *record, int fd_consume)
{
	struct exporter *exporter = data;

	(void)fd_consume;
	if (exporter->rule_count == BELAY__RULES_MAX)
		return -EPROTO;
	exporter->rules[exporter->rule_count++] = *(const struct belay__rule *)record;
	return 0;
}

static int on_state(void *data, const void *record, int fd_consume)
{
	struct exporter *exporter = data;

	(void)record;
	belay__state_view_done(&exporter->view);
	return replace_fd(&exporter->state_fd, fd_consume);
}

static int on_totals(void *data, const void *record, int fd_consume)
{
	struct exporter *exporter = data;

	(void)record;
	belay__totals_close(exporter->totals);
	exporter->totals = NULL;
	(void)belay__totals_view(fd_consume, &exporter->totals);
	belay__close(fd_consume);
	return 0;
}

static int on_unix(void *data, const void *record, int fd_consume)
{
	struct exporter *exporter = data;

	(void)record;
	exporter->door = belay__http_door_free(exporter->door);
	exporter->door_stale = true;
	return replace_fd(&exporter->unix_fd, fd_consume);
}

static int on_tcp(void *data, const void *record, int fd_consume)
{
	struct exporter *exporter = data;

	(void)record;
	exporter->door = belay__http_door_free(exporter->door);
	exporter->door_stale = true;
	return replace_fd(&exporter->tcp_fd, fd_consume);
}

static int on_token(void *data, const void *record, int fd_consume)
{
	const struct belay__msg_token *token = record;
	struct exporter *exporter = data;

	(void)fd_consume;
	_Static_assert(sizeof(token->token) == sizeof(exporter->token), "both are tokens");
	memcpy(exporter->token, token->token, sizeof(exporter->token));
	exporter->has_token = true;
	exporter->door_stale = true;
	return 0;
}

static int on_gate(void *data, const void *record, int fd_consume)
{
	struct exporter *exporter = data;

	(void)record;
	drop_gate(exporter);
	exporter->gate = fd_consume;
	exporter->asked_ns = 0; /* whoever was asked is gone */
	return belay__io_add(exporter->loop, &exporter->gate_io, exporter->gate, EPOLLIN,
		on_gate_ready, exporter);
}

static uint32_t rate_of(uint64_t value)
{
	return value > BELAY__HTTP_RATE_MAX ? BELAY__HTTP_RATE_MAX : (uint32_t)value;
}

static int open_door(struct exporter *exporter)
{
	const struct belay__http_options options = {
		.unix_fd = exporter->unix_fd,
		.tcp_fd = exporter->tcp_fd,
		.pages = exporter->pages,
		.page_count = sizeof(exporter->pages) / sizeof(exporter->pages[0]),
		.token = exporter->has_token ? exporter->token : NULL,
		.rate_per_s = rate_of(exporter->options.metrics_rate),
		.rate_burst = rate_of(exporter->options.metrics_burst),
	};
	struct belay_error error;
	int r;

	if (!exporter->door_stale || (options.unix_fd < 0 && options.tcp_fd < 0))
		return 0;
	exporter->door = belay__http_door_free(exporter->door);
	r = belay__http_door_new(exporter->loop, &options, &exporter->door, &error);
	if (r < 0)
		belay__log(BELAY__LOG_ERROR, "%s", error.text);
	else
		exporter->door_stale = false;
	return r;
}

/* From here on nothing is opened but the text file that is configured now. */
static int enter_cage(struct exporter *exporter)
{
	const struct belay__cage_files files = { .textfile = exporter->options.metrics_textfile,
		.removable_dirfd = -EBADF };
	struct belay_error error;
	int r;

	exporter->own_uid = geteuid();
	r = belay__cage(BELAY__CAGE_EXPORTER, &files, NULL, &error);
	if (r < 0)
		belay__log(BELAY__LOG_ERROR, "%s", error.text);
	return r;
}

static int on_go(void *data, const void *record, int fd_consume)
{
	struct exporter *exporter = data;
	int r;

	(void)record;
	(void)fd_consume;
	if (exporter->collector == NULL) {
		belay__log_init("belay", (enum belay__log_format)exporter->options.log_format);
		r = enter_cage(exporter);
		if (r < 0)
			return r;
		r = belay__collector_new((uint32_t)exporter->options.capacity, &exporter->collector);
		if (r < 0)
			return r;
	}
	belay__collector_expect(exporter->collector, exporter->rules, exporter->rule_count,
		exporter->own_uid);
	r = open_door(exporter);
	if (r == 0)
		schedule_textfile(exporter);
	return r;
}

static int on_stop(void *data, const void *record, int fd_consume)
{
	(void)record;
	(void)fd_consume;
	((struct exporter *)data)->over = true;
	return 0;
}

static const struct belay__message_rule parent_rules[] = {
	{ BELAY__MSG_OPTIONS, sizeof(struct belay__observe_options), BELAY__WITHOUT_FD, on_options },
	{ BELAY__MSG_FORGET_RULES, NOTHING, BELAY__WITHOUT_FD, on_forget_rules },
	{ BELAY__MSG_RULE, sizeof(struct belay__rule), BELAY__WITHOUT_FD, on_rule },
	{ BELAY__MSG_STATE, NOTHING, BELAY__WITH_FD, on_state },
	{ BELAY__MSG_TOTALS, NOTHING, BELAY__WITH_FD, on_totals },
	{ BELAY__MSG_METRICS_UNIX, NOTHING, BELAY__WITH_FD, on_unix },
	{ BELAY__MSG_METRICS_TCP, NOTHING, BELAY__WITH_FD, on_tcp },
	{ BELAY__MSG_TOKEN, sizeof(struct belay__msg_token), BELAY__WITHOUT_FD, on_token },
	{ BELAY__MSG_GATE, NOTHING, BELAY__WITH_FD, on_gate },
	{ BELAY__MSG_GO, sizeof(struct belay__msg_go), BELAY__WITHOUT_FD, on_go },
	{ BELAY__MSG_STOP, NOTHING, BELAY__WITHOUT_FD, on_stop },
};

static void on_parent(struct belay__io *io, uint32_t events)
{
	struct exporter *exporter = io->data;
	int r = belay__channel_receive(BELAY__ROLE_CHANNEL, parent_rules,
		sizeof(parent_rules) / sizeof(parent_rules[0]), exporter, MESSAGES_PER_TURN);

	(void)events;
	if (r >= 0 || r == -EAGAIN)
		return;
	exporter->over = true;
	exporter->status = r == -EPIPE ? 0 : EXIT_OSERR;
}

/* --- life --- */

static void make_pages(struct exporter *exporter)
{
	exporter->pages[0] = (struct belay__http_page){ .path = "/metrics",
		.negotiated = true,
		.render = show_metrics,
		.data = exporter };
	exporter->pages[1] = (struct belay__http_page){ .path = "/livez",
		.render = show_alive,
		.data = exporter };
	exporter->pages[2] = (struct belay__http_page){ .path = "/readyz",
		.render = show_ready,
		.data = exporter };
	exporter->file_text.max = BELAY__METRICS_TEXT_MAX;
	for (unsigned format = 0; format < BELAY__HTTP_FORMAT_COUNT; format++)
		for (unsigned buffer = 0; buffer < 2; buffer++)
			exporter->texts[format][buffer].max = BELAY__METRICS_TEXT_MAX;
}

static void end(struct exporter *exporter)
{
	exporter->door = belay__http_door_free(exporter->door);
	belay__timer_clear(&exporter->textfile);
	drop_gate(exporter);
	belay__io_remove(&exporter->parent_io);
	exporter->collector = belay__collector_free(exporter->collector);
	belay__state_view_done(&exporter->view);
	belay__totals_close(exporter->totals);
	belay__metrics_text_done(&exporter->file_text);
	for (unsigned format = 0; format < BELAY__HTTP_FORMAT_COUNT; format++)
		for (unsigned buffer = 0; buffer < 2; buffer++)
			belay__metrics_text_done(&exporter->texts[format][buffer]);
	explicit_bzero(exporter->token, sizeof(exporter->token));
	exporter->loop = belay__loop_free(exporter->loop);
}

int belay__exporter_main(void)
{
	static struct exporter exporter = {
		.state_fd = -EBADF,
		.unix_fd = -EBADF,
		.tcp_fd = -EBADF,
		.gate = -EBADF,
		.gate_io = { .fd = -EBADF },
	};

	if (belay__role_begin("belay-exporter") < 0 || belay__loop_new(&exporter.loop) < 0)
		return EXIT_OSERR;
	make_pages(&exporter);
	if (belay__io_add(exporter.loop, &exporter.parent_io, BELAY__ROLE_CHANNEL, EPOLLIN,
		    on_parent, &exporter) < 0)
		return EXIT_OSERR;
	while (!exporter.over)
		if (belay__loop_turn(exporter.loop, UINT64_MAX) < 0)
			return EXIT_OSERR;
	end(&exporter);
	return exporter.status;
}
