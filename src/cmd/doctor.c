/* belay doctor: is everything as it should be, and if not, what to do */

#include <string.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/doctor_checks.h"
#include "cmd/findings.h"
#include "cmd/output.h"

struct options {
	bool help, json;
	char socket[BELAY__SOCKET_PATH_SIZE];
};

/* clang-format off */
static const struct belay__option table[] = {
	BELAY__ROW_HELP(struct options),
	BELAY__ROW_JSON(struct options, "print one JSON object"),
	BELAY__ROW_SOCKET(struct options),
};

/* In this order: the first one finds the observer that the others ask about. */
static const struct {
	const char *name;
	void (*check)(struct belay__patient *patient, struct belay__findings *findings);
} checks[] = {
	{ "observer",    belay__check_observer },
	{ "directory",   belay__check_directory },
	{ "roles",       belay__check_roles },
	{ "sandbox",     belay__check_sandbox },
	{ "queue",       belay__check_queue },
	{ "state",       belay__check_state },
	{ "events",      belay__check_events },
	{ "network",     belay__check_network },
	{ "kernel",      belay__check_kernel },
	{ "descriptors", belay__check_descriptors },
	{ "sight",       belay__check_sight },
};
/* clang-format on */

static int run(int argc, char **argv)
{
	static char buffer[128 << 10];
	static struct belay__output output;
	static struct belay__patient patient;
	static struct belay__findings findings;
	struct options options = { 0 };
	struct belay__text text;
	int exit_code;

	if (belay__command_parse(&belay__command_doctor, &options, argc, argv, 0, NULL,
		    &exit_code) < 0)
		return exit_code;
	memcpy(patient.wanted, options.socket, sizeof(patient.wanted));
	for (size_t i = 0; i < BELAY__COUNT_OF(checks); i++) {
		findings.check = checks[i].name;
		checks[i].check(&patient, &findings);
	}

	belay__text_init(&text, buffer, sizeof(buffer));
	if (options.json)
		belay__findings_json(&findings, &text);
	else
		belay__findings_show(&findings, belay__output_is_coloured(STDOUT_FILENO), &text);
	belay__output_start(&output, STDOUT_FILENO);
	belay__output_add_bytes(&output, text.chars, text.len);
	if (belay__output_finish(&output) != BELAY__EXIT_OK ||
		findings.counts[BELAY__LEVEL_FAIL] > 0)
		return BELAY__EXIT_FAILED;
	return BELAY__EXIT_OK;
}

const struct belay__command belay__command_doctor = {
	.name = "doctor",
	.synopsis = "",
	.help = "looks at the observer, its files and the kernel, and says what to do about each "
		"flaw",
	.example = "belay doctor",
	.manual = "belay-doctor",
	.options = table,
	.option_count = BELAY__COUNT_OF(table),
	.run = run,
};
