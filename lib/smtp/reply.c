#include "lib/smtp/reply.h"

#include <string.h>

#include "lib/plain.h"

/* How much of a bad line is quoted. */
#define QUOTE_MAX 100
/* All of a line but its path and its text: two codes, blanks, brackets, end. */
#define HEAD_MAX_LEN 32

static bool smtp_reply_is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

static bool smtp_reply_has_control(const char *text, size_t len)
{
	size_t i;

	for (i = plain_len(text, len); i < len; i++)
		if (smtp_reply_is_control(text[i]))
			return true;
	return false;
}

void smtp_reply_copy(struct arena *arena, struct smtp_reply *dst,
		     const struct smtp_reply *src)
{
	*dst = *src;
	dst->text = arena_strdup(arena, src->text != NULL ? src->text : "");
}

/* --- writing --- */

/* These put something where there is room for it, and return its end. */

static char *smtp_reply_put(char *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return at + len;
}

static char *smtp_reply_put_number(char *at, unsigned number)
{
	if (number >= 10) {
		at = smtp_reply_put_number(at, number / 10);
		number %= 10;
	}
	*at++ = (char)('0' + number);
	return at;
}

/* It has three digits. */
static char *smtp_reply_put_code(char *at, int code)
{
	*at++ = (char)('0' + code / 100);
	*at++ = (char)('0' + code / 10 % 10);
	*at++ = (char)('0' + code % 10);
	return at;
}

static char *smtp_reply_put_enhanced(char *at,
				     const struct smtp_enhanced *enhanced)
{
	at = smtp_reply_put_number(at, enhanced->class);
	*at++ = '.';
	at = smtp_reply_put_number(at, enhanced->subject);
	*at++ = '.';
	return smtp_reply_put_number(at, enhanced->detail);
}

void smtp_enhanced_write(struct str *out, const struct smtp_enhanced *enhanced)
{
	char *at = str_reserve(out, HEAD_MAX_LEN);

	str_grown(out, (size_t)(smtp_reply_put_enhanced(at, enhanced) - at));
}

static void smtp_reply_hide_control(char *text, size_t len)
{
	size_t i;

	for (i = plain_len(text, len); i < len; i++)
		if (smtp_reply_is_control(text[i]))
			text[i] = '?';
}

static void smtp_reply_write_line(struct str *out,
				  const struct smtp_reply *reply,
				  const char *path, const char *text,
				  size_t len, bool last)
{
	size_t path_len = path != NULL ? strlen(path) : 0;
	char *line = str_reserve(out, HEAD_MAX_LEN + path_len + len);
	char *at = smtp_reply_put_code(line, reply->code), *start;

	*at++ = last ? ' ' : '-';
	start = at;
	if (reply->enhanced.class != 0)
		at = smtp_reply_put_enhanced(at, &reply->enhanced);
	if (path != NULL) {
		if (at > start)
			*at++ = ' ';
		*at++ = '<';
		at = smtp_reply_put(at, path, path_len);
		*at++ = '>';
	}
	if (len > 0) {
		if (at > start)
			*at++ = ' ';
		at = smtp_reply_put(at, text, len);
	}
	smtp_reply_hide_control(start, (size_t)(at - start));
	at = smtp_reply_put(at, "\r\n", 2);
	str_grown(out, (size_t)(at - line));
}

void smtp_reply_write(struct str *out, const struct smtp_reply *reply,
		      const char *path)
{
	const char *line = reply->text != NULL ? reply->text : "", *end;

	for (;;) {
		end = strchrnul(line, '\n');
		smtp_reply_write_line(out, reply, path, line,
				      (size_t)(end - line), *end == '\0');
		if (*end == '\0')
			return;
		line = end + 1;
	}
}

void smtp_reply_describe(struct str *out, const struct smtp_reply *reply)
{
	const char *line = reply->text, *end;
	char *head = str_reserve(out, HEAD_MAX_LEN);
	char *at = smtp_reply_put_code(head, reply->code);

	if (reply->enhanced.class != 0) {
		*at++ = ' ';
		at = smtp_reply_put_enhanced(at, &reply->enhanced);
	}
	if (line != NULL && *line != '\0')
		*at++ = ' ';
	str_grown(out, (size_t)(at - head));
	if (line == NULL)
		return;
	while (*(end = strchrnul(line, '\n')) != '\0') {
		str_append(out, line, (size_t)(end - line));
		str_puts(out, " / ");
		line = end + 1;
	}
	str_append(out, line, (size_t)(end - line));
}

/* --- reading --- */

void smtp_reply_parser_init(struct smtp_reply_parser *parser)
{
	*parser = (struct smtp_reply_parser){ .code = 0 };
}

void smtp_reply_parser_free(struct smtp_reply_parser *parser)
{
	str_free(&parser->line);
	str_free(&parser->text);
}

static int smtp_reply_bad(const char *line, size_t len, const char *what,
			  struct err *err)
{
	struct str quote = STR_INIT;

	str_put_escaped(&quote, line, len < QUOTE_MAX ? len : QUOTE_MAX);
	err_put(err, "%s: \"%s%s\"", what, str_c(&quote),
		len > QUOTE_MAX ? "..." : "");
	str_free(&quote);
	return -1;
}

static bool smtp_reply_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The code at the start of the line, 0 when there is none. Only the first digit
 * must be one that has a meaning; servers are known to make up the others. */
static int smtp_reply_code(const char *line, size_t len)
{
	if (len < 3 || line[0] < '2' || line[0] > '5' ||
	    !smtp_reply_is_digit(line[1]) || !smtp_reply_is_digit(line[2]) ||
	    (len > 3 && line[3] != ' ' && line[3] != '-'))
		return 0;
	return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

/* A number of one to three digits without leading zeros (RFC 3463 2). Returns
 * its end, text when it is none. What ends a line, ends a number. */
static const char *smtp_enhanced_number(const char *text,
					unsigned short *number_r)
{
	const char *at = text;
	int number = 0;

	while (smtp_reply_is_digit(*at) && at - text < 4)
		number = number * 10 + *at++ - '0';
	*number_r = (unsigned short)number;
	if (at - text > 3 || (at - text > 1 && *text == '0'))
		return text;
	return at;
}

/* The enhanced code at the start of text, with the blank behind it. Returns the
 * length, 0 when there is none that goes with code. */
static size_t smtp_enhanced_parse(const char *text, size_t len, int code,
				  struct smtp_enhanced *enhanced_r)
{
	const char *subject = text + 2, *detail, *end;

	if (len < 5 || text[0] != '0' + code / 100 || text[0] == '3' ||
	    text[1] != '.')
		return 0;
	enhanced_r->class = (unsigned char)(text[0] - '0');
	detail = smtp_enhanced_number(subject, &enhanced_r->subject);
	if (detail == subject || *detail++ != '.')
		return 0;
	end = smtp_enhanced_number(detail, &enhanced_r->detail);
	if (end == detail)
		return 0;
	if (end == text + len)
		return len;
	return *end == ' ' ? (size_t)(end - text) + 1 : 0;
}

/* Takes the enhanced code off the text when it is that of the reply, which the
 * first line that has one decides. */
static size_t smtp_reply_take_enhanced(struct smtp_reply_parser *parser,
				       const char *text, size_t len)
{
	struct smtp_enhanced found, *own = &parser->enhanced;
	size_t used = smtp_enhanced_parse(text, len, parser->code, &found);

	if (used == 0)
		return 0;
	if (own->class == 0)
		*own = found;
	else if (own->subject != found.subject || own->detail != found.detail)
		return 0;
	return used;
}

/* Adds one line, behind which its end still stands. 1: it was the last one; 0:
 * more follow; -1: it is none. */
static int smtp_reply_add_line(struct smtp_reply_parser *parser,
			       const char *line, size_t len, struct err *err)
{
	bool last = len <= 3 || line[3] == ' ';
	size_t at = len > 3 ? 4 : len;
	int code = smtp_reply_code(line, len);

	if (code == 0)
		return smtp_reply_bad(line, len, "Not a reply", err);
	if (smtp_reply_has_control(line, len))
		return smtp_reply_bad(line, len, "Control byte in reply", err);
	if (parser->code != 0 && parser->code != code)
		return smtp_reply_bad(line, len,
				      "Reply code changed within reply", err);
	if (parser->code == 0) {
		parser->enhanced = (struct smtp_enhanced){ .class = 0 };
		str_clear(&parser->text);
	} else {
		str_putc(&parser->text, '\n');
	}
	parser->code = code;
	at += smtp_reply_take_enhanced(parser, line + at, len - at);
	str_append(&parser->text, line + at, len - at);
	return last;
}

static void smtp_reply_complete(struct smtp_reply_parser *parser,
				struct smtp_reply *reply_r)
{
	*reply_r = (struct smtp_reply){
		.code = parser->code,
		.enhanced = parser->enhanced,
		.origin = SMTP_ORIGIN_REMOTE,
		.text = str_c(&parser->text),
	};
	parser->code = 0;
	parser->size = 0;
}

/* Takes what there is up to the end of a line off *data_p. 1: *line_r is a
 * whole line, in place unless it came in pieces; 0: more is needed. */
static int smtp_reply_read_line(struct smtp_reply_parser *parser,
				const char **data_p, const char *end,
				const char **line_r, size_t *len_r,
				struct err *err)
{
	const char *data = *data_p;
	const char *lf = memchr(data, '\n', (size_t)(end - data));
	size_t part = (size_t)((lf != NULL ? lf + 1 : end) - data);

	if (part > SMTP_REPLY_MAX_SIZE - parser->size)
		return err_set(err, "Reply longer than %d bytes",
			       SMTP_REPLY_MAX_SIZE);
	parser->size += part;
	*data_p += part;
	if (lf == NULL || parser->line.len > 0) {
		str_append(&parser->line, data, part);
		data = parser->line.data;
		part = parser->line.len;
	}
	if (lf == NULL)
		return 0;
	*line_r = data;
	*len_r = part - 1;
	if (part > 1 && data[part - 2] == '\r')
		*len_r = part - 2;
	return 1;
}

int smtp_reply_parse(struct smtp_reply_parser *parser, const char *data,
		     size_t len, size_t *used_r, struct smtp_reply *reply_r,
		     struct err *err)
{
	const char *at = data, *end = data + len, *line;
	size_t line_len;
	int ret = 0;

	while (ret == 0 && at < end) {
		ret = smtp_reply_read_line(parser, &at, end, &line, &line_len,
					   err);
		if (ret <= 0)
			continue;
		ret = smtp_reply_add_line(parser, line, line_len, err);
		str_clear(&parser->line);
	}
	*used_r = (size_t)(at - data);
	if (ret > 0)
		smtp_reply_complete(parser, reply_r);
	return ret;
}
