#include "wire/service_name.h"

#include <belay/handoff.h>

bool belay__service_name_valid(const char *name, size_t len)
{
	if (len == 0 || len > BELAY_HANDOFF_SERVICE_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!(name[i] >= 'a' && name[i] <= 'z') && !(name[i] >= '0' && name[i] <= '9') &&
			name[i] != '-')
			return false;
	return true;
}
