#include "ipc/socket_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Appends the formatted path unless it is too long or already there (XDG_RUNTIME_DIR is mostly
 * /run/user/UID). */
static void add(struct belay__socket_candidates *list, const char *directory, const char *rest)
{
	char *path = list->path[list->count];
	int len = snprintf(path, BELAY__SOCKET_PATH_SIZE, "%s%s", directory, rest);

	if (len < 0 || len > BELAY__SOCKET_PATH_MAX)
		return;
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->path[i], path) == 0)
			return;
	}
	list->count++;
}

bool belay__is_own_directory(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid();
}

void belay__socket_candidates(struct belay__socket_candidates *ret)
{
	/* A program that runs with more rights than its caller takes no paths from its caller. */
	const char *chosen = secure_getenv("BELAY_SOCKET");
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	char of_user[sizeof("/run/user/4294967295")];

	ret->count = 0;
	if (chosen != NULL && chosen[0] != '\0') {
		if (chosen[0] == '/')
			add(ret, chosen, "");
		return;
	}

	if (runtime != NULL && runtime[0] == '/')
		add(ret, runtime, "/belay/beat.sock");
	(void)snprintf(of_user, sizeof(of_user), "/run/user/%u", (unsigned)geteuid());
	if (belay__is_own_directory(of_user))
		add(ret, of_user, "/belay/beat.sock");
	add(ret, "/run/belay", "/beat.sock");
}

int belay__socket_sibling(const char *path, const char *suffix,
	char ret_path[BELAY__SOCKET_PATH_SIZE])
{
	size_t path_len = strlen(path), suffix_len = strlen(suffix);

	if (path_len + suffix_len >= BELAY__SOCKET_PATH_SIZE)
		return -ENAMETOOLONG;

	char *end = mempcpy(ret_path, path, path_len);
	memcpy(end, suffix, suffix_len + 1);
	return 0;
}
