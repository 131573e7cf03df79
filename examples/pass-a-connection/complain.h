/* complain.h - says on stderr what went wrong, and not more often than anybody reads
 *
 * What went wrong is often somebody else's doing, who can do it a thousand times a second.
 */
#pragma once

#include <stdint.h>

/* One for each thing that may go wrong again and again; begins as all zero. */
struct complaint {
	uint64_t due_ms;      /* before that nothing is said, only counted */
	unsigned long unsaid; /* since the last one that was said */
};

/* Says FORMAT and a newline at most once a second, the next time with the number of those that were not. */
__attribute__((format(printf, 2, 3))) void complain(struct complaint *complaint, const char *format,
	...);
