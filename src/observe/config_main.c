/* `belay config show|check` */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "observe/config.h"
#include "observe/daemon.h"

#define EXIT_USAGE 2

/* Takes --json out of the words: it is this command's own. */
static bool take_json(int *argc, char **argv)
{
	bool json = false;
	int kept = 1;

	for (int i = 1; i < *argc; i++)
		if (strcmp(argv[i], "--json") == 0)
			json = true;
		else
			argv[kept++] = argv[i];
	*argc = kept;
	argv[kept] = NULL;
	return json;
}

int belay__config_main(const char *command, int argc, char **argv)
{
	static struct belay__observe_config config;
	static struct belay__config_sources sources;
	static char buffer[256 * 1024];
	bool json = take_json(&argc, argv);
	struct belay__text text;
	struct belay_error error;

	if (strcmp(command, "show") != 0 && strcmp(command, "check") != 0) {
		(void)fprintf(stderr, "belay config: '%s' is no command of it; use show or check\n",
			command);
		return EXIT_USAGE;
	}
	if (belay__config_load(argc, argv, &config, &sources, &error) < 0) {
		(void)fprintf(stderr, "belay config: %s\n", error.text);
		return 1;
	}
	belay__text_init(&text, buffer, sizeof(buffer));
	if (strcmp(command, "show") == 0) {
		belay__config_show(&config, &sources, json, &text);
	} else {
		belay__text_addf(&text, "ok: %u file%s read, %u process rule%s\n",
			sources.file_count, sources.file_count == 1 ? "" : "s", config.rule_count,
			config.rule_count == 1 ? "" : "s");
	}
	if (belay__write_all(STDOUT_FILENO, text.chars, text.len) < 0) {
		(void)fprintf(stderr, "belay config: cannot write to standard output\n");
		return 1;
	}
	return 0;
}
