/* Apart from the other ways, so that a program which does not go this one need not carry it. */

#include <errno.h>
#include <stddef.h>

#include <belay/beat.h>

#include "base/address.h"
#include "beat/transport.h"

static int set_up(struct belay *belay, const void *text)
{
	int r = text == NULL ? -EINVAL : belay__address_parse_peer(text, &belay->address);

	if (r == 0)
		r = belay__handle_begin(belay, BELAY__WAY_UDP);
	if (r < 0)
		return r;
	belay->address_len = belay__address_len(&belay->address);
	/* That nobody listened for a beat says nothing against the socket it was sent from. */
	belay->reconnect_after = 0;

	r = belay__connect_anew(belay, belay->start_ns);
	belay->must_connect = r < 0;
	return belay__connection_may_come(r) ? 0 : r;
}

struct belay *belay_open_udp(const char *address)
{
	return belay__handle_new(set_up, address);
}
