#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/hosts.h"

static char path[] = "/tmp/waypost-hosts-XXXXXX";

static void setup(void)
{
	FILE *file = fdopen(mkstemp(path), "w");

	fputs("# a comment\n"
	      "127.0.0.1\tlocalhost\n"
	      "127.0.1.1 mx.example.org mx # mail\n"
	      "::1 localhost ip6-localhost\n"
	      "not-an-address mx2.example.org mx2\n"
	      "192.0.2.7 MX other.example.org#glued\n"
	      "192.0.2.8 last", file);
	fclose(file);
}

static void teardown(void)
{
	unlink(path);
}

TestSuite(hosts, .init = setup, .fini = teardown);

Test(hosts, addresses)
{
	struct addr addrs[4];
	struct str text = STR_INIT;

	cr_assert_eq(hosts_addresses(path, "localhost", addrs, 4), 2);
	addr_write_ip(&text, &addrs[0]);
	str_putc(&text, ' ');
	addr_write_ip(&text, &addrs[1]);
	cr_expect_str_eq(str_c(&text), "127.0.0.1 ::1");
	cr_expect_eq(hosts_addresses(path, "localhost", addrs, 1), 1);
	cr_expect_eq(hosts_addresses(path, "mx", addrs, 4), 2);
	cr_expect_eq(hosts_addresses(path, "last", addrs, 4), 1);
	cr_expect_eq(hosts_addresses(path, "mx2", addrs, 4), 0);
	cr_expect_eq(hosts_addresses(path, "mail", addrs, 4), 0);
	cr_expect_eq(hosts_addresses("/nowhere", "mx", addrs, 4), 0);
	str_free(&text);
}

/* As what a resolver reads has: hundreds of names for one address. */
Test(hosts, long_line)
{
	FILE *file = fopen(path, "w");
	struct addr addrs[4];
	char full[32];
	int i;

	fputs("192.0.2.9 first.example.org", file);
	for (i = 0; i < 1000; i++)
		fprintf(file, " name%d", i);
	fputs(" 192.0.2.10 first\n192.0.2.11 next\n", file);
	fclose(file);
	cr_expect_eq(hosts_addresses(path, "name999", addrs, 4), 1);
	cr_expect_eq(hosts_addresses(path, "first", addrs, 4), 1);
	cr_expect_eq(hosts_addresses(path, "next", addrs, 4), 1);
	cr_assert(hosts_full_name(path, "name999", full, sizeof(full)));
	cr_expect_str_eq(full, "first.example.org");
}

Test(hosts, full_name)
{
	char full[32];

	cr_assert(hosts_full_name(path, "mx", full, sizeof(full)));
	cr_expect_str_eq(full, "mx.example.org");
	cr_assert(hosts_full_name(path, "other.example.org", full, 32));
	cr_expect_str_eq(full, "other.example.org");
	cr_expect_not(hosts_full_name(path, "localhost", full, 32));
	cr_expect_not(hosts_full_name(path, "mx", full, 5));
	cr_expect_not(hosts_full_name(path, "unknown", full, 32));
}
