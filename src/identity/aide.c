#include "identity/aide.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static struct belay__aide the_aide;
static struct {
	pid_t pid; /* 0: nobody */
	uint32_t want;
	bool asked;
	int code;
	struct belay__aide_facts facts;
} expected;

void belay__aide_set(const struct belay__aide *aide)
{
	the_aide = aide != NULL ? *aide : (struct belay__aide){ .ask = NULL };
}

void belay__aide_expect(pid_t pid, uint32_t want)
{
	expected.pid = pid;
	expected.want = want;
	expected.asked = false;
}

static int ask(pid_t pid, uint64_t start_ticks, uint32_t want, struct belay__aide_facts *ret_facts)
{
	int r = the_aide.ask(the_aide.data, pid, start_ticks, want, ret_facts);

	if (r < 0)
		return r;
	/* It is trusted with looking, not with our memory. */
	ret_facts->env[sizeof(ret_facts->env) - 1] = '\0';
	ret_facts->exe[sizeof(ret_facts->exe) - 1] = '\0';
	return 0;
}

int belay__aide_ask(pid_t pid, uint64_t start_ticks, enum belay__aide_want want,
	struct belay__aide_facts *ret_facts)
{
	struct belay__aide_facts facts = { .known = 0 };
	int r;

	if (the_aide.ask == NULL)
		return -ENODATA;
	if (pid != expected.pid || (want & expected.want) == 0) {
		r = ask(pid, start_ticks, want, &facts);
	} else {
		if (!expected.asked) {
			expected.facts.known = 0;
			expected.code = ask(pid, start_ticks, expected.want, &expected.facts);
		}
		expected.asked = true;
		r = expected.code;
		facts = expected.facts;
	}
	if (r < 0)
		return r;
	if ((facts.known & want) == 0)
		return -ENODATA;
	*ret_facts = facts;
	return 0;
}

void belay__aide_look(pid_t pid, uint64_t start_ticks, uint32_t want,
	struct belay__aide_facts *ret_facts)
{
	struct belay__aide_facts facts = { .known = 0 };
	struct belay__names names;

	if ((want & BELAY__AIDE_PID_NS) != 0 && belay__read_pid_namespace(pid, &facts.pid_ns) == 0)
		facts.known |= BELAY__AIDE_PID_NS;
	if ((want & (BELAY__AIDE_EXE | BELAY__AIDE_ENV)) != 0) {
		belay__read_names(pid, (want & BELAY__AIDE_ENV) != 0, &names);
		memcpy(facts.exe, names.exe, sizeof(facts.exe));
		memcpy(facts.env, names.env, sizeof(facts.env));
		facts.known |= want & (BELAY__AIDE_EXE | BELAY__AIDE_ENV);
	}
	if ((want & BELAY__AIDE_EXIT) != 0) {
		int status;

		if (belay__read_exit_status(pid, start_ticks, &status) == 0) {
			facts.exit_status = status;
			facts.known |= BELAY__AIDE_EXIT;
		}
	}
	*ret_facts = facts;
}
