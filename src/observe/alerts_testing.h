/* alerts_testing.h - for the tests of alerts: a house with them and a script that they are handed to,
 * and time that passes when a test says so
 *
 * Programs are linked with --wrap=clock_gettime. Failures end the test that runs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "export/metrics_table.h"
#include "observe/acting.h"
#include "observe/alerts.h"

#define S    BELAY__NS_PER_S
#define HOUR (3600 * S)

struct alerts_house {
	struct belay__loop *loop;
	struct belay__observe_options options;
	struct belay__alerts *alerts;
	char directory[32];
	int fds, answers;
	struct belay__msg_planned answer;
	char done[256]; /* "7 8 ": the alerts that nobody has to keep any more */
	uint64_t seq;   /* of the next alert; 0: they have none */
	char open[256]; /* "stall web 1000, " */
};
extern struct alerts_house house;

/* CLOCK_MONOTONIC since the test began. */
extern uint64_t passed_ns;

/* cmocka's setup and teardown: alerts with a command that does nothing more than let_it(). */
int open_house(void **state);
int close_house(void **state);

/* A file in the house: its path (good for a few calls), what it holds, and how it comes to be. */
const char *path_of(const char *name);
const char *file(const char *name);
void write_file(const char *name, const char *text, mode_t mode);

/* What the alert command does besides writing its stdin to "told", a line "=N" behind each call. */
void let_it(const char *script);
/* The alert command is the house's. */
void set_alert(void);

/* All that is due now is done. */
void turn(void);
/* Time passes, and all that is due before and after is done. */
void pass(uint64_t ns);
/* Whether no child of ours has ended and waits for the loop, or runs. */
bool is_quiet(void);
/* The command that runs has ended, and its end was told. */
void finish(void);
/* The window is over, and what it held was taken. */
void hand_over(void);

void add_line(enum belay__alert_kind kind, const char *name, const char *line, uint64_t request);
/* {"n":"NAME"} */
void add(enum belay__alert_kind kind, const char *name);

/* What the script was told, which is forgotten then. */
#define TOLD(name, rest) "{\"n\":\"" name "\",\"uid\":1000,\"alert\":" rest "}\n"
void assert_told(const char *expected);
/* Which alerts were handed over since it was asked last; which problems are open. */
void assert_done(const char *expected);
void assert_open(const char *expected);
uint64_t count_of(enum belay__metric metric);
