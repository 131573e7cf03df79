/* worker.c - a process that beats five times a second until it is told to go wrong
 *
 * Usage: worker [deadlock|crash]
 *
 * SIGUSR1 makes it go wrong in the way it was given; SIGTERM ends it with a goodbye.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <belay/beat.h>

#define BEAT_EVERY_NS 200000000

static pthread_mutex_t orders = PTHREAD_MUTEX_INITIALIZER, stock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t both_hold_one;

static void *take_stock_then_orders(void *unused)
{
	pthread_mutex_lock(&stock);
	pthread_barrier_wait(&both_hold_one);
	pthread_mutex_lock(&orders);
	return unused;
}

/* The classic: each thread holds what the other waits for. Nothing crashes, no CPU is used, and
 * nothing ever happens again. */
static void deadlock(void)
{
	pthread_t other;

	pthread_barrier_init(&both_hold_one, NULL, 2);
	pthread_create(&other, NULL, take_stock_then_orders, NULL);
	pthread_mutex_lock(&orders);
	pthread_barrier_wait(&both_hold_one);
	pthread_mutex_lock(&stock);
}

static void crash(void)
{
	/* As a bad pointer would, but for sure. */
	raise(SIGSEGV);
}

int main(int argc, char **argv)
{
	const char *way = argc > 1 ? argv[1] : "";
	struct belay *belay;
	sigset_t told;

	sigemptyset(&told);
	sigaddset(&told, SIGUSR1);
	sigaddset(&told, SIGTERM);
	sigprocmask(SIG_BLOCK, &told, NULL);
	belay = belay_open(NULL);

	for (uint32_t done = 0;; done++) {
		belay_beat(belay, BELAY_OK, done);
		switch (sigtimedwait(&told, NULL, &(struct timespec){ 0, BEAT_EVERY_NS })) {
		case SIGUSR1:
			if (strcmp(way, "deadlock") == 0)
				deadlock();
			else if (strcmp(way, "crash") == 0)
				crash();
			break;
		case SIGTERM:
			belay_close(belay);
			return EXIT_SUCCESS;
		default:
			break;
		}
	}
}
