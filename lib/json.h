/* JSON (RFC 8259): reading what a server answered (jansson), and writing texts
 * into what is sent to one. */
#ifndef LIB_JSON_H
#define LIB_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/str.h"

/* A value; all but the outermost belong to the one around them. Functions take
 * NULL, as a value that is not there. */
struct json;

enum json_kind {
	JSON_KIND_NONE, /* of NULL */
	JSON_KIND_NULL,
	JSON_KIND_FALSE,
	JSON_KIND_TRUE,
	JSON_KIND_NUMBER,
	JSON_KIND_STRING,
	JSON_KIND_ARRAY,
	JSON_KIND_OBJECT,
};

/* Reads one value of any kind. NULL and err when data is anything else, or has
 * something behind it: cut off, not UTF-8, with a NUL in a string, the same
 * name twice in an object, an integer beyond 64 bits. */
struct json *json_parse(const char *data, size_t len, struct err *err);

/* Frees what json_parse() returned, and clears the pointer; NULL is fine. */
void json_close(struct json **root);

enum json_kind json_kind(const struct json *value);

/* "a string", "an array", ...: for messages. */
const char *json_kind_name(const struct json *value);

/* An object's member; NULL when there is none, or no object. */
const struct json *json_member(const struct json *object, const char *name);

/* An array's elements; 0 and NULL for what is no array, NULL beyond its end. */
size_t json_count(const struct json *array);
const struct json *json_item(const struct json *array, size_t index);

/* A string's text; NULL for what is no string. */
const char *json_text(const struct json *value);

/* Appends a number as text, so that reading it gives the same. */
void json_put_number(struct str *out, const struct json *value);

/* Calls fn for each member of an object, in its order, until it returns -1,
 * which is then returned; else 0 (also for what is no object). */
int json_each(const struct json *object,
	      int (*fn)(void *arg, const char *name, const struct json *value),
	      void *arg);

/* Appends text, which is UTF-8, as it stands between a string's quotes. */
void json_put_escaped(struct str *out, const char *text);

/* Appends text as a string, quotes included. */
void json_put_string(struct str *out, const char *text);

#endif
