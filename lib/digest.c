#include "lib/digest.h"

#include <openssl/evp.h>
#include <string.h>

struct digest_method {
	const char *name;
	const EVP_MD *(*md)(void);
};

static const struct digest_method digest_methods[] = {
	{ "md5", EVP_md5 },
	{ "sha1", EVP_sha1 },
	{ "sha256", EVP_sha256 },
	{ "sha384", EVP_sha384 },
	{ "sha512", EVP_sha512 },
	{ "sha3-256", EVP_sha3_256 },
	{ "sha3-512", EVP_sha3_512 },
};

const struct digest_method *digest_find(const char *name)
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
	return (size_t)EVP_MD_get_size(method->md());
}

int digest_compute(const struct digest_method *method, const void *data,
		   size_t len, uint8_t *digest_r)
{
	uint8_t digest[EVP_MAX_MD_SIZE];

	if (EVP_Digest(data, len, digest, NULL, method->md(), NULL) != 1)
		return -1;
	memcpy(digest_r, digest, digest_size(method));
	return 0;
}

int digest_pbkdf2(const struct digest_method *method, const struct str *password,
		  const struct str *salt, unsigned rounds, uint8_t *key_r,
		  size_t size)
{
	int ok = PKCS5_PBKDF2_HMAC(str_c(password), (int)password->len,
				   (const uint8_t *)str_c(salt),
				   (int)salt->len, (int)rounds, method->md(),
				   (int)size, key_r);

	return ok == 1 ? 0 : -1;
}

void digest_put_base64(struct str *out, const uint8_t *data, size_t len)
{
	size_t size = (len + 2) / 3 * 4;

	/* OpenSSL writes a NUL behind it. */
	EVP_EncodeBlock((uint8_t *)str_reserve(out, size), data, (int)len);
	str_grown(out, size);
}
