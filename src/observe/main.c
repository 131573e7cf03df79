/* belay-observe: the observer's program. `belay observe`, `belay config` and `belay audit` start
 * it; it starts its roles from itself. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "export/audit_verify.h"
#include "observe/cage.h"
#include "observe/daemon.h"
#include "observe/options.h"
#include "observe/roles.h"

static int help(void)
{
	static char buffer[16384];
	struct belay__text text;

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__text_add(&text,
		"usage: belay observe [OPTION ...]\n\n"
		"Watches processes that beat: tells who went silent and why, and who ended and "
		"how.\n\n");
	belay__options_help(belay__observe_table, belay__observe_table_count, &text);
	belay__text_add(&text,
		"\nexample: belay observe --threshold 2s\nmanual:  man belay-observe\n");
	return belay__write_all(STDOUT_FILENO, text.chars, text.len) < 0 ? 1 : 0;
}

static const char *value_of(const char *argument, const char *name)
{
	size_t len = strlen(name);

	return strncmp(argument, name, len) == 0 ? argument + len : NULL;
}

int main(int argc, char **argv)
{
	const char *first = argc > 1 ? argv[1] : "";
	const char *role = value_of(first, "--role=");
	const char *command = value_of(first, "--config-command=");

	/* Started with stdin, stdout or stderr closed, we must not open a socket under their
	 * numbers. */
	if (belay__fd_fill_stdio() < 0)
		return 71;
	if (role != NULL && belay__cage_obey(argc > 2 ? argv[2] : NULL) < 0)
		return 64;
	if (role != NULL && strcmp(role, "gate") == 0)
		return belay__gate_main();
	if (role != NULL && strcmp(role, "prober") == 0)
		return belay__prober_main();
	if (role != NULL && strcmp(role, "runner") == 0)
		return belay__runner_main();
	if (strcmp(first, "--audit-verify") == 0)
		return belay__audit_verify_main(argc - 1, argv + 1);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return help();
		if (strcmp(argv[i], "--version") == 0)
			return puts("belay " BELAY_VERSION) < 0;
	}
	if (command != NULL)
		return belay__config_main(command, argc - 1, argv + 1);
	return belay__parent_main(argc, argv);
}
