/* packet.h - one packet from a SOCK_SEQPACKET peer, with the kernel's word on who sent it */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/closer.h"

struct belay__packet_from {
	pid_t pid; /* 0: not visible in our pid namespace */
	uid_t uid;
	gid_t gid;
	int pidfd; /* SO_PASSPIDFD's, owned by the caller; -EBADF where the kernel has none */
};

/* Receives one packet of at most SIZE bytes into BUFFER without blocking; *ret_from is the sender
 * of this very packet. Returns its length, 0 when the peer has hung up, -EAGAIN, -EMSGSIZE (longer
 * than SIZE), -EBADMSG (control data truncated, no credentials), or another negative errno. Strays
 * go to CLOSER. *ret_from is written on success only. */
ssize_t belay__packet_receive(int fd, void *buffer, size_t size, struct belay__closer *closer,
	struct belay__packet_from *ret_from);

/* Connects a new SOCK_SEQPACKET socket to PATH without blocking longer than DEADLINE_NS
 * (CLOCK_MONOTONIC; 0: not at all). Returns the fd (close-on-exec, non-blocking) or a negative
 * errno. */
int belay__packet_connect(const char *path, uint64_t deadline_ns);
