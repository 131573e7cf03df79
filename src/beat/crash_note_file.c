#include "beat/crash_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/socket_path.h"

#define DIRECTORY_SUFFIX ".crash"

/* A note is a plain file of this user with one name. */
static int look_at(int fd, struct stat *ret_status)
{
	if (fstat(fd, ret_status) < 0)
		return -errno;
	return S_ISREG(ret_status->st_mode) && ret_status->st_uid == geteuid() &&
			ret_status->st_nlink == 1
		? 0
		: -EPERM;
}

static int lift(int *fd)
{
	const int higher = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	if (higher < 0)
		return -errno;
	(void)belay__close(*fd);
	*fd = higher;
	return 0;
}

/* Never 0, 1 or 2. What is made and then refused, as on a file system that gives files to somebody
 * else, does not stay. */
static int open_file(const char *path, struct stat *ret_status, bool *ret_made)
{
	const int flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	_cleanup_close_ int fd = open(path, flags | O_CREAT | O_EXCL, 0600);
	const bool made = fd >= 0;
	int r;

	if (fd < 0 && errno == EEXIST)
		fd = open(path, flags);
	if (fd < 0)
		return -errno;
	r = look_at(fd, ret_status);
	if (r == 0 && fd <= STDERR_FILENO)
		r = lift(&fd);
	if (r < 0) {
		if (made)
			(void)unlink(path);
		return r;
	}
	*ret_made = made;
	return TAKE_FD(fd);
}

int belay__crash_note_open(const char *path, struct belay__crash_note *ret_note)
{
	struct belay__crash_note note = { .pid = (uint32_t)getpid() };
	_cleanup_close_ int fd = -EBADF;
	struct stat status = { 0 };

	note.path = strdup(path);
	if (note.path == NULL)
		return -ENOMEM;
	fd = open_file(path, &status, &note.made);
	if (fd < 0) {
		free(note.path);
		return fd;
	}
	note.device = status.st_dev;
	note.inode = status.st_ino;
	note.fd = TAKE_FD(fd);
	*ret_note = note;
	return 0;
}

/* Why there may be no note: no observer is there, it watches somebody else's processes, or something
 * else has its name. */
static bool nobody_asked(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -EACCES || r == -EPERM || r == -EROFS ||
		r == -ELOOP || r == -ENXIO || r == -EISDIR;
}

static int open_beside(const char *socket, struct belay__crash_note *ret_note)
{
	char path[BELAY__SOCKET_PATH_SIZE + sizeof(DIRECTORY_SUFFIX "/4294967295")];

	(void)snprintf(path, sizeof(path), "%s" DIRECTORY_SUFFIX "/%u", socket, (unsigned)getpid());
	return belay__crash_note_open(path, ret_note);
}

int belay__crash_note_open_auto(const char *socket, struct belay__crash_note *ret_note)
{
	struct belay__socket_candidates candidates;
	int r = -ENOENT;

	if (socket != NULL) {
		r = open_beside(socket, ret_note);
		return nobody_asked(r) ? 0 : r;
	}
	belay__socket_candidates(&candidates);
	for (size_t i = 0; i < candidates.count && nobody_asked(r); i++)
		r = open_beside(candidates.path[i], ret_note);
	return nobody_asked(r) ? 0 : r;
}

static bool is_still_it(const struct belay__crash_note *note)
{
	struct stat status;

	return note->fd >= 0 && fstat(note->fd, &status) == 0 && status.st_dev == note->device &&
		status.st_ino == note->inode;
}

int belay__crash_note_empty(const struct belay__crash_note *note)
{
	if (note->fd < 0)
		return 0;
	return fchmod(note->fd, 0600) < 0 || ftruncate(note->fd, 0) < 0 ? -errno : 0;
}

void belay__crash_note_close(struct belay__crash_note *note, bool remove)
{
	struct stat status;

	if (is_still_it(note)) {
		/* In a forked child the file is still its parent's. */
		if (remove && note->made && note->pid == (uint32_t)getpid() &&
			lstat(note->path, &status) == 0 && status.st_dev == note->device &&
			status.st_ino == note->inode)
			(void)unlink(note->path);
		(void)belay__close(note->fd);
	}
	free(note->path);
	*note = BELAY__CRASH_NO_NOTE;
}

/* Text that grows in a handler; what does not fit is left out. */
struct line {
	char *chars;
	unsigned len;
};

static void add(struct line *line, const char *string)
{
	for (; *string != '\0' && line->len < BELAY__CRASH_NOTE_MAX; string++)
		line->chars[line->len++] = *string;
}

/* In base 10 or 16, at least WIDTH digits. */
static void add_number(struct line *line, uint64_t value, bool hex, unsigned width)
{
	const unsigned base = hex ? 16 : 10;
	char digits[21];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value > 0 || sizeof(digits) - 1 - at < width);
	add(line, &digits[at]);
}

static void add_signed(struct line *line, int64_t value)
{
	if (value < 0)
		add(line, "-");
	add_number(line, value < 0 ? UINT64_C(0) - (uint64_t)value : (uint64_t)value, false, 1);
}

static const char *name_of(int number)
{
	switch (number) {
	case SIGSEGV:
		return "SIGSEGV";
	case SIGBUS:
		return "SIGBUS";
	case SIGFPE:
		return "SIGFPE";
	case SIGILL:
		return "SIGILL";
	case SIGABRT:
		return "SIGABRT";
	default:
		return "SIGSYS";
	}
}

/* Who or what it was: a process that sent the signal, a system call, or an address. */
static void add_cause(struct line *line, int number, const siginfo_t *info)
{
	if (info->si_code == SI_USER || info->si_code == SI_QUEUE || info->si_code == SI_TKILL) {
		add(line, "sender ");
		add_number(line, (uint32_t)info->si_pid, false, 1);
		add(line, " ");
		add_number(line, info->si_uid, false, 1);
		add(line, "\n");
	} else if (number == SIGSYS && info->si_code > 0) {
		add(line, "syscall ");
		add_signed(line, info->si_syscall);
		add(line, "\n");
	} else if (info->si_code > 0 && info->si_code != SI_KERNEL) {
		add(line, "address 0x");
		add_number(line, (uintptr_t)info->si_addr, true, 1);
		add(line, "\n");
	}
}

unsigned belay__crash_note_text(char text[static BELAY__CRASH_NOTE_MAX], int number,
	const siginfo_t *info, uint64_t program_counter, uint32_t thread, uint64_t realtime_ns)
{
	struct line line = { .chars = text };

	add(&line, "belay-crash 1\nsignal ");
	add_signed(&line, number);
	add(&line, " ");
	add(&line, name_of(number));
	add(&line, "\ncode ");
	add_signed(&line, info->si_code);
	add(&line, "\n");
	add_cause(&line, number, info);
	add(&line, "pc 0x");
	add_number(&line, program_counter, true, 1);
	add(&line, "\nthread ");
	add_number(&line, thread, false, 1);
	add(&line, "\ntime ");
	add_number(&line, realtime_ns / BELAY__NS_PER_S, false, 1);
	add(&line, ".");
	add_number(&line, realtime_ns % BELAY__NS_PER_S, false, 9);
	add(&line, "\n");
	return line.len;
}

/* Where the thread was; 0 on machines whose registers are not known here. */
static uint64_t program_counter_of(const void *context)
{
	const ucontext_t *state = context;

#if defined(__x86_64__)
	return (uint64_t)state->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return state->uc_mcontext.pc;
#else
	(void)state;
	return 0;
#endif
}

void belay__crash_note_write(struct belay__crash_note *note, int number, const siginfo_t *info,
	const void *context)
{
	char text[BELAY__CRASH_NOTE_MAX];
	unsigned len;

	/* Of two threads one writes. The program may have closed what it did not know and got the
	 * number for a file of its own. */
	if (atomic_exchange(&note->written, true) || !is_still_it(note))
		return;
	len = belay__crash_note_text(text, number, info, program_counter_of(context),
		(uint32_t)gettid(), belay__clock_ns(CLOCK_REALTIME));
	if (write(note->fd, text, len) < 0)
		return; /* the frame said what matters */
}
