/* test_allocations.h - for tests: how often memory was asked for or given back
 *
 * For programs linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free: these then
 * stand before the C library's for every object of ours.
 */
#pragma once

extern unsigned test_allocations;
