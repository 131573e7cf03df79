#include "observe/config_testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/file.h"
#include "observe/config_file.h"

struct belay__observe_config config;
struct belay__config_sources sources;
struct belay_error load_error;

int read_bytes(const char *bytes, size_t len)
{
	_cleanup_close_ int fd = memfd_create("config", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(belay__write_all(fd, bytes, len), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	memset(&config, 0, sizeof(config));
	memset(&sources, 0, sizeof(sources));
	memset(&load_error, 0, sizeof(load_error));
	belay__observe_defaults(&config.options);
	return belay__config_read(fd, "f", &config, &sources, &load_error);
}

int read_text(const char *text)
{
	return read_bytes(text, strlen(text));
}

const char *from(const char *name)
{
	const struct belay__option *row = belay__option_find(belay__observe_table,
		belay__observe_table_count, name, strlen(name));

	assert_non_null(row);
	return sources.from[row - belay__observe_table];
}

void assert_ends(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	if (len < end_len || strcmp(text + len - end_len, end) != 0)
		fail_msg("'%s' does not end with '%s'", text, end);
}
