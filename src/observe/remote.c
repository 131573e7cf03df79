#include "observe/remote.h"

#include <assert.h>
#include <string.h>

uint32_t belay__host_number(struct belay__hosts *hosts, const char *name)
{
	size_t len = strlen(name);

	assert(len > 0 && len <= BELAY__HOST_MAX);
	for (uint32_t i = 1; i <= hosts->count; i++)
		if (strcmp(hosts->name[i], name) == 0)
			return i;
	if (hosts->count == BELAY__HOSTS_MAX)
		return 0;
	memcpy(hosts->name[++hosts->count], name, len + 1);
	return hosts->count;
}
