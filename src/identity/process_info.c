#include "identity/process_info.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "identity/aide.h"
#include "identity/proc_file.h"
#include "identity/proc_text.h"

enum { GENERATIONS_MAX = 64 };

int belay__read_stat(pid_t pid, struct belay__stat *ret_stat)
{
	return belay__proc_stat(pid, ret_stat);
}

int belay__read_pid_namespace(pid_t pid, uint64_t *ret_inode)
{
	char link[64];
	ssize_t n = belay__proc_readlink(pid, "ns/pid", link, sizeof(link));
	struct belay__aide_facts facts;

	if (n == -EACCES && belay__aide_ask(pid, 0, BELAY__AIDE_PID_NS, &facts) == 0) {
		*ret_inode = facts.pid_ns;
		return 0;
	}
	return n < 0 ? (int)n : belay__parse_namespace(link, (size_t)n, ret_inode);
}

static int read_status(pid_t pid, const char *key, bool last, uint64_t *ret_number)
{
	_cleanup_close_ int procfd = belay__proc_open(pid);
	int r;

	if (procfd < 0)
		return procfd;
	r = belay__proc_status_at(procfd, key, last, ret_number);
	if (r != -ENOENT)
		return r;
	/* Either the file went away with its process, or the kernel writes no such line. */
	return faccessat(procfd, "status", F_OK, 0) < 0 ? -ESRCH : -EBADMSG;
}

int belay__read_inner_pid(pid_t pid, pid_t *ret_pid)
{
	uint64_t number;
	int r = read_status(pid, "NSpid:", true, &number);

	if (r < 0)
		return r;
	if (number > INT_MAX)
		return -EBADMSG;
	*ret_pid = (pid_t)number;
	return 0;
}

int belay__read_uid(pid_t pid, uid_t *ret_uid)
{
	uint64_t number;
	int r = read_status(pid, "Uid:", false, &number);

	if (r < 0)
		return r;
	if (number > UINT32_MAX)
		return -EBADMSG;
	*ret_uid = (uid_t)number;
	return 0;
}

int belay__is_ancestor(pid_t pid, pid_t ancestor)
{
	if (ancestor <= 1)
		return 0;

	for (int generation = 0; generation < GENERATIONS_MAX; generation++) {
		struct belay__stat stat;
		int r = belay__read_stat(pid, &stat);

		if (r < 0)
			return r;
		if (stat.ppid == ancestor)
			return 1;
		if (stat.ppid <= 1)
			return 0;
		pid = stat.ppid;
	}
	return 0;
}

int64_t belay__read_pid_max(void)
{
	char bytes[32];
	uint64_t number;
	ssize_t n = belay__read_file(AT_FDCWD, "/proc/sys/kernel/pid_max", bytes, sizeof(bytes));

	if (n < 0)
		return n;
	if (n > 0 && bytes[n - 1] == '\n')
		bytes[n - 1] = '\0';
	if (belay__parse_u64(bytes, 1, INT_MAX, &number) < 0)
		return -EBADMSG;
	return (int64_t)number;
}
