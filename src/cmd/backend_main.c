/* belay-backend: the program behind `belay backend` */

#include <unistd.h>

#include "base/fd.h"
#include "cmd/backend.h"

int main(int argc, char **argv)
{
	static struct belay__backend_options options;
	int exit_code;

	/* Started with stdin, stdout or stderr closed, no socket may come to lie under their numbers. */
	if (belay__fd_fill_stdio() < 0)
		return BELAY__EXIT_FAILED;
	if (belay__backend_parse(argc, argv, &options, &exit_code) < 0)
		return exit_code;
	return options.word == BELAY__BACKEND_PROBE ? belay__backend_probe(&options)
						    : belay__backend_conform(&options);
}
