#include "lib/smtp/stuff.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/smtp/data.h"
#include "lib/str.h"
#include "t/data_reference.h"

TestSuite(smtp_stuff, .timeout = 120);

#define TEXT(literal) { literal, sizeof(literal) - 1 }

struct text {
	const char *data;
	size_t len;
};

static const char *show(const char *data, size_t len)
{
	static struct str text[4];
	static unsigned turn;
	struct str *out = &text[turn++ % 4];

	str_clear(out);
	str_put_escaped(out, data, len);
	return str_c(out);
}

/* How one body goes out: cut into pieces of the input, and sent in parts. */
struct way {
	size_t piece; /* bytes of each piece of the input */
	int pieces;   /* seen at once */
	size_t part;  /* bytes sent at once */
	size_t limit;
};

#define WINDOW 8

/* The next pieces of in[at..len). */
static int look(const struct way *way, const char *in, size_t at, size_t len,
		struct iovec *iov)
{
	int count = 0;

	while (count < way->pieces && at < len) {
		size_t piece = len - at < way->piece ? len - at : way->piece;

		iov[count].iov_base = (char *)in + at;
		iov[count++].iov_len = piece;
		at += piece;
	}
	return count;
}

static void put(const struct smtp_stuffed *stuffed, size_t len, struct str *out)
{
	size_t sum = 0, part;
	int i;

	for (i = 0; i < stuffed->count; i++) {
		sum += stuffed->iov[i].iov_len;
		part = stuffed->iov[i].iov_len < len ?
			       stuffed->iov[i].iov_len : len;
		str_append(out, stuffed->iov[i].iov_base, part);
		len -= part;
	}
	cr_assert_eq(sum, stuffed->len);
	cr_assert_eq(len, 0);
}

/* Sends the whole of in, and the end. */
static void send_all(enum smtp_form from, enum smtp_form to, const char *in,
		     size_t len, const struct way *way, struct str *out)
{
	struct smtp_stuffed stuffed;
	struct smtp_stuff stuff;
	struct iovec iov[WINDOW];
	size_t at = 0, sent, used;
	int count;

	smtp_stuff_init(&stuff, from, to);
	while ((count = look(way, in, at, len, iov)) > 0) {
		smtp_stuff_map(&stuff, iov, count, way->limit, &stuffed);
		cr_assert_leq(stuffed.len, way->limit);
		cr_assert_leq(stuffed.count, SMTP_STUFF_PIECES);
		sent = stuffed.len < way->part ? stuffed.len : way->part;
		put(&stuffed, sent, out);
		used = smtp_stuff_advance(&stuff, iov, count, &stuffed, sent);
		cr_assert(used > 0 || sent > 0, "no progress in \"%s\"",
			  show(in, len));
		at += used;
		cr_assert_leq(at, len);
	}
	str_puts(out, smtp_stuff_end(&stuff));
}

static void check_ways(enum smtp_form from, enum smtp_form to,
		       const struct text *in, const struct text *want)
{
	static const struct way ways[] = {
		{ SIZE_MAX, 1, SIZE_MAX, SIZE_MAX },
		{ 1, WINDOW, 1, SIZE_MAX }, { 1, 1, 1, 1 },
		{ 2, 1, SIZE_MAX, SIZE_MAX }, { 2, WINDOW, 3, SIZE_MAX },
		{ 3, WINDOW, SIZE_MAX, 1 }, { 3, 2, 2, 5 },
		{ SIZE_MAX, 1, 1, SIZE_MAX }, { SIZE_MAX, 1, 2, 3 },
	};
	struct str out = STR_INIT;
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		str_clear(&out);
		send_all(from, to, in->data, in->len, &ways[i], &out);
		cr_assert(out.len == want->len &&
			  memcmp(str_c(&out), want->data, out.len) == 0,
			  "\"%s\" from %d to %d, way %zu: got \"%s\", "
			  "want \"%s\"", show(in->data, in->len), from, to, i,
			  show(str_c(&out), out.len),
			  show(want->data, want->len));
	}
	str_free(&out);
}

/* octets: the body; dots: how it is sent behind DATA; end: behind that. */
static const struct {
	struct text octets, dots;
	const char *end;
} cases[] = {
	{ TEXT(""), TEXT(""), ".\r\n" },
	{ TEXT("a\r\n"), TEXT("a\r\n"), ".\r\n" },
	{ TEXT("a"), TEXT("a"), "\r\n.\r\n" },
	{ TEXT("."), TEXT(".."), "\r\n.\r\n" },
	{ TEXT(".\r\n"), TEXT("..\r\n"), ".\r\n" },
	{ TEXT(".a\r\n..b\r\nc.\r\n"), TEXT("..a\r\n...b\r\nc.\r\n"),
	  ".\r\n" },
	{ TEXT("a\r\n.\r\nb\r\n"), TEXT("a\r\n..\r\nb\r\n"), ".\r\n" },
	{ TEXT("a\r\n.\r\n.\r\n.\r\n"), TEXT("a\r\n..\r\n..\r\n..\r\n"),
	  ".\r\n" },
	{ TEXT("a.b.c...\r\n"), TEXT("a.b.c...\r\n"), ".\r\n" },
	/* Not for strict readers, but for others: */
	{ TEXT("a\n.\nb\n"), TEXT("a\n..\nb\n"), "\r\n.\r\n" },
	{ TEXT("a\n.\r\nb\r\n"), TEXT("a\n..\r\nb\r\n"), ".\r\n" },
	{ TEXT("a\r.\rb\r"), TEXT("a\r..\rb\r"), "\r\n.\r\n" },
	{ TEXT("a\r\n.\n\r\n"), TEXT("a\r\n..\n\r\n"), ".\r\n" },
	{ TEXT("a\r\n.\r"), TEXT("a\r\n..\r"), "\r\n.\r\n" },
	{ TEXT("a\r\n\0.\r\n"), TEXT("a\r\n\0..\r\n"), ".\r\n" },
	{ TEXT("\0\0.\r\n"), TEXT("\0\0..\r\n"), ".\r\n" },
	{ TEXT("a\0.\r\n"), TEXT("a\0.\r\n"), ".\r\n" },
	{ TEXT("a\r\0\n.\r\n"), TEXT("a\r\0\n..\r\n"), ".\r\n" },
	{ TEXT("\r\n\0"), TEXT("\r\n\0"), "\r\n.\r\n" },
	{ TEXT("\n"), TEXT("\n"), "\r\n.\r\n" },
};

Test(smtp_stuff, cases)
{
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str want = STR_INIT;
		struct text whole;

		str_append(&want, cases[i].dots.data, cases[i].dots.len);
		str_puts(&want, cases[i].end);
		whole = (struct text){ want.data, want.len };
		check_ways(SMTP_FORM_OCTETS, SMTP_FORM_DOTS, &cases[i].octets,
			   &whole);
		check_ways(SMTP_FORM_DOTS, SMTP_FORM_DOTS, &cases[i].dots,
			   &whole);
		check_ways(SMTP_FORM_DOTS, SMTP_FORM_OCTETS, &cases[i].dots,
			   &cases[i].octets);
		check_ways(SMTP_FORM_OCTETS, SMTP_FORM_OCTETS,
			   &cases[i].octets, &cases[i].octets);
		str_free(&want);
	}
}

/* What is sent behind DATA ends once, and not before, for whatever reader; and
 * gives the octets back. */
static void check_safe(const char *in, size_t len)
{
	static const struct way way = { SIZE_MAX, 1, SIZE_MAX, SIZE_MAX };
	struct text octets = { in, len }, whole;
	struct str out = STR_INIT, back = STR_INIT;
	long end;

	send_all(SMTP_FORM_OCTETS, SMTP_FORM_DOTS, in, len, &way, &out);
	end = data_reference_end(out.data, out.len);
	cr_assert_eq(end, (long)out.len - 3, "\"%s\"", show(in, len));
	cr_assert_not(data_reference_lax_end(out.data, (size_t)end), "\"%s\"",
		      show(in, len));
	whole = (struct text){ out.data, out.len };
	check_ways(SMTP_FORM_OCTETS, SMTP_FORM_DOTS, &octets, &whole);
	send_all(SMTP_FORM_DOTS, SMTP_FORM_OCTETS, out.data, (size_t)end, &way,
		 &back);
	cr_assert(back.len == len || back.len == len + 2, "\"%s\"",
		  show(in, len));
	cr_assert(memcmp(str_c(&back), in, len) == 0, "\"%s\"", show(in, len));
	str_free(&out);
	str_free(&back);
}

Test(smtp_stuff, every_short_body)
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
			check_safe(body, len);
		}
	}
}

/* The dots that smtp_data_scan() adds with SMTP_DATA_PASS go, too. */
Test(smtp_stuff, undoes_what_the_scan_of_data_added)
{
	static const char in[] = "a\n.\nb\r\n.\rc\r\n..\r\n\r\n.\r\n";
	static const struct way way = { SIZE_MAX, 1, SIZE_MAX, SIZE_MAX };
	struct str stored = STR_INIT, back = STR_INIT;
	struct smtp_data data;
	size_t used, keep;

	smtp_data_init(&data, SMTP_DATA_PASS);
	cr_assert_eq(smtp_data_scan(&data, in, sizeof(in) - 1, &used, &keep,
				    &stored), 1);
	cr_assert_str_eq(str_c(&stored), "a\n..\nb\r\n..\rc\r\n..\r\n\r\n");
	send_all(SMTP_FORM_DOTS, SMTP_FORM_OCTETS, stored.data, stored.len,
		 &way, &back);
	cr_assert_str_eq(str_c(&back), "a\n.\nb\r\n.\rc\r\n.\r\n\r\n");
	str_free(&stored);
	str_free(&back);
}

Test(smtp_stuff, more_dots_than_pieces)
{
	static const struct way ways[] = {
		{ SIZE_MAX, 1, SIZE_MAX, SIZE_MAX },
		{ 7, WINDOW, SIZE_MAX, SIZE_MAX },
		{ SIZE_MAX, 1, 100, SIZE_MAX },
		{ SIZE_MAX, 1, SIZE_MAX, 65 },
	};
	struct str octets = STR_INIT, dots = STR_INIT, out = STR_INIT;
	size_t i;

	for (i = 0; i < 1000; i++) {
		str_puts(&octets, ".\r\n");
		str_puts(&dots, "..\r\n");
	}
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		str_clear(&out);
		send_all(SMTP_FORM_DOTS, SMTP_FORM_OCTETS, dots.data, dots.len,
			 &ways[i], &out);
		cr_assert_str_eq(str_c(&out), octets.data, "way %zu", i);
		str_clear(&out);
		send_all(SMTP_FORM_OCTETS, SMTP_FORM_DOTS, octets.data,
			 octets.len, &ways[i], &out);
		str_puts(&dots, ".\r\n");
		cr_assert_str_eq(str_c(&out), dots.data, "way %zu", i);
		str_truncate(&dots, dots.len - 3);
	}
	str_free(&octets);
	str_free(&dots);
	str_free(&out);
}

Test(smtp_stuff, nothing_is_copied)
{
	static char body[] = "text\r\n.more\r\n";
	struct iovec in = { body, sizeof(body) - 1 };
	struct smtp_stuffed stuffed;
	struct smtp_stuff stuff;

	smtp_stuff_init(&stuff, SMTP_FORM_DOTS, SMTP_FORM_OCTETS);
	smtp_stuff_map(&stuff, &in, 1, SIZE_MAX, &stuffed);
	cr_assert_eq(stuffed.count, 2);
	cr_assert(stuffed.iov[0].iov_base == body);
	cr_assert(stuffed.iov[1].iov_base == body + 7);
	cr_assert_eq(stuffed.len, sizeof(body) - 2);
}

/* A map says how much of the input it covers, dots that go included. */
Test(smtp_stuff, a_dot_that_goes_is_passed)
{
	static char body[] = "a\r\n.";
	struct iovec in = { body, sizeof(body) - 1 };
	struct smtp_stuffed stuffed;
	struct smtp_stuff stuff;

	smtp_stuff_init(&stuff, SMTP_FORM_DOTS, SMTP_FORM_OCTETS);
	smtp_stuff_map(&stuff, &in, 1, SIZE_MAX, &stuffed);
	cr_assert_eq(stuffed.len, 3);
	cr_assert_eq(smtp_stuff_advance(&stuff, &in, 1, &stuffed, 3), 4);
	cr_assert_not(stuff.line_starts);
}

Test(smtp_stuff, empty_pieces)
{
	static char body[] = ".a";
	struct iovec in[] = { { body, 0 }, { body, 1 }, { body, 0 },
			      { body + 1, 1 } };
	struct smtp_stuffed stuffed;
	struct smtp_stuff stuff;

	smtp_stuff_init(&stuff, SMTP_FORM_OCTETS, SMTP_FORM_DOTS);
	smtp_stuff_map(&stuff, in, 0, SIZE_MAX, &stuffed);
	cr_assert_eq(stuffed.count, 0);
	cr_assert_eq(smtp_stuff_advance(&stuff, in, 0, &stuffed, 0), 0);
	smtp_stuff_map(&stuff, in, 4, SIZE_MAX, &stuffed);
	cr_assert_eq(stuffed.len, 3);
	cr_assert_eq(smtp_stuff_advance(&stuff, in, 4, &stuffed, 1), 0);
	cr_assert(stuff.dot_sent);
	smtp_stuff_map(&stuff, in, 4, SIZE_MAX, &stuffed);
	cr_assert_eq(stuffed.len, 2);
	cr_assert_eq(smtp_stuff_advance(&stuff, in, 4, &stuffed, 2), 2);
	cr_assert_str_eq(smtp_stuff_end(&stuff), "\r\n.\r\n");
}
