#include "backends/local/quota/maildirsize_text.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "backends/local/quota/rules.h"
#include "lib/mem.h"

/* Reads a number with blanks and perhaps a sign in front of it. Returns what is
 * behind it; NULL: there is none, or it is too large. */
static const char *read_signed(const char *text, int64_t *number_r)
{
	bool minus;

	text += strspn(text, " \t");
	minus = *text == '-';
	text += *text == '-' || *text == '+';
	if (!isdigit((unsigned char)*text))
		return NULL;
	for (*number_r = 0; isdigit((unsigned char)*text); text++) {
		int digit = minus ? '0' - *text : *text - '0';

		if (__builtin_mul_overflow(*number_r, 10, number_r) ||
		    __builtin_add_overflow(*number_r, digit, number_r))
			return NULL;
	}
	return text;
}

/* What follows the numbers does not matter, as in Dovecot. */
static int add_line(const char *line, int64_t *bytes, int64_t *messages)
{
	int64_t more_bytes, more_messages;

	line = read_signed(line, &more_bytes);
	if (line == NULL || read_signed(line, &more_messages) == NULL)
		return -1;
	if (__builtin_add_overflow(*bytes, more_bytes, bytes) ||
	    __builtin_add_overflow(*messages, more_messages, messages))
		return -1;
	return 0;
}

/* lines is a string without the last LF. */
static int parse_lines(char *lines, struct maildirsize_text *text_r)
{
	int64_t bytes = 0, messages = 0;
	char *line = strchr(lines, '\n');

	if (line != NULL)
		*line++ = '\0';
	text_r->has_limit = quota_maildir_limit(lines, &text_r->limit) == 0 ||
			    text_r->limit.bytes > 0 ||
			    text_r->limit.messages > 0;
	for (; line != NULL; text_r->lines++) {
		char *end = strchr(line, '\n');

		if (end != NULL)
			*end++ = '\0';
		if (add_line(line, &bytes, &messages) < 0)
			return -1;
		line = end;
	}
	if (bytes < 0 || messages < 0)
		return -1;
	text_r->used.bytes = (uint64_t)bytes;
	text_r->used.messages = (uint64_t)messages;
	return 0;
}

int maildirsize_text_parse(const char *text, size_t len,
			   struct maildirsize_text *text_r)
{
	const char *end = len > 0 ? memrchr(text, '\n', len) : NULL;
	bool broken = end == NULL || end != text + len - 1 ||
		      memchr(text, '\0', len) != NULL;
	char *copy;
	int status;

	*text_r = (struct maildirsize_text){ .lines = 0 };
	if (end == NULL)
		return -1;
	copy = mem_strndup(text, (size_t)(end - text));
	status = parse_lines(copy, text_r);
	mem_free(&copy);
	return broken ? -1 : status;
}

void maildirsize_text_write(const struct quota_amount *limit,
			    const struct quota_amount *used, struct str *out)
{
	if (limit->bytes != 0 || limit->messages == 0)
		str_printf(out, "%" PRIu64 "S", limit->bytes);
	if (limit->messages != 0)
		str_printf(out, "%s%" PRIu64 "C", limit->bytes != 0 ? "," : "",
			   limit->messages);
	str_putc(out, '\n');
	maildirsize_text_line((int64_t)used->bytes, (int64_t)used->messages, out);
}

void maildirsize_text_line(int64_t bytes, int64_t messages, struct str *out)
{
	str_printf(out, "%" PRId64 " %" PRId64 "\n", bytes, messages);
}

int64_t maildirsize_of_name(const char *name)
{
	const char *at = strstr(name, ",S=");
	int64_t size = 0;

	if (at == NULL)
		return -1;
	for (at += 3; isdigit((unsigned char)*at); at++) {
		if (__builtin_mul_overflow(size, 10, &size) ||
		    __builtin_add_overflow(size, *at - '0', &size))
			return -1;
	}
	return *at == '\0' || *at == ':' || *at == ',' ? size : -1;
}
