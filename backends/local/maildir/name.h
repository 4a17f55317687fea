/* Names of mails in Maildirs. */
#ifndef BACKENDS_LOCAL_MAILDIR_NAME_H
#define BACKENDS_LOCAL_MAILDIR_NAME_H

#include <stddef.h>
#include <stdint.h>

enum {
	MAILDIR_BASE_MAX = 180, /* with its NUL */
	MAILDIR_NAME_MAX = 256,
};

/* Writes SECONDS.MµSECONDSPpid.HOSTNAME, later than all that this process made
 * before, whatever the clock does. What a name may not have in it is written as
 * \ooo; a hostname that is too long is cut. */
void maildir_name_make(char name[MAILDIR_BASE_MAX], const char *hostname);

/* Of a mail as it is, and as it would be if all lines ended with CRLF. */
struct maildir_sizes {
	uint64_t size, vsize;
	char last; /* byte that was added */
};

/* Adds the next len bytes. */
void maildir_sizes_add(struct maildir_sizes *sizes, const char *data, size_t len);

/* The name of the finished file: with its sizes. */
void maildir_name_finish(char name[MAILDIR_NAME_MAX], const char *base,
			 const struct maildir_sizes *sizes);

#endif
