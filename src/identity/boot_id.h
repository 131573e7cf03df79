/* boot_id.h - this boot's id as the kernel writes it
 *
 * Read once in a program's life; any thread may ask.
 */
#pragma once

/* Never NULL nor "". Where the kernel does not tell, a text that no other process has: whoever
 * compares it with a record finds another boot. */
const char *belay__boot_id_text(void);
