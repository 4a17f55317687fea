/* First three bytes: how to cut the input, how much to send at once, and a
 * limit; the others: octets of a body. What is sent behind DATA ends where it
 * should for every reader, and gives the octets back. */
#include <string.h>

#include "lib/panic.h"
#include "lib/smtp/stuff.h"
#include "lib/str.h"
#include "t/data_reference.h"
#include "t/fuzz/fuzz.h"

#define WINDOW 8

struct way {
	size_t piece, part, limit;
};

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int look(const struct way *way, const struct str *in, size_t at,
		struct iovec *iov)
{
	int count = 0;

	while (count < WINDOW && at < in->len) {
		iov[count].iov_base = in->data + at;
		iov[count].iov_len = least(way->piece, in->len - at);
		at += iov[count++].iov_len;
	}
	return count;
}

static void convert(enum smtp_form from, enum smtp_form to,
		    const struct str *in, const struct way *way,
		    struct str *out)
{
	struct smtp_stuffed stuffed;
	struct smtp_stuff stuff;
	struct iovec iov[WINDOW];
	size_t at = 0, sent, left, used;
	int count, i;

	smtp_stuff_init(&stuff, from, to);
	while ((count = look(way, in, at, iov)) > 0) {
		smtp_stuff_map(&stuff, iov, count, way->limit, &stuffed);
		sent = left = least(stuffed.len, way->part);
		for (i = 0; left > 0; i++) {
			used = least(stuffed.iov[i].iov_len, left);
			str_append(out, stuffed.iov[i].iov_base, used);
			left -= used;
		}
		used = smtp_stuff_advance(&stuff, iov, count, &stuffed, sent);
		ASSERT(used + sent > 0);
		at += used;
	}
	ASSERT(at == in->len);
	str_puts(out, smtp_stuff_end(&stuff));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct way whole = { SIZE_MAX, SIZE_MAX, SIZE_MAX };
	struct str in = STR_INIT, out = STR_INIT, other = STR_INIT;
	struct way way;

	if (size < 3)
		return 0;
	way = (struct way){ data[0] + 1U, data[1] + 1U, data[2] + 1U };
	str_append(&in, data + 3, size - 3);
	convert(SMTP_FORM_OCTETS, SMTP_FORM_DOTS, &in, &whole, &out);
	convert(SMTP_FORM_OCTETS, SMTP_FORM_DOTS, &in, &way, &other);
	ASSERT(out.len == other.len &&
	       memcmp(out.data, other.data, out.len) == 0);
	str_truncate(&out, out.len - strlen(".\r\n"));
	ASSERT(data_reference_end(other.data, other.len) == (long)out.len);
	ASSERT(!data_reference_lax_end(str_c(&out), out.len));

	str_clear(&other);
	convert(SMTP_FORM_DOTS, SMTP_FORM_OCTETS, &out, &way, &other);
	ASSERT(other.len == in.len || other.len == in.len + 2);
	ASSERT(memcmp(str_c(&other), str_c(&in), in.len) == 0);
	str_free(&in);
	str_free(&out);
	str_free(&other);
	return 0;
}
