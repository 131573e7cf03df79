#include "cmd/status_live.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/cmd.h"
#include "export/visible.h"

/* While a table is drawn, long lines are cut at the edge instead of going on below, so that lines
 * can be counted. */
#define WRAP_OFF "\033[?7l"
#define WRAP_ON  "\033[?7h"

static size_t terminal_height(int fd)
{
	struct winsize size = { 0 };

	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 4 ? size.ws_row : 24;
}

static int ask_once(struct belay__status *status, const char *socket, const char *selection,
	struct belay_error *reterr)
{
	static struct belay__ask ask;
	int r = belay__ask_open(&ask, socket,
		belay__clock_ns(CLOCK_MONOTONIC) + BELAY__ASK_PACKET_NS, reterr);

	if (r < 0)
		return r;
	r = belay__status_ask(status, &ask, selection, reterr);
	belay__ask_close(&ask);
	return r;
}

/* Draws over the LINES lines drawn before; returns how many there are now. ERROR is NULL when
 * STATUS is fresh. */
static size_t draw(const struct belay__status *status, const struct belay_error *error,
	size_t lines, const struct belay__status_look *look, struct belay__output *output)
{
	if (lines > 0)
		belay__output_addf(output, "\033[%zuA\r", lines);
	belay__output_add(output, "\033[J" WRAP_OFF);
	if (error != NULL) {
		char visible[sizeof(error->text)];
		struct belay__text text;

		belay__text_init(&text, visible, sizeof(visible));
		belay__text_add_visible(&text, error->text, strlen(error->text));
		belay__output_addf(output, "%s\n", visible);
		lines = 1;
	} else if (status->count == 0) {
		belay__output_add(output, "nobody beats yet; try: belay beat demo --of $$\n");
		lines = 1;
	} else {
		lines = belay__status_show(status, look, output);
	}
	belay__output_add(output, WRAP_ON);
	return lines;
}

/* Waits until DUE_NS; true when a signal wants the end. */
static bool wait_for_end(const sigset_t *ends, uint64_t due_ns)
{
	for (;;) {
		uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
		struct timespec left = belay__timespec(now_ns < due_ns ? due_ns - now_ns : 0);

		if (sigtimedwait(ends, NULL, &left) > 0)
			return true;
		if (errno != EINTR)
			return false;
	}
}

int belay__status_live(const char *socket, const char *selection, struct belay__status_look *look,
	struct belay__output *output)
{
	struct belay__status status = { 0 };
	bool in_place = isatty(output->fd) && !look->json, again = false, ended = false;
	uint64_t due_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct belay_error error;
	size_t lines = 0;
	sigset_t ends;
	int r = 0;

	(void)sigemptyset(&ends);
	(void)sigaddset(&ends, SIGINT);
	(void)sigaddset(&ends, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &ends, NULL);
	for (; !ended && output->error == 0; again = true) {
		r = ask_once(&status, socket, selection, &error);
		if (r < 0 && !again)
			break;
		look->lines_max = in_place ? terminal_height(output->fd) - 1 : 0;
		if (in_place)
			lines = draw(&status, r < 0 ? &error : NULL, lines, look, output);
		else if (r < 0)
			(void)belay__complain_error(&error);
		else
			(void)belay__status_show(&status, look, output);
		(void)belay__output_flush(output);
		due_ns += BELAY__NS_PER_S;
		ended = wait_for_end(&ends, due_ns);
	}
	belay__status_free(&status);
	if (r < 0 && !again)
		return belay__complain_error(&error);
	return belay__output_finish(output);
}
