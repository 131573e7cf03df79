/* belay-exporter: the role that serves metrics, in a program of its own, so that the others need not
 * carry what HTTP needs. The parent starts it. */

#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "observe/cage.h"
#include "observe/roles.h"

int main(int argc, char **argv)
{
	if (belay__fd_fill_stdio() < 0)
		return 71;
	if (argc >= 2 && strcmp(argv[1], "--role=exporter") == 0 &&
		belay__cage_obey(argc > 2 ? argv[2] : NULL) == 0)
		return belay__exporter_main();
	(void)fputs("belay-exporter is started by belay observe; see man belay-observe\n", stderr);
	return 64;
}
