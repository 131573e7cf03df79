#include "identity/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/text.h"
#include "identity/proc_file.h"
#include "identity/proc_text.h"

/* As getdents64(2) writes it; opendir(3) would allocate. */
struct entry {
	uint64_t inode;
	int64_t offset;
	uint16_t len;
	uint8_t type;
	char name[];
};

static void add_schedule(int taskfd, const char *path, struct belay__thread_sums *sums)
{
	char bytes[128];
	struct belay__schedstat schedstat;
	ssize_t n = belay__read_file(taskfd, path, bytes, sizeof(bytes));

	if (n < 0 || belay__parse_schedstat(bytes, (size_t)n, &schedstat) < 0) {
		sums->scheduled = false;
		return;
	}
	sums->run_delay_ns += schedstat.run_delay_ns;
	sums->cpu_ns += schedstat.cpu_ns;
	sums->slices += schedstat.slices;
}

/* A thread that ends while it is looked at was not there. */
static void add_thread(int taskfd, const char *name, struct belay__thread_sums *sums)
{
	char path[64];
	struct belay__text text;
	struct belay__stat stat;
	uint64_t tid;

	if (belay__parse_u64(name, 1, INT32_MAX, &tid) < 0)
		return;
	belay__text_init(&text, path, sizeof(path));
	belay__text_add(&text, name);
	belay__text_add(&text, "/stat");
	if (belay__proc_stat_at(taskfd, path, &stat) < 0)
		return;

	sums->looked_at++;
	sums->tids += tid;
	sums->runnable += stat.state == 'R';
	sums->uninterruptible += stat.state == 'D';

	belay__text_init(&text, path, sizeof(path));
	belay__text_add(&text, name);
	belay__text_add(&text, "/schedstat");
	add_schedule(taskfd, path, sums);
}

static void add_entries(int taskfd, const char *bytes, size_t len, struct belay__thread_sums *sums)
{
	for (size_t at = 0; at < len && sums->looked_at < BELAY__THREADS_LOOKED_AT;) {
		uint16_t entry_len;

		memcpy(&entry_len, bytes + at + offsetof(struct entry, len), sizeof(entry_len));
		if (entry_len == 0)
			return;
		add_thread(taskfd, bytes + at + offsetof(struct entry, name), sums);
		at += entry_len;
	}
}

int belay__threads_sum(int procfd, struct belay__thread_sums *ret_sums)
{
	_cleanup_close_ int taskfd = openat(procfd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct belay__thread_sums sums = { .scheduled = true };
	alignas(struct entry) char entries[2048];

	if (taskfd < 0)
		return -errno;
	while (sums.looked_at < BELAY__THREADS_LOOKED_AT) {
		long n = syscall(SYS_getdents64, taskfd, entries, sizeof(entries));

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		add_entries(taskfd, entries, (size_t)n, &sums);
	}
	if (sums.looked_at == 0)
		return -ESRCH;

	/* Who never ran cannot be looked at either: a kernel that keeps no such counts shows
	 * zeros. */
	if (sums.slices == 0)
		sums.scheduled = false;
	*ret_sums = sums;
	return 0;
}
