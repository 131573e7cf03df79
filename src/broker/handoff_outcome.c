#include <belay/handoff.h>

/* One row an error: its name, whether it counts as a failed attempt, and what the client is told. For the
 * latter two an ack that says no is as good as none: a failed attempt, BackendAckTimeout, as with broker v1. */
static const struct {
	const char *name;
	bool attempt_failure;
	enum belay_handoff_reason reason;
} errors[] = {
	[BELAY_HANDED_OVER] = { "HandedOver", false, BELAY_FALLBACK_NONE },
	[BELAY_HANDOFF_UNSUPPORTED_PLATFORM] = { "UnsupportedPlatform", false,
		BELAY_FALLBACK_SERVICE_POLICY_DISABLED },
	[BELAY_HANDOFF_PERMISSION_DENIED] = { "PermissionDenied", true,
		BELAY_FALLBACK_PERMISSION_DENIED },
	[BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE] = { "BackendSocketUnavailable", true,
		BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
	[BELAY_HANDOFF_WOULD_BLOCK] = { "WouldBlock", true, BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
	[BELAY_HANDOFF_SEND_FAILED] = { "SendFailed", true, BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
	[BELAY_HANDOFF_PARTIAL_SEND] = { "PartialSend", true, BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
	[BELAY_HANDOFF_DELIVERY_FAILED] = { "PostTransferDeliveryFailed", true,
		BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
	[BELAY_HANDOFF_BACKEND_ACK_TIMEOUT] = { "BackendAckTimeout", true,
		BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
	[BELAY_HANDOFF_INTEGRITY_MISMATCH] = { "IntegrityMismatch", true,
		BELAY_FALLBACK_INTEGRITY_MISMATCH },
	[BELAY_HANDOFF_REJECTED] = { "Rejected", true, BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
};

static const char *const reasons[] = {
	[BELAY_FALLBACK_NONE] = "None",
	[BELAY_FALLBACK_CLIENT_UNSUPPORTED] = "ClientUnsupported",
	[BELAY_FALLBACK_SERVICE_POLICY_DISABLED] = "ServicePolicyDisabled",
	[BELAY_FALLBACK_FD_PRESSURE_DISABLED] = "FdPressureDisabled",
	[BELAY_FALLBACK_ADOPTED_BACKEND] = "AdoptedBackend",
	[BELAY_FALLBACK_FAILED_ATTEMPT_RATE_LIMITED] = "FailedAttemptRateLimited",
	[BELAY_FALLBACK_PERMISSION_DENIED] = "PermissionDenied",
	[BELAY_FALLBACK_INTEGRITY_MISMATCH] = "IntegrityMismatch",
	[BELAY_FALLBACK_BACKEND_ACK_TIMEOUT] = "BackendAckTimeout",
};

/* Who may own the client after a failure: broker v1's table, a row a stage. */
enum owner {
	OURS,
	BACKENDS,                 /* it may be: relinquish */
	BACKENDS_IF_SENT,         /* with the first byte of the token went the descriptor */
	BACKENDS_UNLESS_REJECTED, /* a valid ack that says no gives it back */
};
static const struct {
	const char *name;
	enum owner owner;
} stages[] = {
	[BELAY_HANDOFF_DIAL] = { "Dial", OURS },
	[BELAY_HANDOFF_TRANSFER] = { "Transfer", BACKENDS_IF_SENT },
	[BELAY_HANDOFF_DELIVER] = { "Deliver", BACKENDS },
	[BELAY_HANDOFF_AWAIT_ACK] = { "AwaitAck", BACKENDS_UNLESS_REJECTED },
	[BELAY_HANDOFF_ACKNOWLEDGE] = { "Acknowledge", BACKENDS },
	[BELAY_HANDOFF_DONE] = { "Done", BACKENDS },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *belay_handoff_error_name(enum belay_handoff_error error)
{
	return (size_t)error < COUNT(errors) ? errors[error].name : "Unknown";
}

const char *belay_handoff_reason_name(enum belay_handoff_reason reason)
{
	return (size_t)reason < COUNT(reasons) ? reasons[reason] : "Unknown";
}

const char *belay_handoff_stage_name(enum belay_handoff_stage stage)
{
	return (size_t)stage < COUNT(stages) ? stages[stage].name : "Unknown";
}

enum belay_handoff_reason belay_handoff_fallback_reason(enum belay_handoff_error error)
{
	return (size_t)error < COUNT(errors) ? errors[error].reason
					     : BELAY_FALLBACK_BACKEND_ACK_TIMEOUT;
}

bool belay_handoff_is_attempt_failure(enum belay_handoff_error error)
{
	return (size_t)error < COUNT(errors) && errors[error].attempt_failure;
}

bool belay_handoff_is_fallback_safe(enum belay_handoff_error error)
{
	/* There is none after which a client would have to see an error: it can always reconnect. */
	(void)error;
	return true;
}

bool belay_handoff_must_relinquish(enum belay_handoff_stage stage, size_t sent, bool rejected)
{
	/* Of a stage that nobody knows the worst is assumed: two owners are worse than none. */
	switch ((size_t)stage < COUNT(stages) ? stages[stage].owner : BACKENDS) {
	case OURS:
		return false;
	case BACKENDS_IF_SENT:
		return sent > 0;
	case BACKENDS_UNLESS_REJECTED:
		return !rejected;
	case BACKENDS:
	default:
		return true;
	}
}
