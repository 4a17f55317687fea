#include "t/pki.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lib/panic.h"

#define DAY 86400L
#define CHECK(call) \
	do { \
		if (!(call)) \
			PANIC("%s: %s", #call, \
			      ERR_error_string(ERR_peek_error(), NULL)); \
	} while (0)

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	CHECK(extension != NULL);
	CHECK(X509_add_ext(cert, extension, -1));
	X509_EXTENSION_free(extension);
}

static void set_subject(X509 *cert, const struct pki_params *params)
{
	X509_NAME *name = X509_get_subject_name(cert);
	unsigned left = params->name_size;
	char text[65] = "";

	memset(text, 'x', sizeof(text) - 1);
	/* X.520 allows 64 characters each. */
	for (; left > 0; left -= left < 64 ? left : 64)
		CHECK(X509_NAME_add_entry_by_txt(
			name, "OU", MBSTRING_ASC, (const void *)text,
			left < 64 ? (int)left : 64, -1, 0));
	CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
					 (const void *)params->name, -1, -1,
					 0));
}

static void put_pem(struct str *out, BIO *bio)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);

	str_append(out, data, (size_t)len);
	BIO_free(bio);
}

static void write_pem(struct pki_cert *cert, const char *password)
{
	BIO *bio = BIO_new(BIO_s_mem());

	CHECK(PEM_write_bio_X509(bio, cert->x509));
	put_pem(&cert->pem, bio);
	bio = BIO_new(BIO_s_mem());
	CHECK(PEM_write_bio_PrivateKey(
		bio, cert->pkey, password == NULL ? NULL : EVP_aes_128_cbc(),
		NULL, 0, NULL, (void *)password));
	put_pem(&cert->key, bio);
}

void pki_make(struct pki_cert *cert, const struct pki_params *params)
{
	static long serial = 1;
	const struct pki_cert *issuer =
		params->issuer != NULL ? params->issuer : cert;
	X509 *x509 = X509_new();
	bool now = params->from_days == 0 && params->to_days == 0;

	memset(cert, 0, sizeof(*cert));
	cert->x509 = x509;
	cert->pkey = params->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	CHECK(cert->pkey != NULL);
	X509_set_version(x509, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x509), serial++);
	X509_gmtime_adj(X509_getm_notBefore(x509),
			now ? -DAY : params->from_days * DAY);
	X509_gmtime_adj(X509_getm_notAfter(x509),
			now ? DAY : params->to_days * DAY);
	set_subject(x509, params);
	CHECK(X509_set_issuer_name(x509, X509_get_subject_name(issuer->x509)));
	CHECK(X509_set_pubkey(x509, cert->pkey));
	add_extension(x509, issuer->x509, NID_basic_constraints,
		      params->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
	if (params->alt_names != NULL)
		add_extension(x509, issuer->x509, NID_subject_alt_name,
			      params->alt_names);
	CHECK(X509_sign(x509, issuer->pkey, EVP_sha256()));
	write_pem(cert, params->password);
}

void pki_free(struct pki_cert *cert)
{
	X509_free(cert->x509);
	EVP_PKEY_free(cert->pkey);
	str_free(&cert->pem);
	str_free(&cert->key);
}

void pki_crl(struct str *pem, const struct pki_cert *ca,
	     const struct pki_cert *revoked, int to_days)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *last = X509_gmtime_adj(NULL, -2 * DAY);
	ASN1_TIME *next = X509_gmtime_adj(NULL, to_days * DAY);
	BIO *bio = BIO_new(BIO_s_mem());

	CHECK(X509_CRL_set_version(crl, X509_CRL_VERSION_2));
	CHECK(X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->x509)));
	CHECK(X509_CRL_set1_lastUpdate(crl, last));
	CHECK(X509_CRL_set1_nextUpdate(crl, next));
	if (revoked != NULL) {
		X509_REVOKED *entry = X509_REVOKED_new();

		CHECK(X509_REVOKED_set_serialNumber(
			entry, X509_get_serialNumber(revoked->x509)));
		CHECK(X509_REVOKED_set_revocationDate(entry, last));
		CHECK(X509_CRL_add0_revoked(crl, entry));
	}
	CHECK(X509_CRL_sign(crl, ca->pkey, EVP_sha256()));
	CHECK(PEM_write_bio_X509_CRL(bio, crl));
	put_pem(pem, bio);
	ASN1_TIME_free(last);
	ASN1_TIME_free(next);
	X509_CRL_free(crl);
}
