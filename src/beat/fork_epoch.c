#include "beat/fork_epoch.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

_Atomic uint32_t *_Atomic belay__fork_word;

/* Ordinary memory, so a child goes on counting where its parent was. */
static _Atomic uint32_t last_epoch;

/* Runs in a child of fork(2) before anything else does: one store and no more. */
static void empty_word(void)
{
	atomic_store_explicit(belay__fork_word, 0, memory_order_relaxed);
}

static int make_page(void)
{
	_Atomic uint32_t *expected = NULL;
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -ENOMEM;

	/* Where this is refused, the fork handler alone does it. */
	(void)madvise(page, size, MADV_WIPEONFORK);

	/* Two threads may get here together; the second one's page goes. */
	if (!atomic_compare_exchange_strong(&belay__fork_word, &expected, page))
		(void)munmap(page, size);
	return 0;
}

int belay__fork_epoch_init(void)
{
	static atomic_bool registered;

	if (belay__fork_word == NULL && make_page() < 0)
		return -ENOMEM;

	/* Registered twice by two threads it empties an empty word; a lock could be held across a
	 * fork. */
	if (!registered) {
		if (pthread_atfork(NULL, NULL, empty_word) != 0)
			return -EAGAIN;
		registered = true;
	}
	return 0;
}

uint32_t belay__fork_epoch(void)
{
	uint32_t epoch = atomic_load(belay__fork_word), next;

	if (epoch != 0)
		return epoch;

	next = atomic_fetch_add(&last_epoch, 1) + 1;
	if (next == 0) /* 2^32 generations */
		next = atomic_fetch_add(&last_epoch, 1) + 1;

	/* Of several threads one gives the epoch and the others take it. */
	return atomic_compare_exchange_strong(belay__fork_word, &epoch, next) ? next : epoch;
}
