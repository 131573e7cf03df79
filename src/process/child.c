#include "process/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/missing.h"
#include "identity/proc_text.h"

/* The calls themselves: the C library's functions would change all threads, which here are the
 * parent's. Where there are two of a kind the plain ones know 16 bits only. */
#ifdef SYS_setresuid32
#define CALL_SETRESUID SYS_setresuid32
#define CALL_SETRESGID SYS_setresgid32
#define CALL_SETGROUPS SYS_setgroups32
#else
#define CALL_SETRESUID SYS_setresuid
#define CALL_SETRESGID SYS_setresgid
#define CALL_SETGROUPS SYS_setgroups
#endif

int belay__set_signal_mask(const belay__signal_set mask, belay__signal_set old)
{
	return (int)syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, old, sizeof(belay__signal_set));
}

static void reset_signals(void)
{
	/* All zero is the default action with no flags in every layout that the kernel's struct
	 * has. */
	static const unsigned long by_default[8];

	for (int signal = 1; signal <= BELAY__SIGNALS; signal++)
		(void)syscall(SYS_rt_sigaction, signal, by_default, NULL, sizeof(belay__signal_set));
}

static int move_out_of_the_way(int fd, int lowest)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, lowest);

	return moved < 0 ? -errno : moved;
}

/* Moves every source above all targets first; then no target can hit a source that is still
 * needed. */
static int place_fds(struct belay__start *start)
{
	const struct belay__spawn *spawn = start->spawn;
	int lowest = STDERR_FILENO + 1;

	for (size_t i = 0; i < spawn->fd_count; i++)
		if (spawn->fds[i].to >= lowest)
			lowest = spawn->fds[i].to + 1;

	if (start->child_end >= 0) {
		int moved = move_out_of_the_way(start->child_end, lowest);

		if (moved < 0)
			return moved;
		start->child_end = moved;
	}
	if (spawn->path == NULL) {
		start->exec_fd = move_out_of_the_way(spawn->exec_fd, lowest);
		if (start->exec_fd < 0)
			return start->exec_fd;
	}
	if (spawn->record != NULL) {
		start->record_fd = move_out_of_the_way(spawn->record->fd, lowest);
		if (start->record_fd < 0)
			return start->record_fd;
	}
	for (size_t i = 0; i < spawn->fd_count; i++) {
		start->moved[i] = move_out_of_the_way(spawn->fds[i].from, lowest);
		if (start->moved[i] < 0)
			return start->moved[i];
	}
	for (size_t i = 0; i < spawn->fd_count; i++)
		if (dup2(start->moved[i], spawn->fds[i].to) < 0)
			return -errno;
	return 0;
}

static bool is_kept(const struct belay__start *start, int fd)
{
	if (fd <= STDERR_FILENO || fd == start->exec_fd || fd == start->child_end)
		return true;
	for (size_t i = 0; i < start->spawn->fd_count; i++)
		if (fd == start->spawn->fds[i].to)
			return true;
	return false;
}

/* The lowest descriptor from FIRST on that is kept, or -1. */
static int next_kept(const struct belay__start *start, int first)
{
	int lowest = -1;

	for (size_t i = 0; i < start->spawn->fd_count + 2; i++) {
		int fd = i == 0  ? start->exec_fd
			: i == 1 ? start->child_end
				 : start->spawn->fds[i - 2].to;

		if (fd >= first && (lowest < 0 || fd < lowest))
			lowest = fd;
	}
	return lowest;
}

/* Closes the gaps between what is kept. Fails on kernels and under filters that do not know the
 * call. */
static int close_by_range(const struct belay__start *start)
{
	int first = STDERR_FILENO + 1;

	for (;;) {
		int kept = next_kept(start, first);
		unsigned last = kept < 0 ? ~0U : (unsigned)kept - 1;

		if (kept != first && syscall(SYS_close_range, (unsigned)first, last, 0U) < 0)
			return -errno;
		if (kept < 0)
			return 0;
		first = kept + 1;
	}
}

static int parse_fd(const char *name)
{
	int fd = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		fd = fd * 10 + (*name - '0');
	return *name == '\0' ? fd : -1;
}

/* Closes what /proc lists. opendir() would use the heap, which may be locked by a thread that is
 * not here. */
static int close_by_listing(const struct belay__start *start)
{
	struct entry {
		uint64_t inode;
		int64_t offset;
		unsigned short len;
		unsigned char type;
		char name[];
	};
	_Alignas(struct entry) char buffer[2048];
	int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;

	if (directory < 0)
		return -errno;
	while ((n = syscall(SYS_getdents64, directory, buffer, sizeof(buffer))) > 0)
		for (long at = 0; at < n;) {
			const struct entry *entry = (const void *)(buffer + at);
			int fd = parse_fd(entry->name);

			if (fd > STDERR_FILENO && fd != directory && !is_kept(start, fd))
				(void)close(fd);
			at += entry->len;
		}
	(void)close(directory);
	return n < 0 ? -EIO : 0;
}

static void close_one_by_one(const struct belay__start *start)
{
	struct rlimit limit;
	int end = 65536;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1 << 20)
		end = (int)limit.rlim_cur;
	for (int fd = STDERR_FILENO + 1; fd < end; fd++)
		if (!is_kept(start, fd))
			(void)close(fd);
}

static void close_others(const struct belay__start *start)
{
	if (close_by_range(start) < 0 && close_by_listing(start) < 0)
		close_one_by_one(start);
}

static struct belay__start_failure failed(int error, enum belay__start_step step)
{
	return (struct belay__start_failure){ .error = error, .step = step };
}

static int become_somebody(const struct belay__credentials *who)
{
	if (syscall(CALL_SETGROUPS, who->group_count, who->groups) < 0 ||
		syscall(CALL_SETRESGID, who->gid, who->gid, who->gid) < 0 ||
		syscall(CALL_SETRESUID, who->uid, who->uid, who->uid) < 0)
		return -errno;
	return 0;
}

/* Ambient capabilities would survive the exec of a program that is not root's. */
static int give_up_privileges(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) < 0 ||
		prctl(PR_CAP_AMBIENT, (unsigned long)PR_CAP_AMBIENT_CLEAR_ALL, 0UL, 0UL, 0UL) < 0)
		return -errno;
	return 0;
}

/* 0 when it cannot be known. */
static uint64_t own_start_ticks(void)
{
	char bytes[1024];
	struct belay__stat stat;
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, bytes, sizeof(bytes));
	(void)close(fd);
	return n > 0 && belay__parse_stat(bytes, (size_t)n, &stat) == 0 ? stat.start_ticks : 0;
}

static int write_record(const struct belay__start *start)
{
	const struct belay__spawn_record *record = start->spawn->record;
	struct belay__started started = {
		.magic = BELAY__STARTED_MAGIC,
		.pid = (uint32_t)getpid(),
		.id = record->id,
		.start_ticks = own_start_ticks(),
	};
	ssize_t n;

	started.check = belay__fnv(&started, offsetof(struct belay__started, check));
	n = pwrite(start->record_fd, &started, sizeof(started), record->offset);
	if (n < 0)
		return -errno;
	return n == (ssize_t)sizeof(started) ? 0 : -EIO;
}

static int limit_itself(const struct belay__spawn *spawn)
{
	for (size_t i = 0; i < spawn->limit_count; i++)
		if (prlimit(0, (unsigned)spawn->limits[i].resource, &spawn->limits[i].limit, NULL) <
			0)
			return -errno;
	return 0;
}

static int watch_parent(const struct belay__start *start)
{
	if (prctl(PR_SET_PDEATHSIG, (unsigned long)start->spawn->death_signal, 0UL, 0UL, 0UL) < 0)
		return -errno;
	/* It died before it was watched: nobody is left to be told. */
	if (getppid() != start->parent)
		_exit(127);
	return 0;
}

/* The order matters: what needs privileges comes before they are given up, which also unsets the
 * death signal, and the record comes before limits that could keep it from being written. */
static int take_step(struct belay__start *start, enum belay__start_step step)
{
	const struct belay__spawn *spawn = start->spawn;

	switch (step) {
	case BELAY__STEP_GROUP:
		return spawn->new_group && setpgid(0, 0) < 0 ? -errno : 0;
	case BELAY__STEP_FDS:
		return place_fds(start);
	case BELAY__STEP_CREDENTIALS:
		return spawn->credentials != NULL ? become_somebody(spawn->credentials) : 0;
	case BELAY__STEP_DIRECTORY:
		if (spawn->umask != NULL)
			(void)umask(*spawn->umask);
		return spawn->directory != NULL && chdir(spawn->directory) < 0 ? -errno : 0;
	case BELAY__STEP_PRIVILEGES:
		return spawn->no_new_privileges ? give_up_privileges() : 0;
	case BELAY__STEP_DEATH_SIGNAL:
		return spawn->death_signal != 0 ? watch_parent(start) : 0;
	case BELAY__STEP_RECORD:
		return spawn->record != NULL ? write_record(start) : 0;
	case BELAY__STEP_LIMITS:
		return limit_itself(spawn);
	case BELAY__STEP_NONE:
	case BELAY__STEP_EXEC:
		break;
	}
	return 0;
}

/* Becomes the program; returns only when that failed. */
static struct belay__start_failure become(struct belay__start *start)
{
	const struct belay__spawn *spawn = start->spawn;
	char *const *argv = (char *const *)(uintptr_t)spawn->argv;
	static const belay__signal_set none;

	reset_signals();
	for (int step = BELAY__STEP_GROUP; step < BELAY__STEP_EXEC; step++) {
		int r = take_step(start, (enum belay__start_step)step);

		if (r < 0)
			return failed(-r, (enum belay__start_step)step);
	}
	close_others(start);

	/* Not earlier: until here a handler of the parent's could have run on its memory. */
	(void)belay__set_signal_mask(none, NULL);
	if (spawn->path != NULL)
		(void)execve(spawn->path, argv, start->envp);
	else
		(void)syscall(SYS_execveat, start->exec_fd, "", argv, start->envp, AT_EMPTY_PATH);
	return failed(errno, BELAY__STEP_EXEC);
}

/* A child that shares no memory begins when its parent holds a pidfd, or never. */
static void wait_for_go(const struct belay__start *start)
{
	char go;

	(void)close(start->parent_end);
	if (read(start->child_end, &go, sizeof(go)) != (ssize_t)sizeof(go))
		_exit(127);
}

int belay__child_main(void *argument)
{
	struct belay__start *start = argument;
	struct belay__start_failure failure;

	if (start->child_end >= 0)
		wait_for_go(start);
	failure = become(start);
	if (start->child_end >= 0)
		(void)send(start->child_end, &failure, sizeof(failure), MSG_NOSIGNAL);
	else
		start->failure = failure;
	_exit(127);
}
