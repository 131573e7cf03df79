#include "observe/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "observe/config_file.h"

#define SYSTEM_DIR "/etc/belay"

/* A configuration in the making: too large for the stack, and given to the caller only when all of
 * it is good. */
struct loading {
	struct belay__observe_config config;
	struct belay__config_sources sources;
	bool seen[BELAY__OPTIONS_MAX];
	struct belay__observe_options flags; /* the command line alone */
};

void belay__config_note(struct belay__config_sources *sources, size_t index, const char *from)
{
	for (size_t i = 0; i < belay__observe_table_count; i++) {
		struct belay__text text;

		if (belay__observe_table[i].offset != belay__observe_table[index].offset)
			continue;
		belay__text_init(&text, sources->from[i], sizeof(sources->from[i]));
		belay__text_add(&text, from);
	}
}

/* Options of the original's that are there no more are told with what to use instead. */
static int refuse_removed(int argc, char *const *argv, struct belay_error *reterr)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		size_t len = strcspn(argv[i], "=");
		const char *instead = NULL;

		if (strncmp(argv[i], "--", 2) == 0)
			instead = belay__observe_removed(argv[i] + 2, len - 2);
		if (instead != NULL)
			return belay__fail(reterr, -EINVAL, "%.*s is gone: %s", (int)len, argv[i],
				instead);
	}
	return 0;
}

/* Reads argv into OPTIONS. The parser moves words about, and argv is wanted again at the next
 * reload: hence a copy. */
static int read_flags(int argc, char *const *argv, struct belay__observe_options *options,
	bool *seen, struct belay_error *reterr)
{
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));
	int r;

	if (copy == NULL)
		return belay__fail(reterr, -ENOMEM, "no memory for the command line");
	for (int i = 0; i < argc; i++)
		copy[i] = argv[i];
	r = refuse_removed(argc, argv, reterr);
	if (r == 0)
		r = belay__options_parse(belay__observe_table, belay__observe_table_count, options,
			argc, copy, seen, reterr);
	if (r > 0)
		r = belay__fail(reterr, -EINVAL,
			"'%s' is no option; belay observe takes options only, see its --help",
			copy[1]);
	free(copy);
	return r;
}

/* Reads DIRECTORY/belay.conf; there need not be one. */
static int read_main_file(const char *directory, struct loading *loading, struct belay_error *reterr)
{
	struct belay_error error = { 0 };
	char path[4096];
	int len = snprintf(path, sizeof(path), "%s/belay.conf", directory);
	int r;

	if (len < 0 || (size_t)len >= sizeof(path))
		return belay__fail(reterr, -ENAMETOOLONG, "the path %.64s... is too long",
			directory);
	r = belay__config_read_path(path, &loading->config, &loading->sources, &error);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	return r < 0 ? belay__fail(reterr, r, "%s", error.text) : r;
}

static int is_drop_in(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

/* In the order of bytes, whatever the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Who may write a directory may hide its files, or bring back old ones. */
static int check_directory(const char *path, struct belay_error *reterr)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return -ENOENT;
		return belay__fail(reterr, -errno, "cannot read %s: %s", path, strerror(errno));
	}
	if (stat.st_uid != 0 && stat.st_uid != geteuid())
		return belay__fail(reterr, -EPERM,
			"%s belongs to uid %u; it must belong to root or uid %u", path, stat.st_uid,
			geteuid());
	if ((stat.st_mode & 022) != 0)
		return belay__fail(reterr, -EPERM,
			"%s can be written by others; run: chmod go-w %s", path, path);
	return 0;
}

/* Reads DIRECTORY/conf.d/ *.conf; there need not be any. */
static int read_drop_ins(const char *directory, struct loading *loading, struct belay_error *reterr)
{
	struct dirent **entries;
	char path[2048];
	int r, count, len = snprintf(path, sizeof(path), "%s/conf.d", directory);

	if (len < 0 || (size_t)len >= sizeof(path))
		return belay__fail(reterr, -ENAMETOOLONG, "the path %.64s... is too long",
			directory);
	r = check_directory(path, reterr);
	if (r < 0)
		return r == -ENOENT ? 0 : r;

	count = scandir(path, &entries, is_drop_in, by_name);
	if (count < 0)
		return belay__fail(reterr, -errno, "cannot read %s: %s", path, strerror(errno));
	for (int i = 0; i < count; i++) {
		char file[sizeof(path) + 256];

		(void)snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		if (r >= 0)
			r = belay__config_read_path(file, &loading->config, &loading->sources,
				reterr);
		free(entries[i]);
	}
	free(entries);
	return r;
}

/* Reads the file called ONLY, or the default ones when that is empty. */
static int read_files(const char *only, const char *system_dir, const char *user_dir,
	struct loading *loading, struct belay_error *reterr)
{
	int r = 0;

	if (strcmp(only, "none") == 0)
		return 0;
	if (only[0] != '\0')
		return belay__config_read_path(only, &loading->config, &loading->sources, reterr);

	if (system_dir != NULL) {
		r = read_main_file(system_dir, loading, reterr);
		if (r >= 0)
			r = read_drop_ins(system_dir, loading, reterr);
	}
	if (r >= 0 && user_dir != NULL)
		r = read_main_file(user_dir, loading, reterr);
	return r;
}

/* BELAY_ and the row's name in capitals, with '_' for '-'. */
static void variable_of(const struct belay__option *row, char *variable, size_t size)
{
	struct belay__text text;

	belay__text_init(&text, variable, size);
	belay__text_add(&text, "BELAY_");
	belay__text_add(&text, row->name);
	for (char *c = variable; *c != '\0'; c++) {
		if (*c == '-')
			*c = '_';
		else if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	}
}

/* Empty variables count as unset. */
static int read_environment(struct loading *loading, struct belay_error *reterr)
{
	for (size_t i = 0; i < belay__observe_table_count; i++) {
		const struct belay__option *row = &belay__observe_table[i];
		char variable[96];
		const char *value;
		int r;

		variable_of(row, variable, sizeof(variable));
		value = getenv(variable);
		if (value == NULL || value[0] == '\0')
			continue;
		r = belay__option_set(row, &loading->config.options, value, reterr);
		if (r < 0)
			return belay__wrap(reterr, r, "the environment's %s", variable);
		belay__config_note(&loading->sources, i, variable);
	}
	return 0;
}

static void note_flags(struct loading *loading)
{
	for (size_t i = 0; i < belay__observe_table_count; i++) {
		struct belay__text text;
		char flag[96];

		/* With an alias its main row was seen as well. */
		if (!loading->seen[i] || belay__observe_table[i].alias_of != NULL)
			continue;
		belay__text_init(&text, flag, sizeof(flag));
		belay__text_add(&text, "--");
		belay__text_add(&text, belay__observe_table[i].name);
		belay__config_note(&loading->sources, i, flag);
	}
}

/* What is done about silences and ends, of the observer and of each rule. */
static int check_actions(struct loading *loading, struct belay_error *reterr)
{
	const struct belay__observe_config *config = &loading->config;
	int r = belay__doing_check(&loading->config.options, reterr);

	for (uint32_t i = 0; i < config->rule_count && r >= 0; i++) {
		r = belay__rule_check(&config->rules[i], reterr);
		if (r >= 0)
			r = belay__udp_recovery_check(&config->options, &config->rules[i], reterr);
		if (r < 0)
			return belay__wrap(reterr, r, "[process %s] (%s)", config->rules[i].name,
				loading->sources.rule_from[i]);
	}
	return r;
}

static int load(struct loading *loading, const char *system_dir, const char *user_dir, int argc,
	char *const *argv, struct belay_error *reterr)
{
	const char *only = getenv("BELAY_CONFIG");
	int r;

	belay__observe_defaults(&loading->config.options);
	for (size_t i = 0; i < belay__observe_table_count; i++)
		belay__config_note(&loading->sources, i, "default");

	/* Once to learn which files to read, and again below, above all else. */
	belay__observe_defaults(&loading->flags);
	r = read_flags(argc, argv, &loading->flags, NULL, reterr);
	if (r < 0)
		return r;
	if (loading->flags.config[0] != '\0')
		only = loading->flags.config;

	r = read_files(only == NULL ? "" : only, system_dir, user_dir, loading, reterr);
	if (r >= 0)
		r = read_environment(loading, reterr);
	if (r >= 0)
		r = read_flags(argc, argv, &loading->config.options, loading->seen, reterr);
	if (r < 0)
		return r;
	note_flags(loading);
	loading->sources.socket_given = loading->config.options.socket[0] != '\0';
	r = belay__observe_options_check(&loading->config.options, reterr);
	return r < 0 ? r : check_actions(loading, reterr);
}

int belay__config_load_from(const char *system_dir, const char *user_dir, int argc, char **argv,
	struct belay__observe_config *ret_config, struct belay__config_sources *ret_sources,
	struct belay_error *reterr)
{
	struct loading *loading = calloc(1, sizeof(*loading));
	int r;

	if (loading == NULL)
		return belay__fail(reterr, -ENOMEM, "no memory for the configuration");

	r = load(loading, system_dir, user_dir, argc, argv, reterr);
	if (r >= 0) {
		*ret_config = loading->config;
		*ret_sources = loading->sources;
	}
	free(loading);
	return r;
}

int belay__config_load(int argc, char **argv, struct belay__observe_config *ret_config,
	struct belay__config_sources *ret_sources, struct belay_error *reterr)
{
	const char *base = getenv("XDG_CONFIG_HOME"), *behind = "/belay", *user_dir = NULL;
	char path[2048];

	if (base == NULL || base[0] != '/') {
		base = getenv("HOME");
		behind = "/.config/belay";
	}
	/* root's home decides nothing about the system's observer. */
	if (geteuid() != 0 && base != NULL && base[0] == '/') {
		int len = snprintf(path, sizeof(path), "%s%s", base, behind);

		if (len < 0 || (size_t)len >= sizeof(path))
			return belay__fail(reterr, -ENAMETOOLONG, "the path %.64s... is too long",
				base);
		user_dir = path;
	}
	return belay__config_load_from(SYSTEM_DIR, user_dir, argc, argv, ret_config, ret_sources,
		reterr);
}
