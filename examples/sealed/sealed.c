/* sealed.c - a program that tells an observer on another host that it is alive, once a second
 *
 * Usage: sealed IP:PORT KEY-FILE [COUNT [MILLISECONDS-BETWEEN]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <belay/sealed.h>

int main(int argc, char **argv)
{
	unsigned long count = argc > 3 ? strtoul(argv[3], NULL, 10) : 10;
	long pause_ms = argc > 4 ? strtol(argv[4], NULL, 10) : 1000;
	struct belay_error error;
	struct belay_key key;
	struct belay *belay;

	if (argc < 3 || belay_key_read(argv[2], &key, &error) < 0) {
		(void)fprintf(stderr, "%s\n",
			argc < 3 ? "usage: sealed IP:PORT KEY-FILE [COUNT [MS]]" : error.text);
		return 1;
	}
	belay = belay_open_sealed(argv[1], &key);
	belay_key_wipe(&key);
	if (belay == NULL) {
		perror(argv[1]);
		return 1;
	}

	for (unsigned long done = 0; done < count; done++) {
		belay_beat(belay, BELAY_OK, (uint32_t)done);
		nanosleep(&(struct timespec){ pause_ms / 1000, pause_ms % 1000 * 1000000 }, NULL);
	}
	belay_close(belay);
	return 0;
}
