/* Certificates for tests, made when they are needed. */
#ifndef T_PKI_H
#define T_PKI_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

#include "lib/str.h"

struct pki_cert {
	X509 *x509;
	EVP_PKEY *pkey;
	struct str pem, key; /* PEM; the key is encrypted if that was asked */
};

struct pki_params {
	const struct pki_cert *issuer; /* NULL: self-signed */
	const char *name;	/* common name */
	const char *alt_names;	/* "DNS:a.example, IP:192.0.2.1"; NULL: none */
	bool is_ca;
	bool rsa; /* else P-256 */
	int from_days, to_days; /* of validity, from now; 0 and 0: two days
				   around now */
	const char *password;	/* of the key; NULL: none */
	unsigned name_size; /* > 0: an organization that long, for a certificate
			       that large */
};

/* Fills *cert; free it with pki_free(). Dies when OpenSSL refuses. */
void pki_make(struct pki_cert *cert, const struct pki_params *params);
void pki_free(struct pki_cert *cert);

/* Appends a CRL of ca, good until to_days from now, that lists revoked (NULL:
 * empty). */
void pki_crl(struct str *pem, const struct pki_cert *ca,
	     const struct pki_cert *revoked, int to_days);

#endif
