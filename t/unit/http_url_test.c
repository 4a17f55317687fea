#include "lib/http/url.h"

#include <criterion/criterion.h>
#include <string.h>

Test(http_url, parses)
{
	static const struct {
		const char *in, *text, *host;
		unsigned port;
		bool tls, literal;
	} cases[] = {
		{ "http://a", "http://a", "a", 80, false, false },
		{ "https://sql.example.org/", "https://sql.example.org",
		  "sql.example.org", 443, true, false },
		{ "http://192.0.2.1:4001", "http://192.0.2.1:4001",
		  "192.0.2.1", 4001, false, true },
		{ "https://[2001:db8::1]:65535/a/b//",
		  "https://[2001:db8::1]:65535/a/b", "2001:db8::1", 65535,
		  true, true },
		{ "http://[::1]", "http://[::1]", "::1", 80, false, true },
		{ "http://a_b-c:1/x%20y", "http://a_b-c:1/x%20y", "a_b-c", 1,
		  false, false },
	};
	struct arena *arena = arena_new(256);
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct http_url url;
		struct err err = { "" };

		cr_assert_eq(http_url_parse(&url, arena, cases[i].in, &err), 0,
			     "%s: %s", cases[i].in, err.text);
		cr_expect_str_eq(url.text, cases[i].text);
		cr_expect_str_eq(url.host, cases[i].host);
		cr_expect_eq(url.port, cases[i].port, "%s", cases[i].in);
		cr_expect_eq(url.tls, cases[i].tls, "%s", cases[i].in);
		cr_expect_eq(url.literal, cases[i].literal, "%s",
			     cases[i].in);
		if (url.literal)
			cr_expect_eq(addr_port(&url.addr), url.port);
	}
	arena_free(&arena);
}

Test(http_url, refuses)
{
	static const char *const texts[] = {
		"", "a", "ftp://a", "http:/a", "http://", "http:///x",
		"http://:80", "http://a:", "http://a:0", "http://a:65536",
		"http://a:1x", "http://a:123456", "http://u:secret@a",
		"http://secret@a", "http://a?b", "http://a/b?c", "http://a#b",
		"http://a b", "http://a/b c", "http://a/\r\nX: y",
		"http://a\nb", "http://[::1", "http://::1", "http://[a]",
		"http://[192.0.2.1]", "http://[::1]x", "http://-a",
		"http://a/\xc3\xa9", "http://\xc3\xa9", "HTTP://a",
	};
	struct arena *arena = arena_new(256);
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct http_url url;
		struct err err = { "" };

		cr_expect_eq(http_url_parse(&url, arena, texts[i], &err), -1,
			     "%s", texts[i]);
		cr_expect_null(strstr(err.text, "secret"), "%s", err.text);
	}
	arena_free(&arena);
}
