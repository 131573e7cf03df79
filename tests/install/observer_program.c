/* observer_program.c - a program from outside of the tree that observes itself through the
 * installed library */
#include <belay/observer.h>
#include <poll.h>
#include <stdio.h>

int main(void)
{
	struct belay_observer_options options = { .threshold_ms = 1000 };
	struct belay_observer *observer = NULL;
	struct belay_error error;

	if (belay_observer_new(&options, &observer, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	printf("poll %d\n", belay_observer_fd(observer));
	belay_observer_free(observer);
	return 0;
}
