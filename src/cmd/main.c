/* Apart from everything else, so that tests can link the rest. */

#include "cmd/cmd.h"

int main(int argc, char **argv)
{
	return belay__belay(argc, argv);
}
