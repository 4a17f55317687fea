/* What lda_command starts: its words, as arguments of one mail. */
#ifndef BACKENDS_LOCAL_LDA_ARGS_H
#define BACKENDS_LOCAL_LDA_ARGS_H

#include "lib/arena.h"
#include "lib/err.h"

enum { LDA_ARGS_MAX = 64 };

struct lda_args {
	char *list[LDA_ARGS_MAX + 1]; /* ends with NULL */
	size_t count;
};

/* Expands the variables in one word. Returns the value, in arena; NULL and err when that
 * cannot be done. */
typedef const char *lda_expand_fn(struct arena *arena, const void *context,
				  const char *word, struct err *err);

/* Cuts text at its blanks (those within %{ } are none) and expands each word by itself:
 * whatever a value holds, it stays in its argument. Nor does it become an option or
 * change which argument belongs to which: -1 and err when
 *  - an argument begins with a variable whose value begins with '-', unless it stands
 *    behind an argument "--";
 *  - in "-X%{...}" all is empty but "-X", which would take the next argument. */
int lda_args_make(struct lda_args *args, struct arena *arena, const char *text,
		  lda_expand_fn *expand, const void *context, struct err *err);

/* Whether text is a command at all: an absolute path without variables, then words, of
 * which none has nothing but dashes in front of its first variable. -1: no, and why. */
int lda_args_check(const char *text, struct err *err);

#endif
