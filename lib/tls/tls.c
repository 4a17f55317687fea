#include "lib/tls/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/mem.h"
#include "lib/panic.h"
#include "lib/tls/private.h"

struct tls {
	SSL *ssl;
	struct tls_context *context; /* the first: the BIO is its */
	struct tls_peer *peer; /* NULL: a client's connection to us */
	struct tls_context *(*pick)(void *arg, const char *name);
	void *pick_arg;
	const struct log_ctx *log;
	struct tls_wire wire;
	bool established;
	bool ended;	 /* the peer's close_notify */
	bool failed;	 /* nothing can be read any more, nor sent */
	bool send_failed; /* nothing can be sent any more */
	bool write_needs_input;
	bool untrusted;
	struct err error; /* why it failed first; "": it has not */
	char *server_name, *peer_subject; /* NULL: none */
};

static struct tls *tls_new(struct tls_context *context,
			   const struct log_ctx *log)
{
	struct tls *tls = mem_new(struct tls);
	BIO *bio;

	tls->context = tls_context_ref(context);
	tls->log = log;
	tls->ssl = SSL_new(context->ssl);
	if (tls->ssl == NULL)
		PANIC("out of memory (TLS)");
	bio = tls_wire_open(&tls->wire, context->wire);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_app_data(tls->ssl, tls);
	return tls;
}

struct tls *tls_accept(struct tls_context *context,
		       struct tls_context *(*pick)(void *arg, const char *name),
		       void *arg, const struct log_ctx *log)
{
	struct tls *tls = tls_new(context, log);

	tls->pick = pick;
	tls->pick_arg = arg;
	SSL_set_accept_state(tls->ssl);
	return tls;
}

struct tls *tls_connect(struct tls_peer *peer, const struct log_ctx *log)
{
	struct tls *tls = tls_new(tls_peer_context(peer), log);
	const char *name = tls_peer_server_name(peer);

	tls->peer = tls_peer_ref(peer);
	if (name != NULL)
		tls->server_name = mem_strdup(name);
	tls_peer_prepare(peer, tls->ssl);
	SSL_set_connect_state(tls->ssl);
	return tls;
}

void tls_attach(struct tls *tls, int fd, const void *clear, size_t len)
{
	tls->wire.fd = fd;
	str_append(&tls->wire.out, clear, len);
}

void tls_free(struct tls **tls_p)
{
	struct tls *tls = *tls_p;

	if (tls == NULL)
		return;
	/* A connection that just went away has not spoilt its session (RFC
	 * 5246 7.2.1); a fatal alert has, and OpenSSL knows. */
	SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(tls->ssl);
	tls_peer_unref(&tls->peer);
	tls_context_unref(&tls->context);
	tls_wire_close(&tls->wire);
	mem_free(&tls->server_name);
	mem_free(&tls->peer_subject);
	mem_free(tls_p);
}

size_t tls_unsent(const struct tls *tls)
{
	return tls_wire_unsent(&tls->wire);
}

bool tls_is_handshaking(const struct tls *tls)
{
	return !tls->established && !tls_failed(tls);
}

bool tls_write_needs_input(const struct tls *tls)
{
	return tls->write_needs_input;
}

bool tls_failed(const struct tls *tls)
{
	return tls->failed || tls->send_failed;
}

const char *tls_error(const struct tls *tls)
{
	return tls_failed(tls) ? tls->error.text : NULL;
}

bool tls_is_untrusted(const struct tls *tls)
{
	return tls->untrusted;
}

/* OpenSSL has names of alerts, but not of all; its errors have all, as "tlsv1
 * alert unknown ca". */
static const char *alert_name(int alert)
{
	const char *text = ERR_reason_error_string(
		ERR_PACK(ERR_LIB_SSL, 0, SSL_AD_REASON_OFFSET + alert));
	const char *name;

	if (text == NULL)
		return SSL_alert_desc_string_long(alert);
	name = strstr(text, "alert ");
	return name != NULL ? name + strlen("alert ") : text;
}

/* What OpenSSL refused, or the peer's alert. */
static void put_reason(struct tls *tls, struct str *out)
{
	unsigned long code = ERR_peek_last_error();
	int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
	const char *text = ERR_reason_error_string(code);

	tls->untrusted = reason == SSL_R_CERTIFICATE_VERIFY_FAILED ||
			 reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		str_printf(out, "certificate verify failed: %s",
			   X509_verify_cert_error_string(
				   SSL_get_verify_result(tls->ssl)));
	else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		str_puts(out, "the peer sent no certificate");
	else if (reason == SSL_R_WRONG_VERSION_NUMBER)
		str_puts(out, "the peer does not speak TLS");
	else if (reason > SSL_AD_REASON_OFFSET)
		str_printf(out, "alert from the peer: %s",
			   alert_name(reason - SSL_AD_REASON_OFFSET));
	else
		str_puts(out, text != NULL ? text : "unknown error");
}

static void put_socket_reason(const struct tls *tls, struct str *out)
{
	if (tls->wire.flooded)
		str_puts(out, "the peer asks for answers and reads none");
	else if (tls->wire.error != 0)
		str_puts(out, strerror(tls->wire.error));
	else if (tls->established && tls->wire.end)
		str_puts(out, "no close_notify before the end");
	else
		str_puts(out, "the peer closed the connection");
}

/* Notes why it fails. ssl_error: what SSL_get_error() said. */
static void tls_note_error(struct tls *tls, int ssl_error)
{
	struct str text = STR_INIT;

	if (!tls->established)
		str_puts(&text, "TLS handshake failed: ");
	else if (tls->wire.end)
		str_puts(&text, "TLS connection truncated: ");
	else
		str_puts(&text, "TLS connection failed: ");
	if (ssl_error == SSL_ERROR_SSL)
		put_reason(tls, &text);
	else
		put_socket_reason(tls, &text);
	ERR_clear_error();
	if (!tls_failed(tls))
		err_put(&tls->error, "%s", str_c(&text));
	str_free(&text);
}

/* What a failed call of OpenSSL means: 0: it waits for the peer; -1: the end,
 * orderly or not. */
static int tls_judge(struct tls *tls, int ret)
{
	int error = SSL_get_error(tls->ssl, ret);

	if (error == SSL_ERROR_WANT_READ)
		return 0;
	if (error == SSL_ERROR_ZERO_RETURN && tls->established) {
		tls->ended = true;
	} else {
		tls_note_error(tls, error);
		tls->failed = true;
	}
	return -1;
}

/* Sends the encrypted bytes. Whether all of them left. */
static bool tls_flush(struct tls *tls)
{
	int ret = tls->send_failed ? 0 : tls_wire_flush(&tls->wire);

	if (ret < 0) {
		tls_note_error(tls, SSL_ERROR_SYSCALL);
		tls->send_failed = true;
	}
	return ret > 0;
}

/* Notes who the peer is. */
static void tls_take_certificate(struct tls *tls)
{
	X509 *cert = SSL_get0_peer_certificate(tls->ssl);
	BIO *bio;
	char *text;
	long len;

	if (cert == NULL)
		return;
	bio = BIO_new(BIO_s_mem());
	if (bio == NULL)
		PANIC("out of memory (TLS)");
	X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0,
			   XN_FLAG_RFC2253);
	len = BIO_get_mem_data(bio, &text);
	tls->peer_subject = mem_strndup(text, (size_t)len);
	BIO_free(bio);
}

int tls_handshake(struct tls *tls)
{
	int ret;

	ERR_clear_error();
	tls_wire_begin(&tls->wire);
	ret = SSL_do_handshake(tls->ssl);
	if (ret == 1) {
		tls->established = true;
		tls_take_certificate(tls);
	} else {
		ret = tls_judge(tls, ret);
	}
	tls_flush(tls);
	return tls_failed(tls) ? -1 : ret;
}

bool tls_is_readable(const struct tls *tls)
{
	return tls->failed || tls->ended ||
	       (tls->established && !tls->wire.dry && SSL_has_pending(tls->ssl));
}

int tls_read(struct tls *tls, void *buf, size_t len, size_t *len_r)
{
	size_t got = 0, n;
	int ret;

	if (tls->failed || tls->ended)
		return -1;
	if (!tls->established)
		return 0;
	tls->write_needs_input = false; /* it will be tried again */
	tls_wire_begin(&tls->wire);
	do {
		ERR_clear_error();
		n = 0;
		ret = SSL_read_ex(tls->ssl, (char *)buf + got, len - got, &n);
		got += n;
	} while (ret == 1 && got < len && SSL_has_pending(tls->ssl));
	if (ret != 1)
		ret = tls_judge(tls, ret);
	/* Answers that OpenSSL gave, such as new keys or an alert. */
	tls_flush(tls);
	*len_r = got;
	return got > 0 ? 1 : ret;
}

/* What is to be encrypted next. */
struct tls_source {
	const struct iovec *iov;
	int count;
	size_t used; /* of the first */
};

static void source_advance(struct tls_source *source, size_t len)
{
	source->used += len;
	while (source->count > 0 && source->used >= source->iov->iov_len) {
		source->used -= source->iov->iov_len;
		source->iov++;
		source->count--;
	}
}

/* One record's worth: a large piece as it lies there, small ones together in
 * buf. 0: there is no more. */
static size_t source_next(const struct tls_source *source, char *buf,
			  const void **data_r)
{
	struct tls_source rest = *source;
	size_t len = 0, piece;

	source_advance(&rest, 0);
	while (rest.count > 0 && len < SSL3_RT_MAX_PLAIN_LENGTH) {
		const char *start = rest.iov->iov_base;

		piece = rest.iov->iov_len - rest.used;
		if (len == 0 && (rest.count == 1 ||
				 piece >= SSL3_RT_MAX_PLAIN_LENGTH)) {
			*data_r = start + rest.used;
			return piece;
		}
		if (piece > SSL3_RT_MAX_PLAIN_LENGTH - len)
			piece = SSL3_RT_MAX_PLAIN_LENGTH - len;
		memcpy(buf + len, start + rest.used, piece);
		len += piece;
		source_advance(&rest, piece);
	}
	*data_r = buf;
	return len;
}

/* Encrypts one record. 1: got *len_r bytes; 0: nothing is left, or it must
 * wait; -1: failed. */
static int tls_encrypt(struct tls *tls, const struct tls_source *source,
		       size_t *len_r)
{
	char buf[SSL3_RT_MAX_PLAIN_LENGTH];
	const void *data;
	size_t len = source_next(source, buf, &data);
	int ret;

	if (len == 0)
		return 0;
	ERR_clear_error();
	tls_wire_begin(&tls->wire);
	ret = SSL_write_ex(tls->ssl, data, len, len_r);
	if (ret == 1)
		return 1;
	ret = tls_judge(tls, ret);
	tls->write_needs_input = ret == 0;
	/* It needed input, and met the end instead. */
	if (tls->ended) {
		tls_note_error(tls, SSL_ERROR_SYSCALL);
		tls->send_failed = true;
	}
	return ret;
}

size_t tls_write(struct tls *tls, const struct iovec *iov, int count)
{
	struct tls_source source = { iov, count, 0 };
	size_t taken = 0, len;
	bool more = tls->established && !tls_failed(tls);

	tls->write_needs_input = false;
	do {
		while (more && !tls_wire_is_full(&tls->wire)) {
			more = tls_encrypt(tls, &source, &len) == 1;
			if (more) {
				source_advance(&source, len);
				taken += len;
			}
		}
	} while (tls_flush(tls) && more);
	return taken;
}

void tls_finish(struct tls *tls)
{
	tls->wire.flags |= MSG_MORE;
}

void tls_shutdown(struct tls *tls)
{
	if (!tls->established || tls_failed(tls) ||
	    SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN)
		return;
	ERR_clear_error();
	SSL_shutdown(tls->ssl);
	ERR_clear_error();
	tls_flush(tls);
}

bool tls_get_info(const struct tls *tls, struct tls_info *info)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(tls->ssl);

	if (!tls->established)
		return false;
	info->protocol = SSL_get_version(tls->ssl);
	info->cipher = SSL_CIPHER_get_name(cipher);
	info->bits = SSL_CIPHER_get_bits(cipher, &info->cipher_bits);
	info->server_name = tls->server_name;
	info->peer_subject = tls->peer_subject;
	info->verified = tls->peer_subject != NULL &&
			 SSL_get_verify_result(tls->ssl) == X509_V_OK;
	info->resumed = SSL_session_reused(tls->ssl);
	return true;
}

void tls_info_write(struct str *out, const struct tls_info *info)
{
	str_printf(out, "%s with cipher %s (%d/%d bits)", info->protocol,
		   info->cipher, info->bits, info->cipher_bits);
}

/* The first host name of the extension server_name (RFC 6066 3), as a string of
 * its own; NULL: there is none, or it is not one. */
static char *find_server_name(SSL *ssl)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_";
	const unsigned char *data;
	size_t len, size;
	char *name;

	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data,
				       &size) ||
	    size < 5 || data[2] != TLSEXT_NAMETYPE_host_name)
		return NULL;
	len = (size_t)data[3] << 8 | data[4];
	if (len == 0 || len > size - 5 || len > TLSEXT_MAXLEN_host_name)
		return NULL;
	name = mem_strndup((const char *)data + 5, len);
	if (strspn(name, letters) != len)
		mem_free(&name);
	return name;
}

/* Before OpenSSL looks for a session to resume, so that the one that it finds
 * has to fit the context that was picked. */
int tls_on_client_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls *tls = SSL_get_app_data(ssl);
	struct tls_context *context = NULL;

	(void)alert;
	(void)arg;
	mem_free(&tls->server_name); /* of a hello before a retry */
	tls->server_name = find_server_name(ssl);
	if (tls->server_name != NULL && tls->pick != NULL)
		context = tls->pick(tls->pick_arg, tls->server_name);
	if (context != NULL)
		tls_context_switch(ssl, context);
	return SSL_CLIENT_HELLO_SUCCESS;
}

int tls_on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls *tls = SSL_get_app_data(ssl);

	tls_peer_keep(tls->peer, session);
	return 1;
}

void tls_on_info(const SSL *ssl, int where, int ret)
{
	const struct tls *tls = SSL_get_app_data(ssl);

	if (where & SSL_CB_ALERT)
		log_info(tls->log, "TLS alert %s: %s: %s",
			 where & SSL_CB_READ ? "received" : "sent",
			 SSL_alert_type_string_long(ret),
			 alert_name(ret & 0xff));
	else if (where & SSL_CB_LOOP)
		log_info(tls->log, "TLS: %s", SSL_state_string_long(ssl));
}
