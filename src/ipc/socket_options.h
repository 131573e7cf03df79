/* socket_options.h - what every socket that an observer receives on is set to */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Switches SO_PASSCRED on, and SO_PASSPIDFD for SOCK_SEQPACKET (off for datagrams: it doubles
 * the cost of a frame). 0 or a negative errno: without credentials nothing works. */
int belay__socket_set_passing(int fd, int type);

/* Sets SO_PASSRIGHTS=0, so that whoever attaches a descriptor is refused. Returns whether the
 * kernel has that. */
bool belay__socket_refuse_rights(int fd);

/* Asks for a receive buffer of BYTES. Returns what the kernel granted, 0 when BYTES is 0 or it
 * refused. */
uint32_t belay__socket_set_rcvbuf(int fd, uint32_t bytes);
