/* Apart from the other ways, so that a program which does not go this one need not carry it. */

#include <errno.h>
#include <stddef.h>

#include <belay/beat.h>

#include "beat/transport.h"

static int set_up(struct belay *belay, const void *data)
{
	const struct belay_transport *transport = data;

	if (transport == NULL || transport->send == NULL || transport->reconnect == NULL ||
		transport->close == NULL)
		return -EINVAL;
	belay->transport = *transport;
	return belay__handle_begin(belay, BELAY__WAY_CUSTOM);
}

struct belay *belay_open_with(const struct belay_transport *transport)
{
	return belay__handle_new(set_up, transport);
}
