/* A socket address: IPv4, IPv6 or UNIX. */
#ifndef LIB_ADDR_H
#define LIB_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/str.h"

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t len; /* 0: no address */
};

/* Reads a literal, IPv4 or IPv6 (brackets allowed, zone not). Returns 0, or -1
 * when text is no literal; *addr is then left alone, here and below. */
int addr_parse_ip(struct addr *addr, const char *text, uint16_t port);

/* An address with the UNIX socket's path; -1 when that is empty or too long. */
int addr_set_unix(struct addr *addr, const char *path);

/* The port; 0 where there is none (setting it then does nothing). */
uint16_t addr_port(const struct addr *addr);
void addr_set_port(struct addr *addr, uint16_t port);

/* Same family and host, whatever the port. An IPv4-mapped IPv6 address equals
 * its IPv4 one; UNIX sockets are all on one host, no address equals only no
 * address. */
bool addr_same_host(const struct addr *a, const struct addr *b);

/* Same host and port (IPv4, IPv6) or path (UNIX). */
bool addr_equal(const struct addr *a, const struct addr *b);

/* Turns an IPv4-mapped IPv6 address into the IPv4 one. */
void addr_unmap(struct addr *addr);

/* Appends "192.0.2.1" or "2001:db8::1"; "local" for UNIX, "none" for no
 * address. */
void addr_write_ip(struct str *out, const struct addr *addr);

/* Appends "192.0.2.1:24", "[2001:db8::1]:24" or the UNIX socket's path (as
 * str_put_escaped() does); "local" when that has none. */
void addr_write(struct str *out, const struct addr *addr);

struct addr_net {
	struct addr addr;
	unsigned bits;
};

/* Reads a network as "10.0.0.0/8", "2001:db8::/32", or an address (a network of
 * one); bits set beyond the prefix are ignored. An IPv4-mapped network becomes
 * the IPv4 one. 0, or -1 when text is none. */
int addr_net_parse(struct addr_net *net, const char *text);

/* Whether addr (IPv4-mapped or not) is in the network. Never for UNIX. */
bool addr_net_contains(const struct addr_net *net, const struct addr *addr);

#endif
