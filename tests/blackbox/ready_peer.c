/* ready_peer.c - the two who speak of a hand-over with the client: its sender, and the client itself
 *
 *	ready_peer send FD TOKEN PATH SERVICE
 *	ready_peer wait FD TOKEN
 *
 * FD is the client's connection, TOKEN 32 hexadecimal digits. Each step is named on standard output, and
 * begins when a line has come on standard input. "send" hands FD over, sends the ready frame if that is
 * due, and closes FD; "wait" waits for the ready frame, says what that came to, and keeps FD until it is
 * told to end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <belay/handoff.h>

static void step(const char *name)
{
	char line[16];

	(void)printf("%s\n", name);
	(void)fflush(stdout);
	if (fgets(line, sizeof(line), stdin) == NULL)
		exit(0);
}

static int hand_over(int fd, const struct belay_handoff_token *token, const char *path,
	const char *service)
{
	const struct belay_handoff_request request = { .fd = fd,
		.path = path,
		.token = *token,
		.service = service,
		.correlation_id = 7 };
	struct belay_handoff_result result;
	struct belay_error error = { 0 };

	step("handoff");
	if (belay_handoff(&request, &result, &error) < 0)
		(void)fprintf(stderr, "ready_peer: %s\n", error.text);
	step("ready");
	if (result.error == BELAY_HANDED_OVER || !result.relinquish)
		(void)belay_handoff_ready_send(fd, token, 7, result.error == BELAY_HANDED_OVER);
	step("close");
	(void)close(fd);
	step("done");
	return 0;
}

static int wait_ready(int fd, const struct belay_handoff_token *token)
{
	char said[32];

	step("wait");
	(void)snprintf(said, sizeof(said), "%d", belay_handoff_ready_wait(fd, token, 0));
	step(said);
	return 0;
}

int main(int argc, char **argv)
{
	struct belay_handoff_token token;
	int fd;

	if (argc < 4 || strlen(argv[3]) != 2 * sizeof(token.secret))
		return 2;
	fd = (int)strtol(argv[2], NULL, 10);
	for (size_t i = 0; i < sizeof(token.secret); i++) {
		const char digits[] = { argv[3][2 * i], argv[3][2 * i + 1], '\0' };

		token.secret[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	if (strcmp(argv[1], "send") == 0 && argc == 6)
		return hand_over(fd, &token, argv[4], argv[5]);
	if (strcmp(argv[1], "wait") == 0 && argc == 4)
		return wait_ready(fd, &token);
	return 2;
}
