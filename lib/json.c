#include "lib/json.h"

#include <jansson.h>
#include <stdlib.h>

/* struct json is jansson's json_t under a name that others may know. */
static const json_t *own(const struct json *value)
{
	return (const json_t *)value;
}

struct json *json_parse(const char *data, size_t len, struct err *err)
{
	json_error_t why;
	json_t *root;

	root = json_loadb(data, len,
			  JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (root == NULL)
		err_put(err, "%s at byte %d of %zu", why.text, why.position,
			len);
	return (struct json *)root;
}

void json_close(struct json **root)
{
	json_decref((json_t *)*root);
	*root = NULL;
}

enum json_kind json_kind(const struct json *value)
{
	if (value == NULL)
		return JSON_KIND_NONE;
	switch (json_typeof(own(value))) {
	case JSON_NULL:
		return JSON_KIND_NULL;
	case JSON_FALSE:
		return JSON_KIND_FALSE;
	case JSON_TRUE:
		return JSON_KIND_TRUE;
	case JSON_INTEGER:
	case JSON_REAL:
		return JSON_KIND_NUMBER;
	case JSON_STRING:
		return JSON_KIND_STRING;
	case JSON_ARRAY:
		return JSON_KIND_ARRAY;
	default:
		return JSON_KIND_OBJECT;
	}
}

const char *json_kind_name(const struct json *value)
{
	static const char *const names[] = {
		[JSON_KIND_NONE] = "nothing",
		[JSON_KIND_NULL] = "null",
		[JSON_KIND_FALSE] = "false",
		[JSON_KIND_TRUE] = "true",
		[JSON_KIND_NUMBER] = "a number",
		[JSON_KIND_STRING] = "a string",
		[JSON_KIND_ARRAY] = "an array",
		[JSON_KIND_OBJECT] = "an object",
	};

	return names[json_kind(value)];
}

const struct json *json_member(const struct json *object, const char *name)
{
	return (const struct json *)json_object_get(own(object), name);
}

size_t json_count(const struct json *array)
{
	return json_array_size(own(array));
}

const struct json *json_item(const struct json *array, size_t index)
{
	return (const struct json *)json_array_get(own(array), index);
}

const char *json_text(const struct json *value)
{
	return json_string_value(own(value));
}

void json_put_number(struct str *out, const struct json *value)
{
	const json_t *number = own(value);
	char text[32];
	double real;
	int digits = 15;

	if (json_is_integer(number)) {
		str_printf(out, "%" JSON_INTEGER_FORMAT,
			   json_integer_value(number));
		return;
	}
	/* 15 digits are enough for what people write, 17 for every double. */
	real = json_real_value(number);
	do
		snprintf(text, sizeof(text), "%.*g", digits, real);
	while (strtod(text, NULL) != real && digits++ < 17);
	str_puts(out, text);
}

int json_each(const struct json *object,
	      int (*fn)(void *arg, const char *name, const struct json *value),
	      void *arg)
{
	json_t *members = (json_t *)(uintptr_t)object;
	const char *name;
	json_t *value;

	json_object_foreach(members, name, value) {
		if (fn(arg, name, (const struct json *)value) < 0)
			return -1;
	}
	return 0;
}

void json_put_escaped(struct str *out, const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			str_putc(out, '\\');
		if (c < 0x20 || c == 0x7f)
			str_printf(out, "\\u%04x", c);
		else
			str_putc(out, (char)c);
	}
}

void json_put_string(struct str *out, const char *text)
{
	str_putc(out, '"');
	json_put_escaped(out, text);
	str_putc(out, '"');
}
