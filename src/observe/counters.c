#include "observe/counters.h"

const struct belay__counter_row belay__counter_rows[BELAY__COUNTER_COUNT] = {
#define X(id, name, label, help) [BELAY__COUNT_##id] = { name, label, help },
	BELAY__COUNTERS(X)
#undef X
};
