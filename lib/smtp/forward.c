#include "lib/smtp/forward.h"

#include <string.h>

#include "lib/smtp/xtext.h"

#define ESCAPE '\001'

/* What follows ESCAPE for a byte, in the same order. */
static const char smtp_forward_plain[] = { '\0', ESCAPE, '\t', '\r', '\n' };
static const char smtp_forward_escaped[] = { '0', '1', 't', 'r', 'n' };
#define ESCAPES sizeof(smtp_forward_plain)

/* --- parsing --- */

/* Undoes text's escapes in place. An unknown one stands for the byte behind it,
 * one at the end for nothing, as with Dovecot. Returns the new length. */
static size_t smtp_forward_unescape(char *text, size_t len)
{
	size_t in, out = 0;

	for (in = 0; in < len; in++) {
		const char *escape = NULL;

		if (text[in] == ESCAPE) {
			if (++in == len)
				break;
			escape = memchr(smtp_forward_escaped, text[in],
					ESCAPES);
		}
		text[out++] = escape == NULL ? text[in] :
			      smtp_forward_plain[escape - smtp_forward_escaped];
	}
	text[out] = '\0';
	return out;
}

/* One field, as text[0..len), which may be changed; text[len] too. */
static int smtp_forward_parse_field(struct smtp_forward *forward, char *text,
				    size_t len, struct err *err)
{
	struct smtp_forward_field *field = &forward->fields[forward->count];
	char *equals = memchr(text, '=', len);
	size_t key_len = equals != NULL ? (size_t)(equals - text) : len;
	size_t value_len = equals != NULL ? len - key_len - 1 : 0, nuls;

	key_len = smtp_forward_unescape(text, key_len);
	field->key = text;
	nuls = key_len - strlen(text);
	if (equals != NULL) {
		value_len = smtp_forward_unescape(equals + 1, value_len);
		field->value = equals + 1;
		nuls += value_len - strlen(field->value);
	}
	if (nuls > 0)
		return err_set(err, "NUL in a field");
	if (key_len == 0)
		return err_set(err, "Field without key");
	forward->count++;
	return 0;
}

static size_t smtp_forward_count(const char *text, size_t len)
{
	size_t count = 1, i;

	for (i = 0; i < len; i++)
		count += text[i] == '\t';
	return count;
}

int smtp_forward_parse(struct arena *arena, const char *value,
		       struct smtp_forward *forward_r, struct err *err)
{
	size_t len = strlen(value), at, field;
	struct smtp_forward forward = { .count = 0 };
	char *text, *tab;

	if (len > SMTP_FORWARD_MAX)
		return err_set(err, "Too long");
	text = smtp_xtext_parse(arena, value, len, &len);
	if (text == NULL)
		return err_set(err, "Not in xtext");
	forward.fields = arena_alloc(arena, smtp_forward_count(text, len) *
						    sizeof(*forward.fields));
	for (at = 0; at < len; at += field + 1) {
		tab = memchr(text + at, '\t', len - at);
		field = tab != NULL ? (size_t)(tab - text) - at : len - at;
		if (smtp_forward_parse_field(&forward, text + at, field, err) <
		    0)
			return -1;
	}
	*forward_r = forward;
	return 0;
}

/* --- writing --- */

static void smtp_forward_escape(struct str *out, const char *text)
{
	for (; *text != '\0'; text++) {
		const char *plain = memchr(smtp_forward_plain, *text, ESCAPES);

		if (plain != NULL) {
			str_putc(out, ESCAPE);
			str_putc(out, smtp_forward_escaped[plain -
							   smtp_forward_plain]);
		} else {
			str_putc(out, *text);
		}
	}
}

static int smtp_forward_put_field(struct str *list,
				  const struct smtp_forward_field *field,
				  struct err *err)
{
	if (field->key[0] == '\0' || strchr(field->key, '=') != NULL)
		return err_set(err, "forward_%s: not a name to forward",
			       field->key);
	if (list->len > 0)
		str_putc(list, '\t');
	smtp_forward_escape(list, field->key);
	if (field->value != NULL) {
		str_putc(list, '=');
		smtp_forward_escape(list, field->value);
	}
	return 0;
}

int smtp_forward_write(struct str *out, const struct smtp_forward *forward,
		       struct err *err)
{
	struct str list = STR_INIT;
	size_t start = out->len, i;
	int ret = 0;

	for (i = 0; i < forward->count && ret == 0; i++)
		ret = smtp_forward_put_field(&list, &forward->fields[i], err);
	if (ret == 0)
		smtp_xtext_write(out, list.data, list.len);
	if (out->len - start > SMTP_FORWARD_MAX) {
		ret = err_set(err, "the forward_* fields have %zu bytes in "
			      "XRCPTFORWARD=, more than %d", out->len - start,
			      SMTP_FORWARD_MAX);
		str_truncate(out, start);
	}
	str_free(&list);
	return ret;
}
