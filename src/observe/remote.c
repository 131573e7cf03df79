#include "observe/remote.h"

#include <assert.h>
#include <string.h>

uint32_t belay__host_find(const struct belay__hosts *hosts, const char *name)
{
	for (uint32_t i = 1; hosts != NULL && name[0] != '\0' && i <= hosts->count; i++)
		if (strcmp(hosts->name[i], name) == 0)
			return i;
	return 0;
}

void belay__host_set(struct belay__hosts *hosts, uint32_t number, const char *name)
{
	size_t len = strlen(name);

	assert(number > 0 && number <= BELAY__HOSTS_MAX);
	assert(len > 0 && len <= BELAY__HOST_MAX);
	memset(hosts->name[number], 0, sizeof(hosts->name[number]));
	memcpy(hosts->name[number], name, len);
	if (number > hosts->count)
		hosts->count = number;
}
