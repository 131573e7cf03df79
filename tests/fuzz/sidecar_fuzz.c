/* sidecar_fuzz.c - any bytes as a daemon's record
 *
 * What is accepted has a hash, and what is written of it is read back the same; what is refused
 * leaves the caller's record alone and says why.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "identity/sidecar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct belay_daemon *a, const struct belay_daemon *b)
{
	assert(a->pid == b->pid && a->start_ticks == b->start_ticks);
	assert(a->has_blake3 == b->has_blake3 && a->has_sha256 == b->has_sha256);
	assert(!a->has_blake3 || memcmp(a->blake3, b->blake3, BELAY_HASH_LEN) == 0);
	assert(!a->has_sha256 || memcmp(a->sha256, b->sha256, BELAY_HASH_LEN) == 0);
	assert(a->has_idle_timeout == b->has_idle_timeout);
	assert(a->idle_timeout_s == b->idle_timeout_s && a->started_at_ms == b->started_at_ms);
	assert(strcmp(a->boot_id, b->boot_id) == 0 && strcmp(a->exe_path, b->exe_path) == 0);
	assert(belay_endpoint_equal(&a->endpoint, &b->endpoint));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct belay_daemon daemon, again;
	static char chars[BELAY__SIDECAR_MAX];
	struct belay_error error = { 0 };
	struct belay__text text;

	daemon.pid = 77;
	if (belay__sidecar_parse((const char *)data, size, &daemon, &error) < 0) {
		assert(error.code == -EINVAL && error.text[0] != '\0' && daemon.pid == 77);
		return 0;
	}
	assert(daemon.has_blake3 || daemon.has_sha256);
	belay__text_init(&text, chars, sizeof(chars));
	assert(belay__sidecar_print(&daemon, &text, &error) == 0 && !text.overflowed);
	assert(belay__sidecar_parse(chars, text.len, &again, &error) == 0);
	check_same(&daemon, &again);
	return 0;
}
