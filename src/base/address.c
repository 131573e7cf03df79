#include "base/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static_assert(BELAY__ADDRESS_SIZE >= INET6_ADDRSTRLEN + sizeof("[]:65535"), "room for the longest");

static int parse_ip(const char *ip, int family, uint16_t port, union belay__address *ret_address)
{
	union belay__address address;
	void *place = family == AF_INET ? (void *)&address.in.sin_addr
					: (void *)&address.in6.sin6_addr;

	memset(&address, 0, sizeof(address));
	if (inet_pton(family, ip, place) != 1)
		return -EINVAL;
	address.any.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		address.in.sin_port = htons(port);
	else
		address.in6.sin6_port = htons(port);
	*ret_address = address;
	return 0;
}

int belay__address_parse_ip(const char *ip, uint16_t port, union belay__address *ret_address)
{
	return parse_ip(ip, strchr(ip, ':') == NULL ? AF_INET : AF_INET6, port, ret_address);
}

int belay__address_parse(const char *text, union belay__address *ret_address)
{
	const char *colon = strrchr(text, ':');
	bool in_brackets = text[0] == '[';
	char ip[INET6_ADDRSTRLEN + 2];
	size_t len = colon == NULL ? 0 : (size_t)(colon - text);
	uint64_t port;

	if (len == 0 || len >= sizeof(ip) || belay__parse_u64(colon + 1, 0, 65535, &port) < 0)
		return -EINVAL;
	if (in_brackets && (len < 2 || text[len - 1] != ']'))
		return -EINVAL;

	if (in_brackets)
		len -= 2;
	memcpy(ip, text + in_brackets, len);
	ip[len] = '\0';
	return parse_ip(ip, in_brackets ? AF_INET6 : AF_INET, (uint16_t)port, ret_address);
}

int belay__address_parse_peer(const char *text, union belay__address *ret_address)
{
	union belay__address address;
	int r = belay__address_parse(text, &address);

	if (r < 0)
		return r;
	if (belay__address_port(&address) == 0)
		return -EINVAL;
	*ret_address = address;
	return 0;
}

socklen_t belay__address_len(const union belay__address *address)
{
	return address->any.sa_family == AF_INET ? sizeof(address->in) : sizeof(address->in6);
}

bool belay__address_is_loopback(const union belay__address *address)
{
	const struct in6_addr *ip = &address->in6.sin6_addr;

	if (address->any.sa_family == AF_INET)
		return ntohl(address->in.sin_addr.s_addr) >> 24 == 127;
	if (IN6_IS_ADDR_V4MAPPED(ip))
		return ip->s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(ip);
}

uint16_t belay__address_port(const union belay__address *address)
{
	return ntohs(
		address->any.sa_family == AF_INET ? address->in.sin_port : address->in6.sin6_port);
}

void belay__address_text(const union belay__address *address, char text[static BELAY__ADDRESS_SIZE])
{
	bool is_v4 = address->any.sa_family == AF_INET;
	const void *place = is_v4 ? (const void *)&address->in.sin_addr
				  : (const void *)&address->in6.sin6_addr;
	char ip[INET6_ADDRSTRLEN] = "";

	/* It fails for other families and short buffers only; there are none here. */
	(void)inet_ntop(is_v4 ? AF_INET : AF_INET6, place, ip, sizeof(ip));
	(void)snprintf(text, BELAY__ADDRESS_SIZE, is_v4 ? "%s:%u" : "[%s]:%u", ip,
		(unsigned)belay__address_port(address));
}
