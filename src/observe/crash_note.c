#include "observe/crash_note.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "export/signal_name.h"

/* What is left to read; once anything was wrong it stays so. */
struct cursor {
	const char *next, *end;
	bool wrong;
};

static bool take(struct cursor *cursor, const char *word)
{
	const size_t len = strlen(word);

	if ((size_t)(cursor->end - cursor->next) < len || memcmp(cursor->next, word, len) != 0)
		return false;
	cursor->next += len;
	return true;
}

static void need(struct cursor *cursor, const char *word)
{
	if (!take(cursor, word))
		cursor->wrong = true;
}

static int digit_of(char c, unsigned base)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return base == 16 && c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A number as it is written: no sign, no leading zeros, at most MAX. */
static uint64_t number(struct cursor *cursor, unsigned base, uint64_t max)
{
	const char *start = cursor->next;
	uint64_t value = 0;

	for (; cursor->next < cursor->end; cursor->next++) {
		const int digit = digit_of(*cursor->next, base);

		if (digit < 0)
			break;
		if (value > (max - (unsigned)digit) / base ||
			(cursor->next > start && *start == '0')) {
			cursor->wrong = true;
			return 0;
		}
		value = value * base + (unsigned)digit;
	}
	cursor->wrong |= cursor->next == start;
	return value;
}

static int32_t signed_number(struct cursor *cursor)
{
	const bool negative = take(cursor, "-");
	const uint64_t value = number(cursor, 10, (uint64_t)INT32_MAX + negative);

	cursor->wrong |= negative && value == 0;
	return (int32_t)(negative ? -(int64_t)value : (int64_t)value);
}

/* Exactly nine digits. */
static uint64_t nanoseconds(struct cursor *cursor)
{
	uint64_t value = 0;

	for (int i = 0; i < 9; i++) {
		const int digit = cursor->next < cursor->end ? digit_of(*cursor->next, 10) : -1;

		if (digit < 0) {
			cursor->wrong = true;
			return 0;
		}
		value = value * 10 + (unsigned)digit;
		cursor->next++;
	}
	return value;
}

static bool is_crash(int64_t signal)
{
	return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL ||
		signal == SIGABRT || signal == SIGSYS;
}

static void parse_cause(struct cursor *cursor, struct belay__crash_facts *facts)
{
	if (take(cursor, "sender ")) {
		facts->cause = BELAY__CRASH_BY_SENDER;
		facts->sender_pid = (uint32_t)number(cursor, 10, UINT32_MAX);
		need(cursor, " ");
		facts->sender_uid = (uint32_t)number(cursor, 10, UINT32_MAX);
		need(cursor, "\n");
	} else if (take(cursor, "syscall ")) {
		facts->cause = BELAY__CRASH_BY_CALL;
		facts->call = signed_number(cursor);
		need(cursor, "\n");
	} else if (take(cursor, "address 0x")) {
		facts->cause = BELAY__CRASH_BY_ADDRESS;
		facts->address = number(cursor, 16, UINT64_MAX);
		need(cursor, "\n");
	}
}

int belay__crash_note_parse(const char *bytes, size_t len, struct belay__crash_facts *ret_facts)
{
	struct cursor cursor = { .next = bytes, .end = bytes + len };
	struct belay__crash_facts facts = { 0 };

	need(&cursor, "belay-crash 1\nsignal ");
	facts.number = (int32_t)number(&cursor, 10, INT32_MAX);
	if (cursor.wrong || !is_crash(facts.number))
		return -EBADMSG;
	need(&cursor, " ");
	need(&cursor, belay__signal_name(facts.number));
	need(&cursor, "\ncode ");
	facts.code = signed_number(&cursor);
	need(&cursor, "\n");
	parse_cause(&cursor, &facts);
	need(&cursor, "pc 0x");
	facts.program_counter = number(&cursor, 16, UINT64_MAX);
	need(&cursor, "\nthread ");
	facts.thread = (uint32_t)number(&cursor, 10, UINT32_MAX);
	need(&cursor, "\ntime ");
	facts.realtime_ns = number(&cursor, 10, UINT64_MAX / BELAY__NS_PER_S - 1) * BELAY__NS_PER_S;
	need(&cursor, ".");
	facts.realtime_ns += nanoseconds(&cursor);
	need(&cursor, "\n");
	if (cursor.wrong || cursor.next != cursor.end)
		return -EBADMSG;
	*ret_facts = facts;
	return 0;
}

/* What the kernel's codes of a fault say. */
static const char *reason_of(int number, int code)
{
	static const struct {
		int number, code;
		const char *reason;
	} rows[] = {
		{ SIGSEGV, SEGV_MAPERR, "address not mapped" },
		{ SIGSEGV, SEGV_ACCERR, "access not permitted" },
		{ SIGSEGV, SEGV_PKUERR, "refused by a protection key" },
		{ SIGSEGV, SI_KERNEL, "raised by the kernel" },
		{ SIGBUS, BUS_ADRALN, "address not aligned" },
		{ SIGBUS, BUS_ADRERR, "no memory behind the address" },
		{ SIGBUS, BUS_OBJERR, "hardware error" },
		{ SIGBUS, BUS_MCEERR_AR, "bad memory was used" },
		{ SIGBUS, BUS_MCEERR_AO, "bad memory was found" },
		{ SIGFPE, FPE_INTDIV, "integer division by zero" },
		{ SIGFPE, FPE_INTOVF, "integer overflow" },
		{ SIGFPE, FPE_FLTDIV, "division by zero" },
		{ SIGFPE, FPE_FLTOVF, "overflow" },
		{ SIGFPE, FPE_FLTUND, "underflow" },
		{ SIGFPE, FPE_FLTRES, "inexact result" },
		{ SIGFPE, FPE_FLTINV, "invalid operation" },
		{ SIGILL, ILL_ILLOPC, "illegal instruction" },
		{ SIGILL, ILL_ILLOPN, "illegal operand" },
		{ SIGILL, ILL_ILLTRP, "illegal trap" },
		{ SIGILL, ILL_PRVOPC, "privileged instruction" },
		{ SIGSYS, 1 /* SYS_SECCOMP */, "refused by a filter" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].number == number && rows[i].code == code)
			return rows[i].reason;
	return NULL;
}

static void add_reason(struct belay__text *text, const struct belay__crash_facts *facts,
	uint32_t pid)
{
	const char *reason = reason_of(facts->number, facts->code);

	if (facts->cause == BELAY__CRASH_BY_SENDER && facts->sender_pid == pid)
		belay__text_add(text, " (raised by the process itself)");
	else if (facts->cause == BELAY__CRASH_BY_SENDER)
		belay__text_addf(text, " (sent by process %u of uid %u)", facts->sender_pid,
			facts->sender_uid);
	else if (facts->cause == BELAY__CRASH_BY_CALL)
		belay__text_addf(text, " (system call %d%s%s)", facts->call, reason ? " " : "",
			reason ? reason : "");
	else if (reason != NULL)
		belay__text_addf(text, " (%s)", reason);
	else
		belay__text_addf(text, " (code %d)", facts->code);
}

int belay__crash_describe(const struct belay__crash_facts *facts, uint32_t pid, char *text,
	size_t size)
{
	struct belay__text out;

	belay__text_init(&out, text, size);
	belay__text_add(&out, belay__signal_name(facts->number));
	add_reason(&out, facts, pid);
	if (facts->cause == BELAY__CRASH_BY_ADDRESS)
		belay__text_addf(&out, " at 0x%llx", (unsigned long long)facts->address);
	if (facts->program_counter != 0)
		belay__text_addf(&out, ", pc 0x%llx", (unsigned long long)facts->program_counter);
	belay__text_addf(&out, ", thread %u", facts->thread);
	return (int)out.len;
}

/* Reads what is there of a note, at most one byte more than one may have. */
static ssize_t read_bytes(int dirfd, const char *name, uid_t uid,
	char bytes[BELAY__CRASH_NOTE_MAX + 1])
{
	_cleanup_close_ int fd = openat(dirfd, name,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat status;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT || errno == EMFILE || errno == ENFILE ? -errno : -EBADMSG;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode) || status.st_uid != uid || status.st_nlink != 1)
		return -EBADMSG;
	n = pread(fd, bytes, BELAY__CRASH_NOTE_MAX + 1, 0);
	return n < 0 ? -errno : n;
}

int belay__crash_note_read(int dirfd, uint32_t pid, uid_t uid, uint64_t since_ns, int signal_nr,
	char *text, size_t size)
{
	char name[sizeof("4294967295")], bytes[BELAY__CRASH_NOTE_MAX + 1];
	struct belay__crash_facts facts;
	ssize_t n;
	int r;

	(void)snprintf(name, sizeof(name), "%u", pid);
	n = read_bytes(dirfd, name, uid, bytes);
	if (n != -ENOENT)
		(void)unlinkat(dirfd, name, 0);
	if (n < 0)
		return (int)n;
	if (n == 0)
		return -ENOENT;
	r = n > BELAY__CRASH_NOTE_MAX ? -EBADMSG : belay__crash_note_parse(bytes, (size_t)n, &facts);
	if (r == 0 &&
		(facts.realtime_ns < since_ns || (signal_nr != 0 && signal_nr != facts.number)))
		r = -ESTALE;
	return r < 0 ? r : belay__crash_describe(&facts, pid, text, size);
}
