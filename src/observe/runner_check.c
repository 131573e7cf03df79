/* What the runner verifies itself: the gate speaks with everybody, so whom it names is not believed
 * to be who it says. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <belay/observer.h>

#include "base/fd.h"
#include "identity/identity.h"
#include "identity/proc_file.h"
#include "identity/process_info.h"
#include "identity/verdict.h"
#include "observe/names.h"
#include "observe/remote.h"
#include "observe/remote_process.h"
#include "observe/runner.h"

/* One answer: the outcome, with its sentence in WHY. */
struct answer {
	char *why;
	size_t size;
};

__attribute__((format(printf, 3, 4))) static int no(const struct answer *answer,
	enum belay__acted outcome, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(answer->why, answer->size, format, arguments);
	va_end(arguments);
	return (int)outcome;
}

const struct belay__state_view *belay__runner_view(struct belay__runner *runner)
{
	belay__state_view_follow(runner->state_fd, runner->config.options.capacity, &runner->view);
	return &runner->view;
}

bool belay__runner_lacks_table(struct belay__runner *runner)
{
	const struct belay__record *records;
	const struct belay__slot *slots;

	return runner->state_fd >= 0 &&
		!belay__state_view_tables(belay__runner_view(runner), &slots, &records);
}

/* Whether the process of ACT still is as silent as it was: 0, or RESUMED, RECYCLED,
 * UNVERIFIABLE. */
static int look_up(struct belay__runner *runner, const struct belay__msg_act *act, bool asked)
{
	struct belay__record record;
	struct belay__slot slot;
	int r = belay__state_view_find(belay__runner_view(runner), act->pid, act->start_ticks,
		&slot, &record);

	if (r == -ESRCH)
		return BELAY__ACTED_RECYCLED;
	if (r < 0)
		return BELAY__ACTED_UNVERIFIABLE;
	return asked || record.beats == act->beats ? 0 : BELAY__ACTED_RESUMED;
}

static int say_fresh(const struct answer *answer, int outcome)
{
	if (outcome == BELAY__ACTED_RECYCLED)
		return no(answer, BELAY__ACTED_RECYCLED,
			"the observer does not watch this process any more");
	if (outcome == BELAY__ACTED_RESUMED)
		return no(answer, BELAY__ACTED_RESUMED, "it has beaten again");
	if (outcome == BELAY__ACTED_UNVERIFIABLE)
		return no(answer, BELAY__ACTED_UNVERIFIABLE,
			"there is no table (--state) to see whether it is still silent");
	return outcome;
}

static int check_origin(struct belay__runner *runner, const struct belay__msg_act *act,
	const struct answer *answer)
{
	if (act->pid_ns != 0 && act->pid_ns != runner->own_pid_ns &&
		!runner->config.options.allow_cross_namespace)
		return no(answer, BELAY__ACTED_CROSS_NAMESPACE,
			"it lives in another pid namespace; see --allow-cross-namespace-agents");
	switch (act->origin) {
	case BELAY__KERNEL_ATTESTED:
	case BELAY__OPERATOR_ATTESTED:
		return 0;
	case BELAY__SOCKET_MODE_ONLY:
		return no(answer, BELAY__ACTED_SOCKET_MODE_ONLY,
			"only who may write to the socket vouches for its pid");
	default:
		return no(answer, BELAY__ACTED_UNAUTHENTICATED, "nobody vouches for its pid");
	}
}

/* A user whose processes may be acted on at all: the observer's own, or one a rule names. */
static bool user_allowed(const struct belay__rule *rule, uid_t uid)
{
	return uid == geteuid() || (rule != NULL && rule->uid >= 0 && (uid_t)rule->uid == uid);
}

static int check_uid(const struct belay__msg_act *act, const struct belay__rule *rule,
	const struct answer *answer)
{
	if (rule != NULL && rule->uid >= 0 && rule->uid != (int64_t)act->uid)
		return no(answer, BELAY__ACTED_WRONG_UID, "rule %s is about uid %lld, not %u",
			rule->name, (long long)rule->uid, act->uid);
	if (!user_allowed(rule, act->uid))
		return no(answer, BELAY__ACTED_WRONG_UID,
			"uid %u is another user, and no rule with uid= is about its processes",
			act->uid);
	return 0;
}

/* Whether PATH as we see it is the executable that the process runs: in a mount namespace of its
 * own a process is free to lie under any path. */
static bool runs_file(int procfd, const char *path)
{
	struct stat here, there;

	return path[0] == '/' && stat(path, &here) == 0 && fstatat(procfd, "exe", &there, 0) == 0 &&
		here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

static int check_rule(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, const struct belay__rule *rule, struct belay__names *ret_names,
	const struct answer *answer)
{
	struct belay__record record;
	struct belay__slot slot;
	int found;

	/* Not its environment: reading that may wait for what the process holds. */
	belay__read_names((pid_t)act->pid, /* with_environment= */ false, ret_names);
	if (belay__state_view_find(belay__runner_view(runner), act->pid, act->start_ticks, &slot,
		    &record) == 0) {
		memcpy(ret_names->env, record.own, sizeof(ret_names->env));
		/* It may have become part of one since it was to be acted on. */
		if ((record.marks & BELAY__MARK_IN_MASS) && !(forgiven & BELAY__FORGIVE_STATE))
			return no(answer, BELAY__ACTED_MASS_STALL, "many of its rule are silent");
	}
	found = belay__rule_match(runner->config.rules, runner->config.rule_count, ret_names,
		act->uid);
	if (found + 1 != act->rule)
		return no(answer, BELAY__ACTED_WRONG_RULE,
			"it belongs to %s%s, not to %s%s: exe %.60s, unit %.30s, comm %s",
			found >= 0 ? "rule " : "no rule",
			found >= 0 ? runner->config.rules[found].name : "",
			rule != NULL ? "rule " : "none", rule != NULL ? rule->name : "",
			ret_names->exe, ret_names->unit, ret_names->comm);
	return 0;
}

bool belay__runner_wants_root(const struct belay__runner *runner, const struct belay__rule *rule)
{
	struct belay__doing doing;

	belay__doing_of(&runner->config.options, rule, &doing);
	return doing.run_as_root && rule != NULL && rule->exe[0] != '\0' && rule->uid >= 0;
}

/* As whom commands run. PROVEN: it was seen to be of a rule that trusts it with root. */
static int choose_user(struct belay__runner *runner, const struct belay__msg_act *act,
	bool commands, bool proven, struct belay__subject *subject, const struct answer *answer)
{
	bool root = belay__runner_wants_root(runner, belay__runner_rule(runner, act));

	subject->uid = act->uid;
	subject->other_user = act->uid != geteuid();
	if (geteuid() != 0 || !commands)
		return 0;
	if (root && proven) {
		subject->as_root = true;
		subject->other_user = false;
		return 0;
	}
	if (root)
		return no(answer, BELAY__ACTED_NO_ROOT,
			act->on == BELAY__ACT_ON_END
				? "it ended before the runner had seen that it is what its rule "
				  "trusts with root"
				: "the file it runs is not the one that its rule trusts with root");
	if (act->uid == 0)
		return no(answer, BELAY__ACTED_NO_ROOT,
			"its command would run as root, and no rule with exe, uid and run-as=root "
			"allows that");
	return 0;
}

/* The numbers between white space in the LEN bytes at TEXT. */
static void parse_groups(const char *text, size_t len, struct belay__subject *subject)
{
	subject->group_count = 0;
	for (size_t at = 0; at < len && subject->group_count < BELAY__GROUPS_MAX; at++) {
		gid_t group = 0;

		if (text[at] < '0' || text[at] > '9')
			continue;
		for (; at < len && text[at] >= '0' && text[at] <= '9'; at++)
			group = group * 10 + (gid_t)(text[at] - '0');
		subject->groups[subject->group_count++] = group;
	}
}

/* The groups that the process behind PROCFD is in: what it may do, its command may do. Of more than
 * fit into a line that we read it gets none. */
static int read_groups(int procfd, struct belay__subject *subject)
{
	static const char key[] = "Groups:";
	_cleanup_close_ int fd = belay__proc_open_file(procfd, "status");
	struct belay__lines lines;
	const char *line;
	size_t len;
	int r;

	if (fd < 0)
		return fd;
	belay__lines_start(&lines, fd);
	while ((r = belay__lines_next(&lines, &line, &len)) == 1) {
		if (len < sizeof(key) || memcmp(line, key, sizeof(key) - 1) != 0)
			continue;
		parse_groups(line, len, subject);
		return 0;
	}
	return r;
}

static int read_credentials(int procfd, struct belay__subject *subject)
{
	uint64_t gid;
	int r = belay__proc_status_at(procfd, "Gid:", false, &gid);

	if (r < 0)
		return r;
	subject->gid = (gid_t)gid;
	return read_groups(procfd, subject);
}

/* The process has ended and was not seen before: the user database says which groups its user is
 * in, and may let us wait for that. */
static int look_up_credentials(struct belay__subject *subject)
{
	struct passwd entry, *found = NULL;
	static char buffer[4096];
	int count = BELAY__GROUPS_MAX;

	if (getpwuid_r(subject->uid, &entry, buffer, sizeof(buffer), &found) != 0 || found == NULL)
		return -ENOENT;
	subject->gid = entry.pw_gid;
	if (getgrouplist(entry.pw_name, entry.pw_gid, subject->groups, &count) < 0)
		count = BELAY__GROUPS_MAX;
	subject->group_count = (size_t)count;
	return 0;
}

/* Whoever has the pid now must be the process of ACT. */
static int check_identity(struct belay__runner *runner, const struct belay__msg_act *act,
	const struct belay__identity *identity, const struct answer *answer)
{
	if (identity->start_ticks != act->start_ticks)
		return no(answer, BELAY__ACTED_RECYCLED, "its pid names another process by now");
	if (identity->pid_ns != runner->own_pid_ns && !runner->config.options.allow_cross_namespace)
		return no(answer, BELAY__ACTED_CROSS_NAMESPACE,
			"it lives in another pid namespace; see --allow-cross-namespace-agents");
	if (identity->uid != act->uid)
		return no(answer, BELAY__ACTED_WRONG_UID, "it belongs to uid %u, not %u",
			identity->uid, act->uid);
	return 0;
}

/* What was the reason to act may have been taken from it since: who is stopped or traced by now is
 * silent because of that. */
static int check_state(struct belay__runner *runner, const struct belay__msg_act *act, int procfd,
	const struct answer *answer)
{
	struct belay__doing doing;
	struct belay__stat stat;
	uint64_t tracer = 0;
	int r = belay__proc_stat_at(procfd, "stat", &stat);

	if (r == 0)
		r = belay__proc_status_at(procfd, "TracerPid:", false, &tracer);
	if (r == -ESRCH || r == -ENOENT)
		return no(answer, BELAY__ACTED_RECYCLED, "it has ended");
	if (r < 0)
		return no(answer, BELAY__ACTED_UNVERIFIABLE, "its state cannot be read: %s",
			strerror(-r));
	belay__doing_of(&runner->config.options, belay__runner_rule(runner, act), &doing);
	if (stat.state == 'T' && (doing.act_on & 1u << BELAY__VERDICT_STOPPED) == 0)
		return no(answer, BELAY__ACTED_VERDICT, "a signal has stopped it (act-on)");
	if ((stat.state == 't' || tracer != 0) && (doing.act_on & 1u << BELAY__VERDICT_TRACED) == 0)
		return no(answer, BELAY__ACTED_VERDICT, "a debugger or tracer holds it (act-on)");
	return 0;
}

static int check_alive(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, bool commands, const struct belay__identity *identity,
	struct belay__subject *subject, const struct answer *answer)
{
	const struct belay__rule *rule = belay__runner_rule(runner, act);
	_cleanup_close_ int procfd = belay__proc_open((pid_t)act->pid);
	struct belay__names names;
	int r = check_identity(runner, act, identity, answer);

	if (r == 0)
		r = check_uid(act, rule, answer);
	if (r == 0)
		r = say_fresh(answer, look_up(runner, act, (forgiven & BELAY__FORGIVE_BEATS) != 0));
	if (r == 0)
		r = check_rule(runner, act, forgiven, rule, &names, answer);
	if (r == 0 && (forgiven & BELAY__FORGIVE_STATE) == 0)
		r = check_state(runner, act, procfd, answer);
	if (r == 0)
		r = choose_user(runner, act, commands, runs_file(procfd, names.exe), subject,
			answer);
	if (r == 0 && subject->other_user && read_credentials(procfd, subject) < 0)
		r = no(answer, BELAY__ACTED_UNVERIFIABLE, "its groups cannot be read");
	/* All that was read belongs to it only if it is still there. */
	if (r == 0 && belay__identity_alive(identity) != 1)
		r = no(answer, BELAY__ACTED_RECYCLED, "it has ended");
	return r;
}

static int check_stall(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, bool commands, struct belay__subject *subject,
	const struct answer *answer)
{
	struct belay__identity identity;
	int r;

	if (act->start_ticks == 0)
		return no(answer, BELAY__ACTED_UNVERIFIABLE, "when it started is not known");
	r = belay__identity_open((pid_t)act->pid, /* want_pidfd= */ true, &identity);
	if (r == -ESRCH)
		return no(answer, BELAY__ACTED_RECYCLED, "it has ended");
	if (r < 0)
		return no(answer, BELAY__ACTED_UNVERIFIABLE, "it cannot be looked at: %s",
			strerror(-r));
	r = check_alive(runner, act, forgiven, commands, &identity, subject, answer);
	if (r == 0)
		subject->pidfd = TAKE_FD(identity.pidfd);
	belay__identity_done(&identity);
	return r;
}

static void recall_credentials(const struct belay__witness *seen, struct belay__subject *subject)
{
	subject->gid = seen->gid;
	subject->group_count = seen->group_count;
	memcpy(subject->groups, seen->groups, seen->group_count * sizeof(seen->groups[0]));
}

static int check_end(struct belay__runner *runner, const struct belay__msg_act *act,
	struct belay__subject *subject, const struct answer *answer)
{
	const struct belay__witness *seen = belay__runner_saw(runner, act);
	struct belay__stat stat;
	int r = belay__read_stat((pid_t)act->pid, &stat);

	/* Else it is gone, or another has its pid by now. */
	if (r == 0 && (act->start_ticks == 0 || stat.start_ticks == act->start_ticks) &&
		!belay__stat_ended(&stat))
		return no(answer, BELAY__ACTED_RESUMED, "it has not ended");
	if (r < 0 && r != -ESRCH)
		return no(answer, BELAY__ACTED_UNVERIFIABLE, "it cannot be looked at: %s",
			strerror(-r));
	r = check_uid(act, belay__runner_rule(runner, act), answer);
	if (r == 0)
		r = choose_user(runner, act, true,
			seen != NULL && act->rule != 0 && seen->rule == act->rule, subject, answer);
	if (r != 0 || !subject->other_user)
		return r;
	if (seen != NULL && seen->has_groups)
		recall_credentials(seen, subject);
	else if (look_up_credentials(subject) < 0)
		r = no(answer, BELAY__ACTED_UNVERIFIABLE,
			"there is no user %u to run its command as", act->uid);
	return r;
}

/* Whether PID is one of us: the observer's parent, or another role, which is the same program
 * started by the same parent. Where that is process 1 others are its children, too. */
static bool is_ours(uint32_t pid)
{
	_cleanup_close_ int procfd = -EBADF;
	struct stat us, other;
	struct belay__stat stat;

	if ((pid_t)pid == getpid() || (pid_t)pid == getppid())
		return true;
	if (belay__read_stat((pid_t)pid, &stat) < 0 || stat.ppid != getppid())
		return false;
	procfd = belay__proc_open((pid_t)pid);
	return procfd < 0 || fstatat(procfd, "exe", &other, 0) < 0 ||
		fstatat(AT_FDCWD, "/proc/self/exe", &us, 0) < 0 ||
		(us.st_dev == other.st_dev && us.st_ino == other.st_ino);
}

/* A process of another host: no signal reaches it, and nothing of it can be looked at but its beats. The
 * operator has vouched for it (check_origin()); its command runs as the observer's user, as root only
 * where a rule about its host says so. */
static int check_remote(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, unsigned needs, struct belay__subject *subject,
	const struct answer *answer)
{
	const struct belay__rule *rule = belay__runner_rule(runner, act);
	char host[BELAY__HOST_SIZE];
	struct belay__record record;
	struct belay__slot slot;
	int r = look_up(runner, act, (forgiven & BELAY__FORGIVE_BEATS) != 0);

	if (r != 0)
		return say_fresh(answer, r);
	if (needs & BELAY__NEEDS_SIGNAL)
		return no(answer, BELAY__ACTED_UNAUTHENTICATED,
			"it runs on another host, where no signal of ours arrives");
	if (belay__state_view_find(belay__runner_view(runner), act->pid, 0, &slot, &record) < 0)
		return say_fresh(answer, BELAY__ACTED_RECYCLED);
	if ((record.marks & BELAY__MARK_IN_MASS) && !(forgiven & BELAY__FORGIVE_STATE))
		return no(answer, BELAY__ACTED_MASS_STALL, "many of its rule are silent");
	record.name[sizeof(record.name) - 1] = '\0';
	belay__remote_host(record.name, host);
	if (belay__remote_rule(runner->config.rules, runner->config.rule_count, host) != act->rule)
		return no(answer, BELAY__ACTED_WRONG_RULE, "its host %s does not belong to rule %s",
			host, rule != NULL ? rule->name : "none");
	if (geteuid() == 0 && (rule == NULL || rule->run_as != BELAY__RUN_AS_ROOT))
		return no(answer, BELAY__ACTED_NO_ROOT,
			"its command would run as root, and no rule with host and run-as=root "
			"allows that");
	subject->uid = geteuid();
	subject->as_root = geteuid() == 0;
	return 0;
}

int belay__runner_check(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, unsigned needs, struct belay__subject *ret_subject, char *why,
	size_t size)
{
	const struct answer answer = { why, size };
	struct belay__subject subject = { .pidfd = -EBADF };
	int r = check_origin(runner, act, &answer);

	if (r == 0 && belay__key_host(act->pid) != 0 && act->pid <= INT32_MAX) {
		r = check_remote(runner, act, forgiven, needs, &subject, &answer);
		if (r == 0)
			*ret_subject = subject;
		return r;
	}
	if (r == 0 && (act->pid <= 1 || act->pid > INT32_MAX || is_ours(act->pid)))
		r = no(&answer, BELAY__ACTED_WRONG_RULE, "pid %u is never acted on", act->pid);
	if (r == 0 && act->rule > runner->config.rule_count)
		r = no(&answer, BELAY__ACTED_WRONG_RULE, "there is no rule %s (any more)",
			act->rule_name);
	if (r == 0)
		r = act->on == BELAY__ACT_ON_END
			? check_end(runner, act, &subject, &answer)
			: check_stall(runner, act, forgiven, (needs & BELAY__NEEDS_COMMAND) != 0,
				  &subject, &answer);
	if (r == 0)
		*ret_subject = subject;
	return r;
}
