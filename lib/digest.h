/* Message digests. */
#ifndef LIB_DIGEST_H
#define LIB_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "lib/str.h"

enum {
	DIGEST_MD5_SIZE = 16,
	DIGEST_MAX_SIZE = 64,
};

struct digest_method;

/* The method called name ("md5", "sha1", "sha256", "sha384", "sha512", "sha3-256",
 * "sha3-512"), or NULL. Loads libcrypto when it is not there yet. */
struct digest_method *digest_find(const char *name);

/* Bytes of its result. */
size_t digest_size(const struct digest_method *method);

/* Writes digest_size() bytes to digest_r, which may overlap data. Returns -1
 * when this system's crypto policy refuses the method. */
int digest_compute(struct digest_method *method, const void *data, size_t len,
		   uint8_t *digest_r);

/* PBKDF2 (RFC 8018) with HMAC over method: size bytes to key_r. -1 as above. */
int digest_pbkdf2(struct digest_method *method, const struct str *password,
		  const struct str *salt, unsigned rounds, uint8_t *key_r,
		  size_t size);

/* Appends len bytes in base64 with padding. */
void digest_put_base64(struct str *out, const uint8_t *data, size_t len);

#endif
