/* belay backend probe: who a daemon is, by its record or by what it claims */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/error.h"
#include "cmd/backend.h"
#include "cmd/backend_findings.h"

/* Whether CLAIMED is TARGET, or where TARGET leads to. Only TARGET is looked up: the other path is a
 * stranger's, and looking there may take as long as he likes. */
static bool is_claimed(const char *target, const char *claimed)
{
	char *real;
	bool same;

	if (strcmp(target, claimed) == 0)
		return true;
	real = realpath(target, NULL);
	same = real != NULL && strcmp(real, claimed) == 0;
	free(real);
	return same;
}

/* 0, or -ESTALE: the record says another endpoint than the one that was asked. */
static int check_claimed_path(const char *target, const struct belay_daemon *record,
	struct belay_error *reterr)
{
	if (is_claimed(target, record->endpoint.path))
		return 0;
	return belay__fail(reterr, -ESTALE, "%s says that its endpoint is another: %.120s", target,
		record->endpoint.path);
}

/* The second half of a probe without record, in the time that the first one left. */
static int prove_claim(const struct belay_probe_options *options, struct belay__findings *found)
{
	const uint64_t took_us = found->report.took_us;
	struct belay_probe_options rest = *options;
	int r;

	rest.claimed = true;
	if (options->timeout_ms != 0)
		rest.timeout_ms = took_us / 1000 < options->timeout_ms
			? options->timeout_ms - (unsigned)(took_us / 1000)
			: 1;
	r = belay_probe(&found->record.endpoint, &found->record, &rest, NULL, &found->report,
		&found->error);
	found->report.took_us += took_us;
	return r;
}

/* Without a record: asks for the one that the daemon claims, and proves that. */
static void probe_claim(const struct belay_probe_options *options, struct belay__findings *found)
{
	struct belay_endpoint endpoint = { .namespace_id = "" };
	size_t len = strlen(found->target);

	found->claimed = true;
	if (len >= sizeof(endpoint.path)) {
		found->report.error = BELAY_PROBE_LOCAL_SOCKET_NAME;
		(void)belay__fail(&found->error, -ENAMETOOLONG,
			"the path is longer than a socket's can be");
		return;
	}
	memcpy(endpoint.path, found->target, len);
	if (belay_probe_claim(&endpoint, options, &found->record, &found->report, &found->error) < 0)
		return;
	found->has_record = true;
	if (check_claimed_path(found->target, &found->record, &found->error) < 0) {
		found->report.error = BELAY_PROBE_ENDPOINT_MISMATCH;
		found->report.proved = 0;
		return;
	}
	(void)prove_claim(options, found);
}

int belay__backend_complain_of_sidecar(const struct belay_error *error)
{
	belay__complain("%s", error->text);
	if (belay__is_shortage(error->code))
		return BELAY__EXIT_FAILED;
	return error->code == -EACCES || error->code == -EPERM ? BELAY__EXIT_PERMISSION
							       : BELAY__EXIT_NO_INPUT;
}

int belay__backend_probe(const struct belay__backend_options *options)
{
	static struct belay__findings found;
	const struct belay_probe_options probe = {
		.timeout_ms = (unsigned)((options->timeout_ns + BELAY__NS_PER_MS - 1) /
			BELAY__NS_PER_MS),
	};
	struct stat status;

	found.target = options->target;
	if (stat(options->target, &status) == 0 && S_ISSOCK(status.st_mode)) {
		probe_claim(&probe, &found);
	} else {
		if (belay_sidecar_read(options->target, &found.record, &found.error) < 0) {
			found.unread = true;
			if (options->json && belay__findings_show(&found) != 0)
				return BELAY__EXIT_FAILED;
			return belay__backend_complain_of_sidecar(&found.error);
		}
		found.has_record = true;
		(void)belay_probe(&found.record.endpoint, &found.record, &probe, NULL,
			&found.report, &found.error);
	}
	return belay__findings_print(&found, options->json);
}
