/* log.h - one line per thing that happened, on stderr
 *
 * Programs log, libraries do not. Text lines carry a local time on a terminal, nothing when
 * systemd's journal reads stderr ("<N>" priority prefix instead), and a UTC time otherwise. JSON
 * lines are {"time":...,"level":...,"message":...}. A write that would block or fails is dropped
 * and counted: logging never stops the program.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum belay__log_level {
	BELAY__LOG_ERROR = 3,
	BELAY__LOG_WARNING = 4,
	BELAY__LOG_NOTICE = 5,
	BELAY__LOG_INFO = 6,
};
enum belay__log_format { BELAY__LOG_TEXT, BELAY__LOG_JSON };

/* Finds out what stderr is. PROGRAM outlives the log. */
void belay__log_init(const char *program, enum belay__log_format format);

__attribute__((format(printf, 2, 3))) void belay__log(enum belay__log_level level,
	const char *format, ...);

/* Writes LINE (already JSON, no newline) in JSON format, or TEXT in text format: for lines that
 * have both forms. */
void belay__log_line(enum belay__log_level level, const char *text, const char *json_line);

/* Lines that could not be written since the start. */
uint64_t belay__log_dropped(void);
