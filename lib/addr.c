#include "lib/addr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#define UNIX_PATH_AT offsetof(struct sockaddr_un, sun_path)

static int addr_family(const struct addr *addr)
{
	return addr->len > 0 ? addr->sa.sa_family : AF_UNSPEC;
}

/* The bytes of the address itself, without port. */
static const uint8_t *addr_host(const struct addr *addr, size_t *len_r)
{
	if (addr_family(addr) == AF_INET6) {
		*len_r = sizeof(addr->in6.sin6_addr);
		return addr->in6.sin6_addr.s6_addr;
	}
	*len_r = sizeof(addr->in.sin_addr);
	return (const uint8_t *)&addr->in.sin_addr;
}

static void addr_set_in(struct addr *addr, const void *host, uint16_t port)
{
	*addr = (struct addr){ .len = sizeof(addr->in) };
	addr->in.sin_family = AF_INET;
	addr->in.sin_port = htons(port);
	memcpy(&addr->in.sin_addr, host, sizeof(addr->in.sin_addr));
}

static void addr_set_in6(struct addr *addr, const void *host, uint16_t port)
{
	*addr = (struct addr){ .len = sizeof(addr->in6) };
	addr->in6.sin6_family = AF_INET6;
	addr->in6.sin6_port = htons(port);
	memcpy(&addr->in6.sin6_addr, host, sizeof(addr->in6.sin6_addr));
}

static int addr_parse_span(struct addr *addr, const char *text, size_t len,
			   uint16_t port)
{
	char literal[INET6_ADDRSTRLEN] = "";
	struct in_addr in;
	struct in6_addr in6;

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(literal))
		return -1;
	memcpy(literal, text, len);
	if (inet_pton(AF_INET, literal, &in) == 1)
		addr_set_in(addr, &in, port);
	else if (inet_pton(AF_INET6, literal, &in6) == 1)
		addr_set_in6(addr, &in6, port);
	else
		return -1;
	return 0;
}

int addr_parse_ip(struct addr *addr, const char *text, uint16_t port)
{
	return addr_parse_span(addr, text, strlen(text), port);
}

int addr_set_unix(struct addr *addr, const char *path)
{
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(addr->un.sun_path))
		return -1;
	*addr = (struct addr){ .len = (socklen_t)(UNIX_PATH_AT + len + 1) };
	addr->un.sun_family = AF_UNIX;
	memcpy(addr->un.sun_path, path, len);
	return 0;
}

uint16_t addr_port(const struct addr *addr)
{
	if (addr_family(addr) == AF_INET)
		return ntohs(addr->in.sin_port);
	if (addr_family(addr) == AF_INET6)
		return ntohs(addr->in6.sin6_port);
	return 0;
}

void addr_set_port(struct addr *addr, uint16_t port)
{
	if (addr_family(addr) == AF_INET)
		addr->in.sin_port = htons(port);
	else if (addr_family(addr) == AF_INET6)
		addr->in6.sin6_port = htons(port);
}

void addr_unmap(struct addr *addr)
{
	struct in6_addr host;

	if (addr_family(addr) != AF_INET6)
		return;
	host = addr->in6.sin6_addr;
	if (IN6_IS_ADDR_V4MAPPED(&host))
		addr_set_in(addr, host.s6_addr + 12, addr_port(addr));
}

static struct addr addr_unmapped(const struct addr *addr)
{
	struct addr copy = *addr;

	addr_unmap(&copy);
	return copy;
}

bool addr_same_host(const struct addr *a, const struct addr *b)
{
	struct addr x, y;
	const uint8_t *x_host, *y_host;
	size_t len;

	if (addr_family(a) == AF_INET && addr_family(b) == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	x = addr_unmapped(a);
	y = addr_unmapped(b);
	if (addr_family(&x) != addr_family(&y))
		return false;
	if (addr_family(&x) != AF_INET && addr_family(&x) != AF_INET6)
		return true;
	x_host = addr_host(&x, &len);
	y_host = addr_host(&y, &len);
	if (memcmp(x_host, y_host, len) != 0)
		return false;
	return addr_family(&x) == AF_INET ||
	       x.in6.sin6_scope_id == y.in6.sin6_scope_id;
}

/* A path ends at its NUL, which the kernel may or may not count; an abstract
 * name (it starts with NUL) may hold any byte. */
static size_t addr_path_len(const struct addr *addr)
{
	size_t len = addr->len > UNIX_PATH_AT ? addr->len - UNIX_PATH_AT : 0;

	if (len > 0 && addr->un.sun_path[0] != '\0')
		return strnlen(addr->un.sun_path, len);
	return len;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	size_t len;

	if (addr_family(a) == AF_INET && addr_family(b) == AF_INET)
		return a->in.sin_port == b->in.sin_port &&
		       addr_same_host(a, b);
	if (addr_port(a) != addr_port(b) || !addr_same_host(a, b))
		return false;
	if (addr_family(a) != AF_UNIX)
		return true;
	len = addr_path_len(a);
	return len == addr_path_len(b) &&
	       memcmp(a->un.sun_path, b->un.sun_path, len) == 0;
}

/* glibc's inet_ntop() goes through sprintf(). */
static void addr_write_in4(struct str *out, const struct sockaddr_in *in)
{
	const unsigned char *bytes = (const unsigned char *)&in->sin_addr;
	size_t i;

	for (i = 0; i < sizeof(in->sin_addr); i++) {
		if (i > 0)
			str_putc(out, '.');
		str_put_number(out, bytes[i]);
	}
}

void addr_write_ip(struct str *out, const struct addr *addr)
{
	char text[INET6_ADDRSTRLEN] = "none";

	switch (addr_family(addr)) {
	case AF_UNIX:
		str_puts(out, "local");
		break;
	case AF_INET:
		addr_write_in4(out, &addr->in);
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &addr->in6.sin6_addr, text, sizeof(text));
		/* fall through */
	default:
		str_puts(out, text);
	}
}

void addr_write(struct str *out, const struct addr *addr)
{
	bool in6 = addr_family(addr) == AF_INET6;

	if (addr_family(addr) == AF_UNIX && addr_path_len(addr) > 0) {
		str_put_escaped(out, addr->un.sun_path, addr_path_len(addr));
		return;
	}
	if (in6)
		str_putc(out, '[');
	addr_write_ip(out, addr);
	if (in6)
		str_putc(out, ']');
	if (in6 || addr_family(addr) == AF_INET) {
		str_putc(out, ':');
		str_put_number(out, addr_port(addr));
	}
}

/* A decimal number of at most max, and nothing else. */
static int addr_parse_bits(unsigned *bits, const char *text, unsigned max)
{
	unsigned value = 0;

	if (*text == '\0')
		return -1;
	for (; *text != '\0'; text++) {
		if (!isdigit((unsigned char)*text))
			return -1;
		value = value * 10 + (unsigned)(*text - '0');
		if (value > max)
			return -1;
	}
	*bits = value;
	return 0;
}

int addr_net_parse(struct addr_net *net, const char *text)
{
	const char *slash = strchrnul(text, '/');
	struct addr_net parsed = { .bits = 0 };
	size_t len;

	if (addr_parse_span(&parsed.addr, text, (size_t)(slash - text), 0) < 0)
		return -1;
	addr_host(&parsed.addr, &len);
	parsed.bits = (unsigned)len * 8;
	if (*slash == '/' &&
	    addr_parse_bits(&parsed.bits, slash + 1, parsed.bits) < 0)
		return -1;
	/* Addresses are compared unmapped, so the network must be too. */
	if (parsed.bits >= 96) {
		addr_unmap(&parsed.addr);
		if (addr_family(&parsed.addr) == AF_INET)
			parsed.bits -= 96;
	}
	*net = parsed;
	return 0;
}

bool addr_net_contains(const struct addr_net *net, const struct addr *addr)
{
	struct addr given = addr_unmapped(addr);
	const uint8_t *a, *b;
	unsigned whole = net->bits / 8, rest = net->bits % 8;
	size_t len;

	if (net->addr.len == 0 ||
	    addr_family(&net->addr) != addr_family(&given))
		return false;
	a = addr_host(&net->addr, &len);
	b = addr_host(&given, &len);
	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}
