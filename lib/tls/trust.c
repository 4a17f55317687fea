#include "lib/tls/trust.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/mem.h"
#include "lib/panic.h"
#include "lib/tls/private.h"

struct tls_trust {
	X509_STORE *store;
};

/* How many certificates of text were added; -1: OpenSSL does not take it. */
static int add_text(X509_STORE *store, const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	STACK_OF(X509_INFO) *infos;
	int i, count = 0, ok;

	ASSERT(bio != NULL);
	infos = PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL);
	ok = infos != NULL;
	for (i = 0; ok && i < sk_X509_INFO_num(infos); i++) {
		X509 *cert = sk_X509_INFO_value(infos, i)->x509;

		if (cert == NULL)
			continue;
		ok = X509_STORE_add_cert(store, cert);
		count++;
	}
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	BIO_free(bio);
	return ok ? count : -1;
}

static int load_text(struct tls_trust *trust, const char *pem, struct err *err)
{
	int count = add_text(trust->store, pem);

	if (count < 0)
		return err_set(err, "not certificates in PEM: %s",
			       tls_openssl_error());
	if (count == 0)
		return err_set(err, "no certificate in PEM");
	return 0;
}

static int load_dir(struct tls_trust *trust, const char *dir, struct err *err)
{
	struct stat st;

	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, "%s: no such directory", dir);
	if (!X509_STORE_load_path(trust->store, dir))
		return err_set(err, "%s: %s", dir, tls_openssl_error());
	return 0;
}

struct tls_trust *tls_trust_new(const char *pem, const char *dir,
				struct err *err)
{
	struct tls_trust *trust = mem_new(struct tls_trust);
	int ret = 0;

	trust->store = X509_STORE_new();
	ASSERT(trust->store != NULL);
	X509_STORE_set_flags(trust->store, X509_V_FLAG_PARTIAL_CHAIN);
	if (pem != NULL && pem[0] != '\0')
		ret = load_text(trust, pem, err);
	if (ret == 0 && dir != NULL && dir[0] != '\0')
		ret = load_dir(trust, dir, err);
	if (ret < 0)
		tls_trust_free(&trust);
	return trust;
}

void tls_trust_free(struct tls_trust **trust_p)
{
	struct tls_trust *trust = *trust_p;

	if (trust == NULL)
		return;
	X509_STORE_free(trust->store);
	mem_free(trust_p);
}

void tls_trust_lend(const struct tls_trust *trust, void *ssl_ctx)
{
	SSL_CTX_set1_cert_store(ssl_ctx, trust->store);
}
