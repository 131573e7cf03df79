/* sealed_program.c - a sealed beat from outside of the tree */
#include <belay/sealed.h>
#include <stdio.h>

int main(void)
{
	struct belay_key key = { { 1 } };
	struct belay *belay = belay_open_sealed("127.0.0.1:9", &key);
	struct belay_outcome outcome = belay_beat(belay, BELAY_OK, 0);
	struct belay_error error;
	char text[64];

	belay_key_wipe(&key);
	belay_outcome_text(&outcome, text, sizeof(text));
	puts(text);
	belay_close(belay);

	/* Nobody need listen there; and what is no file is no key. */
	return outcome.sent == BELAY_SENT && belay_key_read("/nonexistent/key", &key, &error) < 0
		? 0
		: 1;
}
