#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "observe/roles.h"

/* A terminal's signals go to the whole group; the parent answers them for all of us. SIGTERM and
 * SIGKILL still end a role alone. A pipe without a reader and a file at its limit are errors to us,
 * not deaths. */
static const int parents_signals[] = { SIGINT, SIGQUIT, SIGHUP, SIGPIPE, SIGXFSZ };

int belay__role_begin(const char *name)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	for (unsigned i = 0; i < sizeof(parents_signals) / sizeof(parents_signals[0]); i++)
		if (sigaction(parents_signals[i], &ignore, NULL) < 0)
			return -errno;
	(void)prctl(PR_SET_NAME, name);
	/* Deadlines are kept to the microsecond, not to the 50 that threads get by default. */
	(void)prctl(PR_SET_TIMERSLACK, 1);
	(void)belay__fd_raise_limit();
	return 0;
}

int belay__role_keep_capability(int capability)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	if (geteuid() != 0)
		return 0;
	for (int other = 0; prctl(PR_CAPBSET_READ, other) >= 0; other++)
		if (other != capability)
			(void)prctl(PR_CAPBSET_DROP, other);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (capability >= 0) {
		data[CAP_TO_INDEX(capability)].permitted = CAP_TO_MASK(capability);
		data[CAP_TO_INDEX(capability)].effective = CAP_TO_MASK(capability);
		if (syscall(SYS_capset, &header, data) == 0)
			return 0;
		/* A container that was never given it: then none is kept. */
		memset(data, 0, sizeof(data));
	}
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}
