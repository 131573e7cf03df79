/* service_name.h - what a service may be called
 *
 * Everything that has to do with services judges by this: paths, records, offers that are sent, offers that
 * come. belay__service_check() (broker/names.h) says in a sentence what is wrong.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether the LEN bytes at NAME are 1 to BELAY_HANDOFF_SERVICE_MAX (belay/handoff.h) of a-z, 0-9 and -. */
bool belay__service_name_valid(const char *name, size_t len);
