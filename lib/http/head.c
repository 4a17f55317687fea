#include "lib/http/head.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "lib/percent.h"

#define MAX_BODY_DIGITS 9

/* --- the request line --- */

static bool is_token(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (!isalnum((unsigned char)text[i]) &&
		    (text[i] == '\0' ||
		     strchr("!#$%&'*+-.^_`|~", text[i]) == NULL))
			return false;
	}
	return len > 0;
}

/* Printable, and no blank: in a target. */
static bool is_visible(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~') /* char may be unsigned */
			return false;
	}
	return len > 0;
}

static int parse_target(struct http_head *head, struct arena *arena,
			const char *target, size_t len)
{
	const char *mark = memchr(target, '?', len);
	size_t path_len = mark != NULL ? (size_t)(mark - target) : len;

	if (!is_visible(target, len) || target[0] != '/')
		return -400;
	head->path = percent_decode(arena, target, path_len, false);
	head->query = mark != NULL ? arena_strndup(arena, mark + 1,
						   len - path_len - 1)
				   : "";
	return head->path != NULL ? 0 : -400;
}

static int parse_version(struct http_head *head, const char *text, size_t len)
{
	if (len != 8 || strncmp(text, "HTTP/", 5) != 0 ||
	    !isdigit((unsigned char)text[5]) || text[6] != '.' ||
	    !isdigit((unsigned char)text[7]))
		return -400;
	if (text[5] != '1')
		return -505;
	head->keep_alive = text[7] != '0';
	return 0;
}

static int parse_request_line(struct http_head *head, struct arena *arena,
			      const char *line, size_t len)
{
	const char *target = memchr(line, ' ', len), *version;
	size_t left;
	int status;

	if (target == NULL || !is_token(line, (size_t)(target - line)))
		return -400;
	head->method = arena_strndup(arena, line, (size_t)(target - line));
	target++;
	left = len - (size_t)(target - line);
	version = memchr(target, ' ', left);
	if (version == NULL)
		return -400;
	status = parse_target(head, arena, target, (size_t)(version - target));
	if (status < 0)
		return status;
	version++;
	return parse_version(head, version, len - (size_t)(version - line));
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* --- fields --- */

static int parse_field(struct http_head *head, struct arena *arena,
		       const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len), *value, *end = line + len;
	struct http_field *field = &head->fields[head->field_count];

	if (colon == NULL || !is_token(line, (size_t)(colon - line)))
		return -400;
	if (head->field_count == HTTP_HEAD_FIELDS)
		return -431;
	for (value = colon + 1; value < end; value++) {
		if (((unsigned char)*value < ' ' && *value != '\t') ||
		    *value == 0x7f)
			return -400;
	}
	for (value = colon + 1; value < end && is_blank(*value); value++)
		;
	while (end > value && is_blank(end[-1]))
		end--;
	field->name = arena_strndup(arena, line, (size_t)(colon - line));
	field->value = arena_strndup(arena, value, (size_t)(end - value));
	head->field_count++;
	return 0;
}

static unsigned count_fields(const struct http_head *head, const char *name)
{
	unsigned i, count = 0;

	for (i = 0; i < head->field_count; i++)
		count += strcasecmp(head->fields[i].name, name) == 0;
	return count;
}

const char *http_head_field(const struct http_head *head, const char *name)
{
	unsigned i;

	for (i = 0; i < head->field_count; i++) {
		if (strcasecmp(head->fields[i].name, name) == 0)
			return head->fields[i].value;
	}
	return NULL;
}

static int read_length(struct http_head *head, const char *value)
{
	size_t digits = strspn(value, "0123456789"), i;

	if (digits == 0 || digits > MAX_BODY_DIGITS || value[digits] != '\0')
		return -400;
	for (i = 0; i < digits; i++)
		head->body_len = head->body_len * 10 +
				 (uint64_t)(value[i] - '0');
	return 0;
}

/* What the fields say about the message itself. */
static int use_fields(struct http_head *head)
{
	const char *length = http_head_field(head, "Content-Length");
	const char *connection = http_head_field(head, "Connection");
	const char *expect = http_head_field(head, "Expect");

	if (count_fields(head, "Content-Length") > 1 ||
	    count_fields(head, "Host") > 1 ||
	    (head->keep_alive && http_head_field(head, "Host") == NULL))
		return -400;
	if (http_head_field(head, "Transfer-Encoding") != NULL)
		return -501;
	if (connection != NULL && strcasecmp(connection, "close") == 0)
		head->keep_alive = false;
	if (expect != NULL && strcasecmp(expect, "100-continue") != 0)
		return -417;
	head->wants_continue = expect != NULL;
	return length != NULL ? read_length(head, length) : 0;
}

/* --- all of it --- */

/* The length of the line at data, which ends with CRLF. 0: none yet (an empty
 * line has 2); -1: it ends otherwise. */
static int line_size(const char *data, size_t len, size_t *size_r)
{
	const char *end = memchr(data, '\n', len);

	if (end == NULL)
		return 0;
	if (end == data || end[-1] != '\r')
		return -1;
	*size_r = (size_t)(end - data) + 1;
	return 1;
}

static int parse_line(struct http_head *head, struct arena *arena,
		      const char *line, size_t len)
{
	if (head->method == NULL)
		return parse_request_line(head, arena, line, len);
	return parse_field(head, arena, line, len);
}

int http_head_parse(struct http_head *head, struct arena *arena,
		    const char *data, size_t len)
{
	size_t at = 0, size = 0;
	int got, status = 0;

	*head = (struct http_head){ .method = NULL };
	if (len > HTTP_HEAD_MAX)
		len = HTTP_HEAD_MAX;
	while ((got = line_size(data + at, len - at, &size)) > 0) {
		if (size == 2 && head->method != NULL) {
			head->size = at + 2;
			status = use_fields(head);
			return status < 0 ? status : 1;
		}
		status = parse_line(head, arena, data + at, size - 2);
		if (status < 0)
			return status;
		at += size;
	}
	if (got < 0)
		return -400;
	return len == HTTP_HEAD_MAX ? -431 : 0;
}

const char *http_head_param(const struct http_head *head, struct arena *arena,
			    const char *name)
{
	const char *at = head->query;
	size_t name_len = strlen(name);

	while (*at != '\0') {
		size_t len = strcspn(at, "&");

		if (len >= name_len && strncmp(at, name, name_len) == 0) {
			if (len == name_len)
				return "";
			if (at[name_len] == '=')
				return percent_decode(arena, at + name_len + 1,
						      len - name_len - 1, true);
		}
		at += len + (at[len] == '&');
	}
	return NULL;
}
