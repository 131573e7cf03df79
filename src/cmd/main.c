/* Apart from everything else, so that tests can link the rest. */

#include "base/fd.h"
#include "cmd/cmd.h"

int main(int argc, char **argv)
{
	/* A closed output must not become the connection to the observer. */
	if (belay__fd_fill_stdio() < 0)
		return 1;
	return belay__belay(argc, argv);
}
