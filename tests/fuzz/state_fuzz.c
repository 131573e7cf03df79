/* state_fuzz.c - a state file of any content: nothing crashes, and what comes back can have been
 * written by an observer
 *
 * Input: a byte that says how the rest becomes a file. Bit 0: a good header for a few processes is
 * put before it, and the rest is laid over the slots and records of one table; bit 1: which table;
 * bit 2: that one is in use; bits 3 and 4: how many pages are missing at the end. Otherwise the
 * rest is the file.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <belay/vlp.h>

#include "base/fd.h"
#include "identity/verdict.h"
#include "observe/names.h"
#include "observe/state_file.h"
#include "observe/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAPACITY = 4, PAGE = 4096, AT_IN_USE = 40 };

/* A name, or nothing. */
static bool is_name(const char name[BELAY__NAME_SIZE])
{
	size_t len = strnlen(name, BELAY__NAME_SIZE);

	return len == 0 || (len <= BELAY__NAME_MAX && belay__full_name_valid(name, len));
}

static void check(const struct belay__kept *kept, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct belay__slot *slot = &kept[i].slot;
		const struct belay__record *record = &kept[i].record;

		assert(slot->pid > 1 && slot->pid <= INT32_MAX && record->pid == slot->pid);
		assert(slot->status <= BELAY_CRITICAL && slot->origin <= BELAY__KERNEL_ATTESTED);
		assert(is_name(record->name) && is_name(record->own));
		assert(record->name_source < BELAY__NAME_SOURCES);
		assert(record->verdict < BELAY__VERDICT_COUNT);
		for (uint32_t other = 0; other < i; other++)
			assert(kept[other].slot.pid != slot->pid);
	}
}

static void write_at(int fd, const void *bytes, size_t len, size_t at)
{
	assert(pwrite(fd, bytes, len, (off_t)at) == (ssize_t)len);
}

/* A file as an observer makes it, with the input in the place of what it wrote of its processes. */
static void make_plausible(int fd, uint8_t how, const uint8_t *data, size_t size)
{
	struct belay__state_file file;
	size_t slots = belay__table_slot_count(CAPACITY) * sizeof(struct belay__slot);
	size_t table = 2 * PAGE; /* a page of slots, a page of records */
	size_t at = PAGE + ((how >> 1) & 1U) * table;
	uint32_t in_use = (how >> 2) & 1U;
	size_t missing = ((how >> 3) & 3U) * PAGE;
	int copy = dup(fd);

	assert(copy >= 0 && belay__state_map_take(copy, CAPACITY, &file, NULL) == 0);
	assert(file.size == PAGE + 2 * table);
	belay__state_done(&file);
	write_at(fd, &in_use, sizeof(in_use), AT_IN_USE);
	if (size > slots + CAPACITY * sizeof(struct belay__record))
		size = slots + CAPACITY * sizeof(struct belay__record);
	write_at(fd, data, size < slots ? size : slots, at);
	if (size > slots)
		write_at(fd, data + slots, size - slots, at + PAGE);
	assert(ftruncate(fd, (off_t)(PAGE + 2 * table - missing)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = -EBADF;
	struct belay__kept *kept = NULL;
	uint32_t count = 0;
	const char *reason = NULL;

	if (size < 1 || size > 64 * PAGE)
		return 0;
	fd = memfd_create("state", MFD_CLOEXEC);
	assert(fd >= 0);
	if (data[0] & 1)
		make_plausible(fd, data[0], data + 1, size - 1);
	else
		write_at(fd, data + 1, size - 1, 0);
	assert(belay__state_read(fd, &kept, &count, &reason) == 0);
	assert(reason != NULL && (kept != NULL || count == 0));
	assert(reason[0] == '\0' || kept == NULL);
	check(kept, count);
	free(kept);
	return 0;
}
