#include "observe/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <belay/vlp.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "identity/identity.h"
#include "identity/verdict.h"
#include "observe/names.h"
#include "observe/table.h"

#define STATE_VERSION 1
#define PAGE          4096u

static const char magic[8] = { 'B', 'E', 'L', 'A', 'Y', 'T', 'B', 'L' };

struct header {
	char magic[8];
	uint32_t version, slot_size, record_size, capacity;
	uint8_t boot_id[16];
	uint32_t in_use; /* 0 or 1: which table; 2: none yet */
	uint32_t reserved[5];
};
static_assert(sizeof(struct header) == 64, "no hidden padding");

static size_t round_up(size_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

static size_t table_bytes(uint32_t capacity)
{
	return round_up((size_t)belay__table_slot_count(capacity) * sizeof(struct belay__slot)) +
		round_up((size_t)capacity * sizeof(struct belay__record));
}

static size_t file_bytes(uint32_t capacity)
{
	return PAGE + 2 * table_bytes(capacity);
}

static unsigned char *table_at(void *mapping, uint32_t capacity, unsigned which)
{
	return (unsigned char *)mapping + PAGE + which * table_bytes(capacity);
}

static struct belay__slot *slots_at(void *mapping, uint32_t capacity, unsigned which)
{
	return (struct belay__slot *)(void *)table_at(mapping, capacity, which);
}

static struct belay__record *records_at(void *mapping, uint32_t capacity, unsigned which)
{
	size_t slots = round_up(
		(size_t)belay__table_slot_count(capacity) * sizeof(struct belay__slot));

	return (struct belay__record *)(void *)(table_at(mapping, capacity, which) + slots);
}

/* The file may not be made yet, so it is the directory that is asked. */
static int check_memory_file_system(const char *path, struct belay_error *reterr)
{
	_cleanup_close_ int fd = -EBADF;
	char directory[512];
	char *slash;

	size_t len = strlen(path);

	if (len >= sizeof(directory))
		return belay__fail(reterr, -ENAMETOOLONG,
			"cannot keep state in %s: the path is too long", path);
	memcpy(directory, path, len + 1);
	slash = strrchr(directory, '/');
	if (slash == NULL)
		memcpy(directory, ".", 2);
	else
		slash[slash == directory] = '\0';
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return belay__fail(reterr, -errno, "cannot keep state in %s: %s: %s", path,
			directory, strerror(errno));
	if (!belay__on_tmpfs(fd))
		return belay__fail(reterr, -EXDEV,
			"keeping no state: %s is not on a memory file system; put it on one with "
			"--state PATH",
			path);
	return 0;
}

int belay__state_open(const char *path, struct belay_error *reterr)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;
	int r = check_memory_file_system(path, reterr);

	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return belay__fail(reterr, -errno,
			"cannot keep state in %s: %s; remove what is there or use --state PATH",
			path, strerror(errno));
	if (fstat(fd, &st) < 0)
		return belay__fail(reterr, -errno, "cannot keep state in %s: %s", path,
			strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1 ||
		(st.st_mode & 077) != 0)
		return belay__fail(reterr, -EPERM,
			"cannot keep state in %s: it is not a private regular file of this user; "
			"remove it or use --state PATH",
			path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return belay__fail(reterr, -EBUSY,
			"cannot keep state in %s: another observer does; give each its own with "
			"--state PATH",
			path);
	return TAKE_FD(fd);
}

/* Whether NAME, of which nothing is believed, is a name; or nothing, which a death between two
 * writes leaves. */
static bool is_name(const char name[BELAY__NAME_SIZE])
{
	size_t len = strnlen(name, BELAY__NAME_SIZE);

	return len == 0 || (len <= BELAY__NAME_MAX && belay__full_name_valid(name, len));
}

/* Whether SLOT and its record can have been written by an observer. */
static bool believable(const struct belay__slot *slot, const struct belay__record *record)
{
	return slot->pid > 1 && slot->pid <= INT32_MAX && slot->status <= BELAY_CRITICAL &&
		slot->origin <= BELAY__KERNEL_ATTESTED && record->pid == slot->pid &&
		is_name(record->name) && is_name(record->own) &&
		memchr(record->own, '/', sizeof(record->own)) == NULL && /* that is a host's */
		record->name_source < BELAY__NAME_SOURCES &&
		record->verdict < BELAY__VERDICT_COUNT && record->marks <= BELAY__MARKS;
}

/* Whether PID was not yet in SEEN, a set with MASK + 1 places of which at most half are taken. */
static bool add_pid(uint32_t *seen, uint32_t mask, uint32_t pid)
{
	uint32_t at = pid * UINT32_C(0x9e3779b1) & mask;

	while (seen[at] != 0 && seen[at] != pid)
		at = (at + 1) & mask;
	if (seen[at] == pid)
		return false;
	seen[at] = pid;
	return true;
}

/* Copies what can be believed. The same process twice (it was being moved when the observer died)
 * is taken once. */
static int collect(const struct belay__slot *slots, const struct belay__record *records,
	uint32_t capacity, struct belay__kept *kept, uint32_t *ret_count)
{
	uint32_t slot_count = belay__table_slot_count(capacity), count = 0;
	uint32_t *seen = calloc(slot_count, sizeof(*seen));

	if (seen == NULL)
		return -ENOMEM;
	for (uint32_t at = 0; at < slot_count && count < capacity; at++) {
		struct belay__slot slot = slots[at];

		if (slot.pid == 0 || slot.record >= capacity)
			continue;
		kept[count] = (struct belay__kept){ .slot = slot, .record = records[slot.record] };
		if (believable(&kept[count].slot, &kept[count].record) &&
			add_pid(seen, slot_count - 1, kept[count].slot.pid))
			count++;
	}
	free(seen);
	*ret_count = count;
	return 0;
}

/* Why the file's header cannot be believed, or NULL. */
static const char *distrust(const struct header *header, size_t size)
{
	static const struct header reserved = { .capacity = 0 };
	uint8_t boot_id[16];

	if (size == 0 || memcmp(header, &reserved, sizeof(reserved)) == 0)
		return "";
	if (size < PAGE || memcmp(header->magic, magic, sizeof(magic)) != 0)
		return "it is no state file";
	if (header->version != STATE_VERSION || header->slot_size != sizeof(struct belay__slot) ||
		header->record_size != sizeof(struct belay__record))
		return "another version wrote it";
	if (header->capacity == 0 || header->capacity > BELAY__CAPACITY_MAX ||
		size < file_bytes(header->capacity))
		return "it is damaged";
	if (belay__boot_id(boot_id) < 0 || memcmp(header->boot_id, boot_id, sizeof(boot_id)) != 0)
		return "it is from before the last boot";
	return header->in_use > 1 ? "" : NULL;
}

int belay__state_read(int fd, struct belay__kept **ret_kept, uint32_t *ret_count,
	const char **ret_reason)
{
	struct stat st;
	struct header header = { .capacity = 0 };
	struct belay__kept *kept;
	void *mapping;
	int r;

	*ret_kept = NULL;
	*ret_count = 0;
	*ret_reason = "";
	if (fstat(fd, &st) < 0 || st.st_size == 0)
		return 0;
	if (pread(fd, &header, sizeof(header), 0) < 0)
		return 0;
	*ret_reason = distrust(&header, (size_t)st.st_size);
	if (*ret_reason != NULL)
		return 0;
	*ret_reason = "";
	mapping = mmap(NULL, file_bytes(header.capacity), PROT_READ, MAP_SHARED, fd, 0);
	if (mapping == MAP_FAILED)
		return -ENOMEM;
	kept = calloc(header.capacity, sizeof(*kept));
	r = kept == NULL ? -ENOMEM
			 : collect(slots_at(mapping, header.capacity, header.in_use),
				   records_at(mapping, header.capacity, header.in_use),
				   header.capacity, kept, ret_count);
	(void)munmap(mapping, file_bytes(header.capacity));
	if (r < 0) {
		free(kept);
		return r;
	}
	*ret_kept = kept;
	return 0;
}

/* A fresh header in MAPPING: no table in use. Keeps the old one when it has the same shape, so that
 * its table stays. */
static unsigned prepare_header(struct header *header, uint32_t capacity, size_t old_size)
{
	if (distrust(header, old_size) == NULL && header->capacity == capacity)
		return 1 - header->in_use;
	memset(header, 0, sizeof(*header));
	memcpy(header->magic, magic, sizeof(magic));
	header->version = STATE_VERSION;
	header->slot_size = sizeof(struct belay__slot);
	header->record_size = sizeof(struct belay__record);
	header->capacity = capacity;
	header->in_use = 2;
	(void)belay__boot_id(header->boot_id);
	return 0;
}

int belay__state_reserve(int fd, uint32_t capacity, struct belay_error *reterr)
{
	size_t size = file_bytes(capacity);
	int r = posix_fallocate(fd, 0, (off_t)size);

	return r == 0 ? 0
		      : belay__fail(reterr, -r, "cannot keep state: %zu bytes are needed: %s", size,
				strerror(r));
}

void belay__state_trim(int fd)
{
	struct header header;
	const char *reason;
	struct stat st;

	if (fstat(fd, &st) < 0 || pread(fd, &header, sizeof(header), 0) != sizeof(header))
		return;
	reason = distrust(&header, (size_t)st.st_size);
	if ((reason == NULL || reason[0] == '\0') && header.capacity > 0 &&
		(uint64_t)st.st_size > file_bytes(header.capacity) &&
		ftruncate(fd, (off_t)file_bytes(header.capacity)) < 0)
		return; /* longer than it need be, then */
}

int belay__state_map_take(int fd, uint32_t capacity, struct belay__state_file *ret_file,
	struct belay_error *reterr)
{
	struct belay__state_file file = { .fd = fd,
		.size = file_bytes(capacity),
		.capacity = capacity };
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return belay__fail(reterr, -errno, "cannot keep state: %s", strerror(errno));
	/* All its room now: a full file system must not kill us by SIGBUS later. */
	r = belay__state_reserve(fd, capacity, reterr);
	if (r < 0)
		return r;
	file.mapping = mmap(NULL, file.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (file.mapping == MAP_FAILED)
		return belay__fail(reterr, -errno, "cannot keep state: %s", strerror(errno));
	file.spare = prepare_header(file.mapping, capacity, (size_t)st.st_size);
	*ret_file = file;
	return 0;
}

struct belay__slot *belay__state_slots(const struct belay__state_file *file)
{
	return slots_at(file->mapping, file->capacity, file->spare);
}

struct belay__record *belay__state_records(const struct belay__state_file *file)
{
	return records_at(file->mapping, file->capacity, file->spare);
}

void belay__state_commit(struct belay__state_file *file)
{
	struct header *header = file->mapping;

	__atomic_store_n(&header->in_use, file->spare, __ATOMIC_RELEASE);
}

void belay__state_done(struct belay__state_file *file)
{
	if (file->mapping != NULL)
		(void)munmap(file->mapping, file->size);
	belay__close(file->fd);
	*file = (struct belay__state_file){ .fd = -EBADF };
}

int belay__state_view_open(int fd, struct belay__state_view *ret_view)
{
	struct header header = { .capacity = 0 };
	struct belay__state_view view;
	struct stat st;
	void *mapping;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)PAGE || pread(fd, &header, sizeof(header), 0) < 0)
		return -EAGAIN;
	if (distrust(&header, (size_t)st.st_size) != NULL)
		return -EAGAIN;
	mapping = mmap(NULL, file_bytes(header.capacity), PROT_READ, MAP_SHARED, fd, 0);
	if (mapping == MAP_FAILED)
		return -errno;
	view = (struct belay__state_view){ .mapping = mapping,
		.size = file_bytes(header.capacity),
		.capacity = header.capacity };
	*ret_view = view;
	return 0;
}

void belay__state_view_follow(int fd, uint64_t capacity, struct belay__state_view *view)
{
	struct stat st;

	if (view->mapping == NULL && fd >= 0)
		(void)belay__state_view_open(fd, view);
	if (view->mapping != NULL &&
		(view->capacity != capacity || fstat(fd, &st) < 0 || st.st_size < (off_t)view->size))
		belay__state_view_done(view);
}

bool belay__state_view_tables(const struct belay__state_view *view,
	const struct belay__slot **ret_slots, const struct belay__record **ret_records)
{
	void *mapping = (void *)(uintptr_t)view->mapping;
	uint32_t in_use;

	if (view->mapping == NULL)
		return false;
	in_use = __atomic_load_n(&((const struct header *)view->mapping)->in_use, __ATOMIC_ACQUIRE);
	if (in_use > 1)
		return false;
	*ret_slots = slots_at(mapping, view->capacity, in_use);
	*ret_records = records_at(mapping, view->capacity, in_use);
	return true;
}

/* Copies what is in place AT, when it is the process that is looked for. */
static bool view_slot(const struct belay__slot *slots, const struct belay__record *records,
	const struct belay__state_view *view, uint32_t at, const struct belay__slot *wanted,
	struct belay__slot *ret_slot, struct belay__record *ret_record)
{
	struct belay__slot slot = slots[at];
	struct belay__record record;

	if (slot.pid != wanted->pid || slot.start_ticks != wanted->start_ticks ||
		slot.record >= view->capacity)
		return false;
	record = records[slot.record];
	if (record.pid != slot.pid)
		return false;
	record.name[sizeof(record.name) - 1] = '\0';
	record.own[sizeof(record.own) - 1] = '\0';
	*ret_slot = slot;
	*ret_record = record;
	return true;
}

/* The seed of the hash is the gate's own, so who is not in its own place is looked for in all of the
 * second half. Slots move meanwhile: one that moved backwards is met at its new place or its old
 * one, one that is missed is met the second time. */
int belay__state_view_find(const struct belay__state_view *view, uint32_t pid, uint64_t start_ticks,
	struct belay__slot *ret_slot, struct belay__record *ret_record)
{
	const struct belay__slot wanted = { .pid = pid, .start_ticks = start_ticks };
	const struct belay__record *records;
	const struct belay__slot *slots;
	uint32_t half;

	if (!belay__state_view_tables(view, &slots, &records))
		return -EAGAIN;
	half = belay__table_slot_count(view->capacity) / 2;
	for (uint32_t round = 0; round < 2; round++) {
		if (view_slot(slots, records, view, pid & (half - 1), &wanted, ret_slot, ret_record))
			return 0;
		for (uint32_t at = half; at < 2 * half; at++)
			if (view_slot(slots, records, view, at, &wanted, ret_slot, ret_record))
				return 0;
	}
	return -ESRCH;
}

void belay__state_view_done(struct belay__state_view *view)
{
	if (view->mapping != NULL)
		(void)munmap((void *)(uintptr_t)view->mapping, view->size);
	*view = (struct belay__state_view){ .mapping = NULL };
}
