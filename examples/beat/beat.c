/* beat.c - a program that tells the observer it is alive, once a second
 *
 * Usage: beat [COUNT [MILLISECONDS-BETWEEN]]
 */
#include <stdlib.h>
#include <time.h>

#include <belay/beat.h>

int main(int argc, char **argv)
{
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
	long pause_ms = argc > 2 ? strtol(argv[2], NULL, 10) : 1000;
	struct belay *belay = belay_open(NULL);

	for (unsigned long done = 0; done < count; done++) {
		belay_beat(belay, BELAY_OK, (uint32_t)done);
		nanosleep(&(struct timespec){ pause_ms / 1000, pause_ms % 1000 * 1000000 }, NULL);
	}
	belay_close(belay);
	return 0;
}
