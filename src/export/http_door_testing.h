/* http_door_testing.h - for the tests of the HTTP door: a stand with a door on both kinds of sockets, and
 * what its visitors do
 *
 * Failures end the test that runs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "export/http_door.h"
#include "export/http_listen.h"

#define DIGITS             "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define BEARER             "Authorization: Bearer " DIGITS "\r\n"
#define CLOSE              "Connection: close\r\n"
#define GET(path, headers) "GET " path " HTTP/1.1\r\nHost: x\r\n" headers "\r\n"
#define PATIENCE_NS        (10 * BELAY__NS_PER_S)
#define BIG                (4 << 20)

/* A page that says what it was asked for and how often. */
struct shelf {
	unsigned renders;
	unsigned buffers[2]; /* how often each was written to */
	int error;
	unsigned status;
	char text[BELAY__HTTP_FORMAT_COUNT][2][64];
	char *big; /* of BIG bytes, instead of the text */
};

struct http_stand {
	struct belay__loop *loop;
	struct belay__http_door *door;
	int unix_fd, tcp_fd;
	char path[64], bound[BELAY__HTTP_BOUND_SIZE];
	struct shelf metrics, ready, big;
	struct belay__http_page pages[3];
	uint64_t longest_turn_ns;
	unsigned turns;
	int fds;
};
extern struct http_stand stand;

/* cmocka's for the group. */
int make_directory(void **state);
int remove_directory(void **state);
/* And for each test, which ends with as many descriptors as it began with. */
int open_stand(void **state);
int close_stand(void **state);

/* Opens the door: with a token, and no limit of rate when BURST is 0. */
void open_door(uint32_t burst);
/* One turn of the loop, when it or FD (-EBADF: none) is ready, or WAIT_MS have passed. */
void turn(int fd, int wait_ms);

int connect_unix(void);
int connect_tcp(void);
void say(int fd, const char *text, size_t len);
/* Reads into TEXT (of SIZE bytes, NUL-terminated) until the peer is done, or TEXT ends with END
 * (NULL: whatever). Returns the length; *ret_errno is 0 at a clean end. */
size_t hear(int fd, char *text, size_t size, const char *end, int *ret_errno);
/* Asks over a new connection and reads until its end. */
void ask(bool tcp, const char *request, char *answer, size_t size);

/* Of an answer; 0: it has none. */
unsigned status_of(const char *answer);
/* How often WORD is in TEXT. */
unsigned count(const char *text, const char *word);
