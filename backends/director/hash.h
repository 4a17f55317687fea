/* What stands for a user, and for a server, in both ways to choose. */
#ifndef BACKENDS_DIRECTOR_HASH_H
#define BACKENDS_DIRECTOR_HASH_H

#include <stdint.h>

/* The first 64 bits of the MD5 of text, of which Dovecot takes the upper half.
 * Returns 0, or -1 when this system's crypto policy refuses MD5. */
int director_hash(const char *text, uint64_t *hash_r);

#endif
