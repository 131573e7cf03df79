#include "beat/crash_internal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/hot.h"

enum { COUNT = 6 };
static const int numbers[COUNT] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS };

/* A signal of ours. OLD is what was there before and is valid while TAKEN. */
struct taken {
	/* The process where somebody has gone back to the default action for good. It is one's own, or
	 * one that this memory is shared with or was copied of: then it means nothing here. */
	_Atomic pid_t dying;
	bool taken;
	struct sigaction old;
};
/* By their numbers, so that the handler finds its own without looking. */
static struct taken signals[SIGSYS + 1];

/* That a handler was there before is not remembered beside the kernel's table of actions but in it: a
 * child of vfork(2) has a table of its own, and everything else is its parent's. */
static void on_crash(int number, siginfo_t *info, void *context);
static void on_chained(int number, siginfo_t *info, void *context);

static bool is(const struct sigaction *action, void (*handler)(int, siginfo_t *, void *))
{
	return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == handler;
}

static bool is_ours(const struct sigaction *action)
{
	return is(action, on_crash) || is(action, on_chained);
}

/* Every signal is blocked meanwhile: without the hook there would be no process any more that could
 * take one, and a second fault must not come back here (the kernel ends the process then). */
static struct sigaction plain_action(void)
{
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK };

	action.sa_sigaction = on_crash;
	memset(&action.sa_mask, 0xff, sizeof(action.sa_mask));
	return action;
}

/* As the old handler would be called: with its mask, on its stack. SA_RESETHAND is done by hand. */
static struct sigaction chained_action(const struct sigaction *old)
{
	struct sigaction action = *old;

	action.sa_sigaction = on_chained;
	action.sa_flags = (old->sa_flags & ~(int)SA_RESETHAND) | SA_SIGINFO;
	return action;
}

static bool is_one_of(int code, const int *codes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (codes[i] == code)
			return true;
	return false;
}

/* Codes that are not here belong to what comes from outside of the instruction or is over when it is
 * told: SI_KERNEL (also `int $4`, behind which the program would go on), BUS_MCEERR_AO and memory tags
 * checked later (asynchronous), system calls that a filter refused, and all that processes send. Those
 * would be survived by returning. */
bool belay__crash_comes_again(int number, int code)
{
	static const int segv[] = { SEGV_MAPERR, SEGV_ACCERR, SEGV_PKUERR };
	static const int bus[] = { BUS_ADRALN, BUS_ADRERR };
	static const int fpe[] = { FPE_INTDIV, FPE_INTOVF, FPE_FLTDIV, FPE_FLTOVF, FPE_FLTUND,
		FPE_FLTRES, FPE_FLTINV, FPE_FLTSUB };
	static const int ill[] = { ILL_ILLOPC, ILL_ILLOPN, ILL_ILLADR, ILL_ILLTRP, ILL_PRVOPC,
		ILL_PRVREG, ILL_COPROC, ILL_BADSTK };

	switch (number) {
	case SIGSEGV:
		return is_one_of(code, segv, sizeof(segv) / sizeof(segv[0]));
	case SIGBUS:
		return is_one_of(code, bus, sizeof(bus) / sizeof(bus[0]));
	case SIGFPE:
		return is_one_of(code, fpe, sizeof(fpe) / sizeof(fpe[0]));
	case SIGILL:
		return is_one_of(code, ill, sizeof(ill) / sizeof(ill[0]));
	default:
		return false;
	}
}

static const struct sigaction by_default = { .sa_handler = SIG_DFL };

/* The kernel takes the thread's mask from here when the handler returns. The signal may have come
 * through a mask that was there only while the thread waited (sigsuspend(2), ppoll(2)), behind which it
 * is blocked; and whatever came in the meantime, to end the process otherwise or well, is to come too
 * late. The kernel's set is shorter than the C library's, and other things lie behind it. */
static BELAY__HOT void let_through_only(int number, void *context)
{
	ucontext_t *state = context;
	unsigned long mask[64 / 8 / sizeof(unsigned long)];

	if (state == NULL) /* a handler above this one that was not told */
		return;
	memset(mask, 0xff, sizeof(mask)); /* also those that the C library keeps for itself */
	mask[0] &= ~(1UL << (number - 1));
	memcpy(&state->uc_sigmask, mask, sizeof(mask));
}

/* Where a filter forbids all that leads to the default action: an instruction that fails ends the
 * process as a crash, because its signal is blocked or has the default action. Living on is no way, and
 * an exit would look like one that was meant. */
__attribute__((noreturn, cold)) static void end_anyhow(void)
{
	(void)sigaction(SIGILL, &by_default, NULL);
	__builtin_trap();
}

/* Does what the signal would have done without the hook. An instruction that fails again is run again
 * by returning. Anything else is queued once more, as it came, to this very thread: to itself a thread
 * may send any siginfo, also one with the kernel's codes. The signal is blocked until the handler
 * returns, so that the process ends where it was when the signal came. */
static BELAY__HOT void end_by_default(struct taken *signal, int number, siginfo_t *info,
	void *context)
{
	const pid_t pid = getpid();
	pid_t thread;

	let_through_only(number, context);
	atomic_store(&signal->dying, pid);
	if (sigaction(number, &by_default, NULL) < 0)
		end_anyhow();
	if (belay__crash_comes_again(number, info->si_code))
		return;

	thread = gettid();
	if (syscall(SYS_rt_tgsigqueueinfo, pid, thread, number, info) != 0 &&
		syscall(SYS_tgkill, pid, thread, number) != 0)
		end_anyhow();
}

/* The default action is ours again, so that we hear when it is really taken. */
static void stand_for_default(struct taken *signal, int number)
{
	const struct sigaction action = plain_action();

	if (atomic_load(&signal->dying) != getpid())
		(void)sigaction(number, &action, NULL);
}

/* Runs the handler that was there before us; it may leave by siglongjmp(). When it returns it has dealt
 * with the signal, or it has set the default action, to which a fault that comes again or a signal that
 * it has raised again, still pending, leads: then this hook takes the default action's place, and is
 * called for the last word when it comes to that. */
static void run_old(struct taken *signal, int number, siginfo_t *info, void *context)
{
	const struct sigaction *old = &signal->old;
	struct sigaction now;

	if ((old->sa_flags & (int)SA_RESETHAND) != 0)
		stand_for_default(signal, number);

	if ((old->sa_flags & SA_SIGINFO) != 0)
		old->sa_sigaction(number, info, context);
	else
		old->sa_handler(number);

	if (sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		stand_for_default(signal, number);
}

static BELAY__HOT void on_crash(int number, siginfo_t *info, void *context)
{
	int saved = errno;

	belay__crash_say(number, info, context);
	end_by_default(&signals[number], number, info, context);
	errno = saved;
}

/* One that was set above this one may call it when there is no handler below it any more. */
static void on_chained(int number, siginfo_t *info, void *context)
{
	int saved = errno;
	struct taken *signal = &signals[number];

	if (signal->old.sa_handler == SIG_DFL)
		on_crash(number, info, context);
	else
		run_old(signal, number, info, context);
	errno = saved;
}

/* What there was before an installation: what the kernel knows of the signal, and what we do. */
struct before {
	struct sigaction action;
	struct taken ours;
};

static int set(int number, const struct sigaction *action)
{
	return sigaction(number, action, NULL) < 0 ? -errno : 0;
}

/* Sets ACTION, which may call OLD. What the handler reads is written before. */
static int take(int number, const struct sigaction *old, struct sigaction action)
{
	struct taken *signal = &signals[number];

	signal->old = *old;
	signal->taken = true;
	atomic_store(&signal->dying, 0);
	return sigaction(number, &action, NULL) < 0 ? -errno : 1;
}

/* 1: the signal is ours, 0: it is left alone; or a negative errno. */
static int decide(int number, const struct sigaction *there, bool chain)
{
	struct taken *signal = &signals[number];

	if (is_ours(there)) {
		if (chain || !is(there, on_chained))
			return 1;
		signal->taken = false;
		return set(number, &signal->old);
	}
	if (there->sa_handler == SIG_DFL)
		return take(number, there, plain_action());
	/* Whoever came between may call us as the handler before it; two that call each other would
	 * never end. */
	if (there->sa_handler == SIG_IGN || !chain || signal->taken)
		return 0;
	return take(number, there, chained_action(there));
}

int belay__crash_signals_take(bool chain, uint64_t *ret_installed, uint64_t *ret_left_alone)
{
	struct before before[COUNT];
	uint64_t installed = 0, left_alone = 0;

	for (size_t i = 0; i < COUNT; i++) {
		before[i].ours = signals[numbers[i]];
		if (sigaction(numbers[i], NULL, &before[i].action) < 0)
			return -errno;
	}
	for (size_t i = 0; i < COUNT; i++) {
		int r = decide(numbers[i], &before[i].action, chain);

		if (r < 0) {
			for (size_t undo = 0; undo <= i; undo++) {
				(void)set(numbers[undo], &before[undo].action);
				signals[numbers[undo]] = before[undo].ours;
			}
			return r;
		}
		*(r > 0 ? &installed : &left_alone) |= UINT64_C(1) << numbers[i];
	}
	*ret_installed = installed;
	*ret_left_alone = left_alone;
	return 0;
}

/* A handler that somebody set above ours stays; when it calls ours as the one before it, ours still
 * knows what to do. A handler that ran for the one time that it was set for does not come back. */
void belay__crash_signals_give_back(void)
{
	for (size_t i = 0; i < COUNT; i++) {
		struct taken *signal = &signals[numbers[i]];
		struct sigaction now;

		if (!signal->taken || sigaction(numbers[i], NULL, &now) < 0 || !is_ours(&now))
			continue;
		(void)set(numbers[i], is(&now, on_chained) ? &signal->old : &by_default);
		signal->taken = false;
	}
}
