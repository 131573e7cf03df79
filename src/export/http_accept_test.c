#include "export/http_accept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define OPENMETRICS "application/openmetrics-text"

static void the_format_that_is_liked_better_is_chosen(void **state)
{
	static const struct {
		const char *accept;
		enum belay__http_format wanted;
	} cases[] = {
		{ NULL, BELAY__HTTP_TEXT },
		{ "", BELAY__HTTP_TEXT },
		{ "*/*", BELAY__HTTP_TEXT },
		{ "text/plain", BELAY__HTTP_TEXT },
		{ "application/json", BELAY__HTTP_TEXT },
		{ "application/*", BELAY__HTTP_TEXT },
		{ OPENMETRICS, BELAY__HTTP_OPENMETRICS },
		{ "Application/OpenMetrics-Text;Version=1.0.0", BELAY__HTTP_OPENMETRICS },
		{ OPENMETRICS "; version=1.0.0; charset=utf-8", BELAY__HTTP_OPENMETRICS },
		{ OPENMETRICS ";version=0.0.1", BELAY__HTTP_TEXT },
		{ OPENMETRICS ";version=2.0.0", BELAY__HTTP_TEXT },
		{ OPENMETRICS "x", BELAY__HTTP_TEXT },
		{ OPENMETRICS ";q=0", BELAY__HTTP_TEXT },
		{ OPENMETRICS ";q=0.001", BELAY__HTTP_OPENMETRICS },
		{ OPENMETRICS ";q=1.001", BELAY__HTTP_TEXT },
		{ OPENMETRICS ";q=", BELAY__HTTP_TEXT },
		{ OPENMETRICS ";q=high", BELAY__HTTP_TEXT },
		{ OPENMETRICS ";q=0.1111", BELAY__HTTP_TEXT },
		{ OPENMETRICS ";q=1.000", BELAY__HTTP_OPENMETRICS },
		{ OPENMETRICS ";q=0.5,text/plain;q=0.5", BELAY__HTTP_OPENMETRICS },
		{ OPENMETRICS ";q=0.5,text/plain;q=0.501", BELAY__HTTP_TEXT },
		{ "text/plain ; q=0.4 , " OPENMETRICS " ; q=0.5", BELAY__HTTP_OPENMETRICS },
		/* The closest name counts, not the best liked. */
		{ OPENMETRICS ";q=0.5,text/plain;q=0.3,*/*;q=0.9", BELAY__HTTP_OPENMETRICS },
		{ OPENMETRICS ";q=0.5,*/*;q=0.9,text/plain;q=0.3", BELAY__HTTP_OPENMETRICS },
		{ OPENMETRICS ";q=0.5,text/*;q=0.9,*/*;q=0.1", BELAY__HTTP_TEXT },
		/* What Prometheus 2.42 sends. */
		{ "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
		  "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
			BELAY__HTTP_OPENMETRICS },
		{ ",,;;,=,;=;q", BELAY__HTTP_TEXT },
		{ " , " OPENMETRICS " , ", BELAY__HTTP_OPENMETRICS },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(belay__http_accept(cases[i].accept), cases[i].wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_format_that_is_liked_better_is_chosen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
