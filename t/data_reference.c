#include "t/data_reference.h"

#include <string.h>

/* A stream as seen from one of its places; before and after it lies nothing. */
struct view {
	const char *in;
	size_t len;
};

#define NOTHING (-1)

static int at(const struct view *view, long i)
{
	if (i < 0 || i >= (long)view->len)
		return NOTHING;
	return (unsigned char)view->in[i];
}

static bool is_pair(const struct view *view, long i)
{
	return at(view, i) == '\r' && at(view, i + 1) == '\n';
}

/* The nearest place before or after i (step -1 or 1) that holds no NUL. */
static long past_nuls(const struct view *view, long i, int step)
{
	do {
		i += step;
	} while (at(view, i) == '\0');
	return i;
}

/* i is where a line starts for a strict reader. */
static bool starts_line(const struct view *view, long i)
{
	return i == 0 || is_pair(view, i - 2);
}

/* i is where a line starts for a lax one, and not for a strict one. */
static bool starts_lax_line(const struct view *view, long i)
{
	int before = at(view, past_nuls(view, i, -1));

	return !starts_line(view, i) &&
	       (before == NOTHING || before == '\r' || before == '\n');
}

static bool is_bare_cr(const struct view *view, long i)
{
	return at(view, i) == '\r' && at(view, i + 1) != '\n';
}

static bool is_bare_lf(const struct view *view, long i)
{
	return at(view, i) == '\n' && at(view, i - 1) != '\r';
}

static bool is_stuffed(const struct view *view, long i)
{
	int after = at(view, i + 1);

	if (at(view, i) != '.')
		return false;
	if (starts_lax_line(view, i))
		return true;
	return starts_line(view, i) && (after == '\0' || after == '\n' ||
					is_bare_cr(view, i + 1));
}

static void normalize(const struct view *view, long i, struct str *out)
{
	char c = view->in[i];

	if (c == '\0')
		return;
	if (c == '\n' && at(view, past_nuls(view, i, -1)) != '\r')
		str_putc(out, '\r');
	str_putc(out, c);
	if (c == '\r' && at(view, past_nuls(view, i, 1)) != '\n')
		str_putc(out, '\n');
}

long data_reference_end(const char *in, size_t len)
{
	struct view view = { in, len };
	long i;

	for (i = 0; i < (long)len; i++)
		if (starts_line(&view, i) && at(&view, i) == '.' &&
		    is_pair(&view, i + 1))
			return i;
	return -1;
}

static bool store(enum smtp_data_policy policy, const struct view *view,
		  bool stuffed, struct str *out)
{
	bool bad = false;
	long i;

	for (i = 0; i < (long)view->len; i++) {
		bad |= view->in[i] == '\0' || is_bare_cr(view, i) ||
		       is_bare_lf(view, i);
		if (stuffed && is_stuffed(view, i))
			str_putc(out, '.');
		if (policy == SMTP_DATA_NORMALIZE)
			normalize(view, i, out);
		else
			str_putc(out, view->in[i]);
	}
	return policy == SMTP_DATA_REJECT && bad;
}

bool data_reference_store(enum smtp_data_policy policy, const char *in,
			  size_t len, struct str *out)
{
	struct view view = { in, len };

	return store(policy, &view, true, out);
}

bool data_reference_store_octets(enum smtp_data_policy policy, const char *in,
				 size_t len, struct str *out)
{
	struct view view = { in, len };

	return store(policy, &view, false, out);
}

bool data_reference_lax_end(const char *in, size_t len)
{
	struct view view = { in, len };
	long i, before, after;

	for (i = 0; i < (long)len; i++) {
		before = at(&view, past_nuls(&view, i, -1));
		after = at(&view, past_nuls(&view, i, 1));
		if (in[i] == '.' && (before == NOTHING || before == '\r' ||
				     before == '\n') &&
		    (after == NOTHING || after == '\r' || after == '\n'))
			return true;
	}
	return false;
}
