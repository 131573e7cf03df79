#include "observe/alert_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "observe/remote_process.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* 6.3; hosts may refuse files of this kind without it */
#endif

bool belay__alert_line_valid(const char *line, size_t len)
{
	struct belay__json object;

	return memchr(line, '\n', len) == NULL && memchr(line, '\r', len) == NULL &&
		belay__json_parse(line, len, &object, NULL) == 0 &&
		object.kind == BELAY__JSON_OBJECT;
}

static bool lacks_uid(const char *line, size_t len)
{
	struct belay__json object, uid;

	return belay__json_parse(line, len, &object, NULL) == 0 &&
		belay__json_member(&object, "uid", &uid) == -ENOENT;
}

static void add_members(const struct belay__telling *telling, bool add_uid,
	struct belay__json_writer *json)
{
	if (add_uid)
		belay__json_uid(json, telling->uid);
	belay__json_string(json, "alert", belay__alert_word(telling->kind));
	if (telling->repeats > 0)
		belay__json_u64(json, "repeats", telling->repeats);
	if (telling->reminders > 0)
		belay__json_u64(json, "reminder", telling->reminders);
	if (telling->kind != BELAY__ALERT_RECOVERED)
		return;
	belay__json_array(json, "recovers");
	for (unsigned kind = 0; kind < BELAY__ALERT_KIND_COUNT; kind++)
		if ((telling->closes & UINT32_C(1) << kind) != 0)
			belay__json_string(json, NULL, belay__alert_word(kind));
	belay__json_end_array(json);
}

/* Writes LINE, whose last byte but white space is the brace that ends it, with the members that
 * TELLING adds. */
static void write_line(const struct belay__telling *telling, const char *line, size_t len,
	struct belay__text *text)
{
	bool add_uid = telling->kind != BELAY__ALERT_TEST && lacks_uid(line, len);
	struct belay__json_writer json;

	while (len > 0 && strchr("} \t", line[len - 1]) != NULL)
		if (line[--len] == '}')
			break;
	while (len > 0 && strchr(" \t", line[len - 1]) != NULL)
		len--;
	belay__text_add_bytes(text, line, len);
	belay__json_start(&json, text);
	json.need_comma = len > 0 && line[len - 1] != '{';
	add_members(telling, add_uid, &json);
	belay__text_add(text, "}\n");
}

void belay__alert_lines_drop(struct belay__alert_lines *lines)
{
	lines->dropped++;
}

bool belay__alert_lines_add(struct belay__alert_lines *lines, const struct belay__telling *telling,
	const char *line, size_t len)
{
	struct belay__text text;

	if (lines->len == sizeof(lines->bytes) || lines->count == BELAY__ALERT_LINES_MAX) {
		belay__alert_lines_drop(lines);
		return false;
	}
	belay__text_init(&text, lines->bytes + lines->len, sizeof(lines->bytes) - lines->len);
	write_line(telling, line, len, &text);
	if (text.overflowed) {
		belay__alert_lines_drop(lines);
		return false;
	}
	lines->len += text.len;
	lines->seqs[lines->count++] = telling->seq;
	lines->kinds[telling->kind]++;
	return true;
}

static int write_dropped(int fd, uint64_t dropped)
{
	char line[80];
	struct belay__text text;

	if (dropped == 0)
		return 0;
	belay__text_init(&text, line, sizeof(line));
	belay__text_add(&text, "{\"event\":\"alerts-dropped\",\"alert\":\"dropped\",\"count\":");
	belay__text_add_u64(&text, dropped);
	belay__text_add(&text, "}\n");
	return belay__write_all(fd, text.chars, text.len);
}

static int new_file(void)
{
	static const char name[] = "belay-alerts";
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

int belay__alert_lines_file(const struct belay__alert_lines *lines,
	struct belay__alert_batch *ret_batch)
{
	_cleanup_close_ int fd = new_file();
	int r = fd;

	if (r >= 0)
		r = belay__write_all(fd, lines->bytes, lines->len);
	if (r == 0)
		r = write_dropped(fd, lines->dropped);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	*ret_batch = (struct belay__alert_batch){
		.len = lines->len,
		.count = lines->count,
		.dropped = lines->dropped,
	};
	memcpy(ret_batch->kinds, lines->kinds, sizeof(lines->kinds));
	return TAKE_FD(fd);
}

void belay__alert_lines_remove(struct belay__alert_lines *lines,
	const struct belay__alert_batch *batch)
{
	memmove(lines->bytes, lines->bytes + batch->len, lines->len - batch->len);
	lines->len -= batch->len;
	memmove(lines->seqs, lines->seqs + batch->count,
		(lines->count - batch->count) * sizeof(lines->seqs[0]));
	lines->count -= batch->count;
	lines->dropped -= batch->dropped;
	for (unsigned kind = 0; kind < BELAY__ALERT_KIND_COUNT; kind++)
		lines->kinds[kind] -= batch->kinds[kind];
}
