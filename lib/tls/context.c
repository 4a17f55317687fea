#include "lib/tls/context.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/mem.h"
#include "lib/panic.h"
#include "lib/tls/private.h"

/* Records that are read with one system call. */
#define READ_BUFFER 32768

const char *tls_openssl_error(void)
{
	unsigned long code = ERR_peek_error();
	const char *text;

	if (ERR_SYSTEM_ERROR(code))
		text = strerror(ERR_GET_REASON(code));
	else
		text = ERR_reason_error_string(code);
	ERR_clear_error();
	return text != NULL ? text : "unknown error";
}

static BIO *open_text(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);

	if (bio == NULL)
		PANIC("out of memory (TLS)");
	return bio;
}

/* Never asks on a terminal. */
static int give_password(char *buf, int size, int writing, void *arg)
{
	size_t len = strlen(arg);

	(void)writing;
	if (len == 0 || len > (size_t)size)
		return -1;
	memcpy(buf, arg, len);
	return (int)len;
}

/* All certificates of a text: the first, and the others as a stack. */
static X509 *read_certificates(const char *text, STACK_OF(X509) *others)
{
	BIO *bio = open_text(text);
	X509 *first = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
	X509 *other = first;

	while (other != NULL) {
		other = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		if (other != NULL && !sk_X509_push(others, other))
			PANIC("out of memory (TLS)");
	}
	BIO_free(bio);
	/* Every list ends with "no start line"; else one was unreadable. */
	if (first != NULL &&
	    ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
		X509_free(first);
		return NULL;
	}
	if (first != NULL)
		ERR_clear_error();
	return first;
}

/* Installs a certificate, its chain and its key. name and key_name: of the
 * settings, for errors. */
static int use_certificate(SSL_CTX *ssl, const char *name, const char *cert,
			   const char *key_name, const char *key,
			   const char *password, struct err *err)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	X509 *leaf = read_certificates(cert, chain);
	BIO *bio = open_text(key);
	EVP_PKEY *pkey = NULL;
	int ret = 0;

	if (leaf == NULL)
		ret = err_set(err, "%s: not a certificate in PEM format: %s",
			      name, tls_openssl_error());
	if (ret == 0) {
		pkey = PEM_read_bio_PrivateKey(bio, NULL, give_password,
					       (void *)password);
		if (pkey == NULL)
			ret = err_set(err, "%s: not a private key in PEM "
				      "format, or of another password: %s",
				      key_name, tls_openssl_error());
	}
	if (ret == 0 && SSL_CTX_use_cert_and_key(ssl, leaf, pkey, chain, 0) != 1)
		ret = err_set(err, "%s and %s: %s", name, key_name,
			      tls_openssl_error());
	EVP_PKEY_free(pkey);
	BIO_free(bio);
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return ret;
}

/* A CRL that should be there and is not counts only with ssl_require_crl. */
static int forgive_missing_crl(int ok, X509_STORE_CTX *store)
{
	switch (X509_STORE_CTX_get_error(store)) {
	case X509_V_ERR_UNABLE_TO_GET_CRL:
	case X509_V_ERR_CRL_NOT_YET_VALID:
	case X509_V_ERR_CRL_HAS_EXPIRED:
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	default:
		return ok;
	}
}

/* Adds the CAs and CRLs of ssl_ca to those that certificates are checked with,
 * and the CAs to those that clients are told of. */
static int add_cas(struct tls_context *context, const char *text,
		   struct err *err)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context->ssl);
	BIO *bio = open_text(text);
	STACK_OF(X509_INFO) *infos =
		PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL);
	int i, ok = infos != NULL;

	for (i = 0; ok && i < sk_X509_INFO_num(infos); i++) {
		X509_INFO *info = sk_X509_INFO_value(infos, i);

		if (info->x509 != NULL) {
			context->has_ca = true;
			ok = X509_STORE_add_cert(store, info->x509) &&
			     SSL_CTX_add_client_CA(context->ssl, info->x509);
		}
		if (ok && info->crl != NULL)
			ok = X509_STORE_add_crl(store, info->crl);
	}
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	BIO_free(bio);
	if (!ok)
		return err_set(err, "ssl_ca: %s", tls_openssl_error());
	if (!context->has_ca)
		return err_set(err, "ssl_ca: no certificate in it");
	return 0;
}

static int require_client_certificate(struct tls_context *context,
				      const struct tls_settings *settings,
				      struct err *err)
{
	if (settings->ssl_ca[0] == '\0')
		return err_set(err, "ssl_verify_client_cert needs ssl_ca");
	if (add_cas(context, settings->ssl_ca, err) < 0)
		return -1;
	/* On the store, so that it goes along when SNI picks the context. */
	X509_STORE_set_flags(SSL_CTX_get_cert_store(context->ssl),
			     X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	SSL_CTX_set_verify(context->ssl,
			   SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			   settings->ssl_require_crl ? NULL :
						       forgive_missing_crl);
	return 0;
}

/* A session is resumed only where it would have been made: under the same
 * certificate and the same rules for clients. */
static void set_session_id_context(SSL_CTX *ssl,
				   const struct tls_settings *settings)
{
	unsigned char id[SSL_MAX_SID_CTX_LENGTH];
	struct str text = STR_INIT;

	str_printf(&text, "%s %s %d %d", settings->ssl_cert, settings->ssl_ca,
		   settings->ssl_verify_client_cert, settings->ssl_require_crl);
	if (!EVP_Digest(text.data, text.len, id, NULL, EVP_sha256(), NULL) ||
	    !SSL_CTX_set_session_id_context(ssl, id, sizeof(id)))
		PANIC("cannot hash (TLS): %s", tls_openssl_error());
	str_free(&text);
}

/* The lists of algorithms that the admin gave. */
static int set_algorithms(struct tls_context *context,
			  const struct tls_settings *settings, struct err *err)
{
	SSL_CTX *ssl = context->ssl;

	if (settings->ssl_cipher_list[0] != '\0' &&
	    !SSL_CTX_set_cipher_list(ssl, settings->ssl_cipher_list))
		return err_set(err, "ssl_cipher_list: %s",
			       tls_openssl_error());
	if (settings->ssl_cipher_suites[0] != '\0' &&
	    !SSL_CTX_set_ciphersuites(ssl, settings->ssl_cipher_suites))
		return err_set(err, "ssl_cipher_suites: %s",
			       tls_openssl_error());
	if (settings->ssl_curve_list[0] == '\0')
		return 0;
	if (!SSL_CTX_set1_groups_list(ssl, settings->ssl_curve_list)) {
		ERR_clear_error();
		return err_set(err, "ssl_curve_list: a curve of \"%s\" is "
			       "unknown", settings->ssl_curve_list);
	}
	context->curves = mem_strdup(settings->ssl_curve_list);
	return 0;
}

/* What holds for both sides. NULL: settings are wrong. */
static struct tls_context *tls_context_new(const SSL_METHOD *method,
					   const struct tls_settings *settings,
					   struct err *err)
{
	struct tls_context *context = mem_new(struct tls_context);
	SSL_CTX *ssl = SSL_CTX_new(method);

	if (ssl == NULL)
		PANIC("cannot use OpenSSL: %s", tls_openssl_error());
	context->ssl = ssl;
	context->wire = tls_wire_method();
	atomic_init(&context->refs, 1);
	SSL_CTX_set_min_proto_version(ssl, settings->ssl_min_protocol);
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION |
				 SSL_OP_NO_COMPRESSION);
	if (settings->ssl_options & TLS_OPTION_COMPRESSION)
		SSL_CTX_clear_options(ssl, SSL_OP_NO_COMPRESSION);
	if (settings->ssl_options & TLS_OPTION_NO_TICKET)
		SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
	SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
			      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ssl, 1);
	SSL_CTX_set_default_read_buffer_len(ssl, READ_BUFFER);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	if (settings->verbose_ssl)
		SSL_CTX_set_info_callback(ssl, tls_on_info);
	if (set_algorithms(context, settings, err) < 0)
		tls_context_unref(&context);
	return context;
}

static int set_up_server(struct tls_context *context,
			 const struct tls_settings *settings, struct err *err)
{
	SSL_CTX *ssl = context->ssl;

	if (settings->ssl_prefer_server_ciphers)
		SSL_CTX_set_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* Without tickets nothing is kept, so there is nothing to offer. */
	SSL_CTX_set_num_tickets(
		ssl, settings->ssl_options & TLS_OPTION_NO_TICKET ? 0 : 1);
	SSL_CTX_set_dh_auto(ssl, 1);
	SSL_CTX_set_client_hello_cb(ssl, tls_on_client_hello, NULL);
	set_session_id_context(ssl, settings);
	if (settings->ssl_cert[0] == '\0')
		return err_set(err, "ssl_cert is not set");
	if (use_certificate(ssl, "ssl_cert", settings->ssl_cert, "ssl_key",
			    settings->ssl_key, settings->ssl_key_password,
			    err) < 0)
		return -1;
	if (settings->ssl_alt_cert[0] != '\0' &&
	    use_certificate(ssl, "ssl_alt_cert", settings->ssl_alt_cert,
			    "ssl_alt_key", settings->ssl_alt_key,
			    settings->ssl_key_password, err) < 0)
		return -1;
	if (settings->ssl_verify_client_cert)
		return require_client_certificate(context, settings, err);
	return 0;
}

struct tls_context *tls_context_server(const struct tls_settings *settings,
				       struct err *err)
{
	struct tls_context *context =
		tls_context_new(TLS_server_method(), settings, err);

	if (context != NULL && set_up_server(context, settings, err) < 0)
		tls_context_unref(&context);
	return context;
}

/* Where the CAs of servers are. */
static int load_cas(struct tls_context *context, const char *file,
		    const char *dir, struct err *err)
{
	struct stat st;

	if (file[0] != '\0' && !SSL_CTX_load_verify_file(context->ssl, file))
		return err_set(err, "ssl_client_ca_file: %s: %s", file,
			       tls_openssl_error());
	if (dir[0] != '\0' && (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode)))
		return err_set(err, "ssl_client_ca_dir: %s: no such directory",
			       dir);
	if (dir[0] != '\0' && !SSL_CTX_load_verify_dir(context->ssl, dir))
		return err_set(err, "ssl_client_ca_dir: %s: %s", dir,
			       tls_openssl_error());
	context->has_ca = file[0] != '\0' || dir[0] != '\0';
	return 0;
}

struct tls_context *tls_context_client(const struct tls_settings *settings,
				       struct err *err)
{
	struct tls_context *context =
		tls_context_new(TLS_client_method(), settings, err);

	if (context == NULL)
		return NULL;
	/* Tickets are for the peer, which keeps them. */
	SSL_CTX_set_session_cache_mode(context->ssl,
				       SSL_SESS_CACHE_CLIENT |
					       SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context->ssl, tls_on_new_session);
	if (load_cas(context, settings->ssl_client_ca_file,
		     settings->ssl_client_ca_dir, err) < 0 ||
	    (settings->ssl_client_cert[0] != '\0' &&
	     use_certificate(context->ssl, "ssl_client_cert",
			     settings->ssl_client_cert, "ssl_client_key",
			     settings->ssl_client_key, "", err) < 0))
		tls_context_unref(&context);
	return context;
}

bool tls_context_has_ca(const struct tls_context *context)
{
	return context->has_ca;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
	atomic_fetch_add(&context->refs, 1);
	return context;
}

void tls_context_unref(struct tls_context **context_p)
{
	struct tls_context *context = *context_p;

	*context_p = NULL;
	if (context == NULL || atomic_fetch_sub(&context->refs, 1) > 1)
		return;
	SSL_CTX_free(context->ssl);
	BIO_meth_free(context->wire);
	mem_free(&context->curves);
	mem_free(&context);
}

/* OpenSSL takes certificates, ciphers and the store from the new context by
 * itself, but not these. */
void tls_context_switch(SSL *ssl, const struct tls_context *context)
{
	SSL_CTX *to = context->ssl;

	SSL_set_SSL_CTX(ssl, to);
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(to),
		       SSL_CTX_get_verify_callback(to));
	SSL_clear_options(ssl, SSL_get_options(ssl));
	SSL_set_options(ssl, SSL_CTX_get_options(to));
	SSL_set_num_tickets(ssl, SSL_CTX_get_num_tickets(to));
	SSL_set_min_proto_version(ssl,
				  (int)SSL_CTX_get_min_proto_version(to));
	if (context->curves != NULL)
		SSL_set1_groups_list(ssl, context->curves);
}
