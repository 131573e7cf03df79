/* crc32c.h - CRC-32C (Castagnoli), by the CPU where it can and by a small table where it cannot
 *
 * Reflected polynomial 0x82f63b78, register preset to all ones and inverted at the end: "123456789"
 * gives 0xe3069283. All functions here are async-signal-safe and thread-safe, and none can fail.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns the checksum of the LEN bytes at BYTES (which need no alignment; NULL is fine when LEN is
 * 0). The first call in a process asks the CPU what it can do; inside a virtual machine that may
 * cost several microseconds, so whoever must be quick calls belay__crc32c_has_hardware()
 * beforehand. */
uint32_t belay__crc32c(const void *bytes, size_t len);

/* Whether the CPU has an instruction for this. Asked once, remembered for the life of the
 * process. */
bool belay__crc32c_has_hardware(void);

/* The two ways, each for tests against the other. _hardware may be called only after
 * _has_hardware() said yes. */
uint32_t belay__crc32c_hardware(const void *bytes, size_t len);
uint32_t belay__crc32c_portable(const void *bytes, size_t len);
