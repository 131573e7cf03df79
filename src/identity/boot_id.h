/* boot_id.h - this boot's id as the kernel writes it
 *
 * Read until it was told once in a program's life; any thread may ask.
 */
#pragma once

/* 0 and *ret_text, which is neither NULL nor "" and stays. Where the kernel does not tell, it is a text that
 * no other process has: whoever compares it with a record finds another boot. Or a negative errno that says
 * nothing of the kernel, such as -EMFILE: ask again. */
int belay__boot_id_text(const char **ret_text);
