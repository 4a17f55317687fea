#include "lib/digest.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define TEXT(number) #number
#define LIBCRYPTO(version) "libcrypto.so." TEXT(version)

/* Loaded for the first digest, and not linked: waypost-deliver, which forks for most
 * mails, seldom needs one. */
static struct {
	__typeof__(EVP_MD_fetch) *md_fetch;
	__typeof__(EVP_MD_free) *md_free;
	__typeof__(EVP_Digest) *digest;
	__typeof__(EVP_EncodeBlock) *encode_block;
	__typeof__(PKCS5_PBKDF2_HMAC) *pbkdf2_hmac;
} crypto;
static pthread_once_t crypto_once = PTHREAD_ONCE_INIT;

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

static void *crypto_find(void *library, const char *name)
{
	void *found = library != NULL ? dlsym(library, name) : NULL;

	if (found == NULL)
		PANIC("%s", dlerror());
	return found;
}

static void crypto_load(void)
{
	void *library = dlopen(LIBCRYPTO(OPENSSL_SHLIB_VERSION), RTLD_NOW);

	crypto.md_fetch = crypto_find(library, "EVP_MD_fetch");
	crypto.md_free = crypto_find(library, "EVP_MD_free");
	crypto.digest = crypto_find(library, "EVP_Digest");
	crypto.encode_block = crypto_find(library, "EVP_EncodeBlock");
	crypto.pbkdf2_hmac = crypto_find(library, "PKCS5_PBKDF2_HMAC");
}

struct digest_method *digest_find(const char *name)
{
	const size_t count = sizeof(digest_methods) / sizeof(*digest_methods);
	size_t i;

	pthread_once(&crypto_once, crypto_load);
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
	fetched = crypto.md_fetch(NULL, method->name, NULL);
	if (atomic_compare_exchange_strong(&method->md, &md, fetched))
		return fetched;
	crypto.md_free(fetched); /* another thread was first */
	return md;
}

int digest_compute(struct digest_method *method, const void *data, size_t len,
		   uint8_t *digest_r)
{
	const EVP_MD *md = digest_md(method);
	uint8_t digest[EVP_MAX_MD_SIZE];

	if (md == NULL ||
	    crypto.digest(data, len, digest, NULL, md, NULL) != 1)
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
	    crypto.pbkdf2_hmac(str_c(password), (int)password->len,
			       (const uint8_t *)str_c(salt), (int)salt->len,
			       (int)rounds, md, (int)size, key_r) != 1)
		return -1;
	return 0;
}

void digest_put_base64(struct str *out, const uint8_t *data, size_t len)
{
	size_t size = (len + 2) / 3 * 4;

	pthread_once(&crypto_once, crypto_load);
	/* OpenSSL writes a NUL behind it. */
	crypto.encode_block((uint8_t *)str_reserve(out, size), data, (int)len);
	str_grown(out, size);
}
