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

static void drop(void *base)
{
	stack_t now, none = { .ss_flags = SS_DISABLE };
	char *lowest = (char *)base + page_size();

	if (sigaltstack(NULL, &now) == 0 && now.ss_sp == lowest)
		(void)sigaltstack(&none, NULL);
	(void)munmap(base, page_size() + stack_size());
}

static void make_key(void)
{
	key_error = pthread_key_create(&key, drop);
}

/* What lies on top is written to now, so that the crash does not have to wait for memory. */
static void touch(char *stack, size_t size)
{
	const size_t needed = getauxval(AT_MINSIGSTKSZ) + 3 * page_size();
	volatile char *top = stack + size;

	for (size_t depth = 1; depth <= needed && depth <= size; depth += page_size())
		top[-(ptrdiff_t)depth] = 0;
}

static int use(void *base)
{
	stack_t stack = {
		.ss_sp = (char *)base + page_size(),
		.ss_size = stack_size(),
	};

	if (mprotect(stack.ss_sp, stack.ss_size, PROT_READ | PROT_WRITE) < 0)
		return -errno;
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
	if ((now.ss_flags & SS_DISABLE) == 0)
		return 0;
	(void)pthread_once(&once, make_key);
	if (key_error != 0)
		return -key_error;

	/* The lowest page stays closed: who goes beyond the end is stopped there. */
	base = mmap(NULL, page_size() + stack_size(), PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	r = use(base);
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
	drop(base);
}

int belay_crash_thread(void)
{
	int saved = errno, r = belay__crash_stack_make();

	errno = saved;
	return r < 0 ? r : 0;
}
