#include "observe/alerts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "export/metrics_table.h"
#include "observe/acting.h"
#include "observe/alert_lines.h"
#include "observe/operator_command.h"
#include "observe/problems.h"

#define FOLDED_MAX 1024

struct belay__alerts {
	struct belay__loop *loop;
	const struct belay__observe_options *options;
	struct belay__alerts_ears ears;

	struct belay__problems *problems;
	struct belay__alert_lines waiting;
	uint64_t folded[FOLDED_MAX]; /* alerts that lines which wait speak for, too */
	uint32_t folded_count;
	uint64_t window_ns; /* when the window that is open ends; UINT64_MAX: none is */
	uint64_t retry_ns;  /* when a call that failed is made again */
	unsigned failed;    /* calls in a row */
	struct belay__timer call_timer, reminder_timer;

	struct belay__operator_command command;
	bool testing;                    /* what runs is a test */
	struct belay__alert_batch batch; /* what it was given */
	bool test_waits;
	uint64_t test_request;
	struct belay__alert_lines *test; /* one line; NULL: no test waits or runs */

	uint64_t handed_over[BELAY__ALERT_KIND_COUNT], failures;
	struct belay__deadman *deadman;
};

static bool is_set(const struct belay__alerts *alerts)
{
	return alerts->options->alert[0] != '\0';
}

static bool anything_waits(const struct belay__alerts *alerts)
{
	return alerts->waiting.count > 0 || alerts->waiting.dropped > 0;
}

/* --- calls of the command --- */

static void plan(struct belay__alerts *alerts);

static int call(struct belay__alerts *alerts, const struct belay__alert_lines *lines,
	struct belay_error *reterr)
{
	_cleanup_close_ int file = belay__alert_lines_file(lines, &alerts->batch);
	char variable[32];

	if (file < 0)
		return belay__fail(reterr, file, "no file for the alert command's stdin: %s",
			strerror(-file));
	(void)snprintf(variable, sizeof(variable), "BELAY_ALERTS=%u",
		alerts->batch.count + (alerts->batch.dropped > 0));
	return belay__operator_command_start(&alerts->command, alerts->options->alert, variable,
		file, BELAY__ALERT_TIMEOUT_NS, reterr);
}

static uint64_t back_off_ns(unsigned failed)
{
	uint64_t wait_ns = BELAY__ALERT_RETRY_NS;

	while (--failed > 0 && wait_ns < BELAY__ALERT_RETRY_MAX_NS)
		wait_ns *= 2;
	return wait_ns < BELAY__ALERT_RETRY_MAX_NS ? wait_ns : BELAY__ALERT_RETRY_MAX_NS;
}

static void call_failed(struct belay__alerts *alerts, const struct belay_error *error)
{
	uint64_t wait_ns = back_off_ns(++alerts->failed);

	alerts->failures++;
	alerts->retry_ns = belay__clock_ns(CLOCK_MONOTONIC) + wait_ns;
	belay__log(BELAY__LOG_WARNING, "%s; alerts that wait: %u, next try in %u s", error->text,
		alerts->waiting.count, (unsigned)(wait_ns / BELAY__NS_PER_S));
}

/* Whoever kept the alert SEQ need not do so any more. */
static void let_go(const struct belay__alerts *alerts, uint64_t seq)
{
	if (seq != 0)
		alerts->ears.done(alerts->ears.data, seq);
}

static void let_go_of_first(const struct belay__alerts *alerts, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		let_go(alerts, alerts->waiting.seqs[i]);
}

/* What a line that waits speaks for is kept as long as that line. */
static void let_go_later(struct belay__alerts *alerts, uint64_t seq)
{
	if (seq == 0 || !anything_waits(alerts) || alerts->folded_count == FOLDED_MAX)
		let_go(alerts, seq);
	else
		alerts->folded[alerts->folded_count++] = seq;
}

static void let_go_of_folded(struct belay__alerts *alerts)
{
	for (uint32_t i = 0; i < alerts->folded_count; i++)
		let_go(alerts, alerts->folded[i]);
	alerts->folded_count = 0;
}

static void call_succeeded(struct belay__alerts *alerts)
{
	let_go_of_first(alerts, alerts->batch.count);
	belay__alert_lines_remove(&alerts->waiting, &alerts->batch);
	if (!anything_waits(alerts))
		let_go_of_folded(alerts);
	for (unsigned kind = 0; kind < BELAY__ALERT_KIND_COUNT; kind++)
		alerts->handed_over[kind] += alerts->batch.kinds[kind];
	if (!anything_waits(alerts))
		alerts->window_ns = UINT64_MAX;
	if (alerts->failed > 0)
		belay__log(BELAY__LOG_NOTICE, "the alert command works again");
	alerts->failed = 0;
}

static void give_answer(struct belay__alerts *alerts, uint64_t request,
	const struct belay_error *error)
{
	struct belay__msg_planned planned = { .request = request, .code = error->code };

	if (request == 0)
		return;
	planned.len = (uint32_t)strnlen(error->text, sizeof(error->text));
	memcpy(planned.text, error->text, planned.len);
	alerts->ears.answer(alerts->ears.data, &planned);
}

/* A command that works may well take what it did not take before. */
static void test_ended(struct belay__alerts *alerts, const struct belay_error *end)
{
	free(alerts->test);
	alerts->test = NULL;
	if (end->code == 0)
		alerts->retry_ns = 0;
	else
		alerts->failures++;
	give_answer(alerts, alerts->test_request, end);
}

static void ended(struct belay__operator_command *command, const struct belay_error *end)
{
	struct belay__alerts *alerts = command->data;
	bool testing = alerts->testing;

	alerts->testing = false;
	if (testing)
		test_ended(alerts, end);
	else if (end->code < 0)
		call_failed(alerts, end);
	else
		call_succeeded(alerts);
	plan(alerts);
}

static void start_test(struct belay__alerts *alerts)
{
	struct belay_error error = { 0 };

	alerts->test_waits = false;
	if (call(alerts, alerts->test, &error) < 0)
		test_ended(alerts, &error);
	else
		alerts->testing = true;
}

static void call_due(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__alerts *alerts = timer->data;
	struct belay_error error = { 0 };

	(void)now_ns;
	if (call(alerts, &alerts->waiting, &error) < 0)
		call_failed(alerts, &error);
	else
		alerts->window_ns = UINT64_MAX;
	plan(alerts);
}

/* --- time --- */

static void remind(struct belay__timer *timer, uint64_t now_ns);

/* While calls fail, everything waits that is to be told anyway. */
static void plan_reminder(struct belay__alerts *alerts)
{
	belay__timer_set(alerts->loop, &alerts->reminder_timer,
		alerts->failed > 0 ? UINT64_MAX : belay__problems_due_ns(alerts->problems), remind,
		alerts);
}

/* Arms what is to be done next. To be called after every change. */
static void plan(struct belay__alerts *alerts)
{
	uint64_t due_ns = UINT64_MAX;

	if (alerts->test_waits && alerts->command.running == NULL)
		start_test(alerts);
	if (alerts->command.running == NULL && anything_waits(alerts))
		due_ns = alerts->failed > 0 ? alerts->retry_ns : alerts->window_ns;
	belay__timer_set(alerts->loop, &alerts->call_timer, due_ns, call_due, alerts);
	plan_reminder(alerts);
}

static void open_window(struct belay__alerts *alerts, uint64_t now_ns)
{
	if (alerts->window_ns == UINT64_MAX)
		alerts->window_ns = now_ns + BELAY__ALERT_WINDOW_NS;
}

static void remind(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__alerts *alerts = timer->data;
	struct belay__telling telling;
	const char *line;
	size_t len;

	while ((line = belay__problems_remind(alerts->problems, now_ns, &telling, &len)) != NULL) {
		open_window(alerts, now_ns);
		(void)belay__alert_lines_add(&alerts->waiting, &telling, line, len);
	}
	plan(alerts);
}

/* --- what is told --- */

static void add_test(struct belay__alerts *alerts, const struct belay__msg_alert *alert)
{
	const struct belay__telling telling = { .kind = alert->kind };
	struct belay_error error = { 0 };

	if (alerts->test != NULL)
		(void)belay__fail(&error, -EBUSY,
			"another test of the alert command is not done yet: try again in a minute");
	else
		alerts->test = calloc(1, sizeof(*alerts->test));
	if (error.code == 0 && alerts->test == NULL)
		(void)belay__fail(&error, -ENOMEM, "no memory to test the alert command");
	if (error.code < 0) {
		give_answer(alerts, alert->request, &error);
		return;
	}
	(void)belay__alert_lines_add(alerts->test, &telling, alert->line, alert->len);
	alerts->test_request = alert->request;
	alerts->test_waits = true;
	plan(alerts);
}

static void add(struct belay__alerts *alerts, const struct belay__msg_alert *alert)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct belay__telling telling;

	if (!belay__problems_note(alerts->problems, alert, now_ns, &telling)) {
		let_go_later(alerts, alert->seq);
		return;
	}
	open_window(alerts, now_ns);
	/* It has waited before. */
	if (alert->again)
		alerts->window_ns = now_ns;
	if (!belay__alert_lines_add(&alerts->waiting, &telling, alert->line, alert->len))
		let_go(alerts, alert->seq);
	plan(alerts);
}

/* It comes from the gate, which reads what strangers write. */
static bool is_sound(const struct belay__msg_alert *alert)
{
	return alert->kind < BELAY__ALERT_KIND_COUNT && alert->len <= sizeof(alert->line) &&
		memchr(alert->name, '\0', sizeof(alert->name)) != NULL &&
		belay__alert_line_valid(alert->line, alert->len);
}

void belay__alerts_add(struct belay__alerts *alerts, const struct belay__msg_alert *alert)
{
	struct belay_error error = { 0 };

	if (!is_set(alerts))
		(void)belay__fail(&error, -ENOENT,
			"there is no alert command: set one by --alert, or alert= in the "
			"configuration");
	else if (!is_sound(alert))
		(void)belay__fail(&error, -EBADMSG, "this alert is not one line of JSON");

	if (error.code < 0) {
		if (error.code == -EBADMSG && alert->request == 0) {
			belay__alert_lines_drop(&alerts->waiting);
			open_window(alerts, belay__clock_ns(CLOCK_MONOTONIC));
			plan(alerts);
		}
		give_answer(alerts, alert->request, &error);
		let_go(alerts, alert->seq);
	} else if (alert->kind == BELAY__ALERT_TEST || alert->request != 0) {
		add_test(alerts, alert);
	} else {
		add(alerts, alert);
	}
}

/* --- the whole --- */

int belay__alerts_new(struct belay__loop *loop, const struct belay__observe_options *options,
	const struct belay__alerts_ears *ears, struct belay__alerts **ret_alerts)
{
	struct belay__alerts *alerts = calloc(1, sizeof(*alerts));
	int r;

	if (alerts == NULL)
		return -ENOMEM;
	alerts->loop = loop;
	alerts->options = options;
	alerts->ears = *ears;
	alerts->window_ns = UINT64_MAX;
	alerts->command.loop = loop;
	alerts->command.what = "alert command";
	alerts->command.done = ended;
	alerts->command.data = alerts;
	r = belay__problems_new(&alerts->problems);
	if (r == 0)
		r = belay__deadman_new(loop, options, &alerts->deadman);
	if (r < 0) {
		(void)belay__alerts_free(alerts);
		return r;
	}
	*ret_alerts = alerts;
	return 0;
}

struct belay__alerts *belay__alerts_free(struct belay__alerts *alerts)
{
	if (alerts == NULL)
		return NULL;
	belay__timer_clear(&alerts->call_timer);
	belay__timer_clear(&alerts->reminder_timer);
	belay__operator_command_forget(&alerts->command);
	(void)belay__deadman_free(alerts->deadman);
	(void)belay__problems_free(alerts->problems);
	free(alerts->test);
	free(alerts);
	return NULL;
}

/* Nobody wants to know: what waits is nothing to tell later. What a call that runs was given is
 * taken back by its end. */
static void forget_all(struct belay__alerts *alerts)
{
	static const struct belay__alert_batch nothing;
	struct belay__problems *empty;

	let_go_of_first(alerts, alerts->waiting.count);
	alerts->waiting.len = alerts->waiting.count = 0;
	alerts->waiting.dropped = 0;
	memset(alerts->waiting.kinds, 0, sizeof(alerts->waiting.kinds));
	alerts->batch = nothing;
	alerts->window_ns = UINT64_MAX;
	if (belay__problems_new(&empty) == 0) {
		(void)belay__problems_free(alerts->problems);
		alerts->problems = empty;
	}
	let_go_of_folded(alerts);
}

void belay__alerts_configured(struct belay__alerts *alerts)
{
	if (!is_set(alerts))
		forget_all(alerts);
	alerts->failed = 0;
	if (anything_waits(alerts))
		open_window(alerts, belay__clock_ns(CLOCK_MONOTONIC));
	plan(alerts);
	belay__deadman_configured(alerts->deadman);
}

void belay__alerts_last_call(struct belay__alerts *alerts)
{
	struct belay_error error;

	if (alerts->command.running != NULL) {
		/* What it was given it has. */
		if (!alerts->testing)
			belay__alert_lines_remove(&alerts->waiting, &alerts->batch);
		belay__operator_command_forget(&alerts->command);
	}
	if (is_set(alerts) && anything_waits(alerts) && call(alerts, &alerts->waiting, &error) < 0)
		belay__log(BELAY__LOG_WARNING, "%s; alerts that nobody was told: %u", error.text,
			alerts->waiting.count);
}

void belay__alerts_tell_open(const struct belay__alerts *alerts,
	void (*tell)(void *data, const struct belay__msg_open *open))
{
	struct belay__msg_open open;

	for (uint32_t i = 0; belay__problems_at(alerts->problems, i, &open); i++)
		tell(alerts->ears.data, &open);
}

void belay__alerts_gate_is_well(struct belay__alerts *alerts)
{
	belay__deadman_gate_is_well(alerts->deadman);
}

static void add_count(struct belay__msg_runner_counts *counts, enum belay__metric metric,
	uint64_t value)
{
	if (counts->count < BELAY__RUNNER_COUNTS_MAX)
		counts->counts[counts->count++] = (struct belay__runner_count){ .metric = metric,
			.value = value };
}

void belay__alerts_count(const struct belay__alerts *alerts, struct belay__msg_runner_counts *counts)
{
	const uint64_t *values = alerts->handed_over;

	add_count(counts, BELAY__METRIC_ALERT_STALL, values[BELAY__ALERT_STALL]);
	add_count(counts, BELAY__METRIC_ALERT_CRASH, values[BELAY__ALERT_CRASH]);
	add_count(counts, BELAY__METRIC_ALERT_MISSING, values[BELAY__ALERT_MISSING]);
	add_count(counts, BELAY__METRIC_ALERT_MASS_STALL, values[BELAY__ALERT_MASS_STALL]);
	add_count(counts, BELAY__METRIC_ALERT_ACTION, values[BELAY__ALERT_ACTION]);
	add_count(counts, BELAY__METRIC_ALERT_RECOVERED, values[BELAY__ALERT_RECOVERED]);
	add_count(counts, BELAY__METRIC_ALERT_FAILURES, alerts->failures);
}

struct belay__deadman_counts belay__alerts_deadman_counts(const struct belay__alerts *alerts)
{
	return belay__deadman_counts(alerts->deadman);
}
