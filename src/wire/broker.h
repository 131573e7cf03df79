/* broker.h - the messages of broker v1, each a struct, and the rows that read and write it
 *
 * Field numbers and names are those of proto/broker.proto, which is the same in the language that
 * others read. belay__proto_decode() and belay__proto_encode() take the type; Frame is struct
 * belay_envelope (belay/envelope.h).
 */
#pragma once

#include "wire/protobuf.h"

extern const struct belay__proto_type belay__type_frame; /* struct belay_envelope */

#define BELAY__CAP_HANDLE_PASSING UINT64_C(1)

struct belay__broker_hello {
	uint32_t client_min_protocol, client_max_protocol;
	struct belay_bytes service_name, wanted_version, client_version;
	uint64_t client_capabilities;
	struct belay_bytes auth_token, request_id;
	uint64_t connection_id;
	uint32_t peer_pid;
	struct belay_bytes client_lib_name, client_lib_version, peer_attestation_nonce,
		capability_token;
	uint64_t client_keepalive_secs;
};
extern const struct belay__proto_type belay__type_hello;

struct belay__negotiated {
	uint32_t negotiated_protocol;
	struct belay_bytes daemon_version, backend_pipe;
	struct belay__repeated warnings; /* strings */
	uint64_t server_capabilities, keepalive_interval_secs;
	struct belay_bytes handle_passed_token;
	uint64_t connection_id;
};
extern const struct belay__proto_type belay__type_negotiated;

enum belay__error_code {
	BELAY__ERROR_UNSPECIFIED = 0,
	BELAY__ERROR_VERSION_UNSUPPORTED = 1,
	BELAY__ERROR_SERVICE_UNKNOWN = 2,
	BELAY__ERROR_BACKEND_SPAWN_FAILED = 3,
	BELAY__ERROR_RATE_LIMITED = 4,
	BELAY__ERROR_SHUTTING_DOWN = 5,
	BELAY__ERROR_PEER_REJECTED = 6,
	BELAY__ERROR_INTERNAL = 7,
	BELAY__ERROR_VERSION_BLOCKED = 8,
	BELAY__ERROR_FD_PRESSURE = 9,
};

struct belay__refused {
	struct belay_bytes reason;
	uint32_t daemon_min_protocol, daemon_max_protocol;
	int32_t code;                   /* enum belay__error_code */
	struct belay__repeated details; /* struct belay__proto_entry */
	uint64_t retry_after_ms;
};
extern const struct belay__proto_type belay__type_refused;

struct belay__hello_reply {
	uint32_t which; /* 1: negotiated, 2: refused, 0: neither */
	struct belay__negotiated negotiated;
	struct belay__refused refused;
};
extern const struct belay__proto_type belay__type_hello_reply;

struct belay__handoff_offer {
	uint64_t handle_value; /* 0 on Unix; peers from 4.10.5 on write it although it is 0 */
	struct belay_bytes token;
	struct belay_bytes service_name;
	uint64_t correlation_id;
};
extern const struct belay__proto_type belay__type_handoff_offer;

struct belay__handoff_ack {
	struct belay_bytes token;
	bool accepted;
	struct belay_bytes error_detail;
	uint64_t correlation_id;
};
extern const struct belay__proto_type belay__type_handoff_ack;

struct belay__endpoint {
	struct belay_bytes namespace_id, path;
};
extern const struct belay__proto_type belay__type_endpoint;

struct belay__daemon_process {
	uint32_t pid;
	struct belay_bytes exe_path;
	bool has_ipc_endpoint;
	struct belay__endpoint ipc_endpoint;
	uint64_t started_at_unix_ms;
	struct belay_bytes boot_id;
	bool has_idle_timeout_secs;
	uint32_t idle_timeout_secs;
	struct belay_bytes exe_hash_algorithm; /* "blake3" */
	struct belay_bytes exe_hash;
	struct belay_bytes exe_sha256; /* field 3: read by peers up to 4.10.2, written behind all others */
};
extern const struct belay__proto_type belay__type_daemon_process;

enum belay__admin_verb {
	BELAY__ADMIN_UNSPECIFIED = 0,
	BELAY__ADMIN_STATUS = 1,
	BELAY__ADMIN_DUMP = 2,
	BELAY__ADMIN_LIST_INSTANCES = 3,
	BELAY__ADMIN_HEALTHZ = 4,
	BELAY__ADMIN_READYZ = 5,
	BELAY__ADMIN_BACKEND_HEALTH = 6,
	BELAY__ADMIN_CONFIG = 7,
	BELAY__ADMIN_DIAGNOSE = 8,
	BELAY__ADMIN_METRICS = 9,
	BELAY__ADMIN_SHUTDOWN = 21,
};

enum belay__admin_reply_kind {
	BELAY__ADMIN_TEXT = 0,
	BELAY__ADMIN_JSON = 1,
	BELAY__ADMIN_OPENMETRICS = 2,
};

struct belay__admin_request {
	int32_t verb; /* enum belay__admin_verb */
	bool json;
	struct belay_bytes service_name, output_path;
	uint64_t drain_deadline_ms;
};
extern const struct belay__proto_type belay__type_admin_request;

struct belay__admin_reply {
	int32_t kind; /* enum belay__admin_reply_kind */
	struct belay_bytes body;
	uint32_t exit_code;
	struct belay_bytes content_type;
};
extern const struct belay__proto_type belay__type_admin_reply;

enum belay__isolation {
	BELAY__ISOLATION_PRIVATE_BROKER = 0,
	BELAY__ISOLATION_SHARED_BROKER = 1,
	BELAY__ISOLATION_EXPLICIT_INSTANCE = 2,
};

struct belay__service_definition {
	struct belay_bytes service_name, binary_path;
	int32_t isolation; /* enum belay__isolation */
	struct belay_bytes explicit_instance, per_version_binary_dir, min_version;
	struct belay__repeated version_allow_list; /* strings */
	struct belay__repeated labels;             /* struct belay__proto_entry */
};
extern const struct belay__proto_type belay__type_service_definition;

/* --- what a daemon writes down about its caches --- */

struct belay__host_identity {
	struct belay_bytes hostname, machine_id, boot_id;
	uint64_t fs_dev_id;
	struct belay_bytes namespace_id;
};
extern const struct belay__proto_type belay__type_host_identity;

enum belay__operation_kind {
	BELAY__OPERATION_IDLE = 0,
	BELAY__OPERATION_COMPACTING = 1,
	BELAY__OPERATION_MIGRATING = 2,
	BELAY__OPERATION_REBUILDING_INDEX = 3,
	BELAY__OPERATION_EVICTING_LRU = 4,
	BELAY__OPERATION_ARCHIVING = 5,
};

struct belay__operation {
	int32_t kind; /* enum belay__operation_kind */
	uint64_t started_at_unix_ms, expected_done_unix_ms;
};
extern const struct belay__proto_type belay__type_operation;

struct belay__quota {
	uint64_t hard_max_bytes, soft_target_bytes, reserved_bytes;
};
extern const struct belay__proto_type belay__type_quota;

enum belay__teardown_kind {
	BELAY__TEARDOWN_NONE = 0,
	BELAY__TEARDOWN_REDB_COMPACT = 1,
	BELAY__TEARDOWN_SQLITE_VACUUM = 2,
	BELAY__TEARDOWN_CUSTOM_COMMAND = 3,
};

struct belay__teardown_hook {
	int32_t kind;                /* enum belay__teardown_kind */
	struct belay__repeated argv; /* strings */
	uint64_t timeout_secs;
};
extern const struct belay__proto_type belay__type_teardown_hook;

struct belay__ownership {
	uint32_t uid, gid, mode;
	struct belay_bytes windows_sid;
};
extern const struct belay__proto_type belay__type_ownership;

enum belay__cache_root_kind {
	BELAY__CACHE_UNSPECIFIED = 0,
	BELAY__CACHE_DATA = 1,
	BELAY__CACHE_LOGS = 2,
	BELAY__CACHE_LOCKS = 3,
	BELAY__CACHE_RUNTIME = 4,
	BELAY__CACHE_TMP = 5,
	BELAY__CACHE_CONFIG = 6,
	BELAY__CACHE_INDEX = 7,
	BELAY__CACHE_JOURNAL = 8,
	BELAY__CACHE_SECRETS = 9,
};

enum belay__disposition {
	BELAY__PRUNE_ON_UNINSTALL = 0,
	BELAY__PRESERVE_ACROSS_UNINSTALL = 1,
	BELAY__PRUNE_WHEN_DORMANT = 2,
	BELAY__NEVER_PRUNE = 3,
	BELAY__PRUNE_ON_CRASH = 4,
};

struct belay__cache_root {
	struct belay_bytes path;
	int32_t kind; /* enum belay__cache_root_kind */
	uint64_t estimated_size_bytes;
	int32_t disposition;           /* enum belay__disposition */
	struct belay__repeated labels; /* struct belay__proto_entry */
	bool has_quota;
	struct belay__quota quota;
	bool has_teardown_hook;
	struct belay__teardown_hook teardown_hook;
	struct belay__repeated exclude_globs;  /* strings */
	struct belay__repeated platform_paths; /* struct belay__proto_entry */
	bool has_ownership;
	struct belay__ownership ownership;
	bool has_endpoint;
	struct belay__endpoint endpoint;
};
extern const struct belay__proto_type belay__type_cache_root;

struct belay__cleanup_policy {
	uint64_t dormant_after_secs;
	uint32_t keep_last_n_versions;
	bool keep_current;
	uint64_t min_size_for_prune_bytes;
};
extern const struct belay__proto_type belay__type_cleanup_policy;

struct belay__manifest_ref {
	struct belay_bytes service_name, min_version;
	bool optional;
};
extern const struct belay__proto_type belay__type_manifest_ref;

struct belay__observability_info {
	struct belay_bytes metrics_endpoint, log_path, health_check_endpoint;
};
extern const struct belay__proto_type belay__type_observability_info;

struct belay__cache_manifest {
	struct belay_bytes service_name, service_version, broker_envelope_version; /* "v1" */
	uint64_t created_at_unix_ms, last_active_unix_ms;
	struct belay__repeated roots; /* struct belay__cache_root */
	bool has_current_daemon;
	struct belay__daemon_process current_daemon;
	bool has_cleanup_policy;
	struct belay__cleanup_policy cleanup_policy;
	struct belay_bytes broker_instance;
	struct belay__repeated depends_on; /* struct belay__manifest_ref */
	struct belay__repeated provides;   /* strings */
	bool has_observability;
	struct belay__observability_info observability;
	struct belay_bytes bundle_id;
	uint32_t manifest_schema_version;
	struct belay_bytes media_type, self_sha256;
	bool has_host;
	struct belay__host_identity host;
	bool has_current_operation;
	struct belay__operation current_operation;
	uint64_t valid_until_unix_ms;
};
extern const struct belay__proto_type belay__type_cache_manifest;

/* --- what happened to a daemon --- */

#define BELAY__LIFECYCLE_EVENT_MAX 512 /* bytes of one, so that appending it is atomic anywhere */

enum belay__event_kind {
	BELAY__EVENT_UNSPECIFIED = 0,
	BELAY__EVENT_SPAWN_ATTEMPT = 1,
	BELAY__EVENT_SPAWN = 2,
	BELAY__EVENT_DIED_IDLE = 3,
	BELAY__EVENT_DIED_SHUTDOWN = 4,
	BELAY__EVENT_DIED_CRASH = 5,
	BELAY__EVENT_VERSION_MISMATCH = 6,
	BELAY__EVENT_REPLACED_BY_NEWER = 7,
	BELAY__EVENT_HELLO_ACCEPTED = 8,
	BELAY__EVENT_HELLO_REFUSED = 9,
	BELAY__EVENT_SERVICE_DEF_LOADED = 10,
	BELAY__EVENT_SERVICE_DEF_CHANGED = 11,
	BELAY__EVENT_BROADCAST_SENT = 12,
	BELAY__EVENT_BROADCAST_ACK = 13,
	BELAY__EVENT_BROADCAST_TIMEOUT = 14,
	BELAY__EVENT_PROTOCOL_DOWNGRADE = 15,
	BELAY__EVENT_CACHE_CORRUPTION_DETECTED = 16,
	BELAY__EVENT_RESOURCE_PRESSURE = 17,
	BELAY__EVENT_SECURITY_VIOLATION = 18,
	BELAY__EVENT_TEARDOWN_HOOK_FAILED = 19,
	BELAY__EVENT_MANIFEST_REWRITTEN = 20,
};

struct belay__lifecycle_event {
	uint64_t ts_ms;
	uint32_t pid;
	struct belay_bytes service_name;
	int32_t kind; /* enum belay__event_kind */
	struct belay_bytes reason;
	struct belay__repeated extra; /* struct belay__proto_entry */
	uint32_t severity_number;
	struct belay_bytes severity_text, request_id;
	uint64_t connection_id;
	struct belay_bytes broker_instance;
};
extern const struct belay__proto_type belay__type_lifecycle_event;
