#include "identity/boot_id.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool known;
static char boot_id[64];

/* A text of its own for a process that is not told. */
static void make_one_up(void)
{
	uint64_t random = 0;

	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	(void)snprintf(boot_id, sizeof(boot_id), "unknown-%d-%016llx-%llx", getpid(),
		(unsigned long long)random, (unsigned long long)belay__clock_ns(CLOCK_REALTIME));
}

/* What a lack of descriptors or memory hides now it may show later; what is not there or not permitted
 * stays so. */
static bool is_final(ssize_t n)
{
	return n >= 0 || n == -ENOENT || n == -ENOTDIR || n == -EACCES || n == -EPERM;
}

static int read_boot_id(void)
{
	char text[sizeof(boot_id)] = "";
	ssize_t n = belay__read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text,
		sizeof(text));

	if (!is_final(n))
		return (int)n;
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		text[--n] = '\0';
	if (n > 0)
		memcpy(boot_id, text, sizeof(boot_id));
	else
		make_one_up();
	return 0;
}

int belay__boot_id_text(const char **ret_text)
{
	int r = 0;

	(void)pthread_mutex_lock(&mutex);
	if (!known)
		r = read_boot_id();
	known = known || r == 0;
	(void)pthread_mutex_unlock(&mutex);
	if (r == 0)
		*ret_text = boot_id;
	return r;
}
