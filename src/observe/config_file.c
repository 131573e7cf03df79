#include "observe/config_file.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/text.h"

#define MAX_LINE 1024
/* Of a longer path only the end is shown, so that line and reason still fit behind it. */
#define NAME_SHOWN 112

/* A file while it is read. inih takes keys and values apart; lines, sections and comments are taken
 * apart here, because inih cuts a section's name at 50 bytes, splits long lines, joins indented
 * ones, and never tells of an empty section. */
struct file {
	int fd;
	const char *name;
	struct belay__observe_config *config;
	struct belay__config_sources *sources;
	struct belay_error *reterr;
	int failed;    /* first fault, a negative errno */
	unsigned line; /* the one that inih has now */
	bool in_observe;
	struct belay__rule *rule; /* of the [process NAME] section we are in */
	char bytes[2048];
	size_t at, len;
};

__attribute__((format(printf, 2, 3))) static int fail_line(struct file *file, const char *format,
	...)
{
	char sentence[sizeof(file->reterr->text)];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	file->failed = belay__fail(file->reterr, -EINVAL, "%s:%u: %s", file->name, file->line,
		sentence);
	return file->failed;
}

/* The next byte, or -1 at the end and after a failure. */
static int next_byte(struct file *file)
{
	if (file->at == file->len) {
		ssize_t n;

		do
			n = read(file->fd, file->bytes, sizeof(file->bytes));
		while (n < 0 && errno == EINTR);
		if (n < 0)
			file->failed = belay__fail(file->reterr, -errno, "cannot read %s: %s",
				file->name, strerror(errno));
		if (n <= 0)
			return -1;
		file->at = 0;
		file->len = (size_t)n;
	}
	return (unsigned char)file->bytes[file->at++];
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Reads a line without its end (LF or CR LF) into LINE. Its length, -ENODATA at the end of the
 * file, or a fault. */
static int read_line(struct file *file, char *line, size_t size)
{
	size_t len = 0;
	int byte = next_byte(file);

	if (byte < 0)
		return file->failed < 0 ? file->failed : -ENODATA;

	file->line++;
	for (int next; byte >= 0 && byte != '\n'; byte = next) {
		next = next_byte(file);
		if (byte == '\r' && (next < 0 || next == '\n'))
			continue;
		if (len + 1 >= size)
			return fail_line(file, "the line is longer than %zu bytes", size - 1);
		if ((byte < ' ' && byte != '\t') || byte == 0x7f)
			return fail_line(file, "byte 0x%02x does not belong into a configuration",
				(unsigned)byte);
		line[len++] = (char)byte;
	}
	line[len] = '\0';
	return file->failed < 0 ? file->failed : (int)len;
}

/* Takes off the spaces around LINE and its comment: from a ';' or '#' that begins the line or
 * follows a space. */
static char *strip(char *line)
{
	size_t len = 0;

	while (is_space(*line))
		line++;
	while (line[len] != '\0' &&
		!((line[len] == ';' || line[len] == '#') && (len == 0 || is_space(line[len - 1]))))
		len++;
	while (len > 0 && is_space(line[len - 1]))
		len--;
	line[len] = '\0';
	return line;
}

/* The rule called NAME; a new one if there is none yet, NULL when there is no room for it. */
static struct belay__rule *rule_of(struct file *file, const char *name)
{
	struct belay__observe_config *config = file->config;
	struct belay__rule *rule;
	struct belay__text from;
	uint32_t i = 0;

	for (; i < config->rule_count; i++)
		if (strcmp(config->rules[i].name, name) == 0)
			return &config->rules[i];
	if (i == BELAY__RULES_MAX) {
		(void)fail_line(file, "more than %d [process NAME] sections", BELAY__RULES_MAX);
		return NULL;
	}

	rule = &config->rules[i];
	belay__rule_defaults(rule);
	memcpy(rule->name, name, strlen(name) + 1);
	belay__text_init(&from, file->sources->rule_from[i], sizeof(file->sources->rule_from[i]));
	belay__text_addf(&from, "%s:%u", file->name, file->line);
	config->rule_count++;
	return rule;
}

static int fail_section(struct file *file, const char *section)
{
	size_t word = strcspn(section, " \t");
	char first[16] = "";

	if (word < sizeof(first))
		memcpy(first, section, word);
	if (belay__text_distance(first, "observe", 3) <= 3)
		return fail_line(file, "unknown section [%.64s]; did you mean [observe]?", section);
	if (belay__text_distance(first, "process", 3) <= 3)
		return fail_line(file, "unknown section [%.64s]; did you mean [process NAME]?",
			section);
	return fail_line(file, "unknown section [%.64s]; there are [observe] and [process NAME]",
		section);
}

/* Enters the section of LINE, which begins with '['. */
static int enter_section(struct file *file, char *line)
{
	char *end = strchr(line, ']');
	char *section, *name;

	file->in_observe = false;
	file->rule = NULL;
	if (end == NULL || end[1] != '\0')
		return fail_line(file,
			"a section is written [observe] or [process NAME], alone on its line");
	*end = '\0';
	section = strip(line + 1);

	if (strcmp(section, "observe") == 0) {
		file->in_observe = true;
		return 0;
	}
	if (strcmp(section, "process") == 0)
		return fail_line(file, "[process] needs a name: [process NAME]");
	if (strncmp(section, "process", 7) != 0 || !is_space(section[7]))
		return fail_section(file, section);
	name = strip(section + 8);
	if (!belay__name_valid(name, strlen(name)))
		return fail_line(file,
			"'%.80s' is no name; up to %d letters, digits and ._@#- are, and the first "
			"is no sign",
			name, BELAY__NAME_MAX);
	file->rule = rule_of(file, name);
	return file->rule == NULL ? file->failed : 0;
}

/* inih's fgets(): the next line that may hold a key, an empty one in place of all others, so that
 * its line numbers stay ours. A fault ends the file. */
static char *give_line(char *string, int size, void *stream)
{
	struct file *file = stream;
	char buffer[MAX_LINE] = "";
	char *line = buffer;
	int room = size - 2 < MAX_LINE ? size - 2 : MAX_LINE;

	if (file->failed < 0 || room < 1 || read_line(file, buffer, (size_t)room) < 0)
		return NULL;
	if (file->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
		line += 3; /* a byte order mark */
	line = strip(line);

	if (line[0] == '[') {
		if (enter_section(file, line) < 0)
			return NULL;
		line[0] = '\0';
	}
	(void)snprintf(string, (size_t)size, "%s\n", line);
	return string;
}

static int fail_key(struct file *file, const struct belay__option *table, size_t count,
	const char *key)
{
	const char *nearest = belay__option_nearest(table, count, key);
	const char *instead = table == belay__observe_table
		? belay__observe_removed(key, strlen(key))
		: NULL;

	if (instead != NULL)
		return fail_line(file, "'%.64s' is gone: %s", key, instead);
	if (nearest == NULL)
		return fail_line(file, "unknown key '%.64s'", key);
	return fail_line(file, "unknown key '%.64s'; did you mean '%s'?", key, nearest);
}

static int set_observe(struct file *file, const char *key, const char *value)
{
	const struct belay__option *row = belay__option_find(belay__observe_table,
		belay__observe_table_count, key, strlen(key));
	struct belay_error error = { 0 };
	struct belay__text from;
	char buffer[128];

	if (row == NULL)
		return fail_key(file, belay__observe_table, belay__observe_table_count, key);
	if (!row->in_config)
		return fail_line(file, "'%s' cannot be set in a file, only as --%s", row->name,
			row->name);
	if (belay__option_set(row, &file->config->options, value, &error) < 0)
		return fail_line(file, "%s", error.text);

	belay__text_init(&from, buffer, sizeof(buffer));
	belay__text_addf(&from, "%s:%u", file->name, file->line);
	belay__config_note(file->sources, (size_t)(row - belay__observe_table), buffer);
	return 0;
}

static int set_process(struct file *file, const char *key, const char *value)
{
	const struct belay__option *row = belay__option_find(belay__process_table,
		belay__process_table_count, key, strlen(key));
	struct belay_error error = { 0 };

	if (row == NULL)
		return fail_key(file, belay__process_table, belay__process_table_count, key);
	if (belay__option_set(row, file->rule, value, &error) < 0)
		return fail_line(file, "%s", error.text);
	return 0;
}

/* inih's handler. 1 to go on, 0 to have the line noted as wrong. */
static int take_pair(void *user, const char *section, const char *key, const char *value)
{
	struct file *file = user;
	int r;

	(void)section; /* cut at 50 bytes */
	if (file->failed < 0 || key == NULL || value == NULL)
		return file->failed == 0;

	/* "key=#value" would be a value, "key = #value" a comment: nobody should have to know. */
	if (value[0] == ';' || value[0] == '#')
		r = fail_line(file, "the value of '%.64s' begins with '%c', which begins a comment",
			key, value[0]);
	else if (file->in_observe)
		r = set_observe(file, key, value);
	else if (file->rule != NULL)
		r = set_process(file, key, value);
	else
		r = fail_line(file,
			"'%.64s' stands before the first section; write [observe] above it", key);
	return r >= 0;
}

int belay__config_read(int fd, const char *name, struct belay__observe_config *config,
	struct belay__config_sources *sources, struct belay_error *reterr)
{
	struct file file = { .fd = fd,
		.name = name,
		.config = config,
		.sources = sources,
		.reterr = reterr };
	size_t len = strlen(name);
	int r;

	if (len > NAME_SHOWN)
		file.name += len - NAME_SHOWN;

#ifdef BELAY__INIH_HAS_MAX_LINE
	/* Debian's library has room for 200 bytes unless it is told otherwise; a path alone may be
	 * longer. */
	ini_max_line = MAX_LINE;
#endif
	r = ini_parse_stream(give_line, &file, take_pair, &file);

	/* inih goes on behind a line that it cannot read, and so may have come to a later fault. */
	if (r > 0 && (file.failed == 0 || (unsigned)r < file.line)) {
		file.line = (unsigned)r;
		return fail_line(&file, "neither a section nor 'key = value'");
	}
	if (file.failed < 0)
		return file.failed;
	return r < 0 ? belay__fail(reterr, -ENOMEM, "cannot read %s: no memory", file.name) : 0;
}

int belay__config_read_path(const char *path, struct belay__observe_config *config,
	struct belay__config_sources *sources, struct belay_error *reterr)
{
	_cleanup_close_ int fd = belay__open_trusted(path, reterr);
	struct belay__text name;

	if (fd < 0)
		return fd;
	if (sources->file_count == BELAY__CONFIG_FILES_MAX)
		return belay__fail(reterr, -E2BIG, "%s: more than %d configuration files; join some",
			path, BELAY__CONFIG_FILES_MAX);

	belay__text_init(&name, sources->files[sources->file_count], sizeof(sources->files[0]));
	belay__text_add(&name, path);
	sources->file_count++;
	return belay__config_read(fd, path, config, sources, reterr);
}
