/* Apart from the rest, so that a program which does not seal need not carry it. */

#include "beat/fork_epoch.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* Emulators of other machines say yes to every advice and do nothing; what takes one that does not
 * exist does not empty anything either. */
static bool empties_copies(void *page)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);

	return madvise(page, size, -1) < 0 && madvise(page, size, MADV_WIPEONFORK) == 0;
}

bool belay__fork_epoch_is_sure(void)
{
	static atomic_bool sure;

	/* What the page was told once lasts; a filter may refuse to tell it again. */
	if (!sure && empties_copies(belay__fork_word))
		sure = true;
	return sure;
}
