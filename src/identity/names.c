#include "identity/names.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "identity/aide.h"
#include "identity/proc_file.h"
#include "identity/proc_text.h"

enum { CONTAINER_ID_LEN = 64, CONTAINER_DIGITS = 12 };

static void scan_byte(struct belay__environ_scan *scan, char c)
{
	static const char key[] = "BELAY_NAME=";

	switch (scan->state) {
	case BELAY__ENVIRON_KEY:
		if (c == '\0') {
			scan->len = 0;
		} else if (c != key[scan->len]) {
			scan->state = BELAY__ENVIRON_OTHER;
		} else if (++scan->len == sizeof(key) - 1) {
			scan->state = BELAY__ENVIRON_VALUE;
			scan->len = 0;
		}
		break;
	case BELAY__ENVIRON_OTHER:
		if (c == '\0') {
			scan->state = BELAY__ENVIRON_KEY;
			scan->len = 0;
		}
		break;
	case BELAY__ENVIRON_VALUE:
		if (c == '\0')
			scan->state = BELAY__ENVIRON_DONE;
		else if (scan->len == BELAY__NAME_MAX)
			scan->too_long = true;
		else
			scan->value[scan->len++] = c;
		break;
	case BELAY__ENVIRON_DONE:
		break;
	}
}

int belay__environ_scan(struct belay__environ_scan *scan, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len && scan->state != BELAY__ENVIRON_DONE; i++)
		scan_byte(scan, bytes[i]);
	if (scan->state != BELAY__ENVIRON_DONE)
		return 0;

	if (scan->too_long || !belay__name_valid(scan->value, scan->len))
		scan->len = 0;
	scan->value[scan->len] = '\0';
	return 1;
}

void belay__make_name(const char *string, size_t len, char *name, size_t size)
{
	if (len > size - 1)
		len = size - 1;
	for (size_t i = 0; i < len; i++) {
		/* What may stand first may stand anywhere; what stands later is asked for behind a
		 * letter. */
		char pair[2] = { 'a', string[i] };

		name[i] = belay__name_valid(i == 0 ? pair + 1 : pair, i == 0 ? 1 : 2) ? string[i]
										      : '_';
	}
	name[len] = '\0';
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* The exactly 64 hexadecimal digits within PART, as container managers put them there
 * ("docker-ID.scope", "ID"), or NULL. */
static const char *find_container_id(const char *part, size_t len)
{
	size_t run = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && is_hex(part[i])) {
			run++;
			continue;
		}
		if (run == CONTAINER_ID_LEN)
			return part + i - run;
		run = 0;
	}
	return NULL;
}

static bool starts_with(const char *part, size_t len, const char *prefix)
{
	return len >= strlen(prefix) && memcmp(part, prefix, strlen(prefix)) == 0;
}

static bool ends_with(const char *part, size_t len, const char *suffix)
{
	size_t suffix_len = strlen(suffix);

	return len > suffix_len && memcmp(part + len - suffix_len, suffix, suffix_len) == 0;
}

static bool is_unit(const char *part, size_t len)
{
	if (ends_with(part, len, ".service"))
		return !starts_with(part, len, "user@");
	if (ends_with(part, len, ".scope"))
		return !starts_with(part, len, "session-") && !starts_with(part, len, "init.");
	return false;
}

int belay__name_of_cgroup(const char *path, size_t len, char name[static BELAY__NAME_MAX + 1])
{
	while (len > 0) {
		const char *slash = memrchr(path, '/', len);
		const char *part = slash == NULL ? path : slash + 1;
		size_t part_len = (size_t)(path + len - part);
		const char *id = find_container_id(part, part_len);

		if (id != NULL && memmem(part, part_len, "conmon", 6) == NULL) {
			belay__make_name(id, CONTAINER_DIGITS, name, BELAY__NAME_MAX + 1);
			return 1;
		}
		if (id == NULL && is_unit(part, part_len)) {
			belay__make_name(part, part_len, name, BELAY__NAME_MAX + 1);
			return 1;
		}
		len = slash == NULL ? 0 : (size_t)(slash - path);
	}
	return 0;
}

static bool forbidden(int error)
{
	return error == EACCES || error == EPERM;
}

/* False: it may not be read. */
static bool read_env(int procfd, char name[static BELAY__NAME_MAX + 1])
{
	_cleanup_close_ int fd = belay__proc_open_file(procfd, "environ");
	struct belay__environ_scan scan = { 0 };
	char chunk[4096];

	if (fd < 0)
		return !forbidden(-fd);
	for (size_t seen = 0; seen < BELAY__ENVIRON_MAX;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 || !forbidden(errno);
		seen += (size_t)n;
		if (belay__environ_scan(&scan, chunk, (size_t)n) == 1) {
			memcpy(name, scan.value, scan.len + 1);
			return true;
		}
	}
	return true;
}

/* How much a hierarchy's word counts: version 2 and systemd's own are where units are made. */
static int rank_of(const struct belay__cgroup_line *line)
{
	if (line->unified)
		return 3;
	return belay__list_has(line->controllers, line->controllers_len, "name=systemd") ? 2 : 1;
}

static void read_unit(int procfd, char name[static BELAY__NAME_MAX + 1])
{
	_cleanup_close_ int fd = belay__proc_open_file(procfd, "cgroup");
	struct belay__lines lines;
	struct belay__cgroup_line cgroup;
	int best = 0;
	const char *line;
	size_t len;

	if (fd < 0)
		return;
	belay__lines_start(&lines, fd);
	while (belay__lines_next(&lines, &line, &len) == 1) {
		if (belay__parse_cgroup_line(line, len, &cgroup) < 0 || rank_of(&cgroup) <= best)
			continue;
		if (belay__name_of_cgroup(cgroup.path, cgroup.path_len, name) == 1)
			best = rank_of(&cgroup);
	}
}

static bool ask(pid_t pid, enum belay__aide_want want, struct belay__names *names,
	struct belay__aide_facts *ret_facts)
{
	int r = belay__aide_ask(pid, 0, want, ret_facts);

	names->unsettled |= r < 0 && r != -ENODATA;
	return r == 0;
}

void belay__read_names(pid_t pid, bool with_environment, struct belay__names *ret_names)
{
	_cleanup_close_ int procfd = belay__proc_open(pid);
	struct belay__aide_facts facts;
	struct belay__stat stat;
	ssize_t n;

	*ret_names = (struct belay__names){ 0 };
	if (procfd < 0)
		return;

	if (belay__proc_stat_at(procfd, "stat", &stat) == 0)
		belay__make_name(stat.comm, strlen(stat.comm), ret_names->comm,
			sizeof(ret_names->comm));
	n = readlinkat(procfd, "exe", ret_names->exe, sizeof(ret_names->exe));
	if (n < 0 && forbidden(errno) && ask(pid, BELAY__AIDE_EXE, ret_names, &facts)) {
		memcpy(ret_names->exe, facts.exe, sizeof(ret_names->exe));
		n = (ssize_t)strlen(facts.exe);
	}
	/* Half a path could be somebody else's: too long is not known. */
	ret_names->exe[n > 0 && (size_t)n < sizeof(ret_names->exe) ? n : 0] = '\0';
	read_unit(procfd, ret_names->unit);
	if (with_environment && !read_env(procfd, ret_names->env) &&
		ask(pid, BELAY__AIDE_ENV, ret_names, &facts))
		memcpy(ret_names->env, facts.env, sizeof(ret_names->env));
}
