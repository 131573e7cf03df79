#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "identity/sidecar.h"

/* Longest key that is ours, and room to tell it from longer ones. */
enum { KEY_SIZE = 32 };

/* An array of bytes, of which as many are kept as a hash has. */
struct hash {
	size_t len;
	uint8_t bytes[BELAY_HASH_LEN];
};

struct record {
	struct belay_daemon daemon;
	bool is_blake3; /* exe_hash_algorithm */
	struct hash blake3, sha256;
};

/* One member of an object: how its value is read, and what it must be. */
struct member {
	const char *name, *must_be;
	int (*read)(const struct belay__json *value, struct record *record);
	bool required;
};

static int read_object(const struct belay__json *object, const struct member *members, size_t count,
	struct record *record, struct belay_error *reterr);

static int read_u32(const struct belay__json *value, uint32_t *ret_number)
{
	uint64_t number;
	int r = belay__json_get_u64(value, &number);

	if (r < 0)
		return r;
	if (number > UINT32_MAX)
		return -ERANGE;
	*ret_number = (uint32_t)number;
	return 0;
}

/* Whether it is one is judged when all is read. */
static int read_hash(const struct belay__json *value, struct hash *ret_hash)
{
	struct hash hash = { 0 };
	struct belay__json element;
	size_t cursor = 0;
	int r;

	while ((r = belay__json_next(value, &cursor, &element)) > 0) {
		uint64_t byte;

		if (belay__json_get_u64(&element, &byte) < 0 || byte > UINT8_MAX)
			return -ERANGE;
		if (hash.len < sizeof(hash.bytes))
			hash.bytes[hash.len] = (uint8_t)byte;
		hash.len++;
	}
	if (r < 0)
		return r;
	*ret_hash = hash;
	return 0;
}

static int read_pid(const struct belay__json *value, struct record *record)
{
	return read_u32(value, &record->daemon.pid);
}

static int read_exe_path(const struct belay__json *value, struct record *record)
{
	return belay__json_get_string(value, record->daemon.exe_path,
		sizeof(record->daemon.exe_path));
}

static int read_algorithm(const struct belay__json *value, struct record *record)
{
	char name[sizeof("blake3")];
	int r;

	if (value->kind != BELAY__JSON_STRING)
		return -EINVAL;
	/* What does not fit, or is no text, is another algorithm's name. */
	r = belay__json_get_string(value, name, sizeof(name));
	record->is_blake3 = r == 0 && strcmp(name, "blake3") == 0;
	return 0;
}

static int read_blake3(const struct belay__json *value, struct record *record)
{
	return read_hash(value, &record->blake3);
}

static int read_sha256(const struct belay__json *value, struct record *record)
{
	return read_hash(value, &record->sha256);
}

static int read_boot_id(const struct belay__json *value, struct record *record)
{
	return belay__json_get_string(value, record->daemon.boot_id, sizeof(record->daemon.boot_id));
}

static int read_started_at(const struct belay__json *value, struct record *record)
{
	return belay__json_get_u64(value, &record->daemon.started_at_ms);
}

static int read_idle_timeout(const struct belay__json *value, struct record *record)
{
	int r;

	if (value->kind == BELAY__JSON_NULL)
		return 0;
	r = read_u32(value, &record->daemon.idle_timeout_s);
	record->daemon.has_idle_timeout = r == 0;
	return r;
}

static int read_start_ticks(const struct belay__json *value, struct record *record)
{
	return belay__json_get_u64(value, &record->daemon.start_ticks);
}

static int read_namespace(const struct belay__json *value, struct record *record)
{
	return belay__json_get_string(value, record->daemon.endpoint.namespace_id,
		sizeof(record->daemon.endpoint.namespace_id));
}

static int read_path(const struct belay__json *value, struct record *record)
{
	return belay__json_get_string(value, record->daemon.endpoint.path,
		sizeof(record->daemon.endpoint.path));
}

#define TEXT_UP_TO(size) "a text of fewer than " #size " bytes"

static const struct member endpoint_members[] = {
	{ "namespace_id", TEXT_UP_TO(128), read_namespace, true },
	{ "path", TEXT_UP_TO(256), read_path, true },
};

static_assert(BELAY_NAMESPACE_SIZE == 128 && BELAY_ENDPOINT_SIZE == 256,
	"the sentences say how long texts may be");

static int read_endpoint(const struct belay__json *value, struct record *record)
{
	return read_object(value, endpoint_members,
		sizeof(endpoint_members) / sizeof(endpoint_members[0]), record, NULL);
}

#define A_HASH "an array of numbers from 0 to 255"

static_assert(BELAY_BOOT_ID_SIZE == 128, "the sentences say how long texts may be");
static_assert(BELAY_EXE_SIZE == 4096, "the sentences say how long texts may be");

static const struct member members[] = {
	{ "pid", "a number from 0 to 4294967295", read_pid, true },
	{ "exe_path", TEXT_UP_TO(4096), read_exe_path, true },
	{ "exe_hash_algorithm", "a text", read_algorithm, false },
	{ "exe_hash", A_HASH, read_blake3, false },
	{ "legacy_exe_sha256", A_HASH, read_sha256, false },
	{ "exe_sha256", A_HASH, read_sha256, false },
	{ "boot_id", TEXT_UP_TO(128), read_boot_id, true },
	{ "ipc_endpoint",
		"an object with namespace_id and path, texts of fewer than 128 and 256 bytes",
		read_endpoint, true },
	{ "started_at_unix_ms", "a number without a sign", read_started_at, false },
	{ "idle_timeout_secs", "null or a number from 0 to 4294967295", read_idle_timeout, false },
	{ "start_ticks", "a number without a sign", read_start_ticks, false },
};

/* The place of KEY among the COUNT MEMBERS; COUNT when it is nobody's. */
static size_t find_member(const struct member *members_, size_t count, const char *key)
{
	size_t i = 0;

	while (i < count && strcmp(members_[i].name, key) != 0)
		i++;
	return i;
}

static int check_required(const struct member *members_, size_t count, unsigned seen,
	struct belay_error *reterr)
{
	for (size_t i = 0; i < count; i++)
		if (members_[i].required && (seen & 1U << i) == 0)
			return belay__fail(reterr, -EINVAL, "the member %s is missing",
				members_[i].name);
	return 0;
}

static int read_object(const struct belay__json *object, const struct member *members_,
	size_t count, struct record *record, struct belay_error *reterr)
{
	struct belay__json value;
	char key[KEY_SIZE];
	size_t cursor = 0;
	unsigned seen = 0;
	int r;

	while ((r = belay__json_next_member(object, &cursor, key, sizeof(key), &value)) != 0) {
		size_t i;

		if (r == -ERANGE)
			continue; /* too long a key to be one of ours */
		if (r < 0)
			return belay__fail(reterr, -EINVAL, "it is no JSON object");
		i = find_member(members_, count, key);
		if (i == count)
			continue;
		if ((seen & 1U << i) != 0)
			return belay__fail(reterr, -EINVAL, "the member %s is there twice", key);
		seen |= 1U << i;
		if (members_[i].read(&value, record) < 0)
			return belay__fail(reterr, -EINVAL, "%s is not %s", key,
				members_[i].must_be);
	}
	return check_required(members_, count, seen, reterr);
}

/* By the rule of the wire (backend/daemon_message.c): what is no hash that we know counts as none, and one
 * must be there. Zeros stand for a SHA-256 that the writer did not have. */
static int take_hashes(struct record *record, struct belay_error *reterr)
{
	static const uint8_t none[BELAY_HASH_LEN];
	struct belay_daemon *daemon = &record->daemon;

	daemon->has_blake3 = record->is_blake3 && record->blake3.len == BELAY_HASH_LEN;
	daemon->has_sha256 = record->sha256.len == BELAY_HASH_LEN &&
		memcmp(record->sha256.bytes, none, sizeof(none)) != 0;
	if (daemon->has_blake3)
		memcpy(daemon->blake3, record->blake3.bytes, BELAY_HASH_LEN);
	if (daemon->has_sha256)
		memcpy(daemon->sha256, record->sha256.bytes, BELAY_HASH_LEN);
	if (daemon->has_blake3 || daemon->has_sha256)
		return 0;
	if (record->blake3.len > 0 && !record->is_blake3)
		return belay__fail(reterr, -EINVAL,
			"it has no hash of the executable: exe_hash_algorithm is not \"blake3\", "
			"and there is no legacy_exe_sha256");
	if (record->blake3.len > 0)
		return belay__fail(reterr, -EINVAL,
			"it has no hash of the executable: exe_hash is not an array of 32 bytes, "
			"and there is no legacy_exe_sha256");
	return belay__fail(reterr, -EINVAL,
		"it has no hash of the executable, neither exe_hash nor a legacy_exe_sha256 of 32 "
		"bytes");
}

int belay__sidecar_parse(const char *bytes, size_t len, struct belay_daemon *ret_daemon,
	struct belay_error *reterr)
{
	struct record record = { 0 };
	struct belay__json value;
	size_t offset = 0;
	int r;

	if (belay__json_parse(bytes, len, &value, &offset) < 0)
		return belay__fail(reterr, -EINVAL, "it is no JSON from byte %zu on", offset);
	r = read_object(&value, members, sizeof(members) / sizeof(members[0]), &record, reterr);
	if (r == 0)
		r = take_hashes(&record, reterr);
	if (r == 0)
		*ret_daemon = record.daemon;
	return r;
}

/* All of FD into BYTES, at most SIZE: how many, or a negative errno. */
static ssize_t read_all(int fd, char *bytes, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, bytes + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static int read_and_parse(int fd, char *bytes, struct belay_daemon *ret_daemon,
	struct belay_error *reterr)
{
	ssize_t n = read_all(fd, bytes, BELAY__SIDECAR_MAX + 1);

	if (n < 0)
		return belay__fail(reterr, (int)n, "cannot read it: %s", strerror((int)-n));
	if ((size_t)n > BELAY__SIDECAR_MAX)
		return belay__fail(reterr, -EINVAL, "it is longer than %zu bytes",
			BELAY__SIDECAR_MAX);
	return belay__sidecar_parse(bytes, (size_t)n, ret_daemon, reterr);
}

int belay_sidecar_read(const char *path, struct belay_daemon *ret_daemon, struct belay_error *reterr)
{
	_cleanup_close_ int fd = belay__open_trusted(path, reterr);
	char *bytes;
	int r;

	if (fd < 0)
		return fd;
	bytes = malloc(BELAY__SIDECAR_MAX + 1);
	if (bytes == NULL)
		return belay__fail(reterr, -ENOMEM, "no memory to read %s", path);
	r = read_and_parse(fd, bytes, ret_daemon, reterr);
	free(bytes);
	return r < 0 ? belay__wrap(reterr, r, "%s is no record of a daemon", path) : r;
}
