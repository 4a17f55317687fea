#include "lib/digest.h"

#include <openssl/evp.h>
#include <stdatomic.h>
#include <string.h>

struct digest_method {
	const char *name;
	size_t size;
	/* What OpenSSL has for it, which it searches for anew with each digest
	 * that is not given it; kept as long as the process. */
	EVP_MD *_Atomic md;
};

static struct digest_method digest_methods[] = {
	{ .name = "md5", .size = DIGEST_MD5_SIZE },
	{ .name = "sha1", .size = 20 },
	{ .name = "sha256", .size = 32 },
	{ .name = "sha384", .size = 48 },
	{ .name = "sha512", .size = 64 },
	{ .name = "sha3-256", .size = 32 },
	{ .name = "sha3-512", .size = 64 },
};

struct digest_method *digest_find(const char *name)
{
	const size_t count = sizeof(digest_methods) / sizeof(*digest_methods);
	size_t i;

	for (i = 0; i < count; i++) {
		if (strcmp(digest_methods[i].name, name) == 0)
			return &digest_methods[i];
	}
	return NULL;
}

size_t digest_size(const struct digest_method *method)
{
	return method->size;
}

/* NULL: this system's crypto policy refuses it. */
static const EVP_MD *digest_md(struct digest_method *method)
{
	EVP_MD *md = atomic_load_explicit(&method->md, memory_order_acquire);
	EVP_MD *fetched;

	if (md != NULL)
		return md;
	fetched = EVP_MD_fetch(NULL, method->name, NULL);
	if (atomic_compare_exchange_strong(&method->md, &md, fetched))
		return fetched;
	EVP_MD_free(fetched); /* another thread was first */
	return md;
}

int digest_compute(struct digest_method *method, const void *data, size_t len,
		   uint8_t *digest_r)
{
	const EVP_MD *md = digest_md(method);
	uint8_t digest[EVP_MAX_MD_SIZE];

	if (md == NULL || EVP_Digest(data, len, digest, NULL, md, NULL) != 1)
		return -1;
	memcpy(digest_r, digest, method->size);
	return 0;
}

int digest_pbkdf2(struct digest_method *method, const struct str *password,
		  const struct str *salt, unsigned rounds, uint8_t *key_r,
		  size_t size)
{
	const EVP_MD *md = digest_md(method);

	if (md == NULL ||
	    PKCS5_PBKDF2_HMAC(str_c(password), (int)password->len,
			      (const uint8_t *)str_c(salt), (int)salt->len,
			      (int)rounds, md, (int)size, key_r) != 1)
		return -1;
	return 0;
}

void digest_put_base64(struct str *out, const uint8_t *data, size_t len)
{
	size_t size = (len + 2) / 3 * 4;

	/* OpenSSL writes a NUL behind it. */
	EVP_EncodeBlock((uint8_t *)str_reserve(out, size), data, (int)len);
	str_grown(out, size);
}
