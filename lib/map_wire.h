/* How Postfix asks for an entry of a table that another program has, as bytes to
 * value: socketmap_table(5), netstrings "NAME KEY", and tcp_table(5), lines
 * "get KEY". Which of the two a request is in shows in its first byte. */
#ifndef LIB_MAP_WIRE_H
#define LIB_MAP_WIRE_H

#include <stddef.h>

#include "lib/arena.h"
#include "lib/str.h"

#define MAP_REQUEST_MAX 8192 /* bytes */
#define MAP_TEXT_MAX 1000    /* bytes of an answer's text; the rest is cut */

enum map_language { MAP_SOCKETMAP, MAP_TCP };

enum map_result {
	MAP_OK,	      /* the text is the entry */
	MAP_NOTFOUND, /* there is none */
	MAP_TEMP,     /* ask again later; the text says why */
	MAP_PERM,     /* the question is wrong; Postfix keeps the mail, too */
};

struct map_request {
	enum map_language language;
	const char *map; /* its name; "": the language has none */
	const char *key;
	const char *wrong; /* what is wrong with it; NULL: nothing */
	size_t size;	   /* bytes that it took */
};

/* Reads a request at data; what it points to lives in arena. 1: it is there, and
 * may be wrong; 0: it is not whole, so far; -1: it is none, or longer than
 * MAP_REQUEST_MAX, and nothing that follows can be made out: language and wrong
 * are set. */
int map_wire_parse(struct map_request *request, struct arena *arena,
		   const char *data, size_t len);

/* Appends an answer. Control characters in text become "?". */
void map_wire_answer(struct str *out, enum map_language language,
		     enum map_result result, const char *text);

#endif
