/* backend_program.c - a daemon that proves itself from outside of the tree */
#include <belay/handoff.h>
#include <belay/mux.h>
#include <stdio.h>

int main(void)
{
	static const struct belay_endpoint endpoint = { "shared", "/run/nobody.sock" };
	static struct belay_daemon self;
	struct belay_handoff_receiver *receiver = NULL;
	struct belay_handle handle;
	struct belay_error error;

	if (belay_daemon_capture_self(&endpoint, &self, &error) < 0 ||
		belay_daemon_verify(&self, NULL, &handle, NULL, &error) < 0 ||
		belay_handoff_receiver_new(NULL, &receiver, &error) < 0) {
		puts(error.text);
		return 1;
	}
	puts(belay_handle_alive(&handle) == 1 ? "alive" : "?");
	belay_handle_close(&handle);
	belay_handoff_receiver_free(receiver);

	/* Nobody listens there. */
	return belay_probe(&endpoint, &self, NULL, NULL, NULL, &error) < 0 ? 0 : 1;
}
