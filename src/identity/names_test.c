#include "identity/names.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "identity/test_child.h"

#define ID64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct environ_case {
	const char *bytes;
	size_t len;
	int result;
	const char *name;
};

#define ENVIRON(bytes, result, name)                                                               \
	{                                                                                          \
		bytes, sizeof(bytes) - 1, result, name                                             \
	}
#define NAME64 "n234567890123456789012345678901234567890123456789012345678901234"

static const struct environ_case environ_cases[] = {
	ENVIRON("BELAY_NAME=worker\0", 1, "worker"),
	ENVIRON("A=1\0BELAY_NAME=w@1#2\0B=2\0", 1, "w@1#2"),
	ENVIRON("A=BELAY_NAME=x\0XBELAY_NAME=x\0BELAY_NAMES=x\0BELAY_NAME=y\0", 1, "y"),
	ENVIRON("BELAY_NAME=first\0BELAY_NAME=second\0", 1, "first"),
	ENVIRON("BELAY_NAME=\0", 1, ""),
	ENVIRON("BELAY_NAME=two words\0", 1, ""),
	ENVIRON("BELAY_NAME=-x\0BELAY_NAME=y\0", 1, ""),
	ENVIRON("BELAY_NAME=" NAME64 "\0", 1, NAME64),
	ENVIRON("BELAY_NAME=" NAME64 "x\0", 1, ""),
	ENVIRON("BELAY_NAME=unfinished", 0, NULL),
	ENVIRON("BELAY_NAME", 0, NULL),
	ENVIRON("BELAY_NAME\0=x\0", 0, NULL),
	ENVIRON("\0\0\0BELAY_NAME=x\0", 1, "x"),
	ENVIRON("", 0, NULL),
};

static void the_environment_is_read_in_pieces_of_any_size(void **state)
{
	(void)state;

	for (size_t i = 0; i < sizeof(environ_cases) / sizeof(environ_cases[0]); i++) {
		const struct environ_case *c = &environ_cases[i];

		for (size_t piece = 1; piece <= c->len + 1; piece++) {
			struct belay__environ_scan scan = { 0 };
			int r = 0;

			for (size_t at = 0; at < c->len && r == 0; at += piece)
				r = belay__environ_scan(&scan, c->bytes + at,
					piece < c->len - at ? piece : c->len - at);
			assert_int_equal(r, c->result);
			if (r == 1)
				assert_string_equal(scan.value, c->name);
		}
	}
}

static void a_cgroup_names_units_and_containers(void **state)
{
	static const struct {
		const char *path, *name;
	} cases[] = {
		{ "/system.slice/nginx.service", "nginx.service" },
		{ "/system.slice/nginx.service/workers", "nginx.service" },
		{ "/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service" },
		{ "/system.slice/dev-disk-by\\x2dlabel.service", "dev-disk-by_x2dlabel.service" },
		{ "/system.slice/-x.service", "_x.service" },
		{ "/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo.scope",
			"app-foo.scope" },
		{ "/user.slice/user-1000.slice/user@1000.service/init.scope", NULL },
		{ "/user.slice/user-1000.slice/session-3.scope", NULL },
		{ "/init.scope", NULL },
		{ "/system.slice/docker-" ID64 ".scope", "0123456789ab" },
		{ "/docker/" ID64, "0123456789ab" },
		{ "/system.slice/docker.service/" ID64, "0123456789ab" },
		{ "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID64 ".scope",
			"0123456789ab" },
		{ "/kubepods/besteffort/pod1/crio-" ID64 "/init", "0123456789ab" },
		{ "/machine.slice/libpod-" ID64 ".scope/container", "0123456789ab" },
		{ "/machine.slice/libpod-conmon-" ID64 ".scope", NULL },
		{ "/docker/" ID64 "/system.slice/cron.service", "cron.service" },
		{ "/docker/" ID64 "0", NULL },
		{ "/docker/0123456789abcdef", NULL },
		{ "/.service", NULL },
		{ "/", NULL },
		{ "", NULL },
		{ "x.service", "x.service" },
		{ "/a-unit-whose-name-is-longer-than-names-may-be-0123456789-0123456789-0123."
		  "service",
			"a-unit-whose-name-is-longer-than-names-may-be-0123456789-0123456" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char name[BELAY__NAME_MAX + 1] = "before";
		int r = belay__name_of_cgroup(cases[i].path, strlen(cases[i].path), name);

		assert_int_equal(r, cases[i].name != NULL);
		assert_string_equal(name, cases[i].name == NULL ? "before" : cases[i].name);
		if (r == 1)
			assert_true(belay__name_valid(name, strlen(name)));
	}
}

static void any_bytes_become_a_name(void **state)
{
	static const struct {
		const char *bytes, *name;
	} cases[] = {
		{ "worker", "worker" },
		{ "(sd-pam)", "_sd-pam_" },
		{ "Web Content", "Web_Content" },
		{ "-#@.", "_#@." },
		{ "\xc3\xa4\n", "___" },
		{ "", "" },
	};
	char name[8];
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char made[17];

		belay__make_name(cases[i].bytes, strlen(cases[i].bytes), made, sizeof(made));
		assert_string_equal(made, cases[i].name);
	}
	belay__make_name("12345678", 8, name, sizeof(name));
	assert_string_equal(name, "1234567");
}

struct exec {
	char **environment;
	int alive; /* closed by the exec */
};

static int body_execs(void *argument)
{
	struct exec *exec = argument;
	char path[] = "/proc/self/exe", word[] = "--sleep";
	char *arguments[] = { path, word, NULL };

	(void)execve(path, arguments, exec->environment);
	return 98;
}

/* Starts this program again with ENVIRONMENT; it sleeps, called "a b)" or so. */
static struct child start_with(char **environment)
{
	int alive[2];
	char byte;
	struct exec exec = { .environment = environment };
	struct child child;

	assert_int_equal(pipe2(alive, O_CLOEXEC), 0);
	exec.alive = alive[1];
	child = child_start(body_execs, &exec);
	(void)belay__close(alive[1]);
	assert_int_equal(read(alive[0], &byte, 1), 0);
	(void)belay__close(alive[0]);
	child_wait_state(&child, 'S');
	return child;
}

static void a_process_is_called_what_its_environment_says(void **state)
{
	enum { FILLERS = 1400, FILLER_LEN = 100 };
	static char filler[FILLERS][FILLER_LEN];
	static char *environment[FILLERS + 2];
	static char own[] = "BELAY_NAME=billing@2";
	static const struct {
		int before;
		const char *name;
	} cases[] = { { 0, "billing@2" }, { 40, "billing@2" }, { 41, "billing@2" },
		{ 1300, "billing@2" }, { 1400, "" } };
	char exe[PATH_MAX];
	(void)state;

	assert_true(readlink("/proc/self/exe", exe, sizeof(exe)) > 0);
	for (int i = 0; i < FILLERS; i++) {
		memset(filler[i], 'x', FILLER_LEN - 1);
		filler[i][1] = '=';
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__names names;
		struct child child;

		for (int k = 0; k < cases[i].before; k++)
			environment[k] = filler[k];
		environment[cases[i].before] = own;
		environment[cases[i].before + 1] = NULL;
		child = start_with(environment);
		belay__read_names(child.pid, true, &names);
		child_end(&child);
		assert_string_equal(names.env, cases[i].name);
		assert_string_equal(names.comm, "exe");
		assert_memory_equal(names.exe, exe, strlen(names.exe));
		assert_true(names.exe[0] == '/');
	}
}

static int body_calls_itself(void *argument)
{
	(void)prctl(PR_SET_NAME, argument);
	return body_sleeps(NULL);
}

static void a_strange_command_name_is_made_valid(void **state)
{
	char strange[] = "a) S 1\n(x";
	struct child child = child_start(body_calls_itself, strange);
	struct belay__names names;
	(void)state;

	child_wait_state(&child, 'S');
	belay__read_names(child.pid, true, &names);
	assert_string_equal(names.comm, "a__S_1__x");
	child_end(&child);
	belay__read_names(child.pid, true, &names);
	assert_string_equal(names.comm, "");
	assert_string_equal(names.exe, "");
	assert_string_equal(names.env, "");
	assert_string_equal(names.unit, "");
}

static bool join(const char *cgroup, pid_t pid)
{
	char path[256], number[16];
	int fd, len;
	bool joined;

	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	len = snprintf(number, sizeof(number), "%d", (int)pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	joined = fd >= 0 && write(fd, number, (size_t)len) == len;
	(void)belay__close(fd);
	return joined;
}

static void a_unit_is_found_by_its_cgroup(void **state)
{
	static const char *const roots[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd",
		"/sys/fs/cgroup" };
	struct child child = child_start(body_sleeps, NULL);
	struct belay__names names;
	char cgroup[128], unit[64];
	bool joined = false;
	(void)state;

	(void)snprintf(unit, sizeof(unit), "belay-test-%d.service", (int)getpid());
	for (size_t i = 0; i < 3 && !joined; i++) {
		(void)snprintf(cgroup, sizeof(cgroup), "%s/%s", roots[i], unit);
		if (mkdir(cgroup, 0755) < 0)
			continue;
		joined = join(cgroup, child.pid);
		if (!joined)
			(void)rmdir(cgroup);
	}
	belay__read_names(child.pid, true, &names);
	child_end(&child);
	if (!joined)
		skip();
	assert_int_equal(rmdir(cgroup), 0);
	assert_string_equal(names.unit, unit);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(the_environment_is_read_in_pieces_of_any_size),
		TEST(a_cgroup_names_units_and_containers),
		TEST(any_bytes_become_a_name),
		TEST(a_process_is_called_what_its_environment_says),
		TEST(a_strange_command_name_is_made_valid),
		TEST(a_unit_is_found_by_its_cgroup),
	};

	if (argc == 2 && strcmp(argv[1], "--sleep") == 0)
		return body_sleeps(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
