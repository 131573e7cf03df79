/* config_fuzz.c - any bytes as a configuration file
 *
 * Whatever is refused is refused with a sentence that names the file and, but for failures of the
 * system, a line of it; whatever is accepted can be shown, reads back as the same, and differs in
 * nothing from itself.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "observe/config_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct belay__observe_config config, again;
static struct belay__config_sources sources, sources_again;
static char shown[256 << 10], line[1024];

static int read_bytes(const void *bytes, size_t len, struct belay__observe_config *into,
	struct belay__config_sources *into_sources, struct belay_error *error)
{
	_cleanup_close_ int fd = memfd_create("config", MFD_CLOEXEC);

	assert(fd >= 0);
	int r = belay__write_all(fd, bytes, len);
	assert(r == 0);
	off_t at = lseek(fd, 0, SEEK_SET);
	assert(at == 0);

	memset(into, 0, sizeof(*into));
	memset(into_sources, 0, sizeof(*into_sources));
	belay__observe_defaults(&into->options);
	return belay__config_read(fd, "f", into, into_sources, error);
}

static void check_refusal(int r, const struct belay_error *error)
{
	assert(r == -EINVAL && error->code == r);
	assert(strncmp(error->text, "f:", 2) == 0 && error->text[2] >= '1' && error->text[2] <= '9');
	assert(strchr(error->text, '\n') == NULL);
	assert(strlen(error->text) > strlen("f:1: "));
}

static void check_accepted(void)
{
	struct belay_error error = { 0 };
	struct belay__text text;

	belay__text_init(&text, shown, sizeof(shown));
	belay__config_show(&config, &sources, true, &text);
	assert(!text.overflowed);

	belay__text_init(&text, shown, sizeof(shown));
	belay__config_show(&config, &sources, false, &text);
	assert(!text.overflowed);
	int r = read_bytes(shown, text.len, &again, &sources_again, &error);
	assert(r == 0);

	belay__text_init(&text, line, sizeof(line));
	unsigned changes = belay__config_diff(&config, &again, &text);
	assert(changes == 0 && text.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct belay_error error = { 0 };
	int r = read_bytes(data, size, &config, &sources, &error);

	if (r < 0)
		check_refusal(r, &error);
	else
		check_accepted();
	return 0;
}
