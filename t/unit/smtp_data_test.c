#include "lib/smtp/data.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "t/data_reference.h"

TestSuite(smtp_data, .timeout = 120);

#define TEXT(literal) { literal, sizeof(literal) - 1 }

struct text {
	const char *data;
	size_t len;
};

static const enum smtp_data_policy policies[] = { SMTP_DATA_NORMALIZE,
						  SMTP_DATA_REJECT,
						  SMTP_DATA_PASS };

/* One stream going through the scanner in several calls. */
struct feed {
	struct smtp_data data;
	struct str stored;
	size_t used;
	int ret;
	bool copied;
};

static void feed_start(struct feed *feed, enum smtp_data_policy policy)
{
	*feed = (struct feed){ .copied = false };
	smtp_data_init(&feed->data, policy);
}

/* The bytes are copied to where a read past either end is found out. */
static void feed_more(struct feed *feed, const char *in, size_t len)
{
	struct str out = STR_INIT;
	char *copy = malloc(len > 0 ? len : 1);
	size_t used = 0, keep = 0;

	memcpy(copy, in, len);
	feed->ret = smtp_data_scan(&feed->data, copy, len, &used, &keep, &out);
	cr_assert(feed->ret == 1 || used == len, "0 must consume it all");
	cr_assert_leq(used, len);
	cr_assert_leq(keep, used);
	cr_assert(keep == 0 || out.len == 0, "both in place and copied");
	cr_assert(memcmp(copy, in, len) == 0, "input changed");
	feed->copied |= out.len > 0;
	str_append(&feed->stored, copy, keep);
	str_append(&feed->stored, out.data, out.len);
	feed->used += used;
	str_free(&out);
	free(copy);
}

static const char *show(const char *data, size_t len)
{
	static struct str text[4];
	static unsigned turn;
	struct str *out = &text[turn++ % 4];

	str_clear(out);
	str_put_escaped(out, data, len);
	return str_c(out);
}

static void check_stored(const struct feed *feed, const struct str *want,
			 const char *in, size_t len, const char *how, size_t at)
{
	cr_assert(feed->stored.len == want->len &&
			  memcmp(str_c(&feed->stored), str_c(want),
				 want->len) == 0,
		  "policy %d, input \"%s\", %s %zu: got \"%s\", want \"%s\"",
		  feed->data.policy, show(in, len), how, at,
		  show(str_c(&feed->stored), feed->stored.len),
		  show(str_c(want), want->len));
}

/* in ends with an end of data, and holds nothing behind it. */
static void check_end(const struct feed *feed, size_t end, bool bad)
{
	cr_assert_eq(feed->ret, 1);
	cr_assert_eq(feed->used, end + 3);
	cr_assert_eq(feed->data.size, end);
	cr_assert_eq(feed->data.bad, bad);
}

static void check_harmless(const struct feed *feed)
{
	const struct str *stored = &feed->stored;
	long end = data_reference_end(str_c(stored), stored->len);

	cr_assert_eq(end, -1, "stored: an end in \"%s\"",
		     show(str_c(stored), stored->len));
	cr_assert_not(data_reference_lax_end(str_c(stored), stored->len),
		      "stored: a lax end in \"%s\"",
		      show(str_c(stored), stored->len));
	cr_assert(stored->len == 0 ||
		  (stored->len >= 2 &&
		   memcmp(stored->data + stored->len - 2, "\r\n", 2) == 0));
	if (feed->data.policy == SMTP_DATA_NORMALIZE)
		cr_assert_null(memchr(str_c(stored), '\0', stored->len));
}

static void check_cuts(enum smtp_data_policy policy, const char *in, size_t len,
		       size_t end, const struct str *want, bool bad)
{
	struct feed feed;
	size_t cut, size, i;

	for (cut = 0; cut <= len; cut++) {
		feed_start(&feed, policy);
		feed_more(&feed, in, cut);
		if (feed.ret == 0)
			feed_more(&feed, in + cut, len - cut);
		check_stored(&feed, want, in, len, "cut at", cut);
		check_end(&feed, end, bad);
		str_free(&feed.stored);
	}
	for (size = 1; size <= 3; size++) {
		feed_start(&feed, policy);
		for (i = 0; i < len && feed.ret == 0; i += size)
			feed_more(&feed, in + i,
				  len - i < size ? len - i : size);
		check_stored(&feed, want, in, len, "pieces of", size);
		check_end(&feed, end, bad);
		check_harmless(&feed);
		str_free(&feed.stored);
	}
}

/* Compares every policy and every way to cut in with the reference. */
static void check(const char *in, size_t len)
{
	long end = data_reference_end(in, len);
	size_t i;

	cr_assert_geq(end, 0, "no end in \"%s\"", show(in, len));
	for (i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		struct str want = STR_INIT;
		bool bad = data_reference_store(policies[i], in, (size_t)end,
						&want);

		check_cuts(policies[i], in, len, (size_t)end, &want, bad);
		str_free(&want);
	}
}

/* A stream and what is to come of it, said by hand. */
static const struct {
	struct text in, normalized, passed;
	bool bad;
} cases[] = {
	{ TEXT(".\r\n"), TEXT(""), TEXT(""), false },
	{ TEXT("\r\n.\r\n"), TEXT("\r\n"), TEXT("\r\n"), false },
	{ TEXT("a\r\n.\r\n"), TEXT("a\r\n"), TEXT("a\r\n"), false },
	{ TEXT("a\r\n.\r\nQUIT\r\n.\r\n"), TEXT("a\r\n"), TEXT("a\r\n"),
	  false },
	{ TEXT("a\r\n..\r\n..b\r\n.c\r\n.\r\n"),
	  TEXT("a\r\n..\r\n..b\r\n.c\r\n"), TEXT("a\r\n..\r\n..b\r\n.c\r\n"),
	  false },
	{ TEXT("a.\r\n.\r\n"), TEXT("a.\r\n"), TEXT("a.\r\n"), false },
	/* LF.LF, LF.CRLF */
	{ TEXT("a\n.\nb\r\n.\r\n"), TEXT("a\r\n..\r\nb\r\n"),
	  TEXT("a\n..\nb\r\n"), true },
	{ TEXT("a\n.\r\nb\r\n.\r\n"), TEXT("a\r\n..\r\nb\r\n"),
	  TEXT("a\n..\r\nb\r\n"), true },
	/* CR.CR, CR.CRLF, CR.LF */
	{ TEXT("a\r.\rb\r\n.\r\n"), TEXT("a\r\n..\r\nb\r\n"),
	  TEXT("a\r..\rb\r\n"), true },
	{ TEXT("a\r.\r\nb\r\n.\r\n"), TEXT("a\r\n..\r\nb\r\n"),
	  TEXT("a\r..\r\nb\r\n"), true },
	{ TEXT("a\r.\nb\r\n.\r\n"), TEXT("a\r\n..\r\nb\r\n"),
	  TEXT("a\r..\nb\r\n"), true },
	/* CRLF.LF, CRLF.CR */
	{ TEXT("a\r\n.\nb\r\n.\r\n"), TEXT("a\r\n..\r\nb\r\n"),
	  TEXT("a\r\n..\nb\r\n"), true },
	{ TEXT("a\r\n.\rb\r\n.\r\n"), TEXT("a\r\n..\r\nb\r\n"),
	  TEXT("a\r\n..\rb\r\n"), true },
	{ TEXT(".\nb\r\n.\r\n"), TEXT("..\r\nb\r\n"), TEXT("..\nb\r\n"),
	  true },
	{ TEXT(".\r\r\n.\r\n"), TEXT("..\r\n\r\n"), TEXT("..\r\r\n"), true },
	/* NULs around the dot */
	{ TEXT("a\r\n.\0\r\nb\r\n.\r\n"), TEXT("a\r\n..\r\nb\r\n"),
	  TEXT("a\r\n..\0\r\nb\r\n"), true },
	{ TEXT("a\r\n\0.\r\nb\r\n.\r\n"), TEXT("a\r\n..\r\nb\r\n"),
	  TEXT("a\r\n\0..\r\nb\r\n"), true },
	{ TEXT("a\r\n.\r\0\nb\r\n.\r\n"), TEXT("a\r\n..\r\nb\r\n"),
	  TEXT("a\r\n..\r\0\nb\r\n"), true },
	{ TEXT("a\r\0\n.\r\nb\r\n.\r\n"), TEXT("a\r\n..\r\nb\r\n"),
	  TEXT("a\r\0\n..\r\nb\r\n"), true },
	{ TEXT("\0.\r\nb\r\n.\r\n"), TEXT("..\r\nb\r\n"),
	  TEXT("\0..\r\nb\r\n"), true },
	{ TEXT("a\0b\0\r\n.\r\n"), TEXT("ab\r\n"), TEXT("a\0b\0\r\n"), true },
	/* A line that normalization makes, starting with a dot */
	{ TEXT("a\n.b\r\n.\r\n"), TEXT("a\r\n..b\r\n"), TEXT("a\n..b\r\n"),
	  true },
	{ TEXT("a\n..b\r\n.\r\n"), TEXT("a\r\n...b\r\n"), TEXT("a\n...b\r\n"),
	  true },
	/* Runs of bare ones */
	{ TEXT("a\r\r\n\n\rb\r\n.\r\n"), TEXT("a\r\n\r\n\r\n\r\nb\r\n"),
	  TEXT("a\r\r\n\n\rb\r\n"), true },
	{ TEXT("\n\r\n.\r\n"), TEXT("\r\n\r\n"), TEXT("\n\r\n"), true },
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static void check_case(enum smtp_data_policy policy, const struct text *in,
		       const struct text *stored, bool bad)
{
	struct str want = STR_INIT;
	struct feed feed;

	str_append(&want, stored->data, stored->len);
	feed_start(&feed, policy);
	feed_more(&feed, in->data, in->len);
	check_stored(&feed, &want, in->data, in->len, "by hand", 0);
	cr_assert_eq(feed.ret, 1);
	cr_assert_eq(feed.data.bad, bad);
	str_free(&feed.stored);
	str_free(&want);
}

Test(smtp_data, policies_by_hand)
{
	size_t i;

	for (i = 0; i < CASES; i++) {
		check_case(SMTP_DATA_NORMALIZE, &cases[i].in,
			   &cases[i].normalized, false);
		check_case(SMTP_DATA_PASS, &cases[i].in, &cases[i].passed,
			   false);
		check_case(SMTP_DATA_REJECT, &cases[i].in, &cases[i].passed,
			   cases[i].bad);
	}
}

Test(smtp_data, every_cut_of_every_case)
{
	size_t i;

	for (i = 0; i < CASES; i++)
		check(cases[i].in.data, cases[i].in.len);
}

/* Every string of the bytes that matter, up to a length. */
Test(smtp_data, every_short_stream)
{
	static const char bytes[] = { '\r', '\n', '.', '\0', 'x' };
	const unsigned max = 5;
	char in[16];
	unsigned len, n, count, rest, i;

	for (len = 0, count = 1; len <= max; len++, count *= sizeof(bytes)) {
		for (n = 0; n < count; n++) {
			for (i = 0, rest = n; i < len; i++) {
				in[i] = bytes[rest % sizeof(bytes)];
				rest /= sizeof(bytes);
			}
			memcpy(in + len, "\r\n.\r\n", 5);
			check(in, len + 5);
		}
	}
}

/* Something odd at every place around the blocks of the fast path. */
Test(smtp_data, odd_bytes_at_every_place)
{
	static const struct text odd[] = {
		TEXT("\n"),	     TEXT("\r"),	 TEXT("\0"),
		TEXT("\r\n.x"),	     TEXT("\r\n.\r\n"),	 TEXT("\n.\n"),
		TEXT("\r\n.\n"),     TEXT("\r.\r\n"),	 TEXT("\r\0\n.\r\n"),
		TEXT("\r\n.\0\r\n"), TEXT("\r\n\0.\r\n"), TEXT("\n.\r\n"),
	};
	char in[200];
	size_t o, at;

	for (o = 0; o < sizeof(odd) / sizeof(odd[0]); o++) {
		for (at = 0; at < 135; at += at < 55 ? 7 : 1) {
			memset(in, 'x', sizeof(in));
			memcpy(in + at, odd[o].data, odd[o].len);
			memcpy(in + 145, "\r\n.\r\n", 5);
			check(in, 150);
		}
	}
}

static unsigned random_next(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

/* Long streams, mostly text with CRLF, cut at random. */
Test(smtp_data, long_random_streams)
{
	static const char odd[] = { '\r', '\n', '.', '\0' };
	enum { LEN = 4000 };
	char in[LEN + 5];
	unsigned seed = 1, round;
	size_t i, len, piece;

	for (round = 0; round < 300; round++) {
		enum smtp_data_policy policy = policies[round % 3];
		unsigned rarity = 3 + random_next(&seed) % 600;
		struct str want = STR_INIT;
		struct feed feed;
		long end;
		bool bad;

		for (i = 0; i < LEN; i++) {
			in[i] = i % 71 == 69 ? '\r' : i % 71 == 70 ? '\n' : 'x';
			if (random_next(&seed) % rarity == 0)
				in[i] = odd[random_next(&seed) % 4];
		}
		memcpy(in + LEN, "\r\n.\r\n", 5);
		end = data_reference_end(in, sizeof(in));
		bad = data_reference_store(policy, in, (size_t)end, &want);
		feed_start(&feed, policy);
		for (i = 0; feed.ret == 0; i += piece) {
			len = sizeof(in) - i;
			piece = random_next(&seed) % 1000;
			if (piece > len)
				piece = len;
			feed_more(&feed, in + i, piece);
		}
		check_stored(&feed, &want, in, sizeof(in), "round", round);
		check_end(&feed, (size_t)end, bad);
		check_harmless(&feed);
		str_free(&feed.stored);
		str_free(&want);
	}
}

Test(smtp_data, clean_text_is_not_copied)
{
	static const char line[] =
		"Lorem ipsum dolor sit amet, consectetur adipiscing.\r\n";
	struct str in = STR_INIT;
	struct feed feed;
	size_t cut, i;

	for (i = 0; i < 100; i++)
		str_puts(&in, line);
	str_puts(&in, "..stuffed\r\n.\r\n");
	for (cut = 0; cut < 2 * strlen(line); cut++) {
		feed_start(&feed, SMTP_DATA_NORMALIZE);
		feed_more(&feed, in.data, cut);
		feed_more(&feed, in.data + cut, in.len - cut);
		cr_assert_eq(feed.ret, 1);
		cr_assert_not(feed.copied, "cut at %zu", cut);
		cr_assert_eq(feed.stored.len, in.len - 3);
		str_free(&feed.stored);
	}
	str_free(&in);
}

/* Clean up to a byte that has to change: only then is there a copy. */
Test(smtp_data, what_is_held_back_comes_later)
{
	struct feed feed;

	feed_start(&feed, SMTP_DATA_PASS);
	feed_more(&feed, "a\r\n.", 4);
	cr_assert_eq(feed.stored.len, 3);
	cr_assert_eq(feed.data.size, 4);
	feed_more(&feed, "\r", 1);
	cr_assert_eq(feed.stored.len, 3);
	feed_more(&feed, "", 0);
	cr_assert_eq(feed.stored.len, 3);
	feed_more(&feed, "b", 1);
	cr_assert_eq(feed.stored.len, 7);
	cr_assert_str_eq(str_c(&feed.stored), "a\r\n..\rb");
	str_free(&feed.stored);
}

Test(smtp_data, bytes_behind_the_end_are_left)
{
	struct feed feed;

	feed_start(&feed, SMTP_DATA_NORMALIZE);
	feed_more(&feed, "x\r\n.\r\nQUIT\r\n", 12);
	cr_assert_eq(feed.ret, 1);
	cr_assert_eq(feed.used, 6);
	cr_assert_eq(feed.data.size, 3);
	cr_assert_eq(feed.data.state, SMTP_DATA_END);
	str_free(&feed.stored);
}

/* --- octets of chunks --- */

static void octets_start(struct feed *feed, enum smtp_data_policy policy)
{
	*feed = (struct feed){ .copied = false };
	smtp_data_init_octets(&feed->data, policy);
}

static void octets_check(struct feed *feed, const char *in, size_t len,
			 size_t cut)
{
	struct str want = STR_INIT;
	bool bad = data_reference_store_octets(feed->data.policy, in, len,
					       &want);

	smtp_data_finish_octets(&feed->data, &feed->stored);
	check_stored(feed, &want, in, len, "cut at", cut);
	cr_assert_eq(feed->ret, 0);
	cr_assert_eq(feed->data.bad, bad, "\"%s\"", show(in, len));
	cr_assert_eq(feed->data.size, len);
	if (feed->data.policy == SMTP_DATA_PASS)
		cr_assert_not(feed->copied);
	str_free(&feed->stored);
	str_free(&want);
}

static void octets(const char *in, size_t len)
{
	struct feed feed;
	size_t i, cut, at;

	for (i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		for (cut = 0; cut <= len; cut++) {
			octets_start(&feed, policies[i]);
			feed_more(&feed, in, cut);
			feed_more(&feed, in + cut, len - cut);
			octets_check(&feed, in, len, cut);
		}
		octets_start(&feed, policies[i]);
		for (at = 0; at < len; at++)
			feed_more(&feed, in + at, 1);
		octets_check(&feed, in, len, 1);
	}
}

static const struct {
	struct text in, normalized;
	bool bad;
} octets_cases[] = {
	{ TEXT(""), TEXT(""), false },
	{ TEXT("a"), TEXT("a"), false },
	{ TEXT("a\r\n.\r\nb\r\n"), TEXT("a\r\n.\r\nb\r\n"), false },
	{ TEXT(".\r\n..\r\n.a"), TEXT(".\r\n..\r\n.a"), false },
	{ TEXT("a\n.\nb"), TEXT("a\r\n.\r\nb"), true },
	{ TEXT("a\r.\rb"), TEXT("a\r\n.\r\nb"), true },
	{ TEXT("a\r"), TEXT("a\r\n"), true },
	{ TEXT("a\r\0"), TEXT("a\r\n"), true },
	{ TEXT("a\r\0\n"), TEXT("a\r\n"), true },
	{ TEXT("a\n"), TEXT("a\r\n"), true },
	{ TEXT("\0.\0"), TEXT("."), true },
};

Test(smtp_data, octets)
{
	size_t i;

	for (i = 0; i < sizeof(octets_cases) / sizeof(octets_cases[0]); i++) {
		const struct text *in = &octets_cases[i].in;
		const struct text *normal = &octets_cases[i].normalized;
		struct str want = STR_INIT;

		octets(in->data, in->len);
		data_reference_store_octets(SMTP_DATA_NORMALIZE, in->data,
					    in->len, &want);
		cr_assert(want.len == normal->len &&
			  memcmp(str_c(&want), normal->data, want.len) == 0,
			  "\"%s\"", show(in->data, in->len));
		str_clear(&want);
		cr_assert_eq(data_reference_store_octets(
				     SMTP_DATA_REJECT, in->data, in->len,
				     &want), octets_cases[i].bad);
		str_free(&want);
	}
}

Test(smtp_data, every_short_body_of_octets)
{
	static const char bytes[] = { '.', '\r', '\n', '\0', 'a' };
	char body[5];
	size_t len, n, i, rest, all = 1;

	for (len = 0; len <= sizeof(body); len++, all *= sizeof(bytes)) {
		for (n = 0; n < all; n++) {
			for (rest = n, i = 0; i < len; i++) {
				body[i] = bytes[rest % sizeof(bytes)];
				rest /= sizeof(bytes);
			}
			octets(body, len);
		}
	}
}

/* Dots and lines in blocks that are looked at as one. */
Test(smtp_data, long_octets)
{
	struct str in = STR_INIT;
	size_t i;

	for (i = 0; i < 30; i++)
		str_puts(&in, i % 7 == 6 ? "\n.bare\r.\r\n" :
					   ".line of text.\r\n");
	octets(in.data, in.len);
	str_free(&in);
}
