#include "export/signal_name.h"

#include <signal.h>
#include <stddef.h>

/* By hand, because musl has no sigabbrev_np(). Numbers differ between architectures, so the headers
 * say them. */
/* clang-format off */
#define ROW(signal_) { #signal_, signal_ }
static const struct {
	const char *name;
	int number;
} signals[] = {
	ROW(SIGABRT), ROW(SIGALRM), ROW(SIGBUS), ROW(SIGCHLD), ROW(SIGCONT), ROW(SIGFPE),
	ROW(SIGHUP), ROW(SIGILL), ROW(SIGINT), ROW(SIGIO), ROW(SIGKILL), ROW(SIGPIPE),
	ROW(SIGPROF), ROW(SIGPWR), ROW(SIGQUIT), ROW(SIGSEGV), ROW(SIGSTOP), ROW(SIGSYS),
	ROW(SIGTERM), ROW(SIGTRAP), ROW(SIGTSTP), ROW(SIGTTIN), ROW(SIGTTOU), ROW(SIGURG),
	ROW(SIGUSR1), ROW(SIGUSR2), ROW(SIGVTALRM), ROW(SIGWINCH), ROW(SIGXCPU), ROW(SIGXFSZ),
};
/* clang-format on */

const char *belay__signal_name(int64_t number)
{
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (signals[i].number == number)
			return signals[i].name;
	return NULL;
}

void belay__text_add_signal(struct belay__text *text, int64_t number)
{
	const char *name = belay__signal_name(number);

	if (name != NULL)
		belay__text_addf(text, "%s (%d)", name, (int)number);
	else
		belay__text_addf(text, "signal %lld", (long long)number);
}
