#include "cmd/program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cmd/cmd.h"

#define PATH_SIZE 4096

/* Where a program may lie: beside the executable, or where the build was told. */
static const struct {
	bool beside;
	const char *directory;
} places[] = {
	{ true, "/libexec/belay" },
	{ true, "/../libexec/belay" },
	{ false, BELAY_LIBEXECDIR },
};

int belay__program_find(const char *exe, const char *name, char *path, size_t size,
	struct belay_error *reterr)
{
	const char *slash = strrchr(exe, '/');
	int directory_len = slash == NULL ? 0 : (int)(slash - exe);

	for (size_t i = 0; i < BELAY__COUNT_OF(places); i++) {
		int len = snprintf(path, size, "%.*s%s/%s", places[i].beside ? directory_len : 0,
			exe, places[i].directory, name);

		if (len > 0 && (size_t)len < size && access(path, X_OK) == 0)
			return 0;
	}
	return belay__fail(reterr, -ENOENT,
		"the program %s is not beside %s nor in %s; build or install Belay as a whole",
		name, exe, BELAY_LIBEXECDIR);
}

int belay__program_exec(const char *name, char **argv)
{
	static char exe[PATH_SIZE], path[PATH_SIZE + 64];
	static char program[64];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	struct belay_error error;

	exe[len > 0 ? len : 0] = '\0';
	if (belay__program_find(exe, name, path, sizeof(path), &error) < 0) {
		belay__complain("%s", error.text);
		return BELAY__EXIT_FAILED;
	}
	(void)snprintf(program, sizeof(program), "%s", name);
	argv[0] = program;
	(void)execv(path, argv);
	belay__complain("cannot start %s: %s", path, strerror(errno));
	return BELAY__EXIT_FAILED;
}
