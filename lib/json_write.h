/* Writing JSON (RFC 8259) piece by piece: commas and quotes are put where they
 * belong. */
#ifndef LIB_JSON_WRITE_H
#define LIB_JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/str.h"

struct json_writer {
	struct str *out;
	bool follows; /* a value stands before, in the same array or object */
};

/* Each writes one value: as the member name of an object, or, with name NULL, as
 * the element of an array or all there is. Texts may hold any bytes: what is no
 * UTF-8 comes out as U+FFFD. text NULL: null. */
void json_write_text(struct json_writer *json, const char *name,
		     const char *text);
void json_write_number(struct json_writer *json, const char *name,
		       uint64_t number);
void json_write_bool(struct json_writer *json, const char *name, bool value);

/* Seconds, of a time in microseconds: 0.012345. */
void json_write_seconds(struct json_writer *json, const char *name,
			uint64_t time_us);

/* Values that are JSON already, separated by commas: the inside of an array or
 * of an object. Nothing when it is empty. */
void json_write_inside(struct json_writer *json, const struct str *inside);

void json_open_object(struct json_writer *json, const char *name);
void json_close_object(struct json_writer *json);
void json_open_array(struct json_writer *json, const char *name);
void json_close_array(struct json_writer *json);

#endif
