/* belay_probe_claim(): who a daemon says it is, asked of whoever answers at its endpoint */

#include <assert.h>
#include <stddef.h>

#include <belay/probe.h>

#include "backend/probe_exchange.h"

int belay_probe_claim(const struct belay_endpoint *endpoint,
	const struct belay_probe_options *options, struct belay_daemon *ret_claimed,
	struct belay_probe_report *ret_report, struct belay_error *reterr)
{
	struct belay__exchange exchange;
	int r;

	assert(endpoint != NULL && ret_claimed != NULL);

	belay__exchange_start_claim(&exchange, endpoint, options, ret_claimed);
	belay__exchange_run(&exchange);
	r = belay__exchange_result(&exchange, NULL, ret_report, reterr);
	belay__exchange_done(&exchange);
	return r;
}
