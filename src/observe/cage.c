#include "observe/cage.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "observe/options.h"

#define OFF        "--no-sandbox"
#define AS         "--as="
#define NOBODY     ((uid_t)-1)
#define PART(name) (1U << BELAY__CAGE_##name)
#define CAP(name)  (UINT64_C(1) << CAP_##name)

/* What each role is left with. */
static const struct row {
	const char *name;
	uint64_t capabilities; /* of root's */
	unsigned parts;        /* of the calls; 0: all */
	bool files;            /* those of struct belay__cage_files and /proc, no others */
	bool becomes;          /* somebody else, when the operator says so */
} rows[BELAY__CAGE_COUNT] = {
	/* No capability: what it may not see for itself, it asks the prober. */
	[BELAY__CAGE_GATE] = { "gate", 0,
		PART(LIVE) | PART(READ) | PART(LOOK) | PART(TALK) | PART(TRACK) | PART(KEEP), true,
		true },
	/* The uid stays, because /proc/PID/syscall is mode 0400 and no capability but DAC_READ_SEARCH
	 * opens it for others; another uid would not make the prober weaker, as CAP_SYS_PTRACE reaches
	 * every process of root's. */
	[BELAY__CAGE_PROBER] = { "prober", CAP(SYS_PTRACE), PART(LIVE) | PART(READ) | PART(LOOK),
		false, false },
	/* Becomes the user of whom it acts on, signals him, looks at him, and writes where the operator
	 * says. A command that is to run as root gets all of root's powers back when it is executed. */
	[BELAY__CAGE_RUNNER] = { "runner",
		CAP(SETUID) | CAP(SETGID) | CAP(KILL) | CAP(SYS_PTRACE) | CAP(DAC_OVERRIDE), 0,
		false, false },
	[BELAY__CAGE_EXPORTER] = { "exporter", 0,
		PART(LIVE) | PART(READ) | PART(TALK) | PART(SERVE) | PART(KEEP), true, true },
};

static struct {
	bool off;
	uid_t uid;
	gid_t gid;
} wanted = { .uid = NOBODY };

/* --- what the parent says --- */

int belay__cage_argument(bool no_sandbox, const char *user,
	char ret_argument[BELAY__CAGE_ARGUMENT_SIZE], struct belay_error *reterr)
{
	uid_t uid = 0;
	gid_t gid = 0;
	int r = 0;

	if (user[0] != '\0')
		r = belay__find_user(user, &uid, &gid);
	if (r < 0)
		return belay__fail(reterr, r, "--user %s: there is no such user to become: %s",
			user, strerror(-r));
	if (user[0] != '\0' && geteuid() != 0 && geteuid() != uid)
		return belay__fail(reterr, -EPERM,
			"--user %s: only root can become somebody else; leave it out", user);
	ret_argument[0] = '\0';
	if (no_sandbox)
		(void)snprintf(ret_argument, BELAY__CAGE_ARGUMENT_SIZE, OFF);
	else if (user[0] != '\0' && uid != geteuid())
		(void)snprintf(ret_argument, BELAY__CAGE_ARGUMENT_SIZE, AS "%u:%u", uid, gid);
	return 0;
}

/* The number at *AT that ends with END; *AT goes behind it. 0 or -EINVAL. */
static int take_id(const char **at, char end, uint32_t *ret_id)
{
	char *behind;
	unsigned long number = strtoul(*at, &behind, 10);

	if (**at < '0' || **at > '9' || *behind != end || number >= NOBODY)
		return -EINVAL;
	*at = behind + 1;
	*ret_id = (uint32_t)number;
	return 0;
}

int belay__cage_obey(const char *argument)
{
	const char *at = argument;
	uid_t uid;
	gid_t gid;

	if (argument == NULL || argument[0] == '\0')
		return 0;
	if (strcmp(argument, OFF) == 0) {
		wanted.off = true;
		return 0;
	}
	if (strncmp(argument, AS, strlen(AS)) != 0)
		return -EINVAL;
	at += strlen(AS);
	if (take_id(&at, ':', &uid) < 0 || take_id(&at, '\0', &gid) < 0)
		return -EINVAL;
	wanted.uid = uid;
	wanted.gid = gid;
	return 0;
}

/* --- the cage --- */

/* Nothing that could be executed gets others than CAPABILITIES back. */
static void bound_capabilities(uint64_t capabilities)
{
	for (int other = 0; prctl(PR_CAPBSET_READ, other) >= 0; other++)
		if ((capabilities & UINT64_C(1) << other) == 0)
			(void)prctl(PR_CAPBSET_DROP, other);
}

/* Of what we may CAPABILITIES stay; those that nobody gave us are not missed. */
static int keep_capabilities(uint64_t capabilities)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	for (unsigned half = 0; half < 2; half++) {
		data[half].permitted &= (uint32_t)(capabilities >> 32 * half);
		data[half].effective = data[half].permitted;
		data[half].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* Its groups go, too: they may be anything. */
static int become(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return 0;
}

/* Also when we are not root: a service manager can give capabilities to anybody. */
static int give_up(const struct row *row, struct belay_error *reterr)
{
	int r = 0;

	/* What a caged role executed would have no more than it has; what the runner executes is an
	 * operator's command. */
	if (row->parts != 0)
		bound_capabilities(row->capabilities);
	if (row->becomes && wanted.uid != NOBODY)
		r = become(wanted.uid, wanted.gid);
	if (r < 0)
		return belay__fail(reterr, r, "the %s cannot become uid %u: %s", row->name,
			wanted.uid, strerror(-r));
	r = keep_capabilities(row->capabilities);
	if (r < 0)
		return belay__fail(reterr, r, "the %s cannot give up capabilities: %s", row->name,
			strerror(-r));
	return 0;
}

static unsigned parts_of(const struct row *row, const struct belay__cage_files *files)
{
	unsigned parts = row->parts;

	if (row->files && files->removable_dirfd >= 0)
		parts |= PART(CLEAN);
	if (row->files && files->textfile != NULL && files->textfile[0] != '\0')
		parts |= PART(WRITE);
	return parts;
}

static int restrict_files(const struct row *row, const struct belay__cage_files *files,
	struct belay__cage_report *report, struct belay_error *reterr)
{
	int r = row->files ? belay__cage_paths(files) : 0;

	if (r < 0)
		return belay__fail(reterr, r, "the %s cannot be kept from files (Landlock): %s",
			row->name, strerror(-r));
	report->landlock_abi = r;
	return 0;
}

static int restrict_calls(const struct row *row, unsigned parts, struct belay__cage_report *report,
	struct belay_error *reterr)
{
	int r = belay__cage_calls(parts);

	if (r < 0 && r != -ENOSYS)
		return belay__fail(reterr, r, "the %s cannot be kept to its system calls: %s",
			row->name, strerror(-r));
	report->seccomp = r > 0;
	report->calls = r > 0 ? (unsigned)r : 0;
	return 0;
}

static bool is_sanitized(void)
{
#ifdef BELAY__SANITIZED
	return true;
#else
	return false;
#endif
}

int belay__cage(enum belay__cage_kind kind, const struct belay__cage_files *files,
	struct belay__cage_report *ret_report, struct belay_error *reterr)
{
	const struct row *row = &rows[kind];
	struct belay__cage_report report = { 0 };
	int r = 0;

	if (!wanted.off)
		r = give_up(row, reterr);
	if (!wanted.off && row->parts != 0 && r == 0) {
		/* What is read once, from a file, is read now. */
		tzset();
		report.no_new_privs = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
		/* Sanitizers look around, start threads and trace them when they report. */
		if (!is_sanitized())
			r = restrict_files(row, files, &report, reterr);
		if (!is_sanitized() && r == 0)
			r = restrict_calls(row, parts_of(row, files), &report, reterr);
	}
	report.uid = geteuid();
	if (r == 0 && ret_report != NULL)
		*ret_report = report;
	return r;
}
