/* crash.c - a program whose assertion fails, and an observer that hears of it
 *
 * Usage: crash [no]       with `no` it ends well
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <belay/beat.h>
#include <belay/crash.h>

int main(int argc, char **argv)
{
	const struct belay_crash_options options = { .note = "auto" };
	struct belay *belay = belay_open(NULL);
	struct belay_error error;

	/* assert() ends in abort(), so in SIGABRT; no other preparation is needed. */
	if (belay_crash_install_uds(NULL, &options, NULL, &error) < 0)
		fprintf(stderr, "%s\n", error.text);
	belay_beat(belay, BELAY_OK, 1);

	assert(argc > 1 && strcmp(argv[1], "no") == 0);
	belay_close(belay);
	return 0;
}
