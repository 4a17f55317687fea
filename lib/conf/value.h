/* Values of settings: from text to the field of a struct, and back. */
#ifndef LIB_CONF_VALUE_H
#define LIB_CONF_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"

enum conf_type {
	CONF_STRING, /* const char *; never NULL */
	CONF_BOOL,   /* bool: yes, y, 1 or no (any case) */
	CONF_UINT,   /* unsigned: decimal digits */
	CONF_PORT,   /* unsigned, up to 65535 */
	CONF_TIME,   /* unsigned, in ms: number and unit (msecs, secs, mins,
			hours, days, weeks, or the start of one); 0 needs no
			unit */
	CONF_SIZE,   /* uint64_t, in bytes: number with B, k, M, G or T (also
			kB, KiB), of base 1024; without: bytes */
	CONF_OCTAL,  /* unsigned: octal digits with a leading 0 (without it
			Dovecot reads decimal: refused here) */
	CONF_ENUM,   /* int: one of the words */
	CONF_WORDS,  /* unsigned: any of the words, their values or-ed;
			separated by spaces or commas, any case */
};

/* A word that a value may be; the list ends with name NULL. */
struct conf_word {
	const char *name;
	int value;
};

/* Room for a field of any type. */
union conf_field {
	const char *string;
	bool boolean;
	unsigned number;
	int word;
	uint64_t size;
};

/* Parses text into the field of that type at field. Strings are copied into
 * arena. words: for CONF_ENUM and CONF_WORDS, else NULL. Returns -1 and says
 * what is wrong. */
int conf_value_parse(enum conf_type type, const struct conf_word *words,
		     struct arena *arena, const char *text, void *field,
		     struct err *err);

/* Reads a time as CONF_TIME has it, of up to max_ms, which may be more than such a
 * field holds. 0, or -1: it is none. */
int conf_time_parse(const char *text, uint64_t max_ms, uint64_t *ms_r);

/* Appends the field's value as one would write it: parsing it gives the same
 * value. Strings come as they are, without quotes. */
void conf_value_write(enum conf_type type, const struct conf_word *words,
		      const void *field, struct str *out);

#endif
