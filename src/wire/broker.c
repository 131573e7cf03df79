#include "wire/broker.h"

/* Every message twice over: its rows, and its type over them. S stands for the struct while its
 * rows are listed. clang-format would break each row in two. */
/* clang-format off */

#define S struct belay_envelope
static const struct belay__proto_field frame_rows[] = {
	BELAY__PLAIN(1, U32, S, version),
	BELAY__PLAIN(2, ENUM, S, kind),
	BELAY__PLAIN(3, U32, S, payload_protocol),
	BELAY__PLAIN(4, BYTES, S, payload),
	BELAY__PLAIN(5, U64, S, request_id),
	BELAY__PLAIN(6, ENUM, S, payload_encoding),
	BELAY__PLAIN(7, U64, S, deadline_unix_ms),
	BELAY__PLAIN(8, STRING, S, traceparent),
	BELAY__PLAIN(9, STRING, S, tracestate),
};
const struct belay__proto_type belay__type_frame = BELAY__PROTO_TYPE("Frame", S, frame_rows);
#undef S

#define S struct belay__broker_hello
static const struct belay__proto_field hello_rows[] = {
	BELAY__PLAIN(1, U32, S, client_min_protocol),
	BELAY__PLAIN(2, U32, S, client_max_protocol),
	BELAY__PLAIN(3, STRING, S, service_name),
	BELAY__PLAIN(4, STRING, S, wanted_version),
	BELAY__PLAIN(5, STRING, S, client_version),
	BELAY__PLAIN(6, U64, S, client_capabilities),
	BELAY__PLAIN(7, BYTES, S, auth_token),
	BELAY__PLAIN(8, STRING, S, request_id),
	BELAY__PLAIN(9, U64, S, connection_id),
	BELAY__PLAIN(10, U32, S, peer_pid),
	BELAY__PLAIN(11, STRING, S, client_lib_name),
	BELAY__PLAIN(12, STRING, S, client_lib_version),
	BELAY__PLAIN(13, BYTES, S, peer_attestation_nonce),
	BELAY__PLAIN(14, BYTES, S, capability_token),
	BELAY__PLAIN(15, U64, S, client_keepalive_secs),
};
const struct belay__proto_type belay__type_hello = BELAY__PROTO_TYPE("Hello", S, hello_rows);
#undef S

#define S struct belay__negotiated
static const struct belay__proto_field negotiated_rows[] = {
	BELAY__PLAIN(1, U32, S, negotiated_protocol),
	BELAY__PLAIN(2, STRING, S, daemon_version),
	BELAY__PLAIN(3, STRING, S, backend_pipe),
	BELAY__REPEATED(4, STRING, S, warnings),
	BELAY__PLAIN(5, U64, S, server_capabilities),
	BELAY__PLAIN(6, U64, S, keepalive_interval_secs),
	BELAY__PLAIN(7, BYTES, S, handle_passed_token),
	BELAY__PLAIN(8, U64, S, connection_id),
};
const struct belay__proto_type belay__type_negotiated = BELAY__PROTO_TYPE("Negotiated", S, negotiated_rows);
#undef S

#define S struct belay__refused
static const struct belay__proto_field refused_rows[] = {
	BELAY__PLAIN(1, STRING, S, reason),
	BELAY__PLAIN(2, U32, S, daemon_min_protocol),
	BELAY__PLAIN(3, U32, S, daemon_max_protocol),
	BELAY__PLAIN(4, ENUM, S, code),
	BELAY__REPEATED_MESSAGE(5, S, details, &belay__type_entry),
	BELAY__PLAIN(6, U64, S, retry_after_ms),
};
const struct belay__proto_type belay__type_refused = BELAY__PROTO_TYPE("Refused", S, refused_rows);
#undef S

#define S struct belay__hello_reply
static const struct belay__proto_field hello_reply_rows[] = {
	BELAY__ONEOF(1, S, which, negotiated, struct belay__negotiated, &belay__type_negotiated),
	BELAY__ONEOF(2, S, which, refused, struct belay__refused, &belay__type_refused),
};
const struct belay__proto_type belay__type_hello_reply = BELAY__PROTO_TYPE("HelloReply", S, hello_reply_rows);
#undef S

#define S struct belay__handoff_offer
static const struct belay__proto_field handoff_offer_rows[] = {
	BELAY__PLAIN(1, U64, S, handle_value),
	BELAY__PLAIN(2, BYTES, S, token),
	BELAY__PLAIN(3, STRING, S, service_name),
	BELAY__PLAIN(4, U64, S, correlation_id),
};
const struct belay__proto_type belay__type_handoff_offer = BELAY__PROTO_TYPE("HandoffOffer", S, handoff_offer_rows);
#undef S

#define S struct belay__handoff_ack
static const struct belay__proto_field handoff_ack_rows[] = {
	BELAY__PLAIN(1, BYTES, S, token),
	BELAY__PLAIN(2, BOOL, S, accepted),
	BELAY__PLAIN(3, STRING, S, error_detail),
	BELAY__PLAIN(4, U64, S, correlation_id),
};
const struct belay__proto_type belay__type_handoff_ack = BELAY__PROTO_TYPE("HandoffAck", S, handoff_ack_rows);
#undef S

#define S struct belay__endpoint
static const struct belay__proto_field endpoint_rows[] = {
	BELAY__PLAIN(1, STRING, S, namespace_id),
	BELAY__PLAIN(2, STRING, S, path),
};
const struct belay__proto_type belay__type_endpoint = BELAY__PROTO_TYPE("Endpoint", S, endpoint_rows);
#undef S

#define S struct belay__daemon_process
static const struct belay__proto_field daemon_process_rows[] = {
	BELAY__PLAIN(1, U32, S, pid),
	BELAY__PLAIN(2, STRING, S, exe_path),
	BELAY__OPTIONAL_MESSAGE(4, S, ipc_endpoint, struct belay__endpoint, &belay__type_endpoint),
	BELAY__PLAIN(5, U64, S, started_at_unix_ms),
	BELAY__PLAIN(6, STRING, S, boot_id),
	BELAY__OPTIONAL(7, U32, S, idle_timeout_secs),
	BELAY__PLAIN(8, STRING, S, exe_hash_algorithm),
	BELAY__PLAIN(9, BYTES, S, exe_hash),
	BELAY__PLAIN(3, BYTES, S, exe_sha256),
};
const struct belay__proto_type belay__type_daemon_process = BELAY__PROTO_TYPE("DaemonProcess", S, daemon_process_rows);
#undef S

#define S struct belay__admin_request
static const struct belay__proto_field admin_request_rows[] = {
	BELAY__PLAIN(1, ENUM, S, verb),
	BELAY__PLAIN(2, BOOL, S, json),
	BELAY__PLAIN(3, STRING, S, service_name),
	BELAY__PLAIN(4, STRING, S, output_path),
	BELAY__PLAIN(5, U64, S, drain_deadline_ms),
};
const struct belay__proto_type belay__type_admin_request = BELAY__PROTO_TYPE("AdminRequest", S, admin_request_rows);
#undef S

#define S struct belay__admin_reply
static const struct belay__proto_field admin_reply_rows[] = {
	BELAY__PLAIN(1, ENUM, S, kind),
	BELAY__PLAIN(2, STRING, S, body),
	BELAY__PLAIN(3, U32, S, exit_code),
	BELAY__PLAIN(4, STRING, S, content_type),
};
const struct belay__proto_type belay__type_admin_reply = BELAY__PROTO_TYPE("AdminReply", S, admin_reply_rows);
#undef S

#define S struct belay__service_definition
static const struct belay__proto_field service_definition_rows[] = {
	BELAY__PLAIN(1, STRING, S, service_name),
	BELAY__PLAIN(2, STRING, S, binary_path),
	BELAY__PLAIN(3, ENUM, S, isolation),
	BELAY__PLAIN(4, STRING, S, explicit_instance),
	BELAY__PLAIN(5, STRING, S, per_version_binary_dir),
	BELAY__PLAIN(6, STRING, S, min_version),
	BELAY__REPEATED(7, STRING, S, version_allow_list),
	BELAY__REPEATED_MESSAGE(8, S, labels, &belay__type_entry),
};
const struct belay__proto_type belay__type_service_definition = BELAY__PROTO_TYPE("ServiceDefinition", S, service_definition_rows);
#undef S

#define S struct belay__host_identity
static const struct belay__proto_field host_identity_rows[] = {
	BELAY__PLAIN(1, STRING, S, hostname),
	BELAY__PLAIN(2, STRING, S, machine_id),
	BELAY__PLAIN(3, STRING, S, boot_id),
	BELAY__PLAIN(4, U64, S, fs_dev_id),
	BELAY__PLAIN(5, STRING, S, namespace_id),
};
const struct belay__proto_type belay__type_host_identity = BELAY__PROTO_TYPE("HostIdentity", S, host_identity_rows);
#undef S

#define S struct belay__operation
static const struct belay__proto_field operation_rows[] = {
	BELAY__PLAIN(1, ENUM, S, kind),
	BELAY__PLAIN(2, U64, S, started_at_unix_ms),
	BELAY__PLAIN(3, U64, S, expected_done_unix_ms),
};
const struct belay__proto_type belay__type_operation = BELAY__PROTO_TYPE("Operation", S, operation_rows);
#undef S

#define S struct belay__quota
static const struct belay__proto_field quota_rows[] = {
	BELAY__PLAIN(1, U64, S, hard_max_bytes),
	BELAY__PLAIN(2, U64, S, soft_target_bytes),
	BELAY__PLAIN(3, U64, S, reserved_bytes),
};
const struct belay__proto_type belay__type_quota = BELAY__PROTO_TYPE("Quota", S, quota_rows);
#undef S

#define S struct belay__teardown_hook
static const struct belay__proto_field teardown_hook_rows[] = {
	BELAY__PLAIN(1, ENUM, S, kind),
	BELAY__REPEATED(2, STRING, S, argv),
	BELAY__PLAIN(3, U64, S, timeout_secs),
};
const struct belay__proto_type belay__type_teardown_hook = BELAY__PROTO_TYPE("TeardownHook", S, teardown_hook_rows);
#undef S

#define S struct belay__ownership
static const struct belay__proto_field ownership_rows[] = {
	BELAY__PLAIN(1, U32, S, uid),
	BELAY__PLAIN(2, U32, S, gid),
	BELAY__PLAIN(3, U32, S, mode),
	BELAY__PLAIN(4, STRING, S, windows_sid),
};
const struct belay__proto_type belay__type_ownership = BELAY__PROTO_TYPE("Ownership", S, ownership_rows);
#undef S

#define S struct belay__cache_root
static const struct belay__proto_field cache_root_rows[] = {
	BELAY__PLAIN(1, STRING, S, path),
	BELAY__PLAIN(2, ENUM, S, kind),
	BELAY__PLAIN(3, U64, S, estimated_size_bytes),
	BELAY__PLAIN(4, ENUM, S, disposition),
	BELAY__REPEATED_MESSAGE(5, S, labels, &belay__type_entry),
	BELAY__OPTIONAL_MESSAGE(6, S, quota, struct belay__quota, &belay__type_quota),
	BELAY__OPTIONAL_MESSAGE(7, S, teardown_hook, struct belay__teardown_hook, &belay__type_teardown_hook),
	BELAY__REPEATED(8, STRING, S, exclude_globs),
	BELAY__REPEATED_MESSAGE(9, S, platform_paths, &belay__type_entry),
	BELAY__OPTIONAL_MESSAGE(10, S, ownership, struct belay__ownership, &belay__type_ownership),
	BELAY__OPTIONAL_MESSAGE(11, S, endpoint, struct belay__endpoint, &belay__type_endpoint),
};
const struct belay__proto_type belay__type_cache_root = BELAY__PROTO_TYPE("CacheRoot", S, cache_root_rows);
#undef S

#define S struct belay__cleanup_policy
static const struct belay__proto_field cleanup_policy_rows[] = {
	BELAY__PLAIN(1, U64, S, dormant_after_secs),
	BELAY__PLAIN(2, U32, S, keep_last_n_versions),
	BELAY__PLAIN(3, BOOL, S, keep_current),
	BELAY__PLAIN(4, U64, S, min_size_for_prune_bytes),
};
const struct belay__proto_type belay__type_cleanup_policy = BELAY__PROTO_TYPE("CleanupPolicy", S, cleanup_policy_rows);
#undef S

#define S struct belay__manifest_ref
static const struct belay__proto_field manifest_ref_rows[] = {
	BELAY__PLAIN(1, STRING, S, service_name),
	BELAY__PLAIN(2, STRING, S, min_version),
	BELAY__PLAIN(3, BOOL, S, optional),
};
const struct belay__proto_type belay__type_manifest_ref = BELAY__PROTO_TYPE("ManifestRef", S, manifest_ref_rows);
#undef S

#define S struct belay__observability_info
static const struct belay__proto_field observability_info_rows[] = {
	BELAY__PLAIN(1, STRING, S, metrics_endpoint),
	BELAY__PLAIN(2, STRING, S, log_path),
	BELAY__PLAIN(3, STRING, S, health_check_endpoint),
};
const struct belay__proto_type belay__type_observability_info = BELAY__PROTO_TYPE("ObservabilityInfo", S, observability_info_rows);
#undef S

#define S struct belay__cache_manifest
static const struct belay__proto_field cache_manifest_rows[] = {
	BELAY__PLAIN(1, STRING, S, service_name),
	BELAY__PLAIN(2, STRING, S, service_version),
	BELAY__PLAIN(3, STRING, S, broker_envelope_version),
	BELAY__PLAIN(4, U64, S, created_at_unix_ms),
	BELAY__PLAIN(5, U64, S, last_active_unix_ms),
	BELAY__REPEATED_MESSAGE(10, S, roots, &belay__type_cache_root),
	BELAY__OPTIONAL_MESSAGE(20, S, current_daemon, struct belay__daemon_process, &belay__type_daemon_process),
	BELAY__OPTIONAL_MESSAGE(30, S, cleanup_policy, struct belay__cleanup_policy, &belay__type_cleanup_policy),
	BELAY__PLAIN(40, STRING, S, broker_instance),
	BELAY__REPEATED_MESSAGE(50, S, depends_on, &belay__type_manifest_ref),
	BELAY__REPEATED(51, STRING, S, provides),
	BELAY__OPTIONAL_MESSAGE(60, S, observability, struct belay__observability_info, &belay__type_observability_info),
	BELAY__PLAIN(70, STRING, S, bundle_id),
	BELAY__PLAIN(100, U32, S, manifest_schema_version),
	BELAY__PLAIN(101, STRING, S, media_type),
	BELAY__PLAIN(102, BYTES, S, self_sha256),
	BELAY__OPTIONAL_MESSAGE(103, S, host, struct belay__host_identity, &belay__type_host_identity),
	BELAY__OPTIONAL_MESSAGE(104, S, current_operation, struct belay__operation, &belay__type_operation),
	BELAY__PLAIN(105, U64, S, valid_until_unix_ms),
};
const struct belay__proto_type belay__type_cache_manifest = BELAY__PROTO_TYPE("CacheManifest", S, cache_manifest_rows);
#undef S

#define S struct belay__lifecycle_event
static const struct belay__proto_field lifecycle_event_rows[] = {
	BELAY__PLAIN(1, U64, S, ts_ms),
	BELAY__PLAIN(2, U32, S, pid),
	BELAY__PLAIN(3, STRING, S, service_name),
	BELAY__PLAIN(4, ENUM, S, kind),
	BELAY__PLAIN(5, STRING, S, reason),
	BELAY__REPEATED_MESSAGE(6, S, extra, &belay__type_entry),
	BELAY__PLAIN(7, U32, S, severity_number),
	BELAY__PLAIN(8, STRING, S, severity_text),
	BELAY__PLAIN(9, STRING, S, request_id),
	BELAY__PLAIN(10, U64, S, connection_id),
	BELAY__PLAIN(11, STRING, S, broker_instance),
};
const struct belay__proto_type belay__type_lifecycle_event = BELAY__PROTO_TYPE("LifecycleEvent", S, lifecycle_event_rows);
#undef S

/* clang-format on */
