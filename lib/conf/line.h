/* One line of Dovecot 2.3's configuration language. */
#ifndef LIB_CONF_LINE_H
#define LIB_CONF_LINE_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/str.h"

enum conf_line_type {
	CONF_LINE_EMPTY,
	CONF_LINE_SETTING,     /* key = value */
	CONF_LINE_OPEN,	       /* key [value] { */
	CONF_LINE_CLOSE,       /* } */
	CONF_LINE_INCLUDE,     /* !include value */
	CONF_LINE_INCLUDE_TRY, /* !include_try value */
};

enum conf_line_value {
	CONF_LINE_PLAIN,  /* words that start with $ are variables */
	CONF_LINE_QUOTED, /* taken as it is; quotes are already gone */
	CONF_LINE_FILE,	  /* "<path": value is the path */
};

struct conf_line {
	enum conf_line_type type;
	const char *key, *value; /* inside the text that was parsed */
	enum conf_line_value value_type;
};

/* Cuts comment and surrounding white space off text, in place; returns where
 * the rest starts. *ambiguous_r: the comment's # followed no white space. */
char *conf_line_strip(char *text, bool *ambiguous_r);

/* Whether stripped text ends in a backslash, which is then cut off with the
 * white space before it: the next line continues it behind one space. */
bool conf_line_continues(char *text);

/* Takes stripped text apart, in place. -1 for what is no line of the
 * language. */
int conf_line_parse(char *text, struct conf_line *line_r, struct err *err);

/* Appends a value, or a section's name, so that reading it gives the same
 * again: in quotes where needed. It holds no line break. */
void conf_line_write_value(struct str *out, const char *value);
void conf_line_write_name(struct str *out, const char *name);

#endif
