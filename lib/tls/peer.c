#include "lib/tls/peer.h"

#include <openssl/x509v3.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "lib/tls/private.h"

/* Sessions kept: as many connections at a time can be resumed. */
#define SESSIONS_MAX 4

struct tls_peer {
	struct tls_context *context;
	char *host;	/* NULL: none, or an address */
	struct addr ip; /* len 0: none */
	enum tls_verify verify;
	unsigned refs;
	SSL_SESSION *sessions[SESSIONS_MAX]; /* the oldest first */
	unsigned count;
};

/* Names are without the dot at the end in certificates and in SNI. */
static void set_host(struct tls_peer *peer, const char *host)
{
	size_t len = strlen(host);

	if (addr_parse_ip(&peer->ip, host, 0) == 0)
		addr_unmap(&peer->ip);
	else
		peer->host = mem_strndup(host, len - (host[len - 1] == '.'));
}

static int check_host(const char *host, enum tls_verify verify,
		      struct err *err)
{
	if (host == NULL && verify == TLS_ANY_CERT)
		return 0;
	if (host == NULL)
		return err_set(err, "no host name to verify a certificate for");
	if (host[0] == '\0' || host[0] == '.' || host[0] == '/' ||
	    strlen(host) > TLSEXT_MAXLEN_host_name)
		return err_set(err, "\"%s\" is not a host name that a "
			       "certificate could be for", host);
	return 0;
}

struct tls_peer *tls_peer_new(struct tls_context *context, const char *host,
			      enum tls_verify verify, struct err *err)
{
	struct tls_peer *peer;

	if (check_host(host, verify, err) < 0)
		return NULL;
	if (verify == TLS_VERIFY && !context->has_ca) {
		err_put(err, "cannot verify certificates: neither "
			"ssl_client_ca_file nor ssl_client_ca_dir is set");
		return NULL;
	}
	peer = mem_new(struct tls_peer);
	peer->context = tls_context_ref(context);
	if (host != NULL)
		set_host(peer, host);
	peer->verify = verify;
	peer->refs = 1;
	return peer;
}

struct tls_peer *tls_peer_ref(struct tls_peer *peer)
{
	peer->refs++;
	return peer;
}

void tls_peer_unref(struct tls_peer **peer_p)
{
	struct tls_peer *peer = *peer_p;

	*peer_p = NULL;
	if (peer == NULL || --peer->refs > 0)
		return;
	while (peer->count > 0)
		SSL_SESSION_free(peer->sessions[--peer->count]);
	tls_context_unref(&peer->context);
	mem_free(&peer->host);
	mem_free(&peer);
}

bool tls_peer_has_sessions(const struct tls_peer *peer)
{
	return peer->count > 0;
}

struct tls_context *tls_peer_context(const struct tls_peer *peer)
{
	return peer->context;
}

const char *tls_peer_server_name(const struct tls_peer *peer)
{
	return peer->host;
}

void tls_peer_keep(struct tls_peer *peer, SSL_SESSION *session)
{
	if (peer->count == SESSIONS_MAX) {
		SSL_SESSION_free(peer->sessions[0]);
		memmove(peer->sessions, peer->sessions + 1,
			--peer->count * sizeof(peer->sessions[0]));
	}
	peer->sessions[peer->count++] = session;
}

/* Offers the newest session. Who sees a ticket of TLS 1.3 twice can tell that
 * the connections belong together (RFC 8446 C.4); those of 1.2 are shared. */
static void tls_peer_offer(struct tls_peer *peer, SSL *ssl)
{
	while (peer->count > 0) {
		SSL_SESSION *session = peer->sessions[peer->count - 1];
		bool usable = SSL_SESSION_is_resumable(session) &&
			      SSL_set_session(ssl, session);

		if (usable && SSL_SESSION_get_protocol_version(session) <
				      TLS1_3_VERSION)
			return;
		SSL_SESSION_free(session);
		peer->count--;
		if (usable)
			return;
	}
}

static int expect_ip(SSL *ssl, const struct addr *ip)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (ip->sa.sa_family == AF_INET)
		return X509_VERIFY_PARAM_set1_ip(
			param, (const void *)&ip->in.sin_addr,
			sizeof(ip->in.sin_addr));
	return X509_VERIFY_PARAM_set1_ip(param,
					 (const void *)&ip->in6.sin6_addr,
					 sizeof(ip->in6.sin6_addr));
}

void tls_peer_prepare(struct tls_peer *peer, SSL *ssl)
{
	int ok = 1;

	SSL_set_verify(ssl, peer->verify == TLS_VERIFY ? SSL_VERIFY_PEER :
							 SSL_VERIFY_NONE,
		       NULL);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (peer->ip.len > 0)
		ok = expect_ip(ssl, &peer->ip);
	else if (peer->host != NULL)
		ok = SSL_set1_host(ssl, peer->host) &&
		     SSL_set_tlsext_host_name(ssl, peer->host);
	if (!ok)
		PANIC("cannot check for a host: %s", tls_openssl_error());
	tls_peer_offer(peer, ssl);
}
