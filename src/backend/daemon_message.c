#include "backend/daemon_message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define ALGORITHM "blake3"

static struct belay_bytes view_text(const char *text)
{
	return (struct belay_bytes){ .at = (const uint8_t *)text, .len = strlen(text) };
}

static struct belay_bytes view_hash(const uint8_t hash[static BELAY_HASH_LEN])
{
	return (struct belay_bytes){ .at = hash, .len = BELAY_HASH_LEN };
}

static bool is_text(struct belay_bytes bytes, const char *text)
{
	size_t len = strlen(text);

	return bytes.len == len && (len == 0 || memcmp(bytes.at, text, len) == 0);
}

static bool is_hash(struct belay_bytes bytes, const uint8_t hash[static BELAY_HASH_LEN])
{
	return bytes.len == BELAY_HASH_LEN && memcmp(bytes.at, hash, BELAY_HASH_LEN) == 0;
}

static bool has_blake3(const struct belay__daemon_process *message)
{
	return is_text(message->exe_hash_algorithm, ALGORITHM) &&
		message->exe_hash.len == BELAY_HASH_LEN;
}

static bool has_sha256(const struct belay__daemon_process *message)
{
	static const uint8_t none[BELAY_HASH_LEN];

	return message->exe_sha256.len == BELAY_HASH_LEN && !is_hash(message->exe_sha256, none);
}

void belay__daemon_to_message(const struct belay_daemon *daemon,
	struct belay__daemon_process *ret_message)
{
	*ret_message = (struct belay__daemon_process){
		.pid = daemon->pid,
		.exe_path = view_text(daemon->exe_path),
		.has_ipc_endpoint = true,
		.ipc_endpoint = {
			.namespace_id = view_text(daemon->endpoint.namespace_id),
			.path = view_text(daemon->endpoint.path),
		},
		.started_at_unix_ms = daemon->started_at_ms,
		.boot_id = view_text(daemon->boot_id),
		.has_idle_timeout_secs = daemon->has_idle_timeout,
		.idle_timeout_secs = daemon->idle_timeout_s,
	};
	if (daemon->has_blake3) {
		ret_message->exe_hash_algorithm = view_text(ALGORITHM);
		ret_message->exe_hash = view_hash(daemon->blake3);
	}
	if (daemon->has_sha256)
		ret_message->exe_sha256 = view_hash(daemon->sha256);
}

const char *belay__daemon_message_lacks(const struct belay__daemon_process *message)
{
	if (!message->has_ipc_endpoint)
		return "ipc_endpoint is missing";
	if (has_blake3(message) || has_sha256(message))
		return NULL;
	if (is_text(message->exe_hash_algorithm, ALGORITHM))
		return "exe_hash must be 32 bytes";
	if (message->exe_hash_algorithm.len > 0)
		return "exe_hash_algorithm is not blake3";
	return message->exe_sha256.len > 0 ? "exe_sha256 must be 32 bytes, not all zero"
					   : "it has no hash of the executable";
}

/* Every hash that both sides know must be the same, and there must be one. */
static const char *differing_hash(const struct belay__daemon_process *message,
	const struct belay_daemon *expected)
{
	bool blake3 = has_blake3(message) && expected->has_blake3;
	bool sha256 = has_sha256(message) && expected->has_sha256;

	if (blake3 && !is_hash(message->exe_hash, expected->blake3))
		return "exe_hash";
	if (sha256 && !is_hash(message->exe_sha256, expected->sha256))
		return blake3 ? "exe_hash" : "exe_sha256";
	return blake3 || sha256 ? NULL : "exe_hash";
}

const char *belay__daemon_message_differs(const struct belay__daemon_process *message,
	const struct belay_daemon *expected)
{
	const struct belay__endpoint *endpoint = &message->ipc_endpoint;
	const char *hash;

	if (message->pid != expected->pid)
		return "pid";
	if (!is_text(message->exe_path, expected->exe_path))
		return "exe_path";
	hash = differing_hash(message, expected);
	if (hash != NULL)
		return hash;
	if (!is_text(message->boot_id, expected->boot_id))
		return "boot_id";
	if (!is_text(endpoint->namespace_id, expected->endpoint.namespace_id) ||
		!is_text(endpoint->path, expected->endpoint.path))
		return "ipc_endpoint";
	return NULL;
}

static bool copy_text(struct belay_bytes bytes, char *out, size_t size)
{
	if (bytes.len >= size)
		return false;
	if (bytes.len > 0) {
		if (memchr(bytes.at, '\0', bytes.len) != NULL)
			return false;
		memcpy(out, bytes.at, bytes.len);
	}
	out[bytes.len] = '\0';
	return true;
}

static const char *copy_texts(const struct belay__daemon_process *message,
	struct belay_daemon *daemon)
{
	const struct belay__endpoint *endpoint = &message->ipc_endpoint;

	if (!copy_text(message->exe_path, daemon->exe_path, sizeof(daemon->exe_path)))
		return "exe_path is too long or has a NUL in it";
	if (!copy_text(message->boot_id, daemon->boot_id, sizeof(daemon->boot_id)))
		return "boot_id is too long or has a NUL in it";
	if (!copy_text(endpoint->namespace_id, daemon->endpoint.namespace_id,
		    sizeof(daemon->endpoint.namespace_id)))
		return "ipc_endpoint.namespace_id is too long or has a NUL in it";
	if (!copy_text(endpoint->path, daemon->endpoint.path, sizeof(daemon->endpoint.path)))
		return "ipc_endpoint.path is too long or has a NUL in it";
	return NULL;
}

int belay__daemon_from_message(const struct belay__daemon_process *message,
	struct belay_daemon *ret_daemon, const char **ret_text)
{
	struct belay_daemon daemon = {
		.pid = message->pid,
		.has_blake3 = has_blake3(message),
		.has_sha256 = has_sha256(message),
		.has_idle_timeout = message->has_idle_timeout_secs,
		.idle_timeout_s = message->has_idle_timeout_secs ? message->idle_timeout_secs : 0,
		.started_at_ms = message->started_at_unix_ms,
	};
	const char *text = belay__daemon_message_lacks(message);

	if (text == NULL)
		text = copy_texts(message, &daemon);
	if (text != NULL) {
		if (ret_text != NULL)
			*ret_text = text;
		return -EINVAL;
	}
	if (daemon.has_blake3)
		memcpy(daemon.blake3, message->exe_hash.at, BELAY_HASH_LEN);
	if (daemon.has_sha256)
		memcpy(daemon.sha256, message->exe_sha256.at, BELAY_HASH_LEN);
	*ret_daemon = daemon;
	return 0;
}
