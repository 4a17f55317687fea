#include "lib/smtp/referral.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena *arena;

static void setup(void)
{
	arena = arena_new(1024);
}

static void teardown(void)
{
	arena_free(&arena);
}

TestSuite(smtp_referral, .init = setup, .fini = teardown);

static struct smtp_reply referral_reply(const char *text)
{
	return (struct smtp_reply){ .code = 550,
				    .enhanced = { 5, 2, 900 },
				    .origin = SMTP_ORIGIN_REMOTE,
				    .text = text };
}

static const struct {
	const char *text, *user, *host;
	uint16_t port;
} good[] = {
	{ "<jane@example.org> backend2.example Referral", NULL,
	  "backend2.example", 0 },
	{ "backend2.example:2424 Referral", NULL, "backend2.example", 2424 },
	{ "<jane@example.org> joe%40example.org@192.0.2.1:24 Referral",
	  "joe@example.org", "192.0.2.1", 24 },
	{ "jane@[2001:db8::1]:65535 Referral", "jane", "2001:db8::1", 65535 },
	{ "[2001:db8::1] Referral", NULL, "2001:db8::1", 0 },
	{ "host", NULL, "host", 0 },
	{ "host\nmore lines", NULL, "host", 0 },
	{ "host Referral\n<x> other", NULL, "host", 0 },
	{ "a@b@host:1 x", "a@b", "host", 1 },
	{ "m%C3%BCller@host x", "m\303\274ller", "host", 0 },
	{ "a%2b%2Bb@host x", "a++b", "host", 0 },
	/* What stands in the path was the client's to choose. */
	{ "<\"x> evil.example Referral\"@example.org> host:1 Referral", NULL,
	  "host", 1 },
	{ "<\"\\\"> evil.example\"@example.org> host:1 Referral", NULL, "host",
	  1 },
	{ "<> host Referral", NULL, "host", 0 },
};

Test(smtp_referral, good)
{
	struct smtp_referral referral;
	struct err err = { "" };
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct smtp_reply reply = referral_reply(good[i].text);

		cr_assert_eq(smtp_referral_parse(arena, &reply, &referral,
						 &err), 1, "'%s': %s",
			     good[i].text, err.text);
		cr_assert_str_eq(referral.host, good[i].host, "'%s'",
				 good[i].text);
		cr_assert_eq(referral.port, good[i].port, "'%s'",
			     good[i].text);
		cr_assert_eq(referral.user != NULL, good[i].user != NULL);
		if (good[i].user != NULL)
			cr_assert_str_eq(referral.user, good[i].user, "'%s'",
					 good[i].text);
	}
}

static const char *const bad[] = {
	"", " host", "<jane@example.org>", "<jane@example.org>host",
	"<jane@example.org host Referral", "<\"a> host Referral",
	"<jane@example.org>  host", "<a\n> host", "@host", "a@", "user@:24",
	":24", "host:", "host:0", "host:65536", "host:24x", "host:-1",
	"host:99999999999999999999", "host::24", "2001:db8::1", "[2001:db8::1",
	"[]", "[2001:db8::1]24", "[2001:db8::1]:", "[192.0.2.1]", "[host]",
	"ho_st/x", "a..b", "a%@host", "a%4@host", "a%GG@host", "a%00b@host",
	"a%0Ab@host", "%7F@host", "%FF@host", "host\001", "m\303\274ller",
};

Test(smtp_referral, bad)
{
	struct smtp_referral referral;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct smtp_reply reply = referral_reply(bad[i]);
		struct err err = { "" };

		cr_assert_eq(smtp_referral_parse(arena, &reply, &referral,
						 &err), -1, "'%s'", bad[i]);
		cr_assert_not_null(strstr(err.text, "referred"), "'%s': %s",
				   bad[i], err.text);
		cr_assert_null(strchr(err.text, '\n'));
		cr_assert_null(strchr(err.text, '\001'));
	}
}

Test(smtp_referral, a_reply_without_text)
{
	struct smtp_reply reply = referral_reply(NULL);
	struct smtp_referral referral;
	struct err err;

	cr_assert_eq(smtp_referral_parse(arena, &reply, &referral, &err), -1);
}

Test(smtp_referral, other_replies)
{
	static const struct {
		int code;
		struct smtp_enhanced enhanced;
	} rows[] = {
		{ 550, { 0, 0, 0 } }, { 550, { 5, 1, 1 } },
		{ 550, { 5, 2, 90 } }, { 551, { 5, 2, 900 } },
		{ 450, { 4, 2, 900 } }, { 250, { 2, 2, 900 } },
	};
	struct smtp_referral referral;
	struct err err = { "" };
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct smtp_reply reply = { .code = rows[i].code,
					    .enhanced = rows[i].enhanced,
					    .text = "host Referral" };

		cr_assert_eq(smtp_referral_parse(arena, &reply, &referral,
						 &err), 0, "row %zu", i);
	}
	cr_assert_str_eq(err.text, "");
}

Test(smtp_referral, hosts_have_a_limit)
{
	char text[302] = "";
	struct smtp_reply reply = referral_reply(text);
	struct smtp_referral referral;
	struct err err;
	size_t i;

	for (i = 0; i < 300; i++)
		text[i] = i % 2 == 0 ? 'a' : '.';
	cr_assert_eq(smtp_referral_parse(arena, &reply, &referral, &err), -1);
	text[255] = '\0';
	cr_assert_eq(smtp_referral_parse(arena, &reply, &referral, &err), 1);
}
