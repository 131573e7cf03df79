#include "cmd/key_check.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "base/secret.h"
#include "cmd/cmd.h"
#include "cmd/output.h"
#include "export/visible.h"
#include "observe/replay.h"

/* What a file was found to be. */
struct finding {
	const char *path;
	int count;   /* of keys, or a negative errno */
	bool single; /* nothing but one key, as a program that has just one takes it */
	struct belay_error error;
};

static struct belay__secret_line lines[BELAY__KEYS_MAX];

static int refuse_twins(const char *path, int count, struct belay_error *reterr)
{
	for (int i = 1; i < count; i++)
		for (int k = 0; k < i; k++)
			if (memcmp(lines[i].secret, lines[k].secret, sizeof(lines[i].secret)) == 0)
				return belay__fail(reterr, -EINVAL,
					"%s: key %d is the same as key %d; each line needs its own",
					path, i + 1, k + 1);
	return count;
}

static void examine(const char *path, struct finding *ret_finding)
{
	struct finding finding = { .path = path };
	int r = belay__secret_read_either(path, lines, BELAY__KEYS_MAX, &finding.single,
		&finding.error);

	if (r > 0)
		r = refuse_twins(path, r, &finding.error);
	finding.count = r;
	*ret_finding = finding;
}

/* How many keys LINES[PLACE]'s host has, or 0 when an earlier line was of the same host. */
static unsigned count_of_host(int place, int count)
{
	unsigned keys = 0;

	for (int i = 0; i < count; i++) {
		if (strcmp(lines[i].host, lines[place].host) != 0)
			continue;
		if (i < place)
			return 0;
		keys++;
	}
	return keys;
}

static unsigned count_unnamed(int count)
{
	unsigned unnamed = 0;

	for (int i = 0; i < count; i++)
		unnamed += lines[i].host[0] == '\0';
	return unnamed;
}

static void show_hosts_json(struct belay__json_writer *json, int count)
{
	belay__json_array(json, "hosts");
	for (int i = 0; i < count; i++) {
		unsigned keys = lines[i].host[0] == '\0' ? 0 : count_of_host(i, count);

		if (keys == 0)
			continue;
		belay__json_object(json, NULL);
		belay__json_string(json, "name", lines[i].host);
		belay__json_u64(json, "keys", keys);
		belay__json_end_object(json);
	}
	belay__json_end_array(json);
}

static void show_json(const struct finding *finding, struct belay__text *text)
{
	int count = finding->count < 0 ? 0 : finding->count;
	struct belay__json_writer json;

	belay__json_start(&json, text);
	belay__json_object(&json, NULL);
	belay__json_string(&json, "file", finding->path);
	belay__json_bool(&json, "usable", finding->count > 0);
	belay__json_array(&json, "fits");
	if (finding->single) {
		belay__json_string(&json, NULL, "key-file");
		belay__json_string(&json, NULL, "master-key-file");
	}
	if (finding->count > 0)
		belay__json_string(&json, NULL, "accepted-key-file");
	belay__json_end_array(&json);
	belay__json_u64(&json, "keys", (uint64_t)count);
	belay__json_u64(&json, "unnamed", count_unnamed(count));
	show_hosts_json(&json, count);
	if (finding->count < 0)
		belay__json_string(&json, "error", finding->error.text);
	else
		belay__json_null(&json, "error");
	belay__json_end_object(&json);
	belay__text_add(text, "\n");
}

static void show_hosts(int count, struct belay__text *text)
{
	const char *before = " of ";

	for (int i = 0; i < count; i++) {
		unsigned keys = lines[i].host[0] == '\0' ? 0 : count_of_host(i, count);

		if (keys == 0)
			continue;
		belay__text_addf(text, "%s%s", before, lines[i].host);
		if (keys > 1)
			belay__text_addf(text, " (%u)", keys);
		before = ", ";
	}
}

static void show_plain(const struct finding *finding, struct belay__text *text)
{
	unsigned unnamed = count_unnamed(finding->count);

	belay__text_add_visible(text, finding->path, strlen(finding->path));
	if (finding->single) {
		belay__text_add(text, ": a key, for every option that takes a file of keys\n");
		return;
	}
	belay__text_addf(text, ": %d key%s", finding->count, finding->count == 1 ? "" : "s");
	show_hosts(finding->count, text);
	if (unnamed > 0 && (int)unnamed < finding->count)
		belay__text_addf(text, "; %u without a host", unnamed);
	belay__text_add(text, ", for --accepted-key-file\n");
}

static int exit_of(const struct finding *finding)
{
	switch (finding->count) {
	case -EINVAL:
	case -EPERM:
	case -ELOOP:
	case -E2BIG:
	case -EFBIG:
		return BELAY__EXIT_FAILED;
	default:
		return finding->count < 0 ? BELAY__EXIT_NO_INPUT : BELAY__EXIT_OK;
	}
}

static void show(const struct finding *finding, bool json, struct belay__output *output)
{
	/* A name of PATH_MAX bytes, all of them escaped, and a host for every key. */
	static char buffer[64 * 1024];
	struct belay__text text;

	belay__text_init(&text, buffer, sizeof(buffer));
	if (json)
		show_json(finding, &text);
	else if (finding->count > 0)
		show_plain(finding, &text);
	assert(!text.overflowed);
	belay__output_add_bytes(output, text.chars, text.len);
	if (finding->count < 0)
		belay__complain("%s", finding->error.text);
}

int belay__key_check(char *const *paths, int count, bool json)
{
	static struct belay__output output;
	int exit_code = BELAY__EXIT_OK, written;

	/* Where the limit on locked memory is too low for this, they are wiped soon all the same. */
	(void)mlock(lines, sizeof(lines));
	belay__output_start(&output, STDOUT_FILENO);
	for (int i = 0; i < count; i++) {
		struct finding finding;

		examine(paths[i], &finding);
		show(&finding, json, &output);
		explicit_bzero(lines, sizeof(lines));
		if (exit_of(&finding) > exit_code)
			exit_code = exit_of(&finding);
	}
	written = belay__output_finish(&output);
	return written != BELAY__EXIT_OK ? written : exit_code;
}
