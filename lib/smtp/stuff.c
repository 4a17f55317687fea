#include "lib/smtp/stuff.h"

#include <string.h>

#include "lib/panic.h"

static const char smtp_stuff_dot[] = ".";

void smtp_stuff_init(struct smtp_stuff *stuff, enum smtp_form from,
		     enum smtp_form to)
{
	*stuff = (struct smtp_stuff){
		.from = from, .to = to, .line_starts = true, .tail = "\r\n",
	};
}

/* Whether a line starts at buf[at], for some reader. */
static bool smtp_stuff_line_starts(const struct smtp_stuff *stuff,
				   const char *buf, size_t at)
{
	while (at > 0 && buf[at - 1] == '\0')
		at--;
	if (at == 0)
		return stuff->line_starts;
	return buf[at - 1] == '\n' || buf[at - 1] == '\r';
}

/* Goes on behind buf[0..len). */
static void smtp_stuff_pass(struct smtp_stuff *stuff, const char *buf,
			    size_t len)
{
	if (len == 0)
		return;
	stuff->line_starts = smtp_stuff_line_starts(stuff, buf, len);
	stuff->dot_sent = false;
	stuff->tail[0] = len > 1 ? buf[len - 2] : stuff->tail[1];
	stuff->tail[1] = buf[len - 1];
}

/* The first dot from buf[at] on that starts a line; len: there is none. */
static size_t smtp_stuff_find(const struct smtp_stuff *stuff, const char *buf,
			      size_t at, size_t len)
{
	const char *dot;

	for (; at < len; at++) {
		dot = memchr(buf + at, '.', len - at);
		if (dot == NULL)
			return len;
		at = (size_t)(dot - buf);
		if (smtp_stuff_line_starts(stuff, buf, at))
			return at;
	}
	return len;
}

/* at: where in the whole input it starts. Returns false when not all of it
 * fits. */
static bool smtp_stuff_put(struct smtp_stuffed *out, const char *data,
			   size_t len, size_t at)
{
	size_t room = out->count < SMTP_STUFF_PIECES ? out->limit - out->len :
						       0;
	size_t part = len < room ? len : room;

	if (part > 0) {
		out->iov[out->count].iov_base = (char *)data;
		out->iov[out->count].iov_len = part;
		out->at[out->count++] = at;
		out->len += part;
	}
	if (part < len)
		out->at[out->count] = at + part;
	return part == len;
}

/* One piece of the input, which starts at `start` of the whole. Returns false
 * when not all of it fits. */
static bool smtp_stuff_map_one(const struct smtp_stuff *stuff, const char *buf,
			       size_t len, size_t start,
			       struct smtp_stuffed *out)
{
	bool put = stuff->to == SMTP_FORM_DOTS;
	size_t from = 0, dot = 0;

	if (stuff->from == stuff->to)
		return smtp_stuff_put(out, buf, len, start);
	if (stuff->dot_sent)
		dot = 1;
	while ((dot = smtp_stuff_find(stuff, buf, dot, len)) < len) {
		if (!smtp_stuff_put(out, buf + from, dot - from, start + from))
			return false;
		if (put && !smtp_stuff_put(out, smtp_stuff_dot, 1, start + dot))
			return false;
		from = put ? dot : dot + 1;
		dot++;
	}
	return smtp_stuff_put(out, buf + from, len - from, start + from);
}

void smtp_stuff_map(const struct smtp_stuff *stuff, const struct iovec *in,
		    int count, size_t limit, struct smtp_stuffed *stuffed_r)
{
	struct smtp_stuff now = *stuff;
	size_t start = 0;
	int i;

	stuffed_r->count = 0;
	stuffed_r->len = 0;
	stuffed_r->limit = limit;
	for (i = 0; i < count; i++) {
		if (!smtp_stuff_map_one(&now, in[i].iov_base, in[i].iov_len,
					start, stuffed_r))
			return;
		smtp_stuff_pass(&now, in[i].iov_base, in[i].iov_len);
		start += in[i].iov_len;
	}
	stuffed_r->at[stuffed_r->count] = start;
}

/* Passes the first `used` bytes of the input. */
static void smtp_stuff_pass_all(struct smtp_stuff *stuff,
				const struct iovec *in, int count, size_t used)
{
	int i;

	for (i = 0; i < count && used > 0; i++) {
		size_t len = in[i].iov_len < used ? in[i].iov_len : used;

		smtp_stuff_pass(stuff, in[i].iov_base, len);
		used -= len;
	}
}

size_t smtp_stuff_advance(struct smtp_stuff *stuff, const struct iovec *in,
			  int count, const struct smtp_stuffed *stuffed,
			  size_t sent)
{
	size_t used;
	int i;

	ASSERT(sent <= stuffed->len);
	for (i = 0; i < stuffed->count && sent >= stuffed->iov[i].iov_len; i++)
		sent -= stuffed->iov[i].iov_len;
	used = stuffed->at[i] + sent;
	smtp_stuff_pass_all(stuff, in, count, used);
	if (sent == 0 && i > 0 &&
	    stuffed->iov[i - 1].iov_base == smtp_stuff_dot)
		stuff->dot_sent = true;
	return used;
}

const char *smtp_stuff_end(const struct smtp_stuff *stuff)
{
	if (stuff->to == SMTP_FORM_OCTETS)
		return "";
	return memcmp(stuff->tail, "\r\n", 2) == 0 ? ".\r\n" : "\r\n.\r\n";
}
