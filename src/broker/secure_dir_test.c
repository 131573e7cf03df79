#include "broker/names.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define OTHER_UID 65534

static char base[64], path[160];

static int remove_entry(const char *name, const struct stat *status, int kind, struct FTW *where)
{
	(void)status;
	(void)kind;
	(void)where;
	return remove(name);
}

static int set_up(void **state)
{
	(void)state;
	memcpy(base, "/tmp/belay-test-XXXXXX", sizeof("/tmp/belay-test-XXXXXX"));
	assert_non_null(mkdtemp(base));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(base, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* BASE/NAME, in a buffer of its own each for two calls. */
static const char *in_base(const char *name)
{
	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

static void refused(const char *name, int code)
{
	struct belay_error error;

	assert_int_equal(belay__broker_dir_secure(in_base(name), &error), code);
	assert_int_equal(error.code, code);
	assert_true(strlen(error.text) > 30);
}

static void is_private(const char *name)
{
	struct stat status;

	assert_int_equal(lstat(in_base(name), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	assert_int_equal(status.st_uid, geteuid());
}

static void every_missing_level_is_made_for_this_user_alone(void **state)
{
	static const mode_t umasks[] = { 0, 022, 077 };

	(void)state;
	for (size_t i = 0; i < sizeof(umasks) / sizeof(umasks[0]); i++) {
		char top[8], middle[16], name[32];
		mode_t before = umask(umasks[i]);

		(void)snprintf(top, sizeof(top), "%zu", i);
		(void)snprintf(middle, sizeof(middle), "%s/b", top);
		(void)snprintf(name, sizeof(name), "%s/broker", middle);
		assert_int_equal(belay__broker_dir_secure(in_base(name), NULL), 0);
		(void)umask(before);
		is_private(top);
		is_private(middle);
		is_private(name);
		/* It is there now. */
		assert_int_equal(belay__broker_dir_secure(in_base(name), NULL), 0);
	}
	assert_int_equal(belay__broker_dir_secure(in_base("c///"), NULL), 0);
	is_private("c");
}

static void a_directory_of_another_mode_is_refused(void **state)
{
	static const mode_t modes[] = { 0701, 0710, 0755, 0777, 0500, 0600, 01777 };

	(void)state;
	assert_int_equal(mkdir(in_base("d"), 0700), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(in_base("d"), modes[i]), 0);
		refused("d", -EPERM);
	}
	/* A set-group-ID bit is inherited and gives nobody anything. */
	assert_int_equal(chmod(in_base("d"), 02700), 0);
	assert_int_equal(belay__broker_dir_secure(in_base("d"), NULL), 0);
}

static void a_symbolic_link_is_no_directory_of_ours(void **state)
{
	char target[160];

	(void)state;
	assert_int_equal(mkdir(in_base("real"), 0700), 0);
	memcpy(target, path, sizeof(target));
	assert_int_equal(symlink(target, in_base("link")), 0);
	refused("link", -ELOOP);
	refused("link/", -ELOOP);
	assert_int_equal(symlink("/nonexistent", in_base("dangling")), 0);
	refused("dangling", -ELOOP);
	/* Above it, a link of our own may stand: nobody else can turn it. */
	assert_int_equal(belay__broker_dir_secure(in_base("link/broker"), NULL), 0);
	is_private("real/broker");
}

static void what_is_no_directory_is_refused(void **state)
{
	(void)state;
	assert_int_equal(close(open(in_base("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	refused("file", -ENOTDIR);
	refused("file/broker", -ENOTDIR);
	assert_int_equal(mkfifo(in_base("fifo"), 0700), 0);
	refused("fifo", -ENOTDIR);
}

static void the_level_above_must_keep_others_out(void **state)
{
	static const struct {
		mode_t mode;
		int code;
	} cases[] = {
		{ 0700, 0 },
		{ 0755, 0 },
		{ 0770, -EPERM },
		{ 0702, -EPERM },
		{ 0777, -EPERM },
		{ 01777, 0 },
	};
	char link[160];

	(void)state;
	assert_int_equal(mkdir(in_base("up"), 0700), 0);
	assert_int_equal(symlink("up", in_base("link")), 0);
	memcpy(link, path, sizeof(link));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(chmod(in_base("up"), cases[i].mode), 0);
		assert_int_equal(belay__broker_dir_secure(in_base("up/b"), NULL), cases[i].code);
		assert_int_equal(belay__broker_dir_secure(in_base("link/b"), NULL), cases[i].code);
	}
}

static void directories_of_others_are_refused(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(in_base("d"), 0700), 0);
	assert_int_equal(mkdir(in_base("d/broker"), 0700), 0);
	assert_int_equal(chown(path, OTHER_UID, OTHER_UID), 0);
	refused("d/broker", -EPERM);
	assert_int_equal(chown(in_base("d/broker"), 0, 0), 0);
	assert_int_equal(chown(in_base("d"), OTHER_UID, OTHER_UID), 0);
	refused("d/broker", -EPERM);
	/* Somebody else's link is one that he can turn. */
	assert_int_equal(chown(in_base("d"), 0, 0), 0);
	assert_int_equal(symlink("d", in_base("link")), 0);
	assert_int_equal(belay__broker_dir_secure(in_base("link/broker"), NULL), 0);
	assert_int_equal(lchown(in_base("link"), OTHER_UID, OTHER_UID), 0);
	refused("link/broker", -EPERM);
}

static void where_nothing_can_be_made_the_system_is_quoted(void **state)
{
	(void)state;
	if (geteuid() == 0)
		skip(); /* root can write everywhere */
	assert_int_equal(mkdir(in_base("d"), 0500), 0);
	refused("d/broker", -EACCES);
	refused("d/e/broker", -EACCES);
}

static void a_path_must_be_absolute_and_fit(void **state)
{
	char text[6000];

	(void)state;
	assert_int_equal(belay__broker_dir_secure("", NULL), -EINVAL);
	assert_int_equal(belay__broker_dir_secure("/", NULL), -EINVAL);
	assert_int_equal(belay__broker_dir_secure("///", NULL), -EINVAL);
	assert_int_equal(belay__broker_dir_secure("relative", NULL), -EINVAL);
	memset(text, 'a', sizeof(text));
	text[0] = '/';
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(belay__broker_dir_secure(text, NULL), -ENAMETOOLONG);
}

#define CASE(test_) cmocka_unit_test_setup_teardown(test_, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(every_missing_level_is_made_for_this_user_alone),
		CASE(a_directory_of_another_mode_is_refused),
		CASE(a_symbolic_link_is_no_directory_of_ours),
		CASE(what_is_no_directory_is_refused),
		CASE(the_level_above_must_keep_others_out),
		CASE(directories_of_others_are_refused),
		CASE(where_nothing_can_be_made_the_system_is_quoted),
		CASE(a_path_must_be_absolute_and_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
