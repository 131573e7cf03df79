#include "cmd/cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cmd/output.h"
#include "export/visible.h"

/* Everything that is not listed is BELAY__EXIT_FAILED. */
static const struct {
	int error, exit;
} exits[] = {
	{ EINVAL, BELAY__EXIT_USAGE },
	{ ENOENT, BELAY__EXIT_ABSENT },
	{ ENOTDIR, BELAY__EXIT_ABSENT },
	{ ECONNREFUSED, BELAY__EXIT_ABSENT },
	{ ECONNRESET, BELAY__EXIT_ABSENT },
	{ EPIPE, BELAY__EXIT_ABSENT },
	{ ETIMEDOUT, BELAY__EXIT_ABSENT },
	{ EACCES, BELAY__EXIT_PERMISSION },
	{ EPERM, BELAY__EXIT_PERMISSION },
	{ EBADMSG, BELAY__EXIT_PROTOCOL },
	{ EOPNOTSUPP, BELAY__EXIT_PROTOCOL },
	{ EPROTO, BELAY__EXIT_PROTOCOL },
	{ EPROTOTYPE, BELAY__EXIT_PROTOCOL },
	{ EPROTONOSUPPORT, BELAY__EXIT_PROTOCOL },
};

int belay__exit_code(int code)
{
	if (code >= 0)
		return BELAY__EXIT_OK;
	for (size_t i = 0; i < BELAY__COUNT_OF(exits); i++)
		if (exits[i].error == -code)
			return exits[i].exit;
	return BELAY__EXIT_FAILED;
}

void belay__complain(const char *format, ...)
{
	char sentence[1024], line[1100];
	struct belay__text text;
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);

	belay__text_init(&text, line, sizeof(line) - 1);
	belay__text_add(&text, "belay: ");
	belay__text_add_visible(&text, sentence, strlen(sentence));
	line[text.len++] = '\n';
	/* When stderr is gone there is nobody left to tell. */
	(void)belay__write_all(STDERR_FILENO, line, text.len);
}

int belay__complain_error(const struct belay_error *error)
{
	belay__complain("%s", error->text);
	return belay__exit_code(error->code);
}

int belay__command_help(const struct belay__command *command)
{
	static char buffer[8192];
	static struct belay__output output;
	struct belay__text text;

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__text_addf(&text, "usage: belay %s%s%s%s\n%s.\n", command->name,
		command->option_count > 0 ? " [OPTION]..." : "",
		command->synopsis[0] == '\0' ? "" : " ", command->synopsis, command->help);
	if (command->option_count > 0)
		belay__text_add(&text, "\noptions:\n");
	belay__options_help(command->options, command->option_count, &text);
	belay__text_addf(&text, "\nexample: %s\nmanual:  man %s\n", command->example,
		command->manual);

	belay__output_start(&output, STDOUT_FILENO);
	belay__output_add_bytes(&output, text.chars, text.len);
	return belay__output_finish(&output);
}

static int complain_of_usage(const struct belay__command *command, const char *sentence)
{
	/* One hint is enough, and this one names the command. */
	const char *hint = strstr(sentence, "; --help lists the options");
	int len = (int)(hint == NULL ? strlen(sentence) : (size_t)(hint - sentence));

	belay__complain("%.*s; see: belay %s --help", len, sentence, command->name);
	return BELAY__EXIT_USAGE;
}

int belay__command_parse(const struct belay__command *command, void *options, int argc, char **argv,
	int max_words, bool *seen, int *ret_exit)
{
	const struct belay__option *help = belay__option_find(command->options,
		command->option_count, "help", 4);
	char sentence[128];
	struct belay_error error = { 0 };
	int words = belay__options_parse(command->options, command->option_count, options, argc,
		argv, seen, &error);

	if (words < 0) {
		*ret_exit = complain_of_usage(command, error.text);
		return -1;
	}
	if (help != NULL && *(const bool *)((const char *)options + help->offset)) {
		*ret_exit = belay__command_help(command);
		return -1;
	}
	if (words > max_words) {
		(void)snprintf(sentence, sizeof(sentence), "'%.64s' is one word too many",
			argv[max_words + 1]);
		*ret_exit = complain_of_usage(command, sentence);
		return -1;
	}
	return words;
}
