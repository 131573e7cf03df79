/* procfs_fuzz.c - any bytes as what the kernel says about a process
 *
 * No parser reads past the bytes, what it refuses leaves its result alone, every name that comes
 * out is valid, and an environment says the same in one piece and byte by byte.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "identity/names.h"
#include "identity/proc_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_stat(const char *bytes, size_t len)
{
	struct belay__stat stat = { .ppid = -7 };

	if (belay__parse_stat(bytes, len, &stat) == 0) {
		assert(memchr(stat.comm, '\0', sizeof(stat.comm)) != NULL);
		assert(stat.ppid >= 0 && stat.exit_status >= 0);
	} else {
		assert(stat.ppid == -7);
	}
}

static void check_status(const char *bytes, size_t len)
{
	static const char *const keys[] = { "Uid:", "NSpid:", "TracerPid:" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		uint64_t first = 7, last = 7;
		int r = belay__parse_status_line(bytes, len, keys[i], false, &first);

		assert(r == 1 || first == 7);
		if (belay__parse_status_line(bytes, len, keys[i], true, &last) == 1)
			assert(r == 1);
		else
			assert(last == 7);
	}
}

static void check_small(const char *bytes, size_t len)
{
	struct belay__schedstat schedstat = { .slices = 7 };
	uint64_t number = 7, argument = 7;
	uint32_t milli = 7;
	int32_t nr = -7;
	char wchan[8] = "before";

	if (belay__parse_namespace(bytes, len, &number) < 0)
		assert(number == 7);
	if (belay__parse_schedstat(bytes, len, &schedstat) < 0)
		assert(schedstat.slices == 7);
	if (belay__parse_syscall(bytes, len, &nr, &argument) < 0)
		assert(nr == -7 && argument == 7);
	else
		assert(nr >= -1);
	if (belay__parse_pressure(bytes, len, &milli) < 0)
		assert(milli == 7);
	else
		assert(milli <= 1009);
	if (belay__parse_wchan(bytes, len, wchan, sizeof(wchan)) < 0)
		assert(strcmp(wchan, "before") == 0);
	else
		assert(strlen(wchan) <= len);
}

static void check_mount(const char *bytes, size_t len)
{
	char point[32];

	if (belay__parse_mount_line(bytes, len, "cgroup2", NULL, point, sizeof(point)) == 1)
		assert(memchr(point, '\0', sizeof(point)) != NULL);
	(void)belay__parse_mount_line(bytes, len, "cgroup", "freezer", point, sizeof(point));
}

static void check_cgroup(const char *bytes, size_t len)
{
	struct belay__cgroup_line line;
	char name[BELAY__NAME_MAX + 1];

	if (belay__parse_cgroup_line(bytes, len, &line) < 0)
		return;
	assert(line.path >= bytes && line.path + line.path_len == bytes + len);
	assert(line.path_len > 0 && line.path[0] == '/');
	(void)belay__list_has(line.controllers, line.controllers_len, "freezer");
	if (belay__name_of_cgroup(line.path, line.path_len, name) == 1)
		assert(belay__name_valid(name, strlen(name)));
}

static void check_names(const char *bytes, size_t len)
{
	struct belay__environ_scan whole = { 0 }, piecewise = { 0 };
	char name[17];
	int r = belay__environ_scan(&whole, bytes, len), by_byte = 0;

	for (size_t i = 0; i < len && by_byte == 0; i++)
		by_byte = belay__environ_scan(&piecewise, bytes + i, 1);
	assert(r == by_byte);
	if (r == 1) {
		assert(strcmp(whole.value, piecewise.value) == 0);
		assert(whole.value[0] == '\0' ||
			belay__name_valid(whole.value, strlen(whole.value)));
	}
	belay__make_name(bytes, len, name, sizeof(name));
	assert(len == 0 ? name[0] == '\0' : belay__name_valid(name, strlen(name)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;

	check_stat(bytes, size);
	check_status(bytes, size);
	check_small(bytes, size);
	check_mount(bytes, size);
	check_cgroup(bytes, size);
	check_names(bytes, size);
	return 0;
}
