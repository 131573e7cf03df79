#include <belay/handoff.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Upstream's handoff_transport: what each error means for the client. */
static void each_error_has_its_name_its_reason_and_counts_or_not(void **state)
{
	static const struct {
		enum belay_handoff_error error;
		const char *name, *reason;
		bool counts;
	} rows[] = {
		{ BELAY_HANDED_OVER, "HandedOver", "None", false },
		{ BELAY_HANDOFF_UNSUPPORTED_PLATFORM, "UnsupportedPlatform",
			"ServicePolicyDisabled", false },
		{ BELAY_HANDOFF_PERMISSION_DENIED, "PermissionDenied", "PermissionDenied", true },
		{ BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE, "BackendSocketUnavailable",
			"BackendAckTimeout", true },
		{ BELAY_HANDOFF_WOULD_BLOCK, "WouldBlock", "BackendAckTimeout", true },
		{ BELAY_HANDOFF_SEND_FAILED, "SendFailed", "BackendAckTimeout", true },
		{ BELAY_HANDOFF_PARTIAL_SEND, "PartialSend", "BackendAckTimeout", true },
		{ BELAY_HANDOFF_DELIVERY_FAILED, "PostTransferDeliveryFailed", "BackendAckTimeout",
			true },
		{ BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, "BackendAckTimeout", "BackendAckTimeout",
			true },
		{ BELAY_HANDOFF_INTEGRITY_MISMATCH, "IntegrityMismatch", "IntegrityMismatch", true },
		{ BELAY_HANDOFF_REJECTED, "Rejected", "BackendAckTimeout", true },
	};
	(void)state;

	assert_int_equal(COUNT(rows), BELAY_HANDOFF_REJECTED + 1);
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum belay_handoff_reason reason = belay_handoff_fallback_reason(rows[i].error);

		assert_string_equal(belay_handoff_error_name(rows[i].error), rows[i].name);
		assert_string_equal(belay_handoff_reason_name(reason), rows[i].reason);
		assert_int_equal(belay_handoff_is_attempt_failure(rows[i].error), rows[i].counts);
		assert_true(belay_handoff_is_fallback_safe(rows[i].error));
	}
}

/* Broker v1's ownership table, row by row. */
static void a_client_has_one_owner_after_each_failure(void **state)
{
	static const struct {
		enum belay_handoff_stage stage;
		size_t sent;
		bool rejected, relinquish;
	} rows[] = {
		{ BELAY_HANDOFF_DIAL, 0, false, false },
		{ BELAY_HANDOFF_TRANSFER, 0, false, false },
		{ BELAY_HANDOFF_TRANSFER, 1, false, true },
		{ BELAY_HANDOFF_TRANSFER, 15, false, true },
		{ BELAY_HANDOFF_DELIVER, 0, false, true },
		{ BELAY_HANDOFF_DELIVER, 16, false, true },
		{ BELAY_HANDOFF_AWAIT_ACK, 16, false, true },
		{ BELAY_HANDOFF_AWAIT_ACK, 0, true, false },
		{ BELAY_HANDOFF_AWAIT_ACK, 16, true, false },
		{ BELAY_HANDOFF_ACKNOWLEDGE, 16, false, true },
		{ BELAY_HANDOFF_DONE, 16, false, true },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(belay_handoff_must_relinquish(rows[i].stage, rows[i].sent,
					 rows[i].rejected),
			rows[i].relinquish);
}

static void what_nobody_knows_is_relinquished_and_has_a_name(void **state)
{
	int beyond = 99;
	(void)state;

	assert_true(belay_handoff_must_relinquish((enum belay_handoff_stage)beyond, 0, true));
	assert_string_equal(belay_handoff_stage_name((enum belay_handoff_stage)beyond), "Unknown");
	assert_string_equal(belay_handoff_error_name((enum belay_handoff_error)beyond), "Unknown");
	assert_string_equal(belay_handoff_reason_name((enum belay_handoff_reason)beyond), "Unknown");
	for (int i = 0; i <= BELAY_HANDOFF_DONE; i++)
		assert_string_not_equal(belay_handoff_stage_name((enum belay_handoff_stage)i),
			"Unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_error_has_its_name_its_reason_and_counts_or_not),
		cmocka_unit_test(a_client_has_one_owner_after_each_failure),
		cmocka_unit_test(what_nobody_knows_is_relinquished_and_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
