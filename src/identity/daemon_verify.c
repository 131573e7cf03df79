#include "identity/daemon_verify.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "identity/boot_id.h"
#include "identity/exe_file.h"
#include "identity/live.h"

/* One question on its way: what is asked, and who is looked at. */
struct question {
	const struct belay_daemon *expected;
	const struct belay__verify_how *how;
	struct belay__live live;
	struct stat exe; /* once its path was looked at */
	enum belay_verify_error class;
	struct belay_error *reterr;
};

const char *belay_verify_error_name(enum belay_verify_error error)
{
	switch (error) {
	case BELAY_VERIFIED:
		return "Verified";
	case BELAY_VERIFY_INVALID_PID:
		return "InvalidPid";
	case BELAY_VERIFY_BOOT_ID_MISMATCH:
		return "BootIdMismatch";
	case BELAY_VERIFY_NOT_FOUND:
		return "NotFound";
	case BELAY_VERIFY_START_MISMATCH:
		return "StartTimeMismatch";
	case BELAY_VERIFY_EXE_PATH:
		return "ExePath";
	case BELAY_VERIFY_EXE_PATH_MISMATCH:
		return "ExePathMismatch";
	case BELAY_VERIFY_EXE_HASH:
		return "ExeHash";
	case BELAY_VERIFY_EXE_HASH_MISMATCH:
		return "ExecutableHashMismatch";
	case BELAY_VERIFY_ENDED:
		return "Ended";
	case BELAY_VERIFY_HANDLE:
		return "Handle";
	}
	return "Unknown";
}

/* Without the white space around it, which some writers leave there. */
static size_t trim(const char **text)
{
	size_t len;

	while (isspace((unsigned char)**text))
		(*text)++;
	len = strlen(*text);
	while (len > 0 && isspace((unsigned char)(*text)[len - 1]))
		len--;
	return len;
}

static bool same_boot(const char *left, const char *right)
{
	size_t left_len = trim(&left), right_len = trim(&right);

	if (left_len == 0 || right_len == 0)
		return true;
	return left_len == right_len && memcmp(left, right, left_len) == 0;
}

/* -EAGAIN would tell whoever probes that it is not over; odd file systems may say it. */
static int final(int code)
{
	return code == -EAGAIN ? -EIO : code;
}

static bool is_shortage(int code)
{
	return code == -EMFILE || code == -ENFILE || code == -ENOMEM;
}

static int check_boot(struct question *question)
{
	const struct belay_daemon *expected = question->expected;
	const char *boot_id;
	int r = belay__boot_id_text(&boot_id);

	if (r < 0) {
		question->class = BELAY_VERIFY_HANDLE;
		return belay__fail(question->reterr, r,
			"cannot read this boot's id: %s; " BELAY__MORE_ROOM, strerror(-r));
	}
	if (same_boot(expected->boot_id, boot_id))
		return 0;
	question->class = BELAY_VERIFY_BOOT_ID_MISMATCH;
	return belay__fail(question->reterr, -ESTALE,
		"the record is of boot %s, and this is boot %s: what it describes has ended",
		expected->boot_id, boot_id);
}

/* What needs no look at any process. */
static int check_record(struct question *question)
{
	const struct belay_daemon *expected = question->expected;
	int r;

	if (expected->pid == 0) {
		question->class = BELAY_VERIFY_INVALID_PID;
		return belay__fail(question->reterr, -EINVAL, "0 is no process id");
	}
	r = check_boot(question);
	if (r < 0)
		return r;
	if (expected->pid > INT_MAX) {
		question->class = BELAY_VERIFY_INVALID_PID;
		return belay__fail(question->reterr, -EINVAL,
			"%u is no process id; it is too large", expected->pid);
	}
	return 0;
}

static int check_start(struct question *question)
{
	const struct belay__live *live = &question->live;
	uint64_t expected_ticks = question->expected->start_ticks;

	if (expected_ticks == 0 || expected_ticks == live->start_ticks)
		return 0;
	question->class = BELAY_VERIFY_START_MISMATCH;
	return belay__fail(question->reterr,
		-ESTALE, "pid %d was given to another process: it began at tick %llu, the record's at tick %llu",
		live->pid, (unsigned long long)live->start_ticks,
		(unsigned long long)expected_ticks);
}

static bool is_path(const struct question *question, const char *path)
{
	const char *expected = question->expected->exe_path;

	return question->how->claimed ? strcmp(expected, path) == 0
				      : belay__exe_same_path(expected, path);
}

static int check_path(struct question *question)
{
	const struct belay__live *live = &question->live;
	char path[PATH_MAX];
	int r = final(belay__exe_look(live->procfd, path, &question->exe));

	if (r < 0) {
		question->class = BELAY_VERIFY_EXE_PATH;
		return belay__fail(question->reterr, r,
			"cannot read /proc/%d/exe: %s; look as the same user or as root", live->pid,
			strerror(-r));
	}
	if (is_path(question, path))
		return 0;
	question->class = BELAY_VERIFY_EXE_PATH_MISMATCH;
	return belay__fail(question->reterr, -ESTALE, "process %d runs %.100s and not %.100s",
		live->pid, path, question->expected->exe_path);
}

static int fail_hash(struct question *question, int code)
{
	if (is_shortage(code)) {
		question->class = BELAY_VERIFY_HANDLE;
		return belay__fail(question->reterr, code,
			"cannot read the executable of process %d: %s; " BELAY__MORE_ROOM,
			question->live.pid, strerror(-code));
	}
	if (code == -ETIMEDOUT)
		return belay__fail(question->reterr, code,
			"the executable of process %d is too large to be read in time; allow more "
			"time, or use a record that is trusted",
			question->live.pid);
	return belay__fail(question->reterr, code, "cannot read the executable of process %d: %s",
		question->live.pid, strerror(-code));
}

static int check_hash(struct question *question)
{
	const struct belay_daemon *expected = question->expected;
	const struct belay__live *live = &question->live;
	bool by_blake3 = expected->has_blake3;
	struct belay__exe_hash hash;
	int r;

	question->class = BELAY_VERIFY_EXE_HASH;
	if (!by_blake3 && !expected->has_sha256)
		return belay__fail(question->reterr, -EINVAL,
			"the record has no hash of the executable; without one nothing is proved");
	r = belay__exe_hash_of(live->procfd, &question->exe,
		by_blake3 ? BELAY__HASH_BLAKE3 : BELAY__HASH_SHA256, question->how->hashes,
		question->how->deadline_ns, &hash);
	if (r < 0)
		return fail_hash(question, final(r));
	if (memcmp(by_blake3 ? hash.blake3 : hash.sha256,
		    by_blake3 ? expected->blake3 : expected->sha256, BELAY_HASH_LEN) == 0)
		return 0;
	question->class = BELAY_VERIFY_EXE_HASH_MISMATCH;
	return belay__fail(question->reterr, -ESTALE,
		"process %d runs other bytes than the record says, of the same path %.100s",
		live->pid, expected->exe_path);
}

/* Looks at the process, and at its end once more whether there was one to look at. */
static int check_process(struct question *question)
{
	int r = check_start(question), alive;

	if (r == 0)
		r = check_path(question);
	if (r == 0)
		r = check_hash(question);
	alive = belay__live_check(&question->live);
	if (alive == 0)
		return r;
	if (alive != -ESRCH) {
		question->class = is_shortage(alive) ? BELAY_VERIFY_HANDLE : BELAY_VERIFY_EXE_PATH;
		return belay__fail(question->reterr, alive,
			"cannot read /proc/%d/stat: %s; try again", question->live.pid,
			strerror(-alive));
	}
	question->class = BELAY_VERIFY_ENDED;
	return belay__fail(question->reterr, alive, "process %d ended while it was looked at",
		question->live.pid);
}

static int verify(struct question *question, struct belay_handle *ret_handle)
{
	struct belay__live *live = &question->live;
	int r = check_record(question);

	if (r < 0)
		return r;
	r = belay__live_open((pid_t)question->expected->pid, live, &question->class,
		question->reterr);
	if (r < 0)
		return r;
	r = check_process(question);
	if (r == 0) {
		question->class = BELAY_VERIFIED;
		if (ret_handle != NULL)
			*ret_handle = (struct belay_handle){ live->pid, TAKE_FD(live->pidfd),
				live->start_ticks };
	}
	belay__live_done(live);
	return r;
}

int belay__daemon_verify(const struct belay_daemon *expected, const struct belay__verify_how *how,
	struct belay_handle *ret_handle, struct stat *ret_exe, enum belay_verify_error *ret_class,
	struct belay_error *reterr)
{
	struct question question = {
		.expected = expected,
		.how = how,
		.live = { .pidfd = -EBADF, .procfd = -EBADF, .statfd = -EBADF },
		.reterr = reterr,
	};
	int r;

	assert(expected != NULL);

	r = verify(&question, ret_handle);
	if (ret_class != NULL)
		*ret_class = question.class;
	if (r == 0 && ret_exe != NULL)
		*ret_exe = question.exe;
	return r;
}

int belay_daemon_verify(const struct belay_daemon *expected, struct belay_hashes *hashes,
	struct belay_handle *ret_handle, enum belay_verify_error *ret_class,
	struct belay_error *reterr)
{
	const struct belay__verify_how how = { .hashes = hashes, .deadline_ns = UINT64_MAX };

	return belay__daemon_verify(expected, &how, ret_handle, NULL, ret_class, reterr);
}
