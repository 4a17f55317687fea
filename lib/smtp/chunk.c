#include "lib/smtp/chunk.h"

#include <strings.h>

static size_t smtp_chunk_skip_blanks(const char *args, size_t at, size_t len)
{
	while (at < len && args[at] == ' ')
		at++;
	return at;
}

/* Returns how many bytes the number has; 0: it is none. */
static size_t smtp_chunk_parse_size(const char *args, size_t len,
				    struct smtp_chunk *chunk)
{
	size_t at;

	for (at = 0; at < len && args[at] >= '0' && args[at] <= '9'; at++) {
		unsigned digit = (unsigned)(args[at] - '0');

		if (chunk->size > ((uint64_t)SMTP_CHUNK_MAX - digit) / 10)
			return 0;
		chunk->size = chunk->size * 10 + digit;
	}
	return at < len && args[at] != ' ' ? 0 : at;
}

int smtp_chunk_parse(const char *args, size_t len, struct smtp_chunk *chunk_r,
		     struct err *err)
{
	size_t at;

	*chunk_r = (struct smtp_chunk){ .size = 0 };
	at = smtp_chunk_parse_size(args, len, chunk_r);
	if (at == 0)
		return err_set(err, "Invalid chunk size parameter");
	chunk_r->size_known = true;
	at = smtp_chunk_skip_blanks(args, at, len);
	if (at == len)
		return 0;
	if (len - at < 4 || strncasecmp(args + at, "LAST", 4) != 0 ||
	    smtp_chunk_skip_blanks(args, at + 4, len) != len)
		return err_set(err, "Invalid end marker parameter");
	chunk_r->last = true;
	return 0;
}
