#include "lib/addr.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static struct addr ip(const char *text, uint16_t port)
{
	struct addr addr;

	cr_assert_eq(addr_parse_ip(&addr, text, port), 0, "%s", text);
	return addr;
}

static struct addr un(const char *path)
{
	struct addr addr;

	cr_assert_eq(addr_set_unix(&addr, path), 0, "%s", path);
	return addr;
}

/* What the kernel gives for an abstract socket, or (len 0) an unnamed one. */
static struct addr un_raw(const char *bytes, size_t len)
{
	struct addr addr = { .len = 0 };

	addr.un.sun_family = AF_UNIX;
	memcpy(addr.un.sun_path, bytes, len);
	addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return addr;
}

static void check_text(const struct addr *addr, const char *host,
		       const char *full)
{
	struct str out = STR_INIT;

	addr_write_ip(&out, addr);
	cr_expect_str_eq(str_c(&out), host);
	str_clear(&out);
	addr_write(&out, addr);
	cr_expect_str_eq(str_c(&out), full);
	str_free(&out);
}

Test(addr, literals)
{
	static const struct {
		const char *text, *host, *full;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", "192.0.2.1:24" },
		{ "[192.0.2.1]", "192.0.2.1", "192.0.2.1:24" },
		{ "0.0.0.0", "0.0.0.0", "0.0.0.0:24" },
		{ "2001:DB8:0:0::1", "2001:db8::1", "[2001:db8::1]:24" },
		{ "[2001:db8::1]", "2001:db8::1", "[2001:db8::1]:24" },
		{ "::", "::", "[::]:24" },
		{ "::ffff:192.0.2.1", "::ffff:192.0.2.1",
		  "[::ffff:192.0.2.1]:24" },
		{ "1111:2222:3333:4444:5555:6666:255.255.255.255",
		  "1111:2222:3333:4444:5555:6666:ffff:ffff",
		  "[1111:2222:3333:4444:5555:6666:ffff:ffff]:24" },
	};
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		struct addr addr = ip(rows[i].text, 24);

		check_text(&addr, rows[i].host, rows[i].full);
		cr_expect_eq(addr_port(&addr), 24, "%s", rows[i].text);
	}
}

Test(addr, not_literals)
{
	static const char *const rows[] = {
		"", "[]", "[", "]", "localhost", "192.0.2", "192.0.2.1.",
		"192.0.2.256", "192.0.2.1:24", "[192.0.2.1", "192.0.2.1]",
		"[[::1]]", "fe80::1%eth0", "fe80::1%1", "::1/128", "1:2:3",
		" 192.0.2.1", "192.0.2.1 ", "0x7f.1", "127.1", "IPv6:::1",
		"1111:2222:3333:4444:5555:6666:255.255.255.2555",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc",
	};
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		struct addr addr = { .len = 99 };

		cr_expect_eq(addr_parse_ip(&addr, rows[i], 24), -1, "%s",
			     rows[i]);
		cr_expect_eq(addr.len, 99, "%s touched it", rows[i]);
	}
}

Test(addr, lengths_are_the_kernels)
{
	struct addr path = un("/run/x");

	cr_expect_eq(ip("192.0.2.1", 24).len, sizeof(struct sockaddr_in));
	cr_expect_eq(ip("::1", 24).len, sizeof(struct sockaddr_in6));
	cr_expect_eq(path.len, offsetof(struct sockaddr_un, sun_path) + 7);
	cr_expect_eq(path.sa.sa_family, AF_UNIX);
}

Test(addr, unix_paths)
{
	struct addr addr = un("/run/lmtp");
	char path[200];

	check_text(&addr, "local", "/run/lmtp");
	cr_expect_eq(addr_port(&addr), 0);
	addr_set_port(&addr, 24);
	cr_expect_str_eq(addr.un.sun_path, "/run/lmtp");
	addr = un("/run/a\nb");
	check_text(&addr, "local", "/run/a\\x0ab");

	cr_expect_eq(addr_set_unix(&addr, ""), -1);
	memset(path, 'x', sizeof(path));
	path[sizeof(addr.un.sun_path)] = '\0';
	cr_expect_eq(addr_set_unix(&addr, path), -1);
	path[sizeof(addr.un.sun_path) - 1] = '\0';
	cr_expect_eq(addr_set_unix(&addr, path), 0);
	check_text(&addr, "local", path);
}

Test(addr, unix_without_a_path)
{
	struct addr unnamed = un_raw("", 0), abstract = un_raw("\0a\0b", 4);
	struct addr other = un_raw("\0a\0c", 4);

	check_text(&unnamed, "local", "local");
	check_text(&abstract, "local", "\\x00a\\x00b");
	cr_expect(addr_equal(&abstract, &abstract));
	cr_expect_not(addr_equal(&abstract, &other));
	cr_expect_not(addr_equal(&abstract, &unnamed));
}

Test(addr, no_address)
{
	struct addr none = { .len = 0 }, real = ip("0.0.0.0", 0);

	check_text(&none, "none", "none");
	cr_expect_eq(addr_port(&none), 0);
	addr_set_port(&none, 24);
	addr_unmap(&none);
	cr_expect_eq(none.len, 0);
	cr_expect(addr_equal(&none, &none));
	cr_expect_not(addr_equal(&none, &real));
	cr_expect_not(addr_same_host(&real, &none));
}

Test(addr, ports)
{
	struct addr in = ip("192.0.2.1", 0), in6 = ip("::1", 65535);

	addr_set_port(&in, 24);
	addr_set_port(&in6, 258);
	check_text(&in, "192.0.2.1", "192.0.2.1:24");
	check_text(&in6, "::1", "[::1]:258");
	cr_expect_eq(ntohs(in6.in6.sin6_port), 258);
}

Test(addr, unmap)
{
	struct addr mapped = ip("::ffff:192.0.2.1", 24), plain = ip("::1", 24);
	struct addr in = ip("192.0.2.1", 24);

	addr_unmap(&mapped);
	check_text(&mapped, "192.0.2.1", "192.0.2.1:24");
	cr_expect_eq(mapped.len, in.len);
	addr_unmap(&plain);
	check_text(&plain, "::1", "[::1]:24");
	addr_unmap(&in);
	check_text(&in, "192.0.2.1", "192.0.2.1:24");
}

Test(addr, comparing)
{
	static const struct {
		const char *a, *b;
		uint16_t port;
		bool same_host, equal;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", 24, true, true },
		{ "192.0.2.1", "192.0.2.1", 25, true, false },
		{ "192.0.2.1", "192.0.2.2", 24, false, false },
		{ "2001:db8::1", "2001:db8::1", 24, true, true },
		{ "2001:db8::1", "2001:db8::1", 25, true, false },
		{ "2001:db8::1", "2001:db8::2", 24, false, false },
		{ "::ffff:192.0.2.1", "192.0.2.1", 24, true, true },
		{ "192.0.2.1", "::ffff:192.0.2.1", 25, true, false },
		{ "::192.0.2.1", "192.0.2.1", 24, false, false },
		{ "::", "0.0.0.0", 24, false, false },
		{ "/run/a", "/run/a", 24, true, true },
		{ "/run/a", "/run/b", 24, true, false },
		{ "/run/a", "/run/ab", 24, true, false },
		{ "/run/a", "0.0.0.0", 0, false, false },
	};
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		struct addr a = *rows[i].a == '/' ? un(rows[i].a)
						  : ip(rows[i].a, 24);
		struct addr b = *rows[i].b == '/'
					? un(rows[i].b)
					: ip(rows[i].b, rows[i].port);

		cr_expect_eq(addr_same_host(&a, &b), rows[i].same_host,
			     "same_host %s %s", rows[i].a, rows[i].b);
		cr_expect_eq(addr_equal(&a, &b), rows[i].equal, "equal %s %s",
			     rows[i].a, rows[i].b);
		cr_expect_eq(addr_equal(&b, &a), rows[i].equal, "equal %s %s",
			     rows[i].b, rows[i].a);
	}
}

Test(addr, zones_are_part_of_the_host)
{
	struct addr a = ip("fe80::1", 24), b = a;

	b.in6.sin6_scope_id = 2;
	cr_expect_not(addr_same_host(&a, &b));
	b.in6.sin6_scope_id = 0;
	b.in6.sin6_flowinfo = 7;
	cr_expect(addr_equal(&a, &b));
}

Test(addr, kernel_may_leave_out_the_nul)
{
	struct addr a = un("/run/a"), b = un_raw("/run/a", 6);

	cr_expect(addr_equal(&a, &b));
	check_text(&b, "local", "/run/a");
}

Test(addr, networks)
{
	static const struct {
		const char *net, *addr;
		bool in;
	} rows[] = {
		{ "10.0.0.0/8", "10.255.0.1", true },
		{ "10.0.0.0/8", "11.0.0.1", false },
		{ "10.1.2.3/8", "10.9.9.9", true },
		{ "192.0.2.128/25", "192.0.2.128", true },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.0", false },
		{ "192.0.2.1/32", "192.0.2.1", true },
		{ "192.0.2.1/31", "192.0.2.0", true },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "::1", true },
		{ "::/0", "192.0.2.1", false },
		{ "[2001:db8::]/32", "2001:db8:ffff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "2001:db8::1", "2001:db8::1", true },
		{ "2001:db8::1/128", "2001:db8::2", false },
		{ "10.0.0.0/8", "::ffff:10.1.1.1", true },
		{ "::ffff:10.0.0.0/104", "10.1.1.1", true },
		{ "::ffff:10.0.0.0/104", "11.1.1.1", false },
		{ "::ffff:10.0.0.1", "10.0.0.1", true },
	};
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		struct addr addr = ip(rows[i].addr, 24);
		struct addr_net net;

		cr_assert_eq(addr_net_parse(&net, rows[i].net), 0, "%s",
			     rows[i].net);
		cr_expect_eq(addr_net_contains(&net, &addr), rows[i].in,
			     "%s in %s", rows[i].addr, rows[i].net);
	}
}

Test(addr, networks_hold_no_unix_socket)
{
	struct addr path = un("/run/a"), none = { .len = 0 };
	struct addr_net all, empty = { .bits = 0 };

	cr_assert_eq(addr_net_parse(&all, "0.0.0.0/0"), 0);
	cr_expect_not(addr_net_contains(&all, &path));
	cr_expect_not(addr_net_contains(&all, &none));
	cr_expect_not(addr_net_contains(&empty, &none));
}

Test(addr, not_networks)
{
	static const char *const rows[] = {
		"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129",
		"10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/ 8", "10.0.0.0/8 ",
		"10.0.0.0/8/8", "10.0.0.0/255.0.0.0", "10/8", "host/8",
		"10.0.0.0/4294967304", "10.0.0.0/18446744073709551624",
		"[10.0.0.0/8]", "::ffff:10.0.0.0/129",
	};
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		struct addr_net net = { .bits = 99 };

		cr_expect_eq(addr_net_parse(&net, rows[i]), -1, "%s", rows[i]);
		cr_expect_eq(net.bits, 99, "%s touched it", rows[i]);
	}
}
