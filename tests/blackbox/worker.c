/* worker: beats at the observer and does what its standard input says, for the black-box tests.
 *
 *	worker SOCKET INTERVAL_MS
 *
 * It prints `ready` after its first beat, and `done` after each command that comes back. Commands,
 * one a line: status N, payload N, interval MS (0: no beats but by `beat`), beat, within MS, close;
 * fork (a child that beats and then waits for SIGTERM; answers with its pid), hook (the crash hook, with
 * a note); and those that do not come back: exit N, abort, fault (touches an address that is not mapped), raise N, deadlock, sleep, spin, block (in a read of an empty pipe),
 * cond, leave N (close, then exit).
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <belay/beat.h>
#include <belay/crash.h>

struct worker {
	struct belay *belay;
	const char *socket;
	int interval_ms;
	enum belay_status status;
	uint32_t payload;
};

static struct belay_outcome beat(struct worker *worker)
{
	return belay_beat(worker->belay, worker->status, worker->payload++);
}

static void deadlock(struct worker *worker, long number)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

	(void)worker;
	(void)number;
	(void)pthread_mutex_lock(&mutex);
	(void)pthread_mutex_lock(&mutex);
}

static void sleep_long(struct worker *worker, long number)
{
	struct timespec hour = { .tv_sec = 3600 };

	(void)worker;
	(void)number;
	(void)nanosleep(&hour, NULL);
}

static noreturn void spin(struct worker *worker, long number)
{
	volatile unsigned long turns = 0;

	(void)worker;
	(void)number;
	for (;;)
		turns = turns + 1;
}

static void block(struct worker *worker, long number)
{
	int ends[2];
	char byte;

	(void)worker;
	(void)number;
	if (pipe(ends) == 0 && read(ends[0], &byte, 1) < 0)
		_exit(98);
}

static noreturn void end_with(struct worker *worker, long number)
{
	(void)worker;
	_exit((int)number);
}

static void without_core(void)
{
	struct rlimit none = { 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
}

static noreturn void abort_now(struct worker *worker, long number)
{
	(void)worker;
	(void)number;
	without_core();
	abort();
}

static void raise_now(struct worker *worker, long number)
{
	(void)worker;
	without_core();
	(void)signal((int)number, SIG_DFL);
	(void)raise((int)number);
}

static noreturn void leave(struct worker *worker, long number)
{
	belay_close(worker->belay);
	_exit((int)number);
}

static void set_status(struct worker *worker, long number)
{
	worker->status = (enum belay_status)number;
	(void)puts("done");
}

static void set_payload(struct worker *worker, long number)
{
	worker->payload = (uint32_t)number;
	(void)puts("done");
}

static void set_interval(struct worker *worker, long number)
{
	worker->interval_ms = (int)number;
	(void)puts("done");
}

static void beat_once(struct worker *worker, long number)
{
	struct belay_outcome outcome = beat(worker);
	char text[128];

	(void)number;
	(void)belay_outcome_text(&outcome, text, sizeof(text));
	(void)printf("done %s\n", text);
}

static void within(struct worker *worker, long number)
{
	(void)printf("done %d\n", belay_beat_within(worker->belay, (uint64_t)number));
}

static void close_it(struct worker *worker, long number)
{
	(void)number;
	belay_close(worker->belay);
	worker->belay = NULL;
	worker->interval_ms = 0;
	(void)puts("done");
}

static void fork_one(struct worker *worker, long number)
{
	pid_t pid;

	(void)number;
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		for (;;) {
			(void)beat(worker);
			(void)poll(NULL, 0, worker->interval_ms);
		}
	}
	(void)printf("done %d\n", (int)pid);
}

static void hook(struct worker *worker, long number)
{
	const struct belay_crash_options options = { .note = "auto" };

	(void)number;
	/* A sanitizer's handler would be left alone. */
	(void)signal(SIGSEGV, SIG_DFL);
	(void)printf("done %d\n", belay_crash_install_uds(worker->socket, &options, NULL, NULL));
}

static void fault(struct worker *worker, long number)
{
	volatile char *nowhere = (volatile char *)(uintptr_t)number;

	(void)worker;
	without_core();
	*nowhere = 1;
}

static const struct command {
	const char *word;
	void (*run)(struct worker *worker, long number);
} commands[] = {
	{ "status", set_status },
	{ "payload", set_payload },
	{ "interval", set_interval },
	{ "beat", beat_once },
	{ "within", within },
	{ "close", close_it },
	{ "fork", fork_one },
	{ "hook", hook },
	{ "fault", fault },
	{ "exit", end_with },
	{ "abort", abort_now },
	{ "raise", raise_now },
	{ "deadlock", deadlock },
	{ "sleep", sleep_long },
	{ "spin", spin },
	{ "block", block },
	{ "leave", leave },
};

static void obey(struct worker *worker, char *line)
{
	char *space = strchr(line, ' ');
	long number = space != NULL ? strtol(space, NULL, 10) : 0;

	line[strcspn(line, " \n")] = '\0';
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].word, line) == 0) {
			commands[i].run(worker, number);
			return;
		}
	(void)printf("unknown %s\n", line);
}

/* One line of standard input, unbuffered, so that poll() tells the truth. */
static int read_line(char *line, size_t size)
{
	size_t len = 0;

	while (len + 1 < size && read(STDIN_FILENO, &line[len], 1) == 1)
		if (line[len++] == '\n')
			break;
	line[len] = '\0';
	return len > 0;
}

int main(int argc, char **argv)
{
	struct worker worker = { 0 };
	char line[128];

	if (argc != 3)
		return 64;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	worker.socket = argv[1];
	worker.interval_ms = (int)strtol(argv[2], NULL, 10);
	worker.belay = belay_open(worker.socket);
	(void)beat(&worker);
	(void)puts("ready");
	for (;;) {
		struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

		if (poll(&input, 1, worker.interval_ms > 0 ? worker.interval_ms : -1) == 0) {
			(void)beat(&worker);
			continue;
		}
		if (!read_line(line, sizeof(line)))
			return 0;
		obey(&worker, line);
	}
}
