/* beat_program.c - ten lines that use the installed beat library from outside of the tree */
#include <belay/beat.h>
#include <stdio.h>

int main(void)
{
	struct belay *belay = belay_open("/nonexistent/beat.sock");
	struct belay_outcome outcome = belay_beat(belay, BELAY_OK, 0);
	char text[64];

	belay_outcome_text(&outcome, text, sizeof(text));
	puts(text);
	belay_close(belay);

	/* Nobody can listen there: the library says so and nothing else happens. */
	return outcome.sent == BELAY_DROPPED && outcome.reason == BELAY_DROP_NO_OBSERVER ? 0 : 1;
}
