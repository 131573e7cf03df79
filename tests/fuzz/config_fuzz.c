/* config_fuzz.c - any bytes as a configuration file
 *
 * Whatever is refused is refused with a sentence that names the file and, but for failures of the
 * system, a line of it; whatever is accepted can be shown, reads back as the same, and differs in
 * nothing from itself. What its rules say is then done: they are matched, their ladders are written
 * and read again, and their commands get values that nobody would wish for.
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
#include "observe/names.h"
#include "process/ladder.h"
#include "process/template.h"

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

/* --- what the rules say --- */

/* Each word ends, and the program is what it was without values. */
static void check_command(const char *template)
{
	static const char odd[] = "{name} ; $(id)\n\0\xff";
	static struct belay__arguments arguments;
	struct belay__value values[16];
	size_t count = 0, len = 0;

	for (; belay__action_keys[count] != NULL; count++)
		values[count] = (struct belay__value){ belay__action_keys[count], odd,
			sizeof(odd) - 1 };
	int r = belay__template_expand(template, values, count, &arguments);
	if (r == -E2BIG)
		return;
	assert(r == 0 && arguments.count > 0 && arguments.count <= BELAY__WORDS_MAX);
	assert(arguments.words[arguments.count] == NULL);
	for (size_t i = 0; i < arguments.count; i++)
		len += strlen(arguments.words[i]) + 1;
	assert(len == arguments.len && len <= sizeof(arguments.bytes));
	len = strlen(arguments.words[0]);
	assert(strncmp(template + strspn(template, " \t\n\v\f\r"), arguments.words[0], len) == 0);
}

static void check_ladder(const char *text)
{
	static char written[2 * BELAY__LADDER_MAX], rewritten[2 * BELAY__LADDER_MAX];
	static struct belay__ladder ladder, reread;
	struct belay__text first, second;

	assert(belay__ladder_parse(text, belay__action_keys, &ladder, NULL) == 0);
	assert(ladder.count >= 1 && ladder.count <= BELAY__LADDER_STEPS);
	for (size_t i = 0; i < ladder.count; i++)
		if (ladder.steps[i].kind == BELAY__LADDER_COMMAND)
			check_command(belay__step_command(&ladder, &ladder.steps[i]));
	belay__text_init(&first, written, sizeof(written));
	belay__ladder_format(&ladder, &first);
	assert(!first.overflowed);
	assert(belay__ladder_parse(written, belay__action_keys, &reread, NULL) == 0);
	belay__text_init(&second, rewritten, sizeof(rewritten));
	belay__ladder_format(&reread, &second);
	assert(strcmp(written, rewritten) == 0 && reread.count == ladder.count);
}

static void check_doing(const struct belay__rule *rule)
{
	struct belay__doing doing;

	belay__doing_of(&config.options, rule, &doing);
	assert(doing.limit_count == 0 || doing.limit_window_ns > 0);
	if (doing.on_stall[0] != '\0')
		check_ladder(doing.on_stall);
	if (doing.on_exit[0] != '\0')
		check_command(doing.on_exit);
}

/* A process whose every name is what a glob can be slow about, and one that has what the first rule
 * asks for. */
static void check_match(void)
{
	struct belay__names names = { .comm = "aaaaaaaaaaaaaaaa" };
	int found;

	memset(names.exe, 'a', sizeof(names.exe) - 1);
	memset(names.unit, 'a', sizeof(names.unit) - 1);
	memset(names.env, 'a', sizeof(names.env) - 1);
	found = belay__rule_match(config.rules, config.rule_count, &names, 0);
	assert(found >= -1 && found < (int)config.rule_count);
	if (config.rule_count == 0)
		return;
	memcpy(names.exe, config.rules[0].exe, sizeof(names.exe));
	memcpy(names.unit, config.rules[0].unit, sizeof(names.unit));
	memcpy(names.comm, config.rules[0].comm, sizeof(names.comm));
	memcpy(names.env, config.rules[0].name, sizeof(names.env));
	found = belay__rule_match(config.rules, config.rule_count, &names,
		config.rules[0].uid >= 0 ? (uint32_t)config.rules[0].uid : 0);
	assert(found >= -1 && found < (int)config.rule_count);
}

static void check_sentence(int r, const struct belay_error *error)
{
	assert(r < 0 && error->code == r && error->text[0] != '\0');
	assert(strchr(error->text, '\n') == NULL);
}

static void check_meaning(void)
{
	struct belay_error error = { 0 };
	bool sound = true;

	check_match();
	/* No file is opened because an input names it. */
	config.options.recovery_exec_file[0] = '\0';
	int r = belay__observe_options_check(&config.options, &error);
	if (r < 0)
		check_sentence(r, &error);
	r = belay__doing_check(&config.options, &error);
	if (r < 0) {
		check_sentence(r, &error);
		return;
	}
	check_doing(NULL);
	for (uint32_t i = 0; i < config.rule_count && sound; i++) {
		r = belay__rule_check(&config.rules[i], &error);
		sound = r >= 0;
		if (sound)
			check_doing(&config.rules[i]);
		else
			check_sentence(r, &error);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct belay_error error = { 0 };
	int r = read_bytes(data, size, &config, &sources, &error);

	if (r < 0) {
		check_refusal(r, &error);
		return 0;
	}
	check_accepted();
	check_meaning();
	return 0;
}
