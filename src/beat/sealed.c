#include <belay/sealed.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/secret.h"
#include "beat/sealed_session.h"

static_assert(BELAY_KEY_LEN == BELAY__KEY_LEN, "a public key is a key");
static_assert(BELAY_KEY_LEN == BELAY__SECRET_LEN, "a key's file holds a key");

int belay_key_read(const char *path, struct belay_key *ret_key, struct belay_error *reterr)
{
	return belay__secret_read(path, "key", ret_key->bytes, reterr);
}

void belay_key_wipe(struct belay_key *key)
{
	if (key != NULL)
		explicit_bzero(key, sizeof(*key));
}

static struct belay *open_sealed(const char *address, const struct belay_key *key, bool master)
{
	struct belay_transport transport = {
		.send = belay__sealed_send,
		.reconnect = belay__sealed_reconnect,
		.close = belay__sealed_close,
	};
	struct belay__sealed *sealed = NULL;
	struct belay *belay;
	int r = address == NULL || key == NULL
		? -EINVAL
		: belay__sealed_new(address, key->bytes, master, &sealed);

	if (r == 0) {
		transport.data = sealed;
		belay = belay_open_with(&transport);
		if (belay != NULL) {
			/* That nobody listened for a beat is no reason for a new session; and a
			 * lost socket is replaced without one. */
			belay_set_reconnect_after(belay, 0);
			return belay;
		}
		r = -errno;
		belay__sealed_close(sealed);
	}
	errno = -r;
	return NULL;
}

struct belay *belay_open_sealed(const char *address, const struct belay_key *key)
{
	return open_sealed(address, key, /* master= */ false);
}

struct belay *belay_open_sealed_master(const char *address, const struct belay_key *master)
{
	return open_sealed(address, master, /* master= */ true);
}
