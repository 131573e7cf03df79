/* What the roles of roles_fuzz.c find outside: descriptors, a process that can be looked at, and none
 * that can be started or signalled. */

#include "roles.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <belay/vlp.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "identity/process_info.h"
#include "identity/verdict.h"
#include "observe/brakes.h"
#include "observe/state_file.h"
#include "observe/table.h"
#include "observe/totals.h"
#include "process/spawn.h"

/* Ours lie above those that a role gets, so that a role's are numbered as ever. */
#define OURS_FROM   200
#define SPAWN_FAILS 4 /* every one of so many */

static unsigned spawned;

/* --- what no input may do --- */

int __wrap_belay__spawn(const struct belay__spawn *spawn, struct belay__child *ret_child,
	struct belay_error *reterr);
int __wrap_belay__signal(int pidfd, int signal);
int __wrap_belay__signal_group(const struct belay__child *child, int signal);
int __wrap_belay__signal_group_by_pidfd(int pidfd, int signal);
__attribute__((format(printf, 2, 3))) void __wrap_belay__log(enum belay__log_level level,
	const char *format, ...);
void __wrap_belay__log_line(enum belay__log_level level, const char *text, const char *json_line);

/* The "command" is the neighbour: it runs for ever. All words were made for it, and can be read. */
int __wrap_belay__spawn(const struct belay__spawn *spawn, struct belay__child *ret_child,
	struct belay_error *reterr)
{
	size_t len = 0;

	for (const char *const *word = spawn->argv; *word != NULL; word++)
		len += strlen(*word);
	for (const char *const *word = spawn->envp; word != NULL && *word != NULL; word++)
		len += strlen(*word);
	assert(len > 0);
	if (++spawned % SPAWN_FAILS == 0)
		return belay__fail(reterr, -EAGAIN, "nothing is started here");
	ret_child->pid = (pid_t)world_neighbour()->pid;
	ret_child->pidfd = fcntl(world_neighbour()->pidfd, F_DUPFD_CLOEXEC, 0);
	assert(ret_child->pidfd >= 0);
	return 0;
}

int __wrap_belay__signal(int pidfd, int signal)
{
	assert(pidfd >= 0 && signal > 0 && signal < NSIG);
	return 0;
}

int __wrap_belay__signal_group(const struct belay__child *child, int signal)
{
	assert(child->pid == (pid_t)world_neighbour()->pid && signal > 0 && signal < NSIG);
	return 0;
}

int __wrap_belay__signal_group_by_pidfd(int pidfd, int signal)
{
	assert(pidfd >= 0 && signal > 0 && signal < NSIG);
	return 0;
}

/* Written, so that what is said is read to its end, and not told. */
void __wrap_belay__log(enum belay__log_level level, const char *format, ...)
{
	static char line[8192];
	va_list arguments;

	(void)level;
	va_start(arguments, format);
	(void)vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
}

void __wrap_belay__log_line(enum belay__log_level level, const char *text, const char *json_line)
{
	(void)level;
	assert(strlen(text) > 0 && json_line[0] == '{');
}

/* --- time --- */

uint64_t world_passed_ns;

int __real_clock_gettime(clockid_t clock, struct timespec *ret_now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now)
{
	int r = __real_clock_gettime(clock, ret_now);
	uint64_t now_ns = (uint64_t)ret_now->tv_sec * BELAY__NS_PER_S + (uint64_t)ret_now->tv_nsec;

	if (r == 0 && (clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME))
		*ret_now = belay__timespec(now_ns + world_passed_ns);
	return r;
}

/* --- the neighbour --- */

static int keep(int fd)
{
	int kept = fcntl(fd, F_DUPFD_CLOEXEC, OURS_FROM);

	assert(fd >= 0 && kept >= 0);
	belay__close(fd);
	return kept;
}

const struct neighbour *world_neighbour(void)
{
	static struct neighbour neighbour;
	struct belay__stat stat;
	pid_t pid;

	if (neighbour.pid != 0)
		return &neighbour;
	pid = fork();
	assert(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)syscall(SYS_close_range, 3U, ~0U, 0);
		for (;;)
			(void)pause();
	}
	assert(belay__read_stat(pid, &stat) == 0);
	assert(belay__read_pid_namespace(pid, &neighbour.pid_ns) == 0);
	neighbour.pidfd = keep((int)syscall(SYS_pidfd_open, pid, 0));
	neighbour.start_ticks = stat.start_ticks;
	neighbour.uid = geteuid();
	neighbour.pid = (uint32_t)pid;
	return &neighbour;
}

static void know_neighbour(struct belay__table *table)
{
	const struct neighbour *neighbour = world_neighbour();
	uint32_t at = belay__table_insert(table, neighbour->pid);
	struct belay__record *record;
	struct belay__slot *slot;

	assert(at != BELAY__NO_SLOT);
	slot = &table->slots[at];
	record = &table->records[slot->record];
	slot->origin = BELAY__KERNEL_ATTESTED;
	slot->start_ticks = neighbour->start_ticks;
	record->uid = neighbour->uid;
	record->rule = 1;
	record->beats = WORLD_BEATS;
	(void)snprintf(record->name, sizeof(record->name), "neighbour");
	(void)snprintf(record->own, sizeof(record->own), "neighbour");
}

int world_state(void)
{
	static struct belay__state_file file;
	struct belay__table table;
	int fd;

	if (file.mapping != NULL)
		return file.fd;
	fd = keep(memfd_create("state", MFD_CLOEXEC));
	assert(belay__state_map_take(fd, WORLD_CAPACITY, &file, NULL) == 0);
	belay__table_init(&table, WORLD_CAPACITY, belay__state_slots(&file),
		belay__state_records(&file), 1);
	know_neighbour(&table);
	belay__state_commit(&file);
	return file.fd;
}

/* --- descriptors --- */

static int listening(void)
{
	static const struct sockaddr any = { .sa_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert(fd >= 0 && bind(fd, &any, sizeof(sa_family_t)) == 0);
	assert(listen(fd, 8) == 0);
	return fd;
}

static int garbage(void)
{
	int fd = memfd_create("garbage", MFD_CLOEXEC);

	assert(fd >= 0 && ftruncate(fd, 1 << 16) == 0);
	assert(pwrite(fd, "garbage\n", 8, 0) == 8);
	return fd;
}

int world_thing(unsigned which)
{
	static int things[WORLD_THINGS];

	if (which == 0)
		return world_state();
	if (things[which] != 0)
		return things[which];
	switch (which) {
	case 1:
		things[which] = keep(belay__totals_create());
		break;
	case 2:
		things[which] = keep(belay__brakes_create());
		break;
	case 3:
		things[which] = keep(listening());
		break;
	case 4:
		things[which] = keep(garbage());
		break;
	case 5:
		things[which] = keep(open("/dev/null", O_RDWR | O_CLOEXEC));
		break;
	case 6:
		things[which] = keep(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		break;
	default:
		things[which] = keep(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	}
	return things[which];
}

void world_channel(int ret_ends[2])
{
	int ends[2];

	assert(belay__channel_pair(ends) == 0);
	ret_ends[0] = keep(ends[0]);
	ret_ends[1] = ends[1];
}

void world_drain(int channel)
{
	static uint8_t packet[BELAY__MESSAGE_MAX + 16];

	while (recv(channel, packet, sizeof(packet), MSG_DONTWAIT) > 0)
		;
}

/* --- configuration --- */

static void make_configuration(struct belay__observe_config *config)
{
	static const char ladder[] = "report, command true {pid} {name} {verdict} {status} "
				     "{evidence} {uid} {rule} {silent_ms}, term 1s, kill";
	struct belay__observe_options *options = &config->options;
	struct belay__rule *rule = &config->rules[0];
	ssize_t len;

	belay__observe_defaults(options);
	options->capacity = WORLD_CAPACITY;
	options->recovery_debounce_ns = 0;
	(void)snprintf(options->socket, sizeof(options->socket), "/nowhere/beats");
	(void)snprintf(options->action_limit, sizeof(options->action_limit), "0");
	(void)snprintf(options->on_exit, sizeof(options->on_exit), "true {name} {status}");
	(void)snprintf(options->alert, sizeof(options->alert), "true");
	belay__rule_defaults(rule);
	(void)snprintf(rule->name, sizeof(rule->name), "ours");
	(void)snprintf(rule->on_stall, sizeof(rule->on_stall), "%s", ladder);
	len = readlink("/proc/self/exe", rule->exe, sizeof(rule->exe) - 1);
	rule->exe[len > 0 ? len : 0] = '\0';
	rule->uid = geteuid();
	rule->run_as = geteuid() == 0 ? BELAY__RUN_AS_ROOT : BELAY__RUN_AS_PROCESS;
	config->rule_count = 1;
}

const struct belay__observe_config *world_configuration(void)
{
	static struct belay__observe_config config;

	if (config.rule_count == 0)
		make_configuration(&config);
	return &config;
}

void world_act(struct belay__msg_act *act)
{
	const struct neighbour *neighbour = world_neighbour();

	*act = (struct belay__msg_act){
		.verdict = BELAY__VERDICT_SILENT,
		.origin = BELAY__KERNEL_ATTESTED,
		.status = BELAY_DEGRADED,
		.rule = 1,
		.pid = neighbour->pid,
		.uid = neighbour->uid,
		.start_ticks = neighbour->start_ticks,
		.pid_ns = neighbour->pid_ns,
		.beats = WORLD_BEATS,
		.seq = 42,
		.silent_ns = 5 * BELAY__NS_PER_S,
		.threshold_ns = 5 * BELAY__NS_PER_S,
		.name = "neighbour",
		.rule_name = "ours",
		.evidence = "waits in futex",
	};
}

void world_fill_orders(uint32_t type, void *record)
{
	const struct belay__observe_config *config = world_configuration();

	if (type == BELAY__MSG_OPTIONS)
		memcpy(record, &config->options, sizeof(config->options));
	else if (type == BELAY__MSG_RULE)
		memcpy(record, &config->rules[0], sizeof(config->rules[0]));
	else if (type == BELAY__MSG_GO)
		((struct belay__msg_go *)record)->first_seq = 1;
}

/* --- an input begins and ends --- */

int world_parent = -EBADF;

static int whose_it_was = -EBADF;

void world_begin(void)
{
	static int ends[2];

	if (ends[0] == 0) {
		world_channel(ends);
		ends[1] = keep(ends[1]);
		world_parent = ends[0];
	}
	/* Whoever replays has a file open there. */
	whose_it_was = fcntl(BELAY__ROLE_CHANNEL, F_DUPFD_CLOEXEC, OURS_FROM);
	assert(dup3(ends[1], BELAY__ROLE_CHANNEL, O_CLOEXEC) >= 0);
	spawned = 0;
	world_passed_ns = 0;
}

void world_end(void)
{
	world_drain(world_parent);
	if (whose_it_was >= 0)
		assert(dup3(whose_it_was, BELAY__ROLE_CHANNEL, O_CLOEXEC) >= 0);
	else
		(void)close(BELAY__ROLE_CHANNEL);
	whose_it_was = belay__close(whose_it_was);
	assert(ftruncate(world_thing(4), 1 << 16) == 0);
}
