#include "beat/crash_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hot.h"
#include "wire/crc32c.h"

struct way {
	struct belay_crash_transport transport;
	struct belay__crash_note note;
};

/* What a handler needs lies in one line of the cache, which nothing else has brought there. */
static struct {
	struct way *_Atomic current;
	/* How many handlers hold a way just now. Who takes one away looks here after nobody can get it
	 * any more, and leaves it alone while somebody has one: that process is dying. */
	atomic_uint speaking;
	/* CLOCK_MONOTONIC of the first installation; 0: none yet. Like the last timestamp it lives as long
	 * as the process, whatever is installed: an observer takes a last word that is not later than the
	 * one before for a repetition. */
	_Atomic uint64_t start_ns;
	_Atomic uint64_t last_timestamp_ns;
} hook __attribute__((aligned(64)));

static void begin_time(void)
{
	uint64_t none = 0, now_ns = belay__clock_ns(CLOCK_MONOTONIC);

	(void)atomic_compare_exchange_strong(&hook.start_ns, &none, now_ns > 0 ? now_ns : 1);
}

void belay__crash_set_last_timestamp(uint64_t timestamp_ns)
{
	atomic_store(&hook.last_timestamp_ns, timestamp_ns);
}

BELAY__HOT bool belay__crash_next_timestamp(uint64_t *ret_timestamp_ns)
{
	const uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	const uint64_t began_ns = atomic_load_explicit(&hook.start_ns, memory_order_relaxed);
	const uint64_t elapsed_ns = now_ns > began_ns ? now_ns - began_ns : 0;
	uint64_t last_ns = atomic_load(&hook.last_timestamp_ns), next_ns;

	do {
		/* The highest number is no timestamp (VLP 0.2). */
		if (last_ns >= UINT64_MAX - 1)
			return false;
		next_ns = elapsed_ns > last_ns ? elapsed_ns : last_ns + 1;
	} while (!atomic_compare_exchange_weak(&hook.last_timestamp_ns, &last_ns, next_ns));

	*ret_timestamp_ns = next_ns;
	return true;
}

BELAY__HOT void belay__crash_say(int number, const siginfo_t *info, const void *context)
{
	struct belay_frame frame = { .status = BELAY_CRITICAL, .nonce = BELAY_NONCE_TERMINAL };
	uint8_t bytes[BELAY_FRAME_LEN];
	struct way *way;

	(void)atomic_fetch_add(&hook.speaking, 1);
	way = atomic_load(&hook.current);
	if (way != NULL && belay__crash_next_timestamp(&frame.timestamp_ns)) {
		/* Asked anew: this may be a child that was forked since. */
		frame.pid = (uint32_t)getpid();
		belay_frame_encode(&frame, bytes);
		way->transport.send(way->transport.data, bytes, frame.pid, frame.timestamp_ns);
		/* Behind the frame, because a file system may make the process wait. */
		if (way->note.fd >= 0 && way->note.pid == frame.pid)
			belay__crash_note_write(&way->note, number, info, context);
	}
	(void)atomic_fetch_sub(&hook.speaking, 1);
}

/* Runs in a child of fork(2): who was speaking is not there. */
static void nobody_speaks(void)
{
	atomic_store(&hook.speaking, 0);
}

/* Where this is refused, a child forked just then keeps what it puts away. */
static void watch_forks(void)
{
	static bool watched;

	if (!watched)
		watched = pthread_atfork(NULL, NULL, nobody_speaks) == 0;
}

/* Frees a way that nobody can get any more, unless a handler still has it: then it stays, because what
 * it names may be in use. Where NEXT has the same note the file stays as well. */
static void put_away(struct way *way, struct way *next)
{
	bool same_note;

	if (way == NULL || atomic_load(&hook.speaking) > 0)
		return;

	same_note = next != NULL && way->note.fd >= 0 && next->note.fd >= 0 &&
		way->note.device == next->note.device && way->note.inode == next->note.inode;
	if (same_note)
		next->note.made |= way->note.made;
	belay__crash_note_close(&way->note, !same_note);
	if (way->transport.close != NULL)
		way->transport.close(way->transport.data);
	free(way);
}

int belay__crash_failed(struct belay_crash_report *ret_report, struct belay_error *reterr,
	enum belay_crash_step step, int code, const char *what)
{
	if (ret_report != NULL)
		ret_report->step = step;
	return belay__fail(reterr, code, "crash hook not installed, step %s: %s: %s",
		belay_crash_step_name(step), what, strerror(-code));
}

int belay__crash_check_options(const struct belay_crash_options *options,
	struct belay_crash_report *ret_report, struct belay_error *reterr)
{
	const char *wrong = NULL;

	if (ret_report != NULL)
		*ret_report = (struct belay_crash_report){ .step = BELAY_CRASH_DONE };
	if (options == NULL)
		return 0;
	if ((options->flags & ~(unsigned)BELAY_CRASH_CHAIN) != 0)
		wrong = "flags hold one that is not known";
	if (options->note != NULL && options->note[0] == '\0')
		wrong = "the note's path is empty";
	for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++)
		if (options->reserved[i] != 0)
			wrong = "a reserved member is not 0";
	return wrong == NULL
		? 0
		: belay__crash_failed(ret_report, reterr, BELAY_CRASH_OPTIONS, -EINVAL, wrong);
}

static int open_note(const struct belay_crash_options *options, const char *socket,
	struct belay__crash_note *ret_note)
{
	if (options == NULL || options->note == NULL)
		return 0;
	if (strcmp(options->note, "auto") == 0)
		return belay__crash_note_open_auto(socket, ret_note);
	return belay__crash_note_open(options->note, ret_note);
}

/* The dynamic linker may bind a function at its first call, which is nothing for a handler. What the
 * handlers call is called here once, with what does no harm. */
static void rehearse(void)
{
	const struct belay_frame frame = { .status = BELAY_CRITICAL };
	uint8_t bytes[BELAY_FRAME_LEN];
	int saved = errno;

	(void)belay__crc32c_has_hardware();
	belay_frame_encode(&frame, bytes);
	(void)getpid();
	(void)gettid();
	(void)syscall(SYS_gettid);
	if (write(-EBADF, bytes, 0) < 0) /* there is no such descriptor */
		errno = saved;
}

/* NOTE has been opened. Does what is left, and undoes it when something fails. */
static int take_over(struct way *way, bool chain, struct belay_crash_report *ret_report,
	struct belay_error *reterr)
{
	uint64_t installed, left_alone;
	int made = belay__crash_stack_make(), r;

	if (made < 0)
		return belay__crash_failed(ret_report, reterr, BELAY_CRASH_STACK, made,
			"no alternate stack");

	begin_time();
	watch_forks();
	r = belay__crash_signals_take(chain, &installed, &left_alone);
	if (r < 0) {
		if (made > 0)
			belay__crash_stack_drop();
		return belay__crash_failed(ret_report, reterr, BELAY_CRASH_SIGNALS, r,
			"a handler could not be set");
	}

	put_away(atomic_exchange(&hook.current, way), way);
	if (ret_report != NULL) {
		ret_report->installed = installed;
		ret_report->left_alone = left_alone;
	}
	return 0;
}

int belay__crash_install(const struct belay_crash_transport *transport, const char *socket,
	const struct belay_crash_options *options, struct belay_crash_report *ret_report,
	struct belay_error *reterr)
{
	struct way *way = NULL;
	int r;

	rehearse();
	way = malloc(sizeof(*way));
	if (way == NULL)
		return belay__crash_failed(ret_report, reterr, BELAY_CRASH_SOCKET, -ENOMEM,
			"no memory");
	*way = (struct way){ .transport = *transport, .note = BELAY__CRASH_NO_NOTE };

	r = open_note(options, socket, &way->note);
	if (r == 0)
		r = belay__crash_note_empty(&way->note);
	if (r < 0)
		r = belay__crash_failed(ret_report, reterr, BELAY_CRASH_NOTE, r, options->note);
	else
		r = take_over(way, options != NULL && (options->flags & BELAY_CRASH_CHAIN) != 0,
			ret_report, reterr);
	if (r < 0) {
		belay__crash_note_close(&way->note, true);
		free(way);
	}
	return r; /* NOLINT(clang-analyzer-unix.Malloc): `hook` has it now */
}

int belay_crash_install_with(const struct belay_crash_transport *transport,
	const struct belay_crash_options *options, struct belay_crash_report *ret_report,
	struct belay_error *reterr)
{
	int r = belay__crash_check_options(options, ret_report, reterr);

	if (r < 0)
		return r;
	if (transport == NULL || transport->send == NULL)
		return belay__crash_failed(ret_report, reterr, BELAY_CRASH_OPTIONS, -EINVAL,
			"there is no way to send");
	return belay__crash_install(transport, NULL, options, ret_report, reterr);
}

void belay_crash_uninstall(void)
{
	int saved = errno;

	belay__crash_signals_give_back();
	put_away(atomic_exchange(&hook.current, NULL), NULL);
	belay__crash_stack_drop();
	errno = saved;
}

const char *belay_crash_step_name(enum belay_crash_step step)
{
	static const char *const names[] = {
		[BELAY_CRASH_DONE] = "done",
		[BELAY_CRASH_OPTIONS] = "options",
		[BELAY_CRASH_ENTROPY] = "entropy",
		[BELAY_CRASH_SOCKET] = "socket",
		[BELAY_CRASH_NOTE] = "note",
		[BELAY_CRASH_STACK] = "stack",
		[BELAY_CRASH_SIGNALS] = "signals",
	};

	return (unsigned)step < sizeof(names) / sizeof(names[0]) ? names[step] : NULL;
}
