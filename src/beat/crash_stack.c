#include "beat/crash_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51 /* the kernel's ABI; 0 is returned where it does not tell */
#endif

/* Handlers from before us run on it as well, and memory that is not touched costs nothing. */
#define ROOM ((size_t)64 * 1024)
/* What ours take at most, beside what the kernel puts there. */
#define NEED ((size_t)4 * 1024)
/* At the top of the room: the stack that was there before. */
#define KEPT ((sizeof(stack_t) + 63) / 64 * 64)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Without the page below it. */
static size_t stack_size(void)
{
	const size_t page = page_size(), size = ROOM + getauxval(AT_MINSIGSTKSZ);

	return (size + page - 1) / page * page;
}

static stack_t *before(void *base)
{
	return (stack_t *)(void *)((char *)base + page_size() + stack_size() - KEPT);
}

/* Gives up the stack at BASE for NEXT. */
static void drop(void *base, const stack_t *next)
{
	stack_t now;

	if (sigaltstack(NULL, &now) == 0 && now.ss_sp == (char *)base + page_size())
		(void)sigaltstack(next, NULL);
	(void)munmap(base, page_size() + stack_size());
}

/* The thread ends, and whoever made the stack before may have freed it by now. */
static void drop_at_end(void *base)
{
	const stack_t none = { .ss_flags = SS_DISABLE };

	drop(base, &none);
}

static void make_key(void)
{
	key_error = pthread_key_create(&key, drop_at_end);
}

/* What lies on top is written to now, so that the crash does not have to wait for memory. */
static void touch(char *stack, size_t size)
{
	const size_t needed = getauxval(AT_MINSIGSTKSZ) + 3 * page_size();
	volatile char *top = stack + size;

	for (size_t depth = 1; depth <= needed && depth <= size; depth += page_size())
		top[-(ptrdiff_t)depth] = 0;
}

static int use(void *base, const stack_t *there)
{
	stack_t stack = {
		.ss_sp = (char *)base + page_size(),
		.ss_size = stack_size() - KEPT,
	};

	if (mprotect(stack.ss_sp, stack_size(), PROT_READ | PROT_WRITE) < 0)
		return -errno;
	*before(base) = *there;
	touch(stack.ss_sp, stack.ss_size);
	if (pthread_setspecific(key, base) != 0)
		return -ENOMEM;
	if (sigaltstack(&stack, NULL) < 0) {
		int r = -errno;

		(void)pthread_setspecific(key, NULL);
		return r;
	}
	return 1;
}

int belay__crash_stack_make(void)
{
	stack_t now;
	void *base;
	int r;

	if (sigaltstack(NULL, &now) < 0)
		return -errno;
	/* One that has no room is replaced, unless it is in use just now. */
	if ((now.ss_flags & SS_DISABLE) == 0 &&
		((now.ss_flags & SS_ONSTACK) != 0 ||
			now.ss_size >= getauxval(AT_MINSIGSTKSZ) + NEED))
		return 0;
	(void)pthread_once(&once, make_key);
	if (key_error != 0)
		return -key_error;

	/* The lowest page stays closed: who goes beyond the end is stopped there. */
	base = mmap(NULL, page_size() + stack_size(), PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	r = use(base, &now);
	if (r < 0)
		(void)munmap(base, page_size() + stack_size());
	return r;
}

void belay__crash_stack_drop(void)
{
	void *base;

	(void)pthread_once(&once, make_key);
	if (key_error != 0)
		return;
	base = pthread_getspecific(key);
	if (base == NULL)
		return;
	(void)pthread_setspecific(key, NULL);
	drop(base, before(base));
}

/* A fault whose signal is blocked ends the process before any handler is asked. abort(3) sees to its
 * own. */
static void unblock_faults(void)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS };
	sigset_t mask;

	(void)sigemptyset(&mask);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		(void)sigaddset(&mask, faults[i]);
	(void)pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
}

int belay_crash_thread(void)
{
	int saved = errno, r = belay__crash_stack_make();

	if (r >= 0)
		unblock_faults();
	errno = saved;
	return r < 0 ? r : 0;
}
