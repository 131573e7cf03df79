#include "broker/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/blake3.h"
#include "base/error.h"
#include "base/file.h"
#include "broker/hex.h"

#define MACHINE_ID_SIZE 80

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Where the text within TEXT begins and how long it is, without the white space around it. */
static size_t trim(const char **text)
{
	size_t len;

	while (is_space(**text))
		(*text)++;
	len = strlen(*text);
	while (len > 0 && is_space((*text)[len - 1]))
		len--;
	return len;
}

/* Reads the id in ROOT/PATH. 1 and PREFIX with it; 0: there is none, or it is empty; or a negative errno with
 * a sentence. */
static int read_id(const char *root, const char *path, const char *prefix,
	char ret_id[MACHINE_ID_SIZE], struct belay_error *reterr)
{
	char full[4096], text[MACHINE_ID_SIZE + 1];
	const char *id = text;
	size_t id_len, prefix_len = strlen(prefix);
	ssize_t len;

	if ((size_t)snprintf(full, sizeof(full), "%s%s", root, path) >= sizeof(full))
		return belay__fail(reterr, -ENAMETOOLONG,
			"the path of %s below its root is too long", path);
	len = belay__read_file(AT_FDCWD, full, text, sizeof(text));
	if (len == -ENOENT || len == -ENOTDIR)
		return 0;
	/* Going on without it would make other names than everybody has who can read it. */
	if (len < 0)
		return belay__fail(reterr, (int)len,
			"cannot read %.150s, which is part of every broker's name: %s; let this "
			"user "
			"read it",
			full, strerror((int)-len));

	id_len = trim(&id);
	if (id_len == 0)
		return 0;
	if (prefix_len + id_len >= MACHINE_ID_SIZE)
		return belay__fail(reterr, -EINVAL,
			"%.150s holds no machine id but something longer: have "
			"systemd-machine-id-setup write one",
			full);
	memcpy(ret_id, prefix, prefix_len);
	memcpy(ret_id + prefix_len, id, id_len);
	ret_id[prefix_len + id_len] = '\0';
	return 1;
}

int belay__machine_id(const char *root, char ret_id[MACHINE_ID_SIZE], struct belay_error *reterr)
{
	static const struct {
		const char *path, *prefix;
	} places[] = {
		{ "/etc/machine-id", "" },
		{ "/var/lib/dbus/machine-id", "" },
		{ "/proc/sys/kernel/random/boot_id", "boot:" },
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int r = read_id(root, places[i].path, places[i].prefix, ret_id, reterr);

		if (r != 0)
			return r < 0 ? r : 0;
	}
	return belay__fail(reterr, -ENOENT,
		"this machine has neither an id in /etc/machine-id nor a boot id in /proc: run "
		"systemd-machine-id-setup, or mount /proc");
}

void belay__user_hash_of(uid_t uid, const char *machine_id, char ret_hash[BELAY__USER_HASH_SIZE])
{
	uint8_t hash[BELAY__BLAKE3_LEN];
	struct belay__blake3 state;
	char number[16];
	size_t len = trim(&machine_id);

	belay__blake3_start(&state);
	belay__blake3_add(&state, number,
		(size_t)snprintf(number, sizeof(number), "%u:", (unsigned)uid));
	belay__blake3_add(&state, machine_id, len);
	belay__blake3_end(&state, hash);
	belay__hex(hash, (BELAY__USER_HASH_SIZE - 1) / 2, ret_hash);
}

int belay__user_hash(char ret_hash[BELAY__USER_HASH_SIZE], struct belay_error *reterr)
{
	char id[MACHINE_ID_SIZE] = "";
	int r = belay__machine_id("", id, reterr);

	if (r < 0)
		return r;
	belay__user_hash_of(getuid(), id, ret_hash);
	return 0;
}
