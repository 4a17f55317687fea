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

/* The name of the finished file: with its size, and what that would be if all lines
 * ended with CRLF. */
void maildir_name_finish(char name[MAILDIR_NAME_MAX], const char *base,
			 uint64_t size, uint64_t vsize);

#endif
