/* A socket address: IPv4, IPv6 or UNIX. */
#ifndef LIB_ADDR_H
#define LIB_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <netinet/in.h>
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
 * when text is no literal. */
int addr_parse_ip(struct addr *addr, const char *text, uint16_t port);

/* An address with the UNIX socket's path; -1 when it is too long. */
int addr_set_unix(struct addr *addr, const char *path);

/* The port; 0 for UNIX. */
uint16_t addr_port(const struct addr *addr);
void addr_set_port(struct addr *addr, uint16_t port);

/* Same family and host, whatever the port. An IPv4-mapped IPv6 address equals
 * its IPv4 one. */
bool addr_same_host(const struct addr *a, const struct addr *b);
bool addr_equal(const struct addr *a, const struct addr *b);

/* Turns an IPv4-mapped IPv6 address into the IPv4 one. */
void addr_unmap(struct addr *addr);

/* Append "192.0.2.1" or "2001:db8::1"; "local" for UNIX. With port:
 * "192.0.2.1:24", "[2001:db8::1]:24". */
void addr_write_ip(struct str *out, const struct addr *addr);
void addr_write(struct str *out, const struct addr *addr);

/* A network as "10.0.0.0/8", "2001:db8::/32", or an address. */
struct addr_net {
	struct addr addr;
	unsigned bits;
};
int addr_net_parse(struct addr_net *net, const char *text);
bool addr_net_contains(const struct addr_net *net, const struct addr *addr);

#endif
