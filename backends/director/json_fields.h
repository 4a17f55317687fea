/* Members of JSON objects that have to be of a kind, and what the director's texts
 * have in common. */
#ifndef BACKENDS_DIRECTOR_JSON_FIELDS_H
#define BACKENDS_DIRECTOR_JSON_FIELDS_H

#include "backends/director/state.h"
#include "lib/json.h"
#include "lib/json_write.h"

/* 0, or -1 and err when it is no such thing, or not there. */
int json_field_number(const struct json *object, const char *name,
		      uint64_t max, uint64_t *number_r, struct err *err);
int json_field_text(const struct json *object, const char *name,
		    const char **text_r, struct err *err);

/* Whether it is there, and true. */
bool json_field_bool(const struct json *object, const char *name);

/* Writes which server an object is about. */
void director_json_put_server(struct json_writer *json,
			      const struct director_server *server);

/* The backend that the object is about, new where there was none. NULL and
 * err. */
struct director_backend *director_json_backend(struct director_state *state,
					       const struct json *object,
					       struct err *err);

/* The key of which the first 16 characters of text are the hex digits, as %016llx
 * writes them; -1: they are not. */
int director_read_key(const char *text, uint64_t *key_r);

/* Appends these. */
void director_put_key(struct str *out, uint64_t key);

/* All 64 bits of a user's key: readers of JSON keep 63 of a number at most. */
void director_json_put_key(struct json_writer *json, uint64_t key);
int director_json_key(const struct json *object, uint64_t *key_r,
		      struct err *err);

#endif
