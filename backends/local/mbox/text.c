#include "backends/local/mbox/text.h"

#include <strings.h>

#include "lib/utf8.h"

#define SENDER_MAX 900

static const char *const dropped_fields[] = {
	"Content-Length", "Status",   "X-IMAP", "X-IMAPbase",
	"X-Keywords",	  "X-Status", "X-UID",
};

void mbox_text_from(struct str *out, const char *sender, time_t received)
{
	char date[64];
	struct tm tm;
	size_t i;

	if (sender[0] == '\0')
		sender = "MAILER-DAEMON";
	str_puts(out, "From ");
	i = out->len;
	str_append(out, sender, utf8_cut(sender, strlen(sender), SENDER_MAX));
	for (; i < out->len; i++)
		if ((unsigned char)out->data[i] <= ' ' || out->data[i] == 0x7f)
			out->data[i] = '_';
	localtime_r(&received, &tm);
	strftime(date, sizeof(date), "  %a %b %e %H:%M:%S %Y\n", &tm);
	str_puts(out, date);
}

static void put(struct mbox_text *text, const char *data, size_t len,
		struct str *out)
{
	if (text->dropping || len == 0)
		return;
	str_append(out, data, len);
	text->last = data[len - 1];
}

/* A blank may stand in front of a field's colon. */
static bool is_dropped(const char *line, size_t len)
{
	size_t i, name_len = strcspn(line, " \t:");
	size_t colon = name_len + strspn(line + name_len, " \t");

	for (i = 0; i < sizeof(dropped_fields) / sizeof(dropped_fields[0]); i++)
		if (name_len == strlen(dropped_fields[i]) &&
		    strncasecmp(line, dropped_fields[i], name_len) == 0)
			return colon >= len || line[colon] == ':';
	return false;
}

static void decide(struct mbox_text *text, struct str *out)
{
	char line[MBOX_TEXT_HELD_MAX + 1];
	size_t len = text->held_len;

	memcpy(line, text->held, len);
	line[len] = '\0';
	text->held_len = 0;
	text->in_line = true;
	if (line[0] == '\n' || (line[0] == '\r' && line[1] == '\n'))
		text->in_body = true;
	if (text->in_body)
		text->dropping = false;
	else if (line[0] != ' ' && line[0] != '\t')
		text->dropping = is_dropped(line, len);
	if (strncmp(line, "From ", 5) == 0)
		put(text, ">", 1, out);
	put(text, line, len, out);
}

/* Takes what is needed to decide; returns how much that was. */
static size_t hold(struct mbox_text *text, const char *data, size_t len,
		   struct str *out)
{
	size_t taken = 0;
	bool whole = false;

	while (!whole && taken < len && text->held_len < MBOX_TEXT_HELD_MAX) {
		text->held[text->held_len++] = data[taken];
		whole = data[taken++] == '\n';
	}
	if (whole || text->held_len == MBOX_TEXT_HELD_MAX) {
		decide(text, out);
		text->in_line = !whole;
	}
	return taken;
}

void mbox_text_add(struct mbox_text *text, const char *data, size_t len,
		   struct str *out)
{
	const char *end;
	size_t step;

	while (len > 0) {
		if (!text->in_line) {
			step = hold(text, data, len, out);
		} else {
			end = memchr(data, '\n', len);
			step = end != NULL ? (size_t)(end - data) + 1 : len;
			put(text, data, step, out);
			text->in_line = end == NULL;
		}
		data += step;
		len -= step;
	}
}

void mbox_text_end(struct mbox_text *text, struct str *out)
{
	if (text->held_len > 0)
		decide(text, out);
	if (text->last != '\n')
		str_putc(out, '\n');
	if (!text->in_body)
		str_putc(out, '\n');
	str_putc(out, '\n');
}
