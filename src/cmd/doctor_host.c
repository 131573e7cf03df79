/* What belay doctor looks at on the host: the kernel's features, limits, and what may be seen of
 * processes. */

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/missing.h"
#include "cmd/doctor_checks.h"

/* Descriptors that an observer needs besides one a process. */
#define OTHER_FDS 128

static int pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static bool has_pidfd(void)
{
	_cleanup_close_ int fd = pidfd_of(getpid());

	return fd >= 0;
}

static bool has_socket_option(int option)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int on = 1;

	return fd >= 0 && setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on)) == 0;
}

static bool has_passpidfd(void)
{
	return has_socket_option(SO_PASSPIDFD);
}

static bool has_passrights(void)
{
	return has_socket_option(SO_PASSRIGHTS);
}

/* Whether the kernel still tells how a child ended after it was reaped: asked about a child of our
 * own that exits with 7. */
static bool tells_exits(void)
{
	struct belay__pidfd_info info = { .mask = BELAY__PIDFD_INFO_EXIT };
	_cleanup_close_ int fd = -EBADF, wait_end = -EBADF, hold_end = -EBADF;
	int ends[2], status = 0;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	wait_end = ends[0];
	hold_end = ends[1];
	child = fork();
	if (child < 0)
		return false;
	if (child == 0) {
		char byte;

		(void)close(hold_end);
		while (read(wait_end, &byte, 1) < 0 && errno == EINTR)
			;
		_exit(7);
	}
	fd = pidfd_of(child);
	(void)belay__close(TAKE_FD(hold_end));
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return fd >= 0 && ioctl(fd, BELAY__PIDFD_GET_INFO, &info) == 0 &&
		(info.mask & BELAY__PIDFD_INFO_EXIT) != 0 && WEXITSTATUS(info.exit_code) == 7;
}

static bool has_seccomp(void)
{
	unsigned kill = SECCOMP_RET_KILL_PROCESS;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &kill) == 0;
}

static bool has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

/* clang-format off */
static const struct {
	bool (*has)(void);
	bool needed;
	const char *name, *since, *without;
} features[] = {
	{ has_pidfd,      true,  "pidfd_open",          "5.3",  "ends are not seen" },
	{ has_passpidfd,  false, "SO_PASSPIDFD",        "6.5",  "askers at the door are named by pid alone" },
	{ has_passrights, false, "SO_PASSRIGHTS",       "6.16", "unwanted descriptors are closed by a thread" },
	{ has_seccomp,    false, "seccomp",             "4.14", "a role that is taken over can make any system call" },
	{ has_landlock,   false, "Landlock",            "5.13", "a role that is taken over can open what its user can" },
	{ tells_exits,    false, "PIDFD_GET_INFO exit", "6.15", "how other users' processes ended is often unknown" },
};
/* clang-format on */

void belay__check_kernel(struct belay__patient *patient, struct belay__findings *findings)
{
	struct utsname host = { 0 };

	(void)patient;
	(void)uname(&host);
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		if (features[i].has())
			belay__found(findings, BELAY__LEVEL_OK, "", "%s: yes", features[i].name);
		else
			belay__found(findings,
				features[i].needed ? BELAY__LEVEL_FAIL : BELAY__LEVEL_OK,
				features[i].needed
					? "use Linux 5.10 or later, and a sandbox that allows it"
					: "",
				"%s: not in %s (Linux %s has it); without it %s", features[i].name,
				host.release, features[i].since, features[i].without);
	}
}

/* The soft limit of open files of process PID, or ours when it cannot be read. */
static uint64_t descriptor_limit(uint64_t pid)
{
	static const char row[] = "Max open files";
	struct rlimit limit = { .rlim_cur = 0 };
	char path[64], text[4096];
	const char *found;

	(void)snprintf(path, sizeof(path), "/proc/%llu/limits", (unsigned long long)pid);
	if (pid != 0 && belay__read_file(AT_FDCWD, path, text, sizeof(text)) > 0) {
		found = strstr(text, row);
		if (found != NULL)
			return strtoull(found + sizeof(row) - 1, NULL, 10);
	}
	/* An observer raises its own to the hard limit. */
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_max;
}

/* The pid of the role called "gate": it holds a descriptor for each process. */
static uint64_t gate_pid(const struct belay__patient *patient)
{
	struct belay__json roles, role, value;
	char name[32];
	size_t cursor = 0;
	uint64_t pid;

	if (!patient->there || belay__json_member(&patient->self.object, "roles", &roles) < 0)
		return 0;
	while (belay__json_next(&roles, &cursor, &role) > 0)
		if (belay__json_member(&role, "name", &value) == 0 &&
			belay__json_get_string(&value, name, sizeof(name)) >= 0 &&
			strcmp(name, "gate") == 0 && belay__json_member(&role, "pid", &value) == 0 &&
			belay__json_get_u64(&value, &pid) >= 0)
			return pid;
	return 0;
}

void belay__check_descriptors(struct belay__patient *patient, struct belay__findings *findings)
{
	uint64_t capacity = patient->there ? belay__self_number(&patient->self, "capacity", 4096)
					   : 4096;
	uint64_t limit = descriptor_limit(gate_pid(patient));

	if (limit < capacity + OTHER_FDS)
		belay__found(findings, BELAY__LEVEL_WARN,
			"raise the hard limit of open files (ulimit -Hn, LimitNOFILE=) or lower "
			"--capacity",
			"%llu may be open, but a full table of %llu processes needs one each: the "
			"ends of some would be noticed late",
			(unsigned long long)limit, (unsigned long long)capacity);
	else
		belay__found(findings, BELAY__LEVEL_OK, "", "%llu may be open, %llu processes fit",
			(unsigned long long)limit, (unsigned long long)capacity);
}

/* Whether /proc hides the processes of other users. */
static bool hides_processes(void)
{
	static char mounts[32768];
	char *rest = NULL;

	if (belay__read_file(AT_FDCWD, "/proc/self/mounts", mounts, sizeof(mounts)) <= 0)
		return false;
	for (char *line = strtok_r(mounts, "\n", &rest); line != NULL;
		line = strtok_r(NULL, "\n", &rest)) {
		const char *hidden = strstr(line, "hidepid=");

		if (strstr(line, " /proc proc ") != NULL && hidden != NULL)
			return hidden[8] != '0' && strncmp(hidden + 8, "off", 3) != 0;
	}
	return false;
}

void belay__check_sight(struct belay__patient *patient, struct belay__findings *findings)
{
	uint64_t uid = patient->there ? patient->uid : geteuid();
	char scope[8] = "0";

	(void)belay__read_file(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope));
	scope[strcspn(scope, "\n")] = '\0';
	if (scope[0] != '0' && uid != 0)
		belay__found(findings, BELAY__LEVEL_WARN,
			"run the observer as root, or set sysctl kernel.yama.ptrace_scope=0",
			"kernel.yama.ptrace_scope=%s: the system call in which a stalled process "
			"waits cannot be read",
			scope);
	else
		belay__found(findings, BELAY__LEVEL_OK,
			"", "kernel.yama.ptrace_scope=%s lets an observer of uid %llu see why a process waits",
			scope, (unsigned long long)uid);
	if (hides_processes() && uid != 0)
		belay__found(findings, BELAY__LEVEL_WARN,
			"run the observer as root to watch other users' processes",
			"/proc is mounted with hidepid: processes of other users cannot be seen");
	else
		belay__found(findings, BELAY__LEVEL_OK, "", "/proc shows what is needed");
}
