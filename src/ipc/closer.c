#include "ipc/closer.h"

#include <errno.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

/* Two to some power, and at least what one batch of 64 datagrams can bring (64 * 253). */
#define QUEUE_SIZE 16384u

/* How long one close() may take before the next thread takes over. */
#define HELD_UP_NS (5 * BELAY__NS_PER_MS)

/* Enough for close() and setsockopt() with any sanitizer. */
#define STACK_SIZE (256ul * 1024)

/* One thread at a time is the leader and closes; the others stand by. A leader that is held up
 * is replaced and, when its close() returns at last, stands by like the others. So a quiet
 * closer costs one thread's work, not four's. */
struct belay__closer {
	pthread_mutex_t mutex;
	pthread_cond_t work; /* of CLOCK_MONOTONIC */
	pid_t pid;           /* whose threads these are */
	bool stopping;
	unsigned references; /* the owner and each thread */
	unsigned threads, standing_by;
	unsigned leadership; /* counts up whenever a leader is made; 0: never had one */
	bool led;
	uint64_t led_since_ns;
	unsigned head, count;
	atomic_uint_least64_t taken, closed, leaked;
	int queue[QUEUE_SIZE];
};

static void drop_reference(struct belay__closer *closer)
{
	bool was_last = --closer->references == 0;

	(void)pthread_mutex_unlock(&closer->mutex);
	if (!was_last)
		return;
	(void)pthread_cond_destroy(&closer->work);
	(void)pthread_mutex_destroy(&closer->mutex);
	free(closer);
}

static void close_now(struct belay__closer *closer, int fd)
{
	/* Fails for what is no socket. What is one would otherwise linger as long as its sender
	 * has told it to. */
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 0 }, sizeof(struct linger));
	(void)close(fd);
	atomic_fetch_add(&closer->closed, 1);
}

/* Waits until there may be something to lead. The mutex is held. */
static void stand_by(struct belay__closer *closer)
{
	closer->standing_by++;
	if (closer->count > 0 && closer->led) {
		struct timespec until = belay__timespec(closer->led_since_ns + HELD_UP_NS);

		(void)pthread_cond_timedwait(&closer->work, &closer->mutex, &until);
	} else {
		(void)pthread_cond_wait(&closer->work, &closer->mutex);
	}
	closer->standing_by--;
}

static bool may_lead(const struct belay__closer *closer)
{
	if (closer->count == 0)
		return false;
	return !closer->led || belay__clock_ns(CLOCK_MONOTONIC) >= closer->led_since_ns + HELD_UP_NS;
}

static int start_thread(struct belay__closer *closer);

/* Wakes or starts the thread that takes over when this one is held up. The mutex is held, but
 * not while the thread is made. */
static void see_to_a_successor(struct belay__closer *closer)
{
	if (closer->standing_by > 0) {
		/* It may be waiting for work, not watching: more than this thread takes now must
		 * be watched over. */
		if (closer->count > 1)
			(void)pthread_cond_signal(&closer->work);
		return;
	}
	if (closer->threads == BELAY__CLOSER_THREADS)
		return;

	closer->threads++;
	closer->references++;
	(void)pthread_mutex_unlock(&closer->mutex);
	int r = start_thread(closer);
	(void)pthread_mutex_lock(&closer->mutex);
	if (r < 0) {
		/* Without a successor this thread goes on alone; the next one to lead tries
		 * again. */
		closer->threads--;
		closer->references--;
	}
}

/* Closes one descriptor after the other until none is left or somebody else has taken over. The
 * mutex is held. */
static void lead(struct belay__closer *closer)
{
	unsigned mine = ++closer->leadership;

	closer->led = true;
	closer->led_since_ns = belay__clock_ns(CLOCK_MONOTONIC);
	see_to_a_successor(closer);
	while (closer->count > 0 && closer->leadership == mine) {
		int fd = closer->queue[closer->head];

		closer->head = (closer->head + 1) % QUEUE_SIZE;
		closer->count--;
		closer->led_since_ns = belay__clock_ns(CLOCK_MONOTONIC);
		(void)pthread_mutex_unlock(&closer->mutex);
		close_now(closer, fd);
		(void)pthread_mutex_lock(&closer->mutex);
	}
	if (closer->leadership == mine)
		closer->led = false;
}

static void *run(void *data)
{
	struct belay__closer *closer = data;

	(void)pthread_mutex_lock(&closer->mutex);
	for (;;) {
		if (may_lead(closer))
			lead(closer);
		else if (closer->stopping && closer->count == 0)
			break;
		else
			stand_by(closer);
	}
	closer->threads--;
	drop_reference(closer);
	return NULL;
}

/* The thread takes no signal: they belong to the program's own threads. 0 or a negative errno. */
static int start_thread(struct belay__closer *closer)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int r = -pthread_attr_init(&attributes);

	if (r < 0)
		return r;

	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&thread, &attributes, run, closer);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attributes);
	return r;
}

static void make_locks(struct belay__closer *closer)
{
	pthread_condattr_t attributes;

	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&closer->work, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	(void)pthread_mutex_init(&closer->mutex, NULL);
}

int belay__closer_new(struct belay__closer **ret_closer)
{
	struct belay__closer *closer = calloc(1, sizeof(*closer));

	if (closer == NULL)
		return -ENOMEM;

	make_locks(closer);
	closer->pid = getpid();
	closer->references = 1;
	*ret_closer = closer;
	return 0;
}

/* In a child there are no threads, and what one of them held locked at the fork stays so. */
static void see_to_fork(struct belay__closer *closer)
{
	pid_t pid = getpid();

	if (closer->pid == pid)
		return;

	make_locks(closer);
	closer->pid = pid;
	closer->references = 1;
	closer->threads = 0;
	closer->standing_by = 0;
	closer->led = false;
	closer->head = 0;
	closer->count = 0;
	atomic_store(&closer->leaked, atomic_load(&closer->taken) - atomic_load(&closer->closed));
}

/* Whether somebody is there to close what is queued; starts the first thread. The mutex is held. */
static bool has_thread(struct belay__closer *closer)
{
	if (closer->threads > 0)
		return true;
	if (start_thread(closer) < 0)
		return false;

	closer->threads++;
	closer->references++;
	return true;
}

struct belay__closer *belay__closer_free(struct belay__closer *closer)
{
	if (closer == NULL)
		return NULL;

	see_to_fork(closer);
	(void)pthread_mutex_lock(&closer->mutex);
	if (closer->count > 0)
		(void)has_thread(closer);
	closer->stopping = true;
	(void)pthread_cond_broadcast(&closer->work);
	drop_reference(closer);
	return NULL;
}

/* The mutex is held. Returns whether to wake who stands by: that costs more than the rest, and
 * while there is work he watches a clock already. */
static bool enqueue(struct belay__closer *closer, int fd)
{
	if (closer->count == QUEUE_SIZE) {
		atomic_fetch_add(&closer->leaked, 1);
		return false;
	}
	closer->queue[(closer->head + closer->count) % QUEUE_SIZE] = fd;
	closer->count++;
	return closer->count == 1 && closer->standing_by > 0;
}

static bool nothing_waits(int fd)
{
	int waiting = 0;

	return ioctl(fd, SIOCINQ, &waiting) == 0 && waiting == 0;
}

/* Where every descriptor that waits has a byte to wait with, and nothing else delays the end. */
static bool is_unix_stream(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
		getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static void take(struct belay__closer *closer, int fd, bool may_be_stream)
{
	bool wake = false, here;

	see_to_fork(closer);
	atomic_fetch_add(&closer->taken, 1);
	(void)pthread_mutex_lock(&closer->mutex);
	here = !has_thread(closer) && may_be_stream && is_unix_stream(fd) && nothing_waits(fd);
	if (!here)
		wake = enqueue(closer, fd);
	(void)pthread_mutex_unlock(&closer->mutex);
	if (here)
		close_now(closer, fd);
	if (wake)
		(void)pthread_cond_signal(&closer->work);
}

void belay__closer_take(struct belay__closer *closer, int fd)
{
	take(closer, fd, false);
}

void belay__closer_take_stream(struct belay__closer *closer, int fd)
{
	take(closer, fd, true);
}

void belay__closer_hang_up(struct belay__closer *closer, int fd)
{
	/* Nothing comes any more after shutdown(2). */
	if (shutdown(fd, SHUT_RD) == 0 && nothing_waits(fd))
		(void)belay__close(fd);
	else
		belay__closer_take(closer, fd);
}

struct shared {
	pid_t pid; /* whose it is */
	struct belay__closer *closer;
	struct shared *parents;
};

/* No lock: a child could inherit it locked. Whoever comes second drops what he made. */
static _Atomic(struct shared *) shared;

struct belay__closer *belay__closer_shared(void)
{
	struct shared *now = atomic_load(&shared), *own;
	pid_t pid = getpid();

	if (now != NULL && now->pid == pid)
		return now->closer;

	own = malloc(sizeof(*own));
	if (own == NULL || belay__closer_new(&own->closer) < 0) {
		free(own);
		return NULL;
	}
	own->pid = pid;
	own->parents = now;
	if (atomic_compare_exchange_strong(&shared, &now, own))
		return own->closer;
	(void)belay__closer_free(own->closer);
	free(own);
	return now->closer;
}

void belay__closer_counts(const struct belay__closer *closer, uint64_t *ret_taken,
	uint64_t *ret_closed, uint64_t *ret_leaked)
{
	*ret_taken = atomic_load(&closer->taken);
	*ret_closed = atomic_load(&closer->closed);
	*ret_leaked = atomic_load(&closer->leaked);
}
