/* fork_epoch.h - a number that is different in a forked child
 *
 * The process has one epoch, held in a page that the kernel empties in every copy of the address
 * space: so also a child of a raw clone(2) or of _Fork(3), which run no fork handler, notices. Where
 * the kernel does not do that, a fork handler empties the page; then such a child goes unnoticed. A
 * child of vfork(2) shares its parent's memory and so its epoch; it may do no more than exec or exit
 * anyway.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The page's first word: the epoch, or 0 when it was emptied. NULL before
 * belay__fork_epoch_init(). */
extern _Atomic uint32_t *_Atomic belay__fork_word;

/* Makes the page and registers the handler, once per process; any thread may call it at any time.
 * 0, -ENOMEM, or -EAGAIN when the handler could not be registered. */
int belay__fork_epoch_init(void);

/* Whether the kernel empties the page, so that no child whatever goes unnoticed; asked after
 * belay__fork_epoch_init(). Whoever must not take a child for its parent goes no further without. */
bool belay__fork_epoch_is_sure(void);

/* This process's epoch, never 0; one that was emptied is given a new value, one that no ancestor
 * had. */
uint32_t belay__fork_epoch(void);

/* Whether this is still the process whose epoch was EPOCH. One load: no system call, no lock. */
static inline bool belay__fork_epoch_is(uint32_t epoch)
{
	const _Atomic uint32_t *word = atomic_load_explicit(&belay__fork_word, memory_order_relaxed);

	return atomic_load_explicit(word, memory_order_relaxed) == epoch;
}
