/* Hashing of what outsiders choose: the seed keeps them from choosing what
 * collides. */
#ifndef LIB_HASH_H
#define LIB_HASH_H

#include <stddef.h>
#include <stdint.h>

/* A seed that cannot be guessed. */
uint64_t hash_seed(void);

/* Not for cryptography; all 64 bits are good. */
uint64_t hash_bytes(uint64_t seed, const void *data, size_t len);

#endif
