#include "process/environment.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"

void belay__environment_init(struct belay__environment *environment)
{
	environment->count = environment->len = 0;
	environment->entries[0] = NULL;
	(void)belay__environment_set(environment, "PATH=" BELAY__DEFAULT_PATH);
}

/* Where KEY's entry is, or count. */
static size_t find(const struct belay__environment *environment, const char *key, size_t key_len)
{
	size_t i;

	for (i = 0; i < environment->count; i++)
		if (strncmp(environment->entries[i], key, key_len) == 0 &&
			environment->entries[i][key_len] == '=')
			break;
	return i;
}

static int set(struct belay__environment *environment, const char *key, size_t key_len,
	const char *value, size_t len)
{
	size_t at = find(environment, key, key_len);
	char *entry = environment->bytes + environment->len;

	if (key_len == 0 || memchr(key, '=', key_len) != NULL)
		return -EINVAL;
	if (at == BELAY__VARIABLES_MAX || key_len > sizeof(environment->bytes) ||
		len > sizeof(environment->bytes) ||
		key_len + len + 2 > sizeof(environment->bytes) - environment->len)
		return -E2BIG;

	memcpy(entry, key, key_len);
	entry[key_len] = '=';
	for (size_t i = 0; i < len; i++)
		entry[key_len + 1 + i] = value[i] == '\0' ? '?' : value[i];
	entry[key_len + 1 + len] = '\0';
	environment->len += key_len + len + 2;
	environment->entries[at] = entry;
	if (at == environment->count)
		environment->entries[++environment->count] = NULL;
	return 0;
}

int belay__environment_set(struct belay__environment *environment, const char *entry)
{
	const char *equals = strchr(entry, '=');

	if (equals == NULL)
		return -EINVAL;
	return set(environment, entry, (size_t)(equals - entry), equals + 1, strlen(equals + 1));
}

int belay__environment_set_value(struct belay__environment *environment, const char *key,
	const char *value, size_t len)
{
	return set(environment, key, strlen(key), value, len);
}

const char *belay__environment_get(const struct belay__environment *environment, const char *key)
{
	size_t key_len = strlen(key), at = find(environment, key, key_len);

	return at < environment->count ? environment->entries[at] + key_len + 1 : NULL;
}

/* Whether PATH is a file that somebody may execute. 0, -EACCES, -ENOENT. */
static int look_at(const char *path)
{
	struct stat file;

	if (stat(path, &file) < 0)
		return errno == EACCES ? -EACCES : -ENOENT;
	return S_ISREG(file.st_mode) && (file.st_mode & 0111) != 0 ? 0 : -EACCES;
}

static int search_in(const char *program, const char *search, char *path, size_t size)
{
	int result = -ENOENT;

	while (*search != '\0') {
		size_t len = strcspn(search, ":");
		struct belay__text text;
		int r;

		belay__text_init(&text, path, size);
		belay__text_add_bytes(&text, search, len);
		belay__text_add(&text, "/");
		belay__text_add(&text, program);
		if (search[0] == '/' && !text.overflowed) {
			r = look_at(path);
			if (r == 0)
				return 0;
			if (r == -EACCES)
				result = r;
		}
		search += len;
		search += *search == ':';
	}
	path[0] = '\0';
	return result;
}

int belay__find_program(const char *program, const char *search, char *path, size_t size)
{
	struct belay__text text;

	if (program[0] == '\0' || (program[0] != '/' && strchr(program, '/') != NULL))
		return -EINVAL;
	if (program[0] != '/')
		return search_in(program, search, path, size);
	belay__text_init(&text, path, size);
	belay__text_add(&text, program);
	return text.overflowed ? -ENAMETOOLONG : 0;
}
