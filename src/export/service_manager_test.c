#include "export/service_manager.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"

static char directory[] = "/tmp/belay-notify-XXXXXX";

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

/* A service manager's socket called NAME, a path or '@' and a name. */
static int listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0 && len <= sizeof(address.sun_path));
	memcpy(address.sun_path, name, len);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (const struct sockaddr *)&address,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
		0);
	return fd;
}

static void assert_received(int fd, const char *wanted)
{
	char text[128] = "";
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&ready, 1, 5000), 1);
	assert_int_equal(recv(fd, text, sizeof(text) - 1, 0), strlen(wanted));
	assert_string_equal(text, wanted);
}

static void assert_environment_is_clean(void)
{
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_null(getenv("WATCHDOG_USEC"));
	assert_null(getenv("WATCHDOG_PID"));
}

static void without_a_socket_nothing_is_told(void **state)
{
	static const char *const useless[] = { NULL, "", "@", "/", "relative", "/nowhere/notify",
		"vsock:2:1234", "@belay-nobody-listens-here" };
	struct belay__service_manager manager;
	(void)state;

	for (size_t i = 0; i < sizeof(useless) / sizeof(useless[0]); i++) {
		unsetenv("NOTIFY_SOCKET");
		if (useless[i] != NULL)
			setenv("NOTIFY_SOCKET", useless[i], 1);
		setenv("WATCHDOG_USEC", "1000000", 1);
		belay__service_manager_init(&manager);
		assert_int_equal(manager.fd, -EBADF);
		assert_int_equal(manager.watchdog_ns, 0);
		assert_environment_is_clean();
		assert_int_equal(belay__service_manager_tell(&manager, "READY=1"), 0);
		belay__service_manager_done(&manager);
	}
}

static void a_path_and_an_abstract_name_are_told(void **state)
{
	char path[108], abstract[64];
	const char *const names[] = { path, abstract };
	(void)state;

	(void)snprintf(path, sizeof(path), "%s/notify", directory);
	(void)snprintf(abstract, sizeof(abstract), "@belay-notify-%d", (int)getpid());
	for (size_t i = 0; i < 2; i++) {
		_cleanup_close_ int listener = listen_at(names[i]);
		struct belay__service_manager manager;

		setenv("NOTIFY_SOCKET", names[i], 1);
		belay__service_manager_init(&manager);
		assert_true(manager.fd >= 0);
		assert_int_equal(fcntl(manager.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		assert_int_equal(manager.watchdog_ns, 0);
		assert_environment_is_clean();

		assert_int_equal(belay__service_manager_tell(&manager, "READY=1\nSTATUS=x"), 0);
		assert_received(listener, "READY=1\nSTATUS=x");
		belay__service_manager_done(&manager);
		assert_int_equal(manager.fd, -EBADF);
		assert_int_equal(belay__service_manager_tell(&manager, "STOPPING=1"), 0);
		assert_int_equal(recv(listener, path, 1, 0), -1);
	}
	assert_int_equal(unlink(path), 0);
}

/* Whether a manager at NAME is found. */
static bool is_found(const char *name)
{
	struct belay__service_manager manager;
	bool found;

	setenv("NOTIFY_SOCKET", name, 1);
	belay__service_manager_init(&manager);
	found = manager.fd >= 0;
	belay__service_manager_done(&manager);
	return found;
}

/* sun_path need not end with NUL when the name is abstract. */
static void the_longest_name_that_fits_is_used(void **state)
{
	char name[110];
	(void)state;

	memset(name, 'n', sizeof(name));
	name[0] = '@';
	name[108] = '\0';
	_cleanup_close_ int listener = listen_at(name);

	assert_true(listener >= 0);
	assert_true(is_found(name));
	name[108] = 'n';
	name[109] = '\0';
	assert_false(is_found(name));
}

static void the_watchdog_is_for_the_process_that_is_named(void **state)
{
	static const struct {
		const char *usec, *pid; /* "self": ours */
		uint64_t watchdog_ns;
	} cases[] = {
		{ "2000000", NULL, 2 * BELAY__NS_PER_S },
		{ "2000000", "self", 2 * BELAY__NS_PER_S },
		{ "2000000", "1", 0 },
		{ "2000000", "", 0 },
		{ "2000000", "4294967297", 0 },
		{ "1", NULL, 1000 },
		{ "0", NULL, 0 },
		{ "-1", NULL, 0 },
		{ "18446744073709551", NULL, UINT64_C(18446744073709551000) },
		{ "18446744073709552", NULL, 0 },
		{ "soon", NULL, 0 },
		{ NULL, "self", 0 },
	};
	char name[64], self[16];
	(void)state;

	(void)snprintf(name, sizeof(name), "@belay-watchdog-%d", (int)getpid());
	(void)snprintf(self, sizeof(self), "%d", (int)getpid());
	_cleanup_close_ int listener = listen_at(name);

	assert_true(listener >= 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__service_manager manager;

		setenv("NOTIFY_SOCKET", name, 1);
		if (cases[i].usec != NULL)
			setenv("WATCHDOG_USEC", cases[i].usec, 1);
		if (cases[i].pid != NULL)
			setenv("WATCHDOG_PID",
				strcmp(cases[i].pid, "self") == 0 ? self : cases[i].pid, 1);
		belay__service_manager_init(&manager);
		assert_int_equal(manager.watchdog_ns, cases[i].watchdog_ns);
		assert_environment_is_clean();
		belay__service_manager_done(&manager);
	}
}

static void a_full_queue_is_an_error_and_a_manager_that_left_is_none(void **state)
{
	struct belay__service_manager manager;
	char name[64];
	int listener, r = 0;
	(void)state;

	(void)snprintf(name, sizeof(name), "@belay-full-%d", (int)getpid());
	listener = listen_at(name);
	setenv("NOTIFY_SOCKET", name, 1);
	belay__service_manager_init(&manager);

	for (unsigned i = 0; i < 100000 && r == 0; i++)
		r = belay__service_manager_tell(&manager, "WATCHDOG=1");
	assert_int_equal(r, -EAGAIN);

	(void)close(listener);
	assert_int_equal(belay__service_manager_tell(&manager, "WATCHDOG=1"), 0);
	assert_int_equal(belay__service_manager_tell(&manager, "WATCHDOG=1"), 0);
	belay__service_manager_done(&manager);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_socket_nothing_is_told),
		cmocka_unit_test(a_path_and_an_abstract_name_are_told),
		cmocka_unit_test(the_longest_name_that_fits_is_used),
		cmocka_unit_test(the_watchdog_is_for_the_process_that_is_named),
		cmocka_unit_test(a_full_queue_is_an_error_and_a_manager_that_left_is_none),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
