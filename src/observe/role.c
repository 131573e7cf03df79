#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>

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
