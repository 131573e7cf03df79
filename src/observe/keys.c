#include "observe/keys.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"

#define _cleanup_keys_ __attribute__((cleanup(free_keys)))

static struct belay__keys *allocate(void)
{
	void *pages = mmap(NULL, sizeof(struct belay__keys), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return NULL;
	/* Where the limit on locked memory is too low, they are wiped soon all the same. */
	(void)mlock(pages, sizeof(struct belay__keys));
	(void)madvise(pages, sizeof(struct belay__keys), MADV_DONTDUMP);
	return pages;
}

struct belay__keys *belay__keys_free(struct belay__keys *keys)
{
	if (keys != NULL) {
		explicit_bzero(keys, sizeof(*keys));
		(void)munmap(keys, sizeof(*keys));
	}
	return NULL;
}

static void free_keys(struct belay__keys **keys)
{
	*keys = belay__keys_free(*keys);
}

/* The next key, to be filled in by the caller, who has seen that there is room. */
static struct belay__msg_key *add(struct belay__keys *keys, enum belay__key_kind kind)
{
	struct belay__msg_key *key = &keys->keys[keys->count++];

	*key = (struct belay__msg_key){ .kind = (uint8_t)kind };
	return key;
}

/* Adds the lines of PATH as keys of KIND. */
static int add_lines(struct belay__keys *keys, const char *path, enum belay__key_kind kind,
	struct belay_error *reterr)
{
	int count;

	if (path[0] == '\0')
		return 0;
	if (keys->count == BELAY__KEYS_MAX)
		return belay__fail(reterr, -E2BIG, "%s is one key too many; %d are the most", path,
			BELAY__KEYS_MAX);
	count = belay__secret_read_lines(path, keys->lines, BELAY__KEYS_MAX - keys->count, reterr);
	for (int i = 0; i < count; i++) {
		struct belay__msg_key *key = add(keys, kind);

		memcpy(key->key, keys->lines[i].secret, sizeof(key->key));
		memcpy(key->host, keys->lines[i].host, sizeof(key->host));
	}
	return count < 0 ? count : 0;
}

/* The file of one key; others that are accepted beside it have their own. */
static int add_first(struct belay__keys *keys, const char *path, struct belay_error *reterr)
{
	int r = add_lines(keys, path, BELAY__KEY_SHARED, reterr);

	if (r == 0 && keys->count > 1)
		return belay__fail(reterr, -EINVAL,
			"%s holds %u keys; leave one, and put the others into a file for "
			"--accepted-key-file",
			path, keys->count);
	return r;
}

/* Where the key at AT was read, and as which. */
static const char *file_of(const struct belay__observe_options *options,
	const struct belay__keys *keys, uint32_t at, uint32_t *ret_number)
{
	uint32_t first = options->key_file[0] != '\0', shared = at;

	*ret_number = 1;
	if (keys->keys[at].kind == BELAY__KEY_MASTER) {
		while (shared > 0 && keys->keys[shared - 1].kind == BELAY__KEY_MASTER)
			shared--;
		*ret_number = at - shared + 1;
		return options->master_key_file;
	}
	if (at < first)
		return options->key_file;
	*ret_number = at - first + 1;
	return options->accepted_key_file;
}

/* A key that stands twice would be of two hosts, or is a mistake in a rotation. */
static int refuse_twins(const struct belay__observe_options *options,
	const struct belay__keys *keys, struct belay_error *reterr)
{
	uint32_t number, other;

	for (uint32_t i = 1; i < keys->count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (memcmp(keys->keys[i].key, keys->keys[k].key, BELAY__SECRET_LEN) == 0) {
				const char *path = file_of(options, keys, i, &number);
				const char *first = file_of(options, keys, k, &other);

				return belay__fail(reterr, -EINVAL,
					"key %u of %s is key %u of %s, too; leave one of them out",
					number, path, other, first);
			}
	return 0;
}

/* What the host of KEY is called; "": it gets a name that no other has. */
static const char *host_of(const struct belay__msg_key *key)
{
	return key->host[0] == '\0' && key->kind == BELAY__KEY_MASTER ? "master" : key->host;
}

static int check_hosts(const struct belay__keys *keys, struct belay_error *reterr)
{
	uint32_t hosts = 0;

	for (uint32_t i = 0; i < keys->count; i++) {
		const char *host = host_of(&keys->keys[i]);
		uint32_t k = 0;

		while (k < i && (host[0] == '\0' || strcmp(host, host_of(&keys->keys[k])) != 0))
			k++;
		hosts += k == i;
	}
	if (hosts > BELAY__HOSTS_MAX)
		return belay__fail(reterr, -E2BIG,
			"the keys are of %u hosts; %d are the most that one observer tells apart",
			hosts, BELAY__HOSTS_MAX);
	return 0;
}

int belay__keys_read(const struct belay__observe_options *options, struct belay__keys **ret_keys,
	struct belay_error *reterr)
{
	_cleanup_keys_ struct belay__keys *keys = allocate();
	int r;

	if (keys == NULL)
		return belay__fail(reterr, -ENOMEM, "no memory for keys");
	r = add_first(keys, options->key_file, reterr);
	if (r == 0)
		r = add_lines(keys, options->accepted_key_file, BELAY__KEY_SHARED, reterr);
	if (r == 0)
		r = add_lines(keys, options->master_key_file, BELAY__KEY_MASTER, reterr);
	if (r == 0)
		r = refuse_twins(options, keys, reterr);
	if (r == 0)
		r = check_hosts(keys, reterr);
	if (r < 0)
		return r;
	*ret_keys = keys;
	keys = NULL;
	return 0;
}

int belay__keys_absent(const struct belay__key_hosts *hosts, struct belay__keys **ret_keys)
{
	struct belay__keys *keys = allocate();

	if (keys == NULL)
		return -ENOMEM;
	keys->count = belay__key_hosts_absent(hosts, keys->keys);
	*ret_keys = keys;
	return 0;
}
