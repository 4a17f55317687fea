#include "backends/local/mail/field.h"

#include <string.h>
#include <strings.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Behind the name and its colon; NULL: the line is another field. */
static const char *match(const char *line, const char *end, const char *name)
{
	size_t len = strlen(name);

	if ((size_t)(end - line) <= len || strncasecmp(line, name, len) != 0)
		return NULL;
	for (line += len; line < end && is_blank(*line); line++)
		;
	return line < end && *line == ':' ? line + 1 : NULL;
}

static void put(struct str *out, const char *text, const char *end)
{
	if (end > text && end[-1] == '\r')
		end--;
	for (; text < end; text++)
		str_putc(out, *text == '\0' || *text == '\t' ? ' ' : *text);
}

static void trim(struct str *out, size_t from)
{
	size_t blanks = 0;

	while (from + blanks < out->len && out->data[from + blanks] == ' ')
		blanks++;
	if (blanks == 0)
		return;
	memmove(out->data + from, out->data + from + blanks,
		out->len - from - blanks);
	str_truncate(out, out->len - blanks);
}

bool mail_field_find(struct str *out, const char *text, size_t len,
		     const char *name)
{
	const char *end = text + len, *next, *value;
	size_t from = out->len;
	bool found = false;

	for (; text < end && (next = memchr(text, '\n', (size_t)(end - text))) !=
	       NULL; text = next + 1) {
		bool more = is_blank(*text);

		if (found && !more)
			break;
		if (!more && (*text == '\n' || *text == '\r'))
			break;
		value = found ? text : more ? NULL : match(text, next, name);
		if (value == NULL)
			continue;
		found = true;
		put(out, value, next);
	}
	trim(out, from);
	return found;
}
