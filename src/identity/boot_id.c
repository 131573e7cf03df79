#include "identity/boot_id.h"

#include <ctype.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char boot_id[64];

static void read_boot_id(void)
{
	ssize_t n = belay__read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot_id,
		sizeof(boot_id));
	uint64_t random = 0;

	while (n > 0 && isspace((unsigned char)boot_id[n - 1]))
		boot_id[--n] = '\0';
	if (n > 0)
		return;
	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	(void)snprintf(boot_id, sizeof(boot_id), "unknown-%d-%016llx-%llx", getpid(),
		(unsigned long long)random, (unsigned long long)belay__clock_ns(CLOCK_REALTIME));
}

const char *belay__boot_id_text(void)
{
	(void)pthread_once(&once, read_boot_id);
	return boot_id;
}
