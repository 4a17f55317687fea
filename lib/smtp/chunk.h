/* The parameters of BDAT (RFC 3030 2): size [LAST]. */
#ifndef LIB_SMTP_CHUNK_H
#define LIB_SMTP_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define SMTP_CHUNK_MAX ((uint64_t)INT64_MAX)

struct smtp_chunk {
	uint64_t size; /* octets that follow the command's CRLF */
	bool last;
	bool size_known;
};

/* Parses what follows "BDAT " (struct smtp_command's args). LAST matches in
 * any case; blanks between and behind the two may be several. On failure -1,
 * with a text that quotes nothing, for a reply 501 5.5.4. The chunk may follow
 * all the same, and its octets must never be taken for commands: when
 * chunk_r->size_known, that many have to be skipped; when not (no number, or
 * more than SMTP_CHUNK_MAX), there is no telling where the next command starts,
 * and the session has to end with that reply. */
int smtp_chunk_parse(const char *args, size_t len, struct smtp_chunk *chunk_r,
		     struct err *err);

#endif
