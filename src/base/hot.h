/* hot.h - what every beat runs through lies together
 *
 * Whoever sleeps between two beats finds its code gone from every cache, and what waking costs it
 * is counted in pages: a page that holds one function of the path costs as much as one full of
 * them. The linker puts all functions marked so side by side.
 */
#pragma once

#define BELAY__HOT __attribute__((hot))
