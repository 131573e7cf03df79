/* What belay doctor says about the cages of the roles: what the kernel says of them, which is what
 * holds. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/doctor_checks.h"

struct cage {
	uint64_t uid, capabilities, no_new_privs, seccomp;
};

/* The number behind KEY at the start of a line of TEXT. */
static bool find(const char *text, const char *key, int base, uint64_t *ret_number)
{
	const char *at = strstr(text, key);

	if (at == NULL)
		return false;
	*ret_number = strtoull(at + strlen(key), NULL, base);
	return true;
}

static bool look(uint64_t pid, struct cage *ret_cage)
{
	static char text[8192];
	char path[48];

	(void)snprintf(path, sizeof(path), "/proc/%" PRIu64 "/status", pid);
	return belay__read_file(AT_FDCWD, path, text, sizeof(text)) > 0 &&
		find(text, "\nUid:", 10, &ret_cage->uid) &&
		find(text, "\nCapEff:", 16, &ret_cage->capabilities) &&
		find(text, "\nNoNewPrivs:", 10, &ret_cage->no_new_privs) &&
		find(text, "\nSeccomp:", 10, &ret_cage->seccomp);
}

/* The runner starts commands of the operator's, which would inherit a cage. */
static void judge(const char *name, uint64_t pid, struct belay__findings *findings)
{
	bool runs_commands = strcmp(name, "runner") == 0;
	struct cage cage;

	if (!look(pid, &cage)) {
		belay__found(findings, BELAY__LEVEL_OK, "", "the %s cannot be looked at from here",
			name);
		return;
	}
	if (!runs_commands && (cage.seccomp != 2 || cage.no_new_privs != 1))
		belay__found(findings, BELAY__LEVEL_WARN,
			"start it without --no-sandbox, on a kernel with seccomp filters",
			"the %s is not in a cage: whoever breaks into it may do what uid %" PRIu64
			" may",
			name, cage.uid);
	else
		belay__found(findings, BELAY__LEVEL_OK, "",
			"the %s runs as uid %" PRIu64 ", %s, capabilities %" PRIx64, name, cage.uid,
			runs_commands ? "not caged, because of the commands that it starts"
				      : "caged",
			cage.capabilities);
}

static void check_role(const struct belay__json *role, struct belay__findings *findings)
{
	struct belay__json value;
	char name[32] = "?";
	uint64_t pid = 0;

	if (belay__json_member(role, "name", &value) == 0)
		(void)belay__json_get_string(&value, name, sizeof(name));
	if (belay__json_member(role, "pid", &value) == 0)
		(void)belay__json_get_u64(&value, &pid);
	if (pid != 0)
		judge(name, pid, findings);
}

/* What no other process can see: how the gate's own cage was closed. */
static void check_gate(const struct belay__json *sandbox, struct belay__findings *findings)
{
	struct belay__json value;
	uint64_t calls = 0, landlock = 0;

	if (belay__json_member(sandbox, "system_calls", &value) == 0)
		(void)belay__json_get_u64(&value, &calls);
	if (belay__json_member(sandbox, "landlock_abi", &value) == 0)
		(void)belay__json_get_u64(&value, &landlock);
	if (calls == 0)
		return;
	if (landlock == 0)
		belay__found(findings, BELAY__LEVEL_WARN,
			"a kernel with Landlock (5.13) keeps it from files, too; until then "
			"--user gives it a user of its own",
			"the gate has %" PRIu64 " system calls, and files are open to it as to its "
			"user",
			calls);
	else
		belay__found(findings, BELAY__LEVEL_OK, "",
			"the gate has %" PRIu64 " system calls, and of files only /proc (Landlock "
			"%" PRIu64 ")",
			calls, landlock);
}

void belay__check_sandbox(struct belay__patient *patient, struct belay__findings *findings)
{
	struct belay__json roles, role, sandbox;
	size_t cursor = 0;

	if (!patient->there || belay__json_member(&patient->self.object, "sandbox", &sandbox) < 0 ||
		belay__json_member(&patient->self.object, "roles", &roles) < 0) {
		belay__found(findings, BELAY__LEVEL_OK, "", "none is told");
		return;
	}
	check_gate(&sandbox, findings);
	while (belay__json_next(&roles, &cursor, &role) > 0)
		check_role(&role, findings);
}
