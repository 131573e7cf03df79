#include "observe/totals.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"

#define VERSION    1
#define PROBES_MAX 64
#define WAITS_MAX  64

static const char magic[8] = { 'B', 'E', 'L', 'A', 'Y', 'T', 'O', 'T' };

struct entry {
	uint64_t beats, stalls, crashes;
	uint32_t used; /* set last: then name and uid stay as they are */
	uint32_t uid;
	char name[72];
};
_Static_assert(sizeof(struct entry) == 104, "no hidden padding");
_Static_assert(sizeof(((struct entry *)NULL)->name) >= BELAY__NAME_SIZE, "every name fits");

struct belay__totals {
	char magic[8];
	uint32_t version, capacity;
	uint64_t generation; /* odd: held */
	uint64_t holds;      /* the writer's own */
	uint64_t seed;
	uint64_t reserved[3];
	struct entry entries[BELAY__TOTALS_MAX + 1]; /* the last one: all others */
};
_Static_assert(offsetof(struct belay__totals, entries) == 64, "no hidden padding");

int belay__totals_create(void)
{
	_cleanup_close_ int fd = memfd_create("belay-totals", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct {
		char magic[8];
		uint32_t version, capacity;
		uint64_t generation, holds, seed;
	} header = { .version = VERSION, .capacity = BELAY__TOTALS_MAX, .generation = 1 };
	int r;

	if (fd < 0)
		return -errno;
	memcpy(header.magic, magic, sizeof(magic));
	/* Without it names can be chosen that get into each other's way, no more. */
	(void)!getrandom(&header.seed, sizeof(header.seed), GRND_NONBLOCK);
	/* All its room now: a writer must not die for lack of memory later. */
	r = posix_fallocate(fd, 0, (off_t)sizeof(struct belay__totals));
	if (r != 0)
		return -r;
	r = belay__write_all(fd, &header, sizeof(header));
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int map(int fd, int protection, struct belay__totals **ret_totals)
{
	struct belay__totals *totals;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != (off_t)sizeof(*totals))
		return -EPROTO;
	totals = mmap(NULL, sizeof(*totals), protection, MAP_SHARED, fd, 0);
	if (totals == MAP_FAILED)
		return -errno;
	if (memcmp(totals->magic, magic, sizeof(magic)) != 0 || totals->version != VERSION ||
		totals->capacity != BELAY__TOTALS_MAX) {
		(void)munmap(totals, sizeof(*totals));
		return -EPROTO;
	}
	*ret_totals = totals;
	return 0;
}

int belay__totals_open(int fd, struct belay__totals **ret_totals)
{
	struct belay__totals *totals = NULL;
	int r = map(fd, PROT_READ | PROT_WRITE, &totals);

	if (r < 0)
		return r;
	assert(totals != NULL);
	totals->holds = 1;
	__atomic_store_n(&totals->generation, totals->generation | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	*ret_totals = totals;
	return 0;
}

int belay__totals_view(int fd, const struct belay__totals **ret_totals)
{
	struct belay__totals *totals = NULL;
	int r = map(fd, PROT_READ, &totals);

	if (r == 0)
		*ret_totals = totals;
	return r;
}

void belay__totals_close(const struct belay__totals *totals)
{
	if (totals != NULL)
		(void)munmap((void *)(uintptr_t)totals, sizeof(*totals));
}

void belay__totals_hold(struct belay__totals *totals)
{
	if (totals == NULL || totals->holds++ > 0)
		return;
	__atomic_store_n(&totals->generation, totals->generation + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

void belay__totals_release(struct belay__totals *totals)
{
	if (totals == NULL)
		return;
	assert(totals->holds > 0 && totals->generation % 2 == 1);
	if (--totals->holds == 0)
		__atomic_store_n(&totals->generation, totals->generation + 1, __ATOMIC_RELEASE);
}

static uint32_t home_of(const struct belay__totals *totals, const char *name, uint32_t uid)
{
	uint64_t hash = totals->seed ^ (UINT64_C(0x9e3779b97f4a7c15) * (uid + UINT64_C(1)));

	for (; *name != '\0'; name++) {
		hash = (hash ^ (uint8_t)*name) * UINT64_C(0xff51afd7ed558ccd);
		hash ^= hash >> 32;
	}
	return (uint32_t)(hash % BELAY__TOTALS_MAX);
}

/* The entry of NAME and UID, made when there is none yet. */
static struct entry *entry_of(struct belay__totals *totals, const char *name, uint32_t uid)
{
	uint32_t at = home_of(totals, name, uid);
	size_t len = strnlen(name, BELAY__NAME_MAX);

	for (uint32_t i = 0; i < PROBES_MAX && len > 0; i++) {
		struct entry *entry = &totals->entries[(at + i) % BELAY__TOTALS_MAX];

		if (entry->used == 0) {
			memset(entry->name, 0, sizeof(entry->name));
			memcpy(entry->name, name, len);
			entry->uid = uid;
			__atomic_store_n(&entry->used, 1, __ATOMIC_RELEASE);
			return entry;
		}
		if (entry->uid == uid && strcmp(entry->name, name) == 0)
			return entry;
	}
	return &totals->entries[BELAY__TOTALS_MAX];
}

static void add(uint64_t *sum, uint64_t value)
{
	__atomic_store_n(sum, *sum + value, __ATOMIC_RELAXED);
}

void belay__totals_add(struct belay__totals *totals, const char *name, uint32_t uid,
	const struct belay__total *counted)
{
	struct entry *entry;

	if (totals == NULL)
		return;
	belay__totals_hold(totals);
	entry = entry_of(totals, name, uid);
	add(&entry->beats, counted->beats);
	add(&entry->stalls, counted->stalls);
	add(&entry->crashes, counted->crashes);
	belay__totals_release(totals);
}

void belay__totals_move(struct belay__totals *totals, uint32_t uid, const char *old,
	const char *fresh, const struct belay__total *counted)
{
	struct belay__total less = { .beats = 0 - counted->beats, .stalls = 0 - counted->stalls };

	belay__totals_hold(totals);
	belay__totals_add(totals, old, uid, counted);
	belay__totals_add(totals, fresh, uid, &less);
	belay__totals_release(totals);
}

bool belay__totals_begin(const struct belay__totals *totals, uint64_t *ret_generation)
{
	*ret_generation = 0;
	if (totals == NULL)
		return true;
	for (unsigned i = 0; i < WAITS_MAX; i++) {
		uint64_t generation = __atomic_load_n(&totals->generation, __ATOMIC_ACQUIRE);

		if (generation % 2 == 0) {
			*ret_generation = generation;
			return true;
		}
		(void)sched_yield();
	}
	return false;
}

bool belay__totals_unchanged(const struct belay__totals *totals, uint64_t generation)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return totals == NULL ||
		__atomic_load_n(&totals->generation, __ATOMIC_RELAXED) == generation;
}

bool belay__totals_read(const struct belay__totals *totals, uint32_t at,
	struct belay__total *ret_total)
{
	const struct entry *entry;

	if (totals == NULL || at > BELAY__TOTALS_MAX)
		return false;
	entry = &totals->entries[at];
	if (at < BELAY__TOTALS_MAX && __atomic_load_n(&entry->used, __ATOMIC_ACQUIRE) == 0)
		return false;
	ret_total->beats = __atomic_load_n(&entry->beats, __ATOMIC_RELAXED);
	ret_total->stalls = __atomic_load_n(&entry->stalls, __ATOMIC_RELAXED);
	ret_total->crashes = __atomic_load_n(&entry->crashes, __ATOMIC_RELAXED);
	ret_total->uid = entry->uid;
	memcpy(ret_total->name, entry->name, sizeof(ret_total->name));
	ret_total->name[BELAY__NAME_MAX] = '\0';
	return true;
}
