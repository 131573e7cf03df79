/* Which files, variables and words a configuration is read from, and which of them counts. */

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "observe/config_file.h"
#include "observe/config_testing.h"

/* Too large for a stack. */
static struct belay__observe_config other;
static struct belay__config_sources other_sources;

static char root[64], system_dir[96], user_dir[96];

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
	(void)stat;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int make_directories(void **state)
{
	char drop_ins[128];
	(void)state;

	(void)snprintf(root, sizeof(root), "/tmp/belay-config-XXXXXX");
	if (mkdtemp(root) == NULL)
		return -1;
	(void)snprintf(system_dir, sizeof(system_dir), "%s/system", root);
	(void)snprintf(user_dir, sizeof(user_dir), "%s/user", root);
	(void)snprintf(drop_ins, sizeof(drop_ins), "%s/conf.d", system_dir);
	memset(&config, 0, sizeof(config));
	memset(&sources, 0, sizeof(sources));
	memset(&load_error, 0, sizeof(load_error));
	(void)umask(022);
	return mkdir(system_dir, 0755) < 0 || mkdir(user_dir, 0755) < 0 || mkdir(drop_ins, 0755) < 0;
}

static int remove_directories(void **state)
{
	(void)state;
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *directory, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Loads with the words behind "belay", up to the first NULL. */
static int load(const char *first, const char *second)
{
	char program[] = "belay", words[2][256];
	char *argv[] = { program, NULL, NULL, NULL };
	const char *const given[] = { first, second };
	int argc = 1;

	for (int i = 0; i < 2 && given[i] != NULL; i++) {
		(void)snprintf(words[i], sizeof(words[i]), "%s", given[i]);
		argv[argc++] = words[i];
	}
	return belay__config_load_from(system_dir, user_dir, argc, argv, &config, &sources,
		&load_error);
}

static void without_files_everything_has_its_default(void **state)
{
	(void)state;

	assert_int_equal(load(NULL, NULL), 0);
	assert_int_equal(config.options.threshold_ns, 5 * BELAY__NS_PER_S);
	assert_int_equal(config.rule_count, 0);
	assert_int_equal(sources.file_count, 0);
	assert_string_equal(from("threshold"), "default");
	assert_false(sources.socket_given);

	char program[] = "belay", *argv[] = { program, NULL };

	assert_int_equal(
		belay__config_load_from("/nowhere", NULL, 1, argv, &config, &sources, &load_error),
		0);
	assert_int_equal(
		belay__config_load_from(NULL, NULL, 1, argv, &config, &sources, &load_error), 0);
}

static void flag_beats_environment_beats_user_beats_drop_in_beats_system(void **state)
{
	(void)state;

	write_file(system_dir, "belay.conf",
		"[observe]\nthreshold = 1s\ncapacity = 1\nmax-beat-rate = 1\nwithin_max = "
		"1m\nsocket-mode = 0644\n");
	write_file(system_dir, "conf.d/20-b.conf", "[observe]\ncapacity = 3\nwithin-max = 3m\n");
	write_file(system_dir, "conf.d/10-a.conf", "[observe]\nthreshold = 2s\ncapacity = 2\n");
	write_file(system_dir, "conf.d/30-c.conf~", "[nonsense]\n");
	write_file(system_dir, "conf.d/.hidden.conf", "[nonsense]\n");
	write_file(user_dir, "belay.conf", "\n[observe]\nthreshold-ms = 4000\nmax-beat-rate = 4\n");
	setenv("BELAY_THRESHOLD", "5s", 1);
	setenv("BELAY_MAX_BEAT_RATE", "", 1); /* as good as unset */
	setenv("BELAY_SOCKET", "/run/s", 1);

	assert_int_equal(load("--threshold", "6s"), 0);
	assert_int_equal(config.options.threshold_ns, 6 * BELAY__NS_PER_S);
	assert_string_equal(from("threshold"), "--threshold");
	assert_string_equal(from("threshold-ms"), "--threshold");
	assert_string_equal(config.options.socket, "/run/s");
	assert_string_equal(from("socket"), "BELAY_SOCKET");
	assert_true(sources.socket_given);

	unsetenv("BELAY_SOCKET");
	assert_int_equal(load(NULL, NULL), 0);
	assert_int_equal(config.options.threshold_ns, 5 * BELAY__NS_PER_S);
	assert_string_equal(from("threshold"), "BELAY_THRESHOLD");

	unsetenv("BELAY_THRESHOLD");
	unsetenv("BELAY_MAX_BEAT_RATE");
	assert_int_equal(load(NULL, NULL), 0);
	assert_int_equal(config.options.threshold_ns, 4 * BELAY__NS_PER_S);
	assert_ends(from("threshold"), "/user/belay.conf:3");
	assert_int_equal(config.options.max_beat_rate, 4);
	assert_int_equal(config.options.capacity, 3);
	assert_ends(from("capacity"), "/conf.d/20-b.conf:2");
	assert_ends(from("tracker-capacity"), "/conf.d/20-b.conf:2");
	assert_int_equal(config.options.within_max_ns, 180 * BELAY__NS_PER_S);
	assert_int_equal(config.options.socket_mode, 0644);
	assert_ends(from("socket-mode"), "/system/belay.conf:6");
	assert_int_equal(sources.file_count, 4);
	assert_ends(sources.files[1], "10-a.conf");
	assert_ends(sources.files[2], "20-b.conf");
	assert_ends(sources.files[3], "/user/belay.conf");
}

static void a_named_file_is_read_alone(void **state)
{
	char path[128], missing[128];
	(void)state;

	write_file(system_dir, "belay.conf", "[observe]\ncapacity = 1\n");
	write_file(root, "mine.conf", "[observe]\nthreshold = 1s\n");
	(void)snprintf(path, sizeof(path), "%s/mine.conf", root);
	(void)snprintf(missing, sizeof(missing), "%s/missing.conf", root);

	assert_int_equal(load("--config", path), 0);
	assert_int_equal(config.options.capacity, 4096);
	assert_int_equal(config.options.threshold_ns, BELAY__NS_PER_S);
	assert_int_equal(sources.file_count, 1);

	assert_int_equal(load("--config", missing), -ENOENT);
	assert_non_null(strstr(load_error.text, "missing.conf"));

	setenv("BELAY_CONFIG", path, 1);
	assert_int_equal(load(NULL, NULL), 0);
	assert_int_equal(config.options.threshold_ns, BELAY__NS_PER_S);
	assert_int_equal(load("--config=none", NULL), 0);
	assert_int_equal(config.options.threshold_ns, 5 * BELAY__NS_PER_S);
	assert_int_equal(sources.file_count, 0);
	unsetenv("BELAY_CONFIG");
}

static void argv_is_left_as_it_was_for_the_next_reload(void **state)
{
	char program[] = "belay", flag[] = "--capacity", value[] = "9";
	char *argv[] = { program, flag, value, NULL };
	(void)state;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(belay__config_load_from(NULL, NULL, 3, argv, &config, &sources,
					 &load_error),
			0);
		assert_int_equal(config.options.capacity, 9);
		assert_string_equal(from("capacity"), "--capacity");
	}
	assert_ptr_equal(argv[1], flag);
	assert_ptr_equal(argv[2], value);
}

static void a_failed_load_leaves_both_outputs_alone(void **state)
{
	(void)state;

	assert_int_equal(load("--capacity", "7"), 0);
	other = config;
	other_sources = sources;

	write_file(system_dir, "belay.conf", "[observe]\ncapacity = 8\nthreshold = soon\n");
	assert_int_equal(load(NULL, NULL), -EINVAL);
	assert_non_null(strstr(load_error.text, "belay.conf:3: threshold: 'soon'"));
	write_file(system_dir, "belay.conf", "[observe]\ncapacity = 8\n");
	assert_int_equal(load("--treshold", "1s"), -EINVAL);
	assert_non_null(strstr(load_error.text, "--threshold?"));
	assert_int_equal(load("word", NULL), -EINVAL);
	assert_non_null(strstr(load_error.text, "'word'"));
	assert_int_equal(load("--socket-mode", "4600"), -EINVAL);
	setenv("BELAY_CAPACITY", "0", 1);
	assert_int_equal(load(NULL, NULL), -EINVAL);
	assert_non_null(strstr(load_error.text, "BELAY_CAPACITY"));
	unsetenv("BELAY_CAPACITY");

	assert_memory_equal(&config, &other, sizeof(config));
	assert_memory_equal(&sources, &other_sources, sizeof(sources));
}

static void options_that_are_gone_are_named_with_what_replaces_them(void **state)
{
	static const struct {
		const char *first, *second, *says; /* NULL: it is right */
	} cases[] = {
		{ "--key-env", "SECRET", "--key-env is gone: " },
		{ "--key-env=SECRET", NULL, "--key-env is gone: " },
		{ "--master_key_env=SECRET", NULL, "--master-key-file" },
		{ "--accepted-key-env", NULL, "--accepted-key-file" },
		{ "--recovery-cmd=x", NULL, "--recovery-exec" },
		{ "--key-environment=x", NULL, "unknown option" },
		{ "--key-file=/key", NULL, NULL },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = load(cases[i].first, cases[i].second);

		assert_int_equal(r, cases[i].says == NULL ? 0 : -EINVAL);
		if (r < 0 && strstr(load_error.text, cases[i].says) == NULL)
			fail_msg("%s: %s", cases[i].first, load_error.text);
		assert_null(strstr(load_error.text, "SECRET"));
	}
}

static void a_rule_about_other_hosts_runs_nothing_unless_somebody_vouches(void **state)
{
	static const char rule[] = "[process web]\nhost = web*\non-stall = command true\n";
	(void)state;

	write_file(system_dir, "belay.conf", rule);
	assert_int_equal(load(NULL, NULL), 0);
	assert_string_equal(config.rules[0].host, "web*");
	assert_int_equal(load("--udp-port=7000", "--key-file=/key"), -EINVAL);
	assert_non_null(strstr(load_error.text, "[process web] ("));
	assert_non_null(
		strstr(load_error.text, "--secure-udp-i-accept-recovery-on-unauthenticated-"));

	setenv("BELAY_SECURE_UDP_I_ACCEPT_RECOVERY_ON_UNAUTHENTICATED_TRANSPORT", "yes", 1);
	assert_int_equal(load("--udp-port=7000", "--key-file=/key"), 0);
	unsetenv("BELAY_SECURE_UDP_I_ACCEPT_RECOVERY_ON_UNAUTHENTICATED_TRANSPORT");
	setenv("BELAY_PLAINTEXT_UDP_I_ACCEPT_RECOVERY_ON_UNAUTHENTICATED_TRANSPORT", "yes", 1);
	assert_int_equal(load("--udp-port=7000", "--i-accept-plaintext-udp"), 0);
	assert_int_equal(load("--udp-port=7000", "--key-file=/key"), -EINVAL);
	unsetenv("BELAY_PLAINTEXT_UDP_I_ACCEPT_RECOVERY_ON_UNAUTHENTICATED_TRANSPORT");
}

static void files_that_others_can_write_are_refused(void **state)
{
	static const struct {
		const char *path;
		mode_t mode;
		int result;
	} cases[] = {
		{ "system/belay.conf", 0664, -EPERM },
		{ "system/belay.conf", 0646, -EPERM },
		{ "system/belay.conf", 0644, 0 },
		{ "system/conf.d/a.conf", 0666, -EPERM },
		{ "system/conf.d/a.conf", 0600, 0 },
		{ "user/belay.conf", 0620, -EPERM },
		{ "user/belay.conf", 0444, 0 },
		{ "system/conf.d", 0775, -EPERM },
		{ "system/conf.d", 0755, 0 },
	};
	char path[160], target[160];
	(void)state;

	write_file(system_dir, "belay.conf", "[observe]\n");
	write_file(system_dir, "conf.d/a.conf", "[observe]\n");
	write_file(user_dir, "belay.conf", "[observe]\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", root, cases[i].path);
		assert_int_equal(chmod(path, cases[i].mode), 0);
		assert_int_equal(load(NULL, NULL), cases[i].result);
		if (cases[i].result < 0)
			assert_non_null(strstr(load_error.text, cases[i].path));
	}

	(void)snprintf(path, sizeof(path), "%s/belay.conf", user_dir);
	(void)snprintf(target, sizeof(target), "%s/belay.conf", system_dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(load(NULL, NULL), -ELOOP);

	if (geteuid() != 0)
		return;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(chown(target, 65534, 65534), 0);
	assert_int_equal(load(NULL, NULL), -EPERM);
	assert_int_equal(chown(target, 0, 0), 0);
	(void)snprintf(path, sizeof(path), "%s/conf.d", system_dir);
	assert_int_equal(chown(path, 65534, 65534), 0);
	assert_int_equal(load(NULL, NULL), -EPERM);
}

static void too_many_files_are_an_error(void **state)
{
	char name[32];
	(void)state;

	for (unsigned i = 0; i < BELAY__CONFIG_FILES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "conf.d/%02u.conf", i);
		write_file(system_dir, name, "");
	}
	assert_int_equal(load(NULL, NULL), 0);
	assert_int_equal(sources.file_count, BELAY__CONFIG_FILES_MAX);
	write_file(user_dir, "belay.conf", "");
	assert_int_equal(load(NULL, NULL), -E2BIG);
}

/* Only that it can be called anywhere: what lies in /etc is not this test's. */
static void the_real_places_need_not_exist(void **state)
{
	char program[] = "belay", flag[] = "--config=none", *argv[] = { program, flag, NULL };
	(void)state;

	unsetenv("HOME");
	unsetenv("XDG_CONFIG_HOME");
	assert_int_equal(belay__config_load(2, argv, &config, &sources, &load_error), 0);
}

#define CASE(name_) cmocka_unit_test_setup_teardown(name_, make_directories, remove_directories)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(without_files_everything_has_its_default),
		CASE(flag_beats_environment_beats_user_beats_drop_in_beats_system),
		CASE(a_named_file_is_read_alone),
		CASE(argv_is_left_as_it_was_for_the_next_reload),
		CASE(a_failed_load_leaves_both_outputs_alone),
		CASE(options_that_are_gone_are_named_with_what_replaces_them),
		CASE(a_rule_about_other_hosts_runs_nothing_unless_somebody_vouches),
		CASE(files_that_others_can_write_are_refused),
		CASE(too_many_files_are_an_error),
		cmocka_unit_test(the_real_places_need_not_exist),
	};
	char variable[96];

	/* The caller's own settings are no part of what is tested. */
	for (size_t i = 0; i < belay__observe_table_count; i++) {
		size_t len = (size_t)snprintf(variable, sizeof(variable), "BELAY_%s",
			belay__observe_table[i].name);

		for (size_t k = 0; k < len; k++)
			variable[k] = variable[k] == '-' ? '_'
				: variable[k] >= 'a' && variable[k] <= 'z'
				? (char)(variable[k] - 'a' + 'A')
				: variable[k];
		unsetenv(variable);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
