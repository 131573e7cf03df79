/* crash_note_fuzz.c - any bytes as the note of a process that crashed
 *
 * What is accepted becomes one printable sentence within its size, and the bytes that its facts would be
 * written as are the bytes that were read; what is not leaves the facts alone.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "export/signal_name.h"
#include "observe/crash_note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As belay-crash(7) says, written once more and by other means. */
static void check_written_again(const struct belay__crash_facts *facts, const uint8_t *data,
	size_t size)
{
	char note[512], cause[64] = "";

	if (facts->cause == BELAY__CRASH_BY_SENDER)
		(void)snprintf(cause, sizeof(cause), "sender %u %u\n", facts->sender_pid,
			facts->sender_uid);
	else if (facts->cause == BELAY__CRASH_BY_CALL)
		(void)snprintf(cause, sizeof(cause), "syscall %d\n", facts->call);
	else if (facts->cause == BELAY__CRASH_BY_ADDRESS)
		(void)snprintf(cause, sizeof(cause), "address 0x%llx\n",
			(unsigned long long)facts->address);
	(void)snprintf(note, sizeof(note),
		"belay-crash 1\nsignal %d %s\ncode %d\n%spc 0x%llx\nthread %u\ntime %llu.%09llu\n",
		facts->number, belay__signal_name(facts->number), facts->code, cause,
		(unsigned long long)facts->program_counter, facts->thread,
		(unsigned long long)(facts->realtime_ns / BELAY__NS_PER_S),
		(unsigned long long)(facts->realtime_ns % BELAY__NS_PER_S));
	assert(strlen(note) == size && memcmp(note, data, size) == 0);
}

static void check_sentence(const struct belay__crash_facts *facts)
{
	char text[BELAY__CRASH_TEXT_SIZE];
	int len = belay__crash_describe(facts, 17, text, sizeof(text));

	assert(len > 0 && (size_t)len == strlen(text) && (size_t)len < sizeof(text) - 1);
	for (int i = 0; i < len; i++)
		assert(text[i] >= ' ' && text[i] <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct belay__crash_facts facts, untouched;
	int r;

	memset(&facts, 0x5a, sizeof(facts));
	untouched = facts;
	r = belay__crash_note_parse((const char *)data, size, &facts);
	if (r == 0) {
		check_sentence(&facts);
		check_written_again(&facts, data, size);
	} else {
		assert(r == -EBADMSG);
		assert(memcmp(&facts, &untouched, sizeof(facts)) == 0);
	}
	return 0;
}
