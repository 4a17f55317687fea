/* What stands in the file maildirsize (Maildir++), and what the names of mails say of
 * their size. No I/O. */
#ifndef BACKENDS_LOCAL_QUOTA_MAILDIRSIZE_TEXT_H
#define BACKENDS_LOCAL_QUOTA_MAILDIRSIZE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/local/quota/amount.h"
#include "lib/str.h"

struct maildirsize_text {
	bool has_limit;
	struct quota_amount limit; /* as far as it can be read */
	struct quota_amount used;  /* the sum of all lines */
	unsigned lines;		   /* behind that of the limits */
};

/* Reads the text of a file: limits such as "1000S,10C", then lines of bytes and
 * messages, which may be below 0. Returns -1 when it is broken: empty, with an
 * unfinished last line, a line without two numbers, a NUL, a sum that is below 0 or
 * too large. The limit is read nevertheless, from a whole first line. */
int maildirsize_text_parse(const char *text, size_t len,
			   struct maildirsize_text *text_r);

/* Appends what a new file holds. */
void maildirsize_text_write(const struct quota_amount *limit,
			    const struct quota_amount *used, struct str *out);

/* Appends the line for a change. */
void maildirsize_text_line(int64_t bytes, int64_t messages, struct str *out);

/* The size of a mail as the name of its file has it (",S=size"); -1: it does not
 * say. */
int64_t maildirsize_of_name(const char *name);

#endif
