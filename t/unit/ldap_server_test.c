#include <criterion/criterion.h>

#include <string.h>

#include "passdb/ldap/server.h"

struct row {
	const char *text;
	const char *expected; /* "host port tls addr", or a part of the error */
};

typedef int parse_fn(struct ldap_servers *servers, struct arena *arena,
		     const char *text, struct err *err);

static void check(parse_fn *parse, const struct row *rows, size_t count)
{
	struct ldap_servers servers;
	struct arena *arena = arena_new(256);
	struct str out = STR_INIT;
	struct err err;
	unsigned j;
	size_t i;

	for (i = 0; i < count; i++) {
		str_clear(&out);
		if (parse(&servers, arena, rows[i].text, &err) < 0) {
			cr_expect(strstr(err.text, rows[i].expected) != NULL,
				  "%s: %s", rows[i].text, err.text);
			continue;
		}
		for (j = 0; j < servers.count; j++) {
			const struct ldap_server *server = &servers.list[j];

			str_printf(&out, "%s%s %u%s ", j > 0 ? "; " : "",
				   server->host ? server->host : "-",
				   server->port, server->tls ? " tls" : "");
			if (server->addr.len > 0)
				addr_write(&out, &server->addr);
			else
				str_puts(&out, "dns");
		}
		cr_expect_str_eq(str_c(&out), rows[i].expected, "%s: %s",
				 rows[i].text, str_c(&out));
	}
	str_free(&out);
	arena_free(&arena);
}

#define CHECK(parse, rows) check(parse, rows, sizeof(rows) / sizeof(*rows))

Test(ldap_server, uris)
{
	static const struct row rows[] = {
		{ "ldap://ldap.example.org", "ldap.example.org 389 dns" },
		{ "LDAP://a/ ldaps://b:1636", "a 389 dns; b 1636 tls dns" },
		{ " ldaps://b  ", "b 636 tls dns" },
		{ "ldap://127.0.0.1:1389", "127.0.0.1 1389 127.0.0.1:1389" },
		{ "ldap://[::1]:1389", "::1 1389 [::1]:1389" },
		{ "ldap://[::1]", "::1 389 [::1]:389" },
		{ "ldap:///", "localhost 389 dns" },
		{ "ldapi:///", "- 389 /var/run/slapd/ldapi" },
		{ "ldapi://%2ftmp%2Fa%20b", "- 389 /tmp/a b" },
		{ "", "no server" },
		{ "  ", "no server" },
		{ "http://a", "not an ldap://" },
		{ "a", "not an ldap://" },
		{ "ldap://a/dc=x", "only host and port" },
		{ "ldap://a:0", "bad port" },
		{ "ldap://a:65536", "bad port" },
		{ "ldap://a:99999999999999999999", "bad port" },
		{ "ldap://a:", "bad port" },
		{ "ldap://a:b", "bad port" },
		{ "ldap://[::1", "bad host name" },
		{ "ldap://[x]", "bad host name" },
		{ "ldap://a_,b", "bad host name" },
		{ "ldapi://%2", "bad % encoding" },
		{ "ldapi://%00", "bad % encoding" },
		{ "ldapi://%zz", "bad % encoding" },
		{ "ldap://a ldap://b?x", "bad host name" },
		{ "ldapi:///tmp/x", "only host and port" },
	};

	CHECK(ldap_servers_parse_uris, rows);
}

Test(ldap_server, path_too_long)
{
	struct ldap_servers servers;
	struct arena *arena = arena_new(256);
	struct err err;
	char text[200];

	memset(text, 'x', sizeof(text));
	memcpy(text, "ldapi://", 8);
	text[sizeof(text) - 1] = '\0';
	cr_expect_eq(ldap_servers_parse_uris(&servers, arena, text, &err), -1);
	cr_expect(strstr(err.text, "too long") != NULL);
	arena_free(&arena);
}

Test(ldap_server, hosts)
{
	static const struct row rows[] = {
		{ "a b:1389", "a 389 dns; b 1389 dns" },
		{ "192.0.2.1", "192.0.2.1 389 192.0.2.1:389" },
		{ "[2001:db8::1]:3268", "2001:db8::1 3268 [2001:db8::1]:3268" },
		{ "::1", "bad port" },
		{ "ldap://a", "bad port" },
	};

	CHECK(ldap_servers_parse_hosts, rows);
}
