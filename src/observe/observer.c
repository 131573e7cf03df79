/* The life of an observer: made from options, given listeners, freed. */

#include <belay/observer.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/hot.h"
#include "observe/core.h"
#include "wire/hello.h"

#define DEFAULT_THRESHOLD_MS 5000
#define MIN_THRESHOLD_MS     10
#define MAX_MS               (UINT64_MAX / BELAY__NS_PER_MS / 2) /* no sum of a time and a length overflows */
#define DEFAULT_CAPACITY     4096
#define DEFAULT_SCAN_WINDOW  256
#define DEFAULT_WITHIN_MS    UINT64_C(3600000)
#define EVIDENCE_WITHIN_NS   (UINT64_C(1) * BELAY__EVIDENCE_WITHIN_MS * BELAY__NS_PER_MS)

static void fill_defaults(struct belay_observer_options *options)
{
	if (options->threshold_ms == 0)
		options->threshold_ms = DEFAULT_THRESHOLD_MS;
	if (options->capacity == 0)
		options->capacity = DEFAULT_CAPACITY;
	if (options->eviction_scan_window == 0)
		options->eviction_scan_window = DEFAULT_SCAN_WINDOW;
	if (options->socket_mode == 0)
		options->socket_mode = 0600;
	if (options->within_max_ms == 0)
		options->within_max_ms = DEFAULT_WITHIN_MS;
}

static int check_options(const struct belay_observer_options *options, struct belay_error *reterr)
{
	if (options->threshold_ms < MIN_THRESHOLD_MS)
		return belay__fail(reterr, -EINVAL,
			"threshold of %llu ms is below the minimum of %d ms",
			(unsigned long long)options->threshold_ms, MIN_THRESHOLD_MS);
	if (options->threshold_ms > MAX_MS || options->within_max_ms > MAX_MS)
		return belay__fail(reterr, -EINVAL, "%s of %llu ms is above the maximum of %llu ms",
			options->threshold_ms > MAX_MS ? "threshold" : "within-max",
			(unsigned long long)(options->threshold_ms > MAX_MS
					? options->threshold_ms
					: options->within_max_ms),
			(unsigned long long)MAX_MS);
	if (options->capacity > BELAY__CAPACITY_MAX)
		return belay__fail(reterr, -EINVAL, "capacity of %u is above the maximum of %d",
			options->capacity, BELAY__CAPACITY_MAX);
	if (options->socket_mode > 0777)
		return belay__fail(reterr, -EINVAL, "socket mode %o is not one of 0 to 0777",
			options->socket_mode);
	return 0;
}

/* What does not survive the observer; the slots and records come from give_memory(). */
static int allocate(struct belay_observer *observer)
{
	uint32_t capacity = observer->options.capacity;
	int r;

	observer->watches = calloc(capacity, sizeof(*observer->watches));
	observer->ended = calloc(capacity + 1, sizeof(*observer->ended));
	observer->pending_ends = calloc(BELAY__PENDING_ENDS_MAX, sizeof(*observer->pending_ends));
	observer->second_looks = calloc(BELAY__SECOND_LOOKS_MAX, sizeof(*observer->second_looks));
	observer->answers = calloc(BELAY__ANSWERS_MAX, sizeof(*observer->answers));
	/* Before anything can fail: descriptor 0 is somebody's. */
	for (uint32_t i = 0; observer->watches != NULL && i < capacity; i++) {
		observer->watches[i].pidfd = -EBADF;
		observer->watches[i].io.fd = -EBADF;
	}
	for (uint32_t i = 0; observer->pending_ends != NULL && i < BELAY__PENDING_ENDS_MAX; i++) {
		observer->pending_ends[i].pidfd = -EBADF;
		observer->pending_ends[i].io.fd = -EBADF;
	}
	if (observer->watches == NULL || observer->ended == NULL || observer->pending_ends == NULL ||
		observer->second_looks == NULL || observer->answers == NULL)
		return -ENOMEM;
	if ((r = belay__ordinals_new(capacity, &observer->ordinals)) < 0 ||
		(r = belay__closer_new(&observer->closer)) < 0 ||
		(r = belay__loop_new(&observer->loop)) < 0)
		return r;
	return belay__door_new(observer, &observer->door);
}

static int give_memory(struct belay_observer *observer)
{
	size_t slots = (size_t)belay__table_slot_count(observer->options.capacity) *
		sizeof(struct belay__slot);
	size_t records = (size_t)observer->options.capacity * sizeof(struct belay__record);
	void *memory = mmap(NULL, slots + records, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	/* Beats come in no order: in a large table each would miss the translation of four pages,
	 * too. */
	(void)madvise(memory, slots + records, MADV_HUGEPAGE);
	observer->memory = memory;
	observer->memory_size = slots + records;
	belay__observer_set_table(observer, memory,
		(struct belay__record *)(void *)((unsigned char *)memory + slots));
	return 0;
}

void belay__observer_set_table(struct belay_observer *observer, struct belay__slot *slots,
	struct belay__record *records)
{
	const struct belay_observer_options *options = &observer->options;

	belay__table_init(&observer->table, options->capacity, slots, records,
		(uint32_t)belay__clock_ns(CLOCK_REALTIME));
	observer->table.eviction = options->eviction_policy == BELAY_EVICT_BALANCED
		? BELAY__EVICT_BALANCED
		: BELAY__EVICT_STRICT;
	observer->table.eviction_window = options->eviction_scan_window;
	memset(observer->far_used, 0, sizeof(observer->far_used));
	observer->table.deadlines.length_ns[BELAY__LIST_QUESTION] = EVIDENCE_WITHIN_NS;
	observer->default_list = belay__deadlines_list(&observer->table.deadlines,
		options->threshold_ms * BELAY__NS_PER_MS);
	belay__observer_set_rules(observer, observer->rules, observer->rule_count);
}

static int learn_about_host(struct belay_observer *observer)
{
	uint64_t own_pid_ns;
	int64_t pid_max = belay__read_pid_max();

	observer->pid_max = pid_max > 0 ? (uint32_t)pid_max : UINT32_MAX;
	observer->pid_max_read_ns = observer->now_ns;
	observer->own_uid = geteuid();
	if (belay__read_pid_namespace(getpid(), &own_pid_ns) == 0)
		observer->own_pid_ns = (uint32_t)own_pid_ns;
	observer->suspended_ns = belay__clock_ns(CLOCK_BOOTTIME) - belay__clock_ns(CLOCK_MONOTONIC);
	return 0;
}

int belay_observer_new(const struct belay_observer_options *options,
	struct belay_observer **ret_observer, struct belay_error *reterr)
{
	struct belay_observer *observer = calloc(1, sizeof(*observer));
	int r = -ENOMEM;

	if (observer == NULL)
		return belay__fail(reterr, r, "cannot make an observer: out of memory");
	observer->options = *options;
	fill_defaults(&observer->options);
	r = check_options(&observer->options, reterr);
	if (r < 0) {
		belay_observer_free(observer);
		return r;
	}
	if ((r = allocate(observer)) < 0 || (r = give_memory(observer)) < 0) {
		belay_observer_free(observer);
		return belay__fail(reterr, r, "cannot make an observer for %u processes: %s",
			options->capacity != 0 ? options->capacity : DEFAULT_CAPACITY, strerror(-r));
	}
	belay__watch_clock_init(&observer->clock,
		options->boottime ? CLOCK_BOOTTIME : CLOCK_MONOTONIC, options->clock,
		options->clock_data);
	observer->now_ns = observer->clock.now_ns;
	observer->told_slot = BELAY__NO_SLOT;
	observer->crashes_fd = -EBADF;
	if (options->max_beat_rate > 0)
		observer->interval_ns = BELAY__NS_PER_S / options->max_beat_rate;
	belay__bucket_init(&observer->bucket, options->global_beat_rate, options->global_beat_burst,
		observer->now_ns);
	for (uint32_t host = 1; host <= BELAY__HOSTS_MAX; host++)
		observer->far_buckets[host] = observer->bucket;
	learn_about_host(observer);
	*ret_observer = observer;
	return 0;
}

static void free_processes(struct belay_observer *observer)
{
	for (uint32_t i = 0; observer->watches != NULL && i < observer->options.capacity; i++)
		belay__unwatch(observer, i);
	for (uint32_t i = 0; observer->pending_ends != NULL && i < BELAY__PENDING_ENDS_MAX; i++) {
		belay__io_remove(&observer->pending_ends[i].io);
		belay__close(observer->pending_ends[i].pidfd);
	}
	if (observer->memory != NULL)
		(void)munmap(observer->memory, observer->memory_size);
	free(observer->watches);
	free(observer->ended);
	free(observer->pending_ends);
	free(observer->second_looks);
	free(observer->answers);
	belay__ordinals_free(observer->ordinals);
}

struct belay_observer *belay_observer_free(struct belay_observer *observer)
{
	if (observer == NULL)
		return NULL;
	belay__door_free(observer->door);
	for (unsigned i = 0; i < observer->listener_count; i++) {
		struct belay__listener *listener = &observer->listeners[i];

		belay__io_remove(&listener->io);
		belay__unbind(&listener->hello);
		belay__unbind(&listener->beats);
		belay__receiver_free(listener->receiver);
	}
	free_processes(observer);
	belay__closer_free(observer->closer);
	belay__loop_free(observer->loop);
	free(observer);
	return NULL;
}

int belay__observer_adopt(struct belay_observer *observer, struct belay__bound *beats_take,
	int hello_fd_take, unsigned queue_frames, struct belay_error *reterr)
{
	struct belay__listener *listener = &observer->listeners[observer->listener_count];
	int r;

	if (observer->listener_count == BELAY__LISTENERS_MAX)
		return belay__fail(reterr, -ENOSPC,
			"cannot listen on %s: an observer has at most %d sockets", beats_take->path,
			BELAY__LISTENERS_MAX);
	*listener = (struct belay__listener){
		.observer = observer,
		.beats = *beats_take,
		.hello = { .fd = -EBADF, .lock_fd = -EBADF },
		.io = { .fd = -EBADF },
		.queue_frames = queue_frames,
		.ready = true,
	};
	r = belay__receiver_new(BELAY_FRAME_LEN, !beats_take->rights_refused, observer->closer,
		&listener->receiver);
	if (r == 0)
		r = belay__watch_beats(listener);
	if (r == 0 && hello_fd_take >= 0)
		r = belay__door_listen_take(observer->door, hello_fd_take);
	if (r < 0) {
		belay__io_remove(&listener->io);
		listener->receiver = belay__receiver_free(listener->receiver);
		return belay__fail(reterr, r, "cannot listen on %s: %s", beats_take->path,
			strerror(-r));
	}
	observer->counts[BELAY__COUNT_BIND_SYNC_FAILED] += beats_take->directory_sync_failed;
	if (observer->listener_count++ == 0)
		observer->counts[BELAY__COUNT_RCVBUF] = beats_take->rcvbuf_bytes;
	return 0;
}

int belay__observer_adopt_far(struct belay_observer *observer, int fd_take,
	const struct belay__far *far, const struct belay__hosts *hosts, unsigned queue_frames)
{
	struct belay__listener *listener = &observer->listeners[observer->listener_count];
	int r;

	if (observer->listener_count == BELAY__LISTENERS_MAX)
		return -ENOSPC;
	*listener = (struct belay__listener){
		.observer = observer,
		.far = *far,
		.beats = { .fd = fd_take, .lock_fd = -EBADF },
		.hello = { .fd = -EBADF, .lock_fd = -EBADF },
		.io = { .fd = -EBADF },
		.queue_frames = queue_frames,
		.ready = true,
	};
	r = belay__watch_beats(listener);
	if (r < 0)
		return r;
	observer->hosts = hosts;
	observer->listener_count++;
	return 0;
}

int belay_observer_listen(struct belay_observer *observer, const char *path,
	struct belay_error *reterr)
{
	struct belay__bind bind = {
		.path = path,
		.type = SOCK_DGRAM,
		.mode = observer->options.socket_mode,
		.rcvbuf_bytes = observer->options.rcvbuf_bytes,
		.lock = true,
	};
	struct belay__bound beats = { .fd = -EBADF, .lock_fd = -EBADF };
	struct belay__bound hello = { .fd = -EBADF, .lock_fd = -EBADF };
	char hello_path[BELAY__SOCKET_PATH_SIZE];
	int r, frames;

	r = belay__socket_sibling(path, BELAY__HELLO_SUFFIX, hello_path);
	if (r < 0)
		return belay__fail(reterr, r,
			"cannot listen on %s: the path is too long for a socket", path);
	r = belay__bind_guarded(&bind, &beats, reterr);
	if (r < 0)
		return r;
	frames = belay__measure_queue(beats.fd);
	bind = (struct belay__bind){ .path = hello_path, .type = SOCK_SEQPACKET, .mode = bind.mode };
	r = belay__bind_guarded(&bind, &hello, reterr);
	if (r == 0)
		r = belay__observer_adopt(observer, &beats, hello.fd,
			frames > 0 ? (unsigned)frames : 1, reterr);
	if (r < 0) {
		belay__unbind(&hello);
		belay__unbind(&beats);
		return r;
	}
	/* The door has its descriptor now; the listener keeps what it takes to unlink the path. */
	hello.fd = -EBADF;
	observer->listeners[observer->listener_count - 1].hello = hello;
	return 0;
}

int belay_observer_fd(const struct belay_observer *observer)
{
	return belay__loop_fd(observer->loop);
}

uint64_t belay_observer_now_ns(struct belay_observer *observer)
{
	observer->now_ns = belay__watch_clock_now(&observer->clock);
	return observer->now_ns - observer->clock.start_ns;
}

void belay__observer_set_rules(struct belay_observer *observer, const struct belay__rule *rules,
	uint32_t count)
{
	if (count > 0)
		memmove(observer->rules, rules, count * sizeof(*rules));
	observer->rule_count = count;
	belay__crowds_reset(observer);
	for (uint32_t i = 0; i < count; i++) {
		uint64_t threshold_ns = rules[i].threshold_ns;

		observer->rule_lists[i] = threshold_ns != 0
			? belay__deadlines_list(&observer->table.deadlines, threshold_ns)
			: observer->default_list;
		observer->rule_missing_due_ns[i] = UINT64_MAX;
		observer->rule_missing_told[i] = false;
		observer->rule_beating[i] = 0;
	}
}

void belay__observer_set_prober(struct belay_observer *observer, const struct belay__prober *prober)
{
	observer->prober = *prober;
}

struct belay__loop *belay__observer_loop(struct belay_observer *observer)
{
	return observer->loop;
}

BELAY__HOT void belay__observer_wait(struct belay_observer *observer)
{
	observer->wait = observer->phase == BELAY__PHASE_START;
}
