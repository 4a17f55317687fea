#include "lib/json_write.h"

#include <inttypes.h>

#include "lib/json.h"
#include "lib/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd"

static void put_text(struct str *out, const char *text)
{
	struct str clean = STR_INIT;
	size_t len = strlen(text), at, step;

	if (utf8_is_valid(text, len)) {
		json_put_string(out, text);
		return;
	}
	for (at = 0; at < len; at += step) {
		step = utf8_prefix(text + at, len - at);
		str_append(&clean, text + at, step);
		if (at + step < len) {
			str_puts(&clean, REPLACEMENT);
			step++;
		}
	}
	json_put_string(out, str_c(&clean));
	str_free(&clean);
}

/* What stands in front of a value. */
static void put_name(struct json_writer *json, const char *name)
{
	if (json->follows)
		str_putc(json->out, ',');
	json->follows = true;
	if (name == NULL)
		return;
	put_text(json->out, name);
	str_putc(json->out, ':');
}

void json_write_text(struct json_writer *json, const char *name,
		     const char *text)
{
	put_name(json, name);
	if (text == NULL)
		str_puts(json->out, "null");
	else
		put_text(json->out, text);
}

void json_write_number(struct json_writer *json, const char *name,
		       uint64_t number)
{
	put_name(json, name);
	str_put_number(json->out, number);
}

void json_write_bool(struct json_writer *json, const char *name, bool value)
{
	put_name(json, name);
	str_puts(json->out, value ? "true" : "false");
}

void json_write_seconds(struct json_writer *json, const char *name,
			uint64_t time_us)
{
	put_name(json, name);
	str_printf(json->out, "%" PRIu64 ".%06" PRIu64, time_us / 1000000,
		   time_us % 1000000);
}

void json_write_inside(struct json_writer *json, const struct str *inside)
{
	if (inside->len == 0)
		return;
	put_name(json, NULL);
	str_append(json->out, inside->data, inside->len);
}

static void open_with(struct json_writer *json, const char *name, char bracket)
{
	put_name(json, name);
	str_putc(json->out, bracket);
	json->follows = false;
}

static void close_with(struct json_writer *json, char bracket)
{
	str_putc(json->out, bracket);
	json->follows = true;
}

void json_open_object(struct json_writer *json, const char *name)
{
	open_with(json, name, '{');
}

void json_close_object(struct json_writer *json)
{
	close_with(json, '}');
}

void json_open_array(struct json_writer *json, const char *name)
{
	open_with(json, name, '[');
}

void json_close_array(struct json_writer *json)
{
	close_with(json, ']');
}
