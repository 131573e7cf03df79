/* address.h - IP addresses with ports, as people write them
 *
 * "127.0.0.1:7000", "[::1]:7000". Numbers only: a name would have to be looked up, which takes time,
 * memory and a network.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

union belay__address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

#define BELAY__ADDRESS_SIZE 56 /* of its text, with the NUL */

/* Reads "IP:PORT" or "[IP6]:PORT"; port 0 is for binding to any. 0, or -EINVAL with *ret_address untouched. */
int belay__address_parse(const char *text, union belay__address *ret_address);
/* The same where something is to be sent: nobody can be at port 0, so that it is refused, too. */
int belay__address_parse_peer(const char *text, union belay__address *ret_address);
/* Reads IP, v4 or v6, without brackets, and adds PORT. The same errors. */
int belay__address_parse_ip(const char *ip, uint16_t port, union belay__address *ret_address);
socklen_t belay__address_len(const union belay__address *address);
/* Whether only this host can be meant (127.0.0.0/8, ::1, and the first written as the second). */
bool belay__address_is_loopback(const union belay__address *address);
uint16_t belay__address_port(const union belay__address *address);
/* Writes it as belay__address_parse() reads it. */
void belay__address_text(const union belay__address *address, char text[static BELAY__ADDRESS_SIZE]);
