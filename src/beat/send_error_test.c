#include <belay/beat.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void every_errno_has_its_class(void **state)
{
	static const struct {
		int error;
		enum belay_drop_reason reason;
	} dropped[] = {
		{ EAGAIN, BELAY_DROP_QUEUE_FULL },
		{ EWOULDBLOCK, BELAY_DROP_QUEUE_FULL },
		{ ENOBUFS, BELAY_DROP_QUEUE_FULL },
		{ ENOENT, BELAY_DROP_NO_OBSERVER },
		{ ECONNREFUSED, BELAY_DROP_NO_OBSERVER },
		{ ECONNRESET, BELAY_DROP_PEER_GONE },
		{ ENOTCONN, BELAY_DROP_PEER_GONE },
		{ EPIPE, BELAY_DROP_PEER_GONE },
		{ ENOSPC, BELAY_DROP_STORAGE_FULL },
	};
	(void)state;

	for (int error = 0; error < 200; error++) {
		struct belay_outcome outcome = belay_classify_send_error(error);
		enum belay_drop_reason reason = BELAY_DROP_NONE;

		for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
			if (dropped[i].error == error)
				reason = dropped[i].reason;

		assert_int_equal(outcome.sent,
			reason == BELAY_DROP_NONE ? BELAY_FAILED : BELAY_DROPPED);
		assert_int_equal(outcome.reason, reason);
		assert_int_equal(outcome.error, error);
	}
}

static void reasons_and_outcomes_have_their_texts(void **state)
{
	static const struct {
		struct belay_outcome outcome;
		const char *text;
	} cases[] = {
		{ { .sent = BELAY_SENT }, "sent" },
		{ { .sent = BELAY_DROPPED, .reason = BELAY_DROP_QUEUE_FULL },
			"dropped: queue full" },
		{ { .sent = BELAY_DROPPED, .reason = BELAY_DROP_NO_OBSERVER },
			"dropped: no observer" },
		{ { .sent = BELAY_DROPPED, .reason = BELAY_DROP_PEER_GONE }, "dropped: peer gone" },
		{ { .sent = BELAY_DROPPED, .reason = BELAY_DROP_STORAGE_FULL },
			"dropped: storage full" },
		{ { .sent = 9 }, "unknown outcome 9" },
	};
	char text[64];
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int len = belay_outcome_text(&cases[i].outcome, text, sizeof(text));

		assert_string_equal(text, cases[i].text);
		assert_int_equal(len, strlen(cases[i].text));
	}
	assert_string_equal(belay_drop_reason_text(BELAY_DROP_NONE), "");
	assert_string_equal(belay_drop_reason_text((enum belay_drop_reason)5), "");
}

static void a_failure_is_told_in_the_words_of_the_c_library(void **state)
{
	const struct belay_outcome outcome = { .sent = BELAY_FAILED, .error = EMSGSIZE };
	char text[64], expected[64] = "failed: ";
	(void)state;

	(void)belay_outcome_text(&outcome, text, sizeof(text));
	assert_string_equal(text, strncat(expected, strerror(EMSGSIZE), 50));
}

static void a_text_that_does_not_fit_is_cut_and_tells_its_length(void **state)
{
	const struct belay_outcome outcome = { .sent = BELAY_SENT };
	char text[8] = "????";
	(void)state;

	assert_int_equal(belay_outcome_text(&outcome, text, 3), 4);
	assert_string_equal(text, "se");
	assert_int_equal(belay_outcome_text(&outcome, text, 5), 4);
	assert_string_equal(text, "sent");
	assert_int_equal(belay_outcome_text(&outcome, NULL, 0), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_errno_has_its_class),
		cmocka_unit_test(reasons_and_outcomes_have_their_texts),
		cmocka_unit_test(a_failure_is_told_in_the_words_of_the_c_library),
		cmocka_unit_test(a_text_that_does_not_fit_is_cut_and_tells_its_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
