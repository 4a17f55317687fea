/* Streams through TLS: who is trusted, by what name, and for how long. */
#include "t/unit/stream_tls_helper.h"

#include "lib/tls/name.h"

TestSuite(stream_tls_trust, .init = world_setup, .fini = world_teardown,
	  .timeout = 120);

/* --- certificates --- */

/* A handshake with host that must fail for the server's certificate. */
static void distrusted(const char *host, const char *reason,
		       const char *alert)
{
	struct tls_info info;

	make_contexts(host, TLS_VERIFY);
	world_open(0);
	start();
	stream_puts(a.stream, "never sent");
	UNTIL(over(&a) && over(&b));
	cr_assert_eq(a.secured, 0);
	cr_assert(a.untrusted);
	HAS(a.error, "TLS handshake failed: certificate verify failed: ");
	HAS(a.error, reason);
	cr_assert_not(b.untrusted);
	HAS(b.error, "alert from the peer: ");
	HAS(b.error, alert);
	cr_assert_eq(b.in.len, 0);
	world_close();
	/* Any certificate will do, and that it was not good is known. */
	open_secured(host, TLS_ANY_CERT);
	cr_assert(stream_tls_info(a.stream, &info));
	cr_assert_not(info.verified);
	cr_assert_not_null(info.peer_subject);
	world_close();
}

static void use_server(struct pki_cert *cert, const struct pki_params *params)
{
	pki_make(cert, params);
	settings.ssl_cert = str_c(&cert->pem);
	settings.ssl_key = str_c(&cert->key);
}

Test(stream_tls_trust, checks_the_name)
{
	distrusted("other.example", "hostname mismatch", "bad certificate");
	distrusted("mx.example.org", "hostname mismatch", "bad certificate");
	distrusted("server", "hostname mismatch", "bad certificate");
	distrusted("192.0.2.2", "IP address mismatch", "bad certificate");
	distrusted("2001:db8::2", "IP address mismatch", "bad certificate");
}

static void trusted(const char *host, const char *name)
{
	struct tls_info info;

	open_secured(host, TLS_VERIFY);
	cr_assert(stream_tls_info(b.stream, &info));
	if (name == NULL)
		cr_assert_null(info.server_name, "%s", host);
	else
		cr_assert_str_eq(info.server_name, name);
	cr_assert(stream_tls_info(a.stream, &info));
	cr_assert(info.verified);
	world_close();
}

Test(stream_tls_trust, trusts_the_right_name_or_address)
{
	struct pki_cert cert;

	trusted("mx.example", "mx.example");
	trusted("Mx.Example.", "Mx.Example");
	trusted("192.0.2.1", NULL);
	trusted("::ffff:192.0.2.1", NULL);
	trusted("2001:db8::1", NULL);
	trusted("[2001:db8:0::1]", NULL);
	use_server(&cert, &(struct pki_params){
		.issuer = &ca, .name = "w", .alt_names = "DNS:*.w.example" });
	trusted("any.w.example", "any.w.example");
	distrusted("a.b.w.example", "hostname mismatch", "bad certificate");
	pki_free(&cert);
	use_server(&cert, &(struct pki_params){ .issuer = &ca,
						.name = "old.example" });
	trusted("old.example", "old.example");
	pki_free(&cert);
}

Test(stream_tls_trust, checks_the_certificate)
{
	struct pki_cert cert, ca2;

	use_server(&cert, &(struct pki_params){
		.issuer = &ca, .name = "mx.example", .from_days = -9,
		.to_days = -1 });
	distrusted("mx.example", "certificate has expired",
		   "certificate expired");
	pki_free(&cert);
	use_server(&cert, &(struct pki_params){
		.issuer = &ca, .name = "mx.example", .from_days = 1,
		.to_days = 9 });
	distrusted("mx.example", "certificate is not yet valid",
		   "bad certificate");
	pki_free(&cert);
	use_server(&cert, &(struct pki_params){ .name = "mx.example" });
	distrusted("mx.example", "self-signed certificate", "unknown ca");
	pki_free(&cert);
	pki_make(&ca2, &(struct pki_params){ .name = "CA2", .is_ca = true });
	use_server(&cert, &(struct pki_params){ .issuer = &ca2,
						.name = "mx.example" });
	distrusted("mx.example", "unable to get local issuer certificate",
		   "unknown ca");
	pki_free(&cert);
	pki_free(&ca2);
}

Test(stream_tls_trust, sends_the_chain)
{
	struct pki_cert middle, cert;
	struct str chain = STR_INIT;

	pki_make(&middle, &(struct pki_params){ .issuer = &ca, .name = "CA3",
						.is_ca = true });
	use_server(&cert, &(struct pki_params){ .issuer = &middle,
						.name = "mx.example" });
	str_printf(&chain, "%s%s", str_c(&cert.pem), str_c(&middle.pem));
	settings.ssl_cert = str_c(&chain);
	trusted("mx.example", "mx.example");
	str_free(&chain);
	pki_free(&cert);
	pki_free(&middle);
}

Test(stream_tls_trust, finds_cas_in_a_directory)
{
	char name[32];

	snprintf(name, sizeof(name), "cas/%08lx.0",
		 X509_subject_name_hash(ca.x509));
	files_write(&files, name, str_c(&ca.pem));
	settings.ssl_client_ca_file = "";
	settings.ssl_client_ca_dir =
		arena_strdup(arena, files_path(&files, "cas"));
	trusted("mx.example", "mx.example");
}

/* A handshake in which the server wants a certificate: how it ends there, and
 * (if it fails) with which alert for the client. */
static void client_certificate(const char *error, const char *alert)
{
	struct tls_info info;

	make_contexts("mx.example", TLS_VERIFY);
	world_open(0);
	start();
	UNTIL(error == NULL ? a.secured && b.secured : over(&a) && over(&b));
	if (error == NULL) {
		cr_assert(stream_tls_info(b.stream, &info));
		cr_assert_str_eq(info.peer_subject, "CN=client");
		cr_assert(info.verified);
	} else {
		cr_assert_eq(b.secured, 0);
		cr_assert(b.untrusted);
		HAS(b.error, error);
		HAS(a.error, alert);
		cr_assert(a.failed);
		cr_assert_not(a.untrusted);
	}
	world_close();
}

Test(stream_tls_trust, requires_client_certificates)
{
	struct pki_cert stranger;

	settings.ssl_verify_client_cert = true;
	settings.ssl_require_crl = false;
	settings.ssl_ca = str_c(&ca.pem);
	client_certificate("TLS handshake failed: the peer sent no certificate",
			   "alert from the peer: certificate required");
	settings.ssl_client_cert = str_c(&client.pem);
	settings.ssl_client_key = str_c(&client.key);
	client_certificate(NULL, NULL);
	pki_make(&stranger, &(struct pki_params){ .name = "stranger" });
	settings.ssl_client_cert = str_c(&stranger.pem);
	settings.ssl_client_key = str_c(&stranger.key);
	client_certificate("certificate verify failed: self-signed certificate",
			   "unknown ca");
	pki_free(&stranger);
}

Test(stream_tls_trust, does_not_ask_for_client_certificates_by_itself)
{
	struct tls_info info;

	settings.ssl_ca = str_c(&ca.pem);
	settings.ssl_client_cert = str_c(&client.pem);
	settings.ssl_client_key = str_c(&client.key);
	open_secured("mx.example", TLS_VERIFY);
	cr_assert(stream_tls_info(b.stream, &info));
	cr_assert_null(info.peer_subject);
	world_close();
}

Test(stream_tls_trust, checks_crls)
{
	struct str none = STR_INIT, fine = STR_INIT, revoked = STR_INIT,
		   old = STR_INIT;

	str_puts(&none, str_c(&ca.pem));
	str_puts(&fine, str_c(&ca.pem));
	pki_crl(&fine, &ca, NULL, 1);
	str_puts(&revoked, str_c(&ca.pem));
	pki_crl(&revoked, &ca, &client, 1);
	str_puts(&old, str_c(&ca.pem));
	pki_crl(&old, &ca, NULL, -1);
	settings.ssl_verify_client_cert = true;
	settings.ssl_client_cert = str_c(&client.pem);
	settings.ssl_client_key = str_c(&client.key);
	settings.ssl_require_crl = true;
	settings.ssl_ca = str_c(&none);
	client_certificate("unable to get certificate CRL", "alert");
	settings.ssl_ca = str_c(&old);
	client_certificate("CRL has expired", "alert");
	settings.ssl_ca = str_c(&fine);
	client_certificate(NULL, NULL);
	settings.ssl_ca = str_c(&revoked);
	client_certificate("certificate revoked", "certificate revoked");
	settings.ssl_require_crl = false;
	client_certificate("certificate revoked", "certificate revoked");
	settings.ssl_ca = str_c(&old);
	client_certificate(NULL, NULL);
	settings.ssl_ca = str_c(&none);
	client_certificate(NULL, NULL);
	str_free(&none);
	str_free(&fine);
	str_free(&revoked);
	str_free(&old);
}

/* --- SNI --- */

static struct tls_context *other_context;
static int picks;

static struct tls_context *pick(void *arg, const char *name)
{
	cr_assert_eq(arg, &picks);
	picks++;
	return tls_name_match("*.other.example", name) ? other_context : NULL;
}

static void start_picking(void)
{
	stream_start_tls(a.stream, tls_connect(peer, &log_ctx));
	stream_start_tls(b.stream,
			 tls_accept(server_context, pick, &picks, &log_ctx));
}

/* The server_context stays that of settings as they were before. */
static void make_other_server(struct pki_cert *cert)
{
	pki_make(cert, &(struct pki_params){
		.issuer = &ca, .name = "other",
		.alt_names = "DNS:mx.other.example" });
	settings.ssl_cert = str_c(&cert->pem);
	settings.ssl_key = str_c(&cert->key);
	other_context = make_server();
}

static void set_host(const char *host)
{
	tls_peer_unref(&peer);
	peer = tls_peer_new(client_context, host, TLS_VERIFY, &err);
	cr_assert_not_null(peer, "%s", err.text);
}

static void picked(const char *host, const char *subject)
{
	struct tls_info info;

	set_host(host);
	picks = 0;
	world_open(0);
	start_picking();
	UNTIL(a.secured && b.secured);
	cr_assert(stream_tls_info(a.stream, &info));
	cr_assert_str_eq(info.peer_subject, subject);
	cr_assert_eq(picks > 0, host[0] < '1' || host[0] > '9');
	world_close();
}

Test(stream_tls_trust, picks_a_certificate_by_name)
{
	struct pki_cert cert;

	make_contexts("mx.example", TLS_VERIFY);
	make_other_server(&cert);
	picked("mx.other.example", "CN=other");
	picked("mx.example", "CN=server");
	picked("192.0.2.1", "CN=server");
	tls_context_unref(&other_context);
	pki_free(&cert);
}

Test(stream_tls_trust, the_picked_context_brings_its_rules)
{
	struct pki_cert cert;

	make_contexts("mx.example", TLS_VERIFY);
	settings.ssl_verify_client_cert = true;
	settings.ssl_require_crl = true;
	settings.ssl_ca = str_c(&ca.pem);
	make_other_server(&cert);
	picked("mx.example", "CN=server");
	set_host("mx.other.example");
	world_open(0);
	start_picking();
	UNTIL(b.broken && over(&a));
	HAS(b.error, "the peer sent no certificate");
	world_close();
	/* And its CRL rule. */
	settings.ssl_client_cert = str_c(&client.pem);
	settings.ssl_client_key = str_c(&client.key);
	tls_context_unref(&client_context);
	client_context = tls_context_client(&settings, &err);
	set_host("mx.other.example");
	world_open(0);
	start_picking();
	UNTIL(b.broken && over(&a));
	HAS(b.error, "unable to get certificate CRL");
	world_close();
	tls_context_unref(&other_context);
	pki_free(&cert);
}

Test(stream_tls_trust, the_picked_context_brings_its_versions_and_groups)
{
	struct pki_cert cert;
	struct tls_info info;

	settings.ssl_cipher_suites = "TLS_CHACHA20_POLY1305_SHA256";
	make_contexts("mx.example", TLS_VERIFY);
	settings.ssl_min_protocol = TLS_VERSION_1_3;
	settings.ssl_cipher_suites = "TLS_AES_128_GCM_SHA256";
	settings.ssl_curve_list = "P-384";
	make_other_server(&cert);
	settings.ssl_cipher_suites = "";
	settings.ssl_curve_list = "X25519:P-384";
	tls_context_unref(&client_context);
	client_context = tls_context_client(&settings, &err);
	picked("mx.other.example", "CN=other");
	set_host("mx.other.example");
	world_open(0);
	picks = 0;
	start_picking();
	UNTIL(a.secured && b.secured);
	cr_assert(stream_tls_info(b.stream, &info));
	cr_assert_str_eq(info.cipher, "TLS_AES_128_GCM_SHA256");
	cr_assert_eq(picks, 2, "the group needs a second hello");
	world_close();
	set_host("mx.example");
	world_open(0);
	start_picking();
	UNTIL(a.secured && b.secured);
	cr_assert(stream_tls_info(b.stream, &info));
	cr_assert_str_eq(info.cipher, "TLS_CHACHA20_POLY1305_SHA256");
	world_close();
	tls_context_unref(&other_context);
	pki_free(&cert);
}

/* --- resumption --- */

/* One connection to the peer; whether it resumed a session. */
static bool resumes(void)
{
	struct tls_info one, two;
	bool resumed;

	world_open(0);
	handshake();
	stream_puts(b.stream, "hello");
	UNTIL(got(&a, "hello"));
	cr_assert(stream_tls_info(a.stream, &one));
	cr_assert(stream_tls_info(b.stream, &two));
	cr_assert_eq(one.resumed, two.resumed);
	cr_assert(one.verified);
	cr_assert_str_eq(one.peer_subject, "CN=server");
	resumed = one.resumed;
	world_close();
	return resumed;
}

Test(stream_tls_trust, resumes_sessions_of_1_3_once)
{
	struct tls *first;
	struct tls_info info;

	make_contexts("mx.example", TLS_VERIFY);
	cr_assert_not(tls_peer_has_sessions(peer));
	cr_assert_not(resumes());
	cr_assert(tls_peer_has_sessions(peer));
	cr_assert(resumes());
	cr_assert(resumes());
	/* Two at a time, and one ticket, which the first has. */
	first = tls_connect(peer, &log_ctx);
	cr_assert_not(tls_peer_has_sessions(peer));
	cr_assert_not(resumes());
	world_open(0);
	stream_start_tls(a.stream, first);
	start_b();
	UNTIL(a.secured && b.secured);
	cr_assert(stream_tls_info(a.stream, &info));
	cr_assert(info.resumed);
	world_close();
}

Test(stream_tls_trust, another_identity_does_not_resume)
{
	make_contexts("mx.example", TLS_ANY_CERT);
	cr_assert_not(resumes());
	cr_assert(resumes());
	set_host("mx.example");
	cr_assert_not(resumes());
}

Test(stream_tls_trust, does_not_resume_without_tickets)
{
	settings.ssl_options = TLS_OPTION_NO_TICKET;
	make_contexts("mx.example", TLS_VERIFY);
	cr_assert_not(resumes());
	cr_assert_not(resumes());
}

Test(stream_tls_trust, a_new_context_starts_afresh)
{
	make_contexts("mx.example", TLS_VERIFY);
	cr_assert_not(resumes());
	tls_context_unref(&server_context);
	server_context = make_server();
	cr_assert_not(resumes());
	cr_assert(resumes());
}

Test(stream_tls_trust, resumes_with_client_certificates)
{
	struct tls_info info;

	settings.ssl_verify_client_cert = true;
	settings.ssl_require_crl = false;
	settings.ssl_ca = str_c(&ca.pem);
	settings.ssl_client_cert = str_c(&client.pem);
	settings.ssl_client_key = str_c(&client.key);
	make_contexts("mx.example", TLS_VERIFY);
	cr_assert_not(resumes());
	world_open(0);
	handshake();
	cr_assert(stream_tls_info(b.stream, &info));
	cr_assert(info.resumed);
	cr_assert_str_eq(info.peer_subject, "CN=client");
	cr_assert(info.verified);
	world_close();
}

Test(stream_tls_trust, the_picked_context_brings_its_options)
{
	struct pki_cert cert;
	struct tls_info info;
	int i;

	settings.ssl_options = TLS_OPTION_NO_TICKET;
	make_contexts("mx.example", TLS_VERIFY);
	settings.ssl_options = 0;
	make_other_server(&cert);
	set_host("mx.other.example");
	for (i = 0; i < 2; i++) {
		world_open(0);
		start_picking();
		UNTIL(a.secured && b.secured);
		passes(5);
		cr_assert(stream_tls_info(b.stream, &info));
		cr_assert_eq(info.resumed, i == 1);
		world_close();
	}
	tls_context_unref(&other_context);
	pki_free(&cert);
}

/* A bare client of that version and name towards b, which picks. */
static void raw_client_named(int version, const char *name)
{
	int fds[2];

	world_connect(0, fds);
	b.stream = stream_new(loop, fds[1], &end_handler, &b);
	stream_start_tls(b.stream,
			 tls_accept(server_context, pick, &picks, &log_ctx));
	raw_open(fds[0], version);
	SSL_set_connect_state(raw);
	SSL_set_tlsext_host_name(raw, name);
}

static SSL_SESSION *raw_session(int version, const char *name)
{
	SSL_SESSION *session;

	raw_client_named(version, name);
	UNTIL(raw_handshake() && b.secured);
	stream_puts(b.stream, "hello");
	UNTIL(raw_got("hello"));
	session = SSL_get1_session(raw);
	cr_assert(SSL_SESSION_is_resumable(session));
	SSL_set_shutdown(raw, SSL_SENT_SHUTDOWN);
	raw_close();
	world_close();
	return session;
}

/* A session that was made without a client certificate is no way around it. */
static void not_resumed_elsewhere(int version)
{
	SSL_SESSION *session = raw_session(version, "mx.example");
	struct tls_info info;

	raw_client_named(version, "mx.example");
	SSL_set_session(raw, session);
	UNTIL(raw_handshake() && b.secured);
	cr_assert(stream_tls_info(b.stream, &info));
	cr_assert(info.resumed);
	SSL_set_shutdown(raw, SSL_SENT_SHUTDOWN);
	raw_close();
	world_close();
	raw_client_named(version, "mx.other.example");
	SSL_set_session(raw, session);
	UNTIL((raw_handshake(), over(&b) || b.secured));
	cr_assert_eq(b.secured, 0, "resumed");
	HAS(b.error, "the peer sent no certificate");
	SSL_SESSION_free(session);
	raw_close();
	world_close();
}

Test(stream_tls_trust, a_session_is_not_resumed_in_another_context)
{
	struct pki_cert cert;

	make_contexts("mx.example", TLS_VERIFY);
	settings.ssl_verify_client_cert = true;
	settings.ssl_ca = str_c(&ca.pem);
	make_other_server(&cert);
	not_resumed_elsewhere(TLS1_2_VERSION);
	not_resumed_elsewhere(TLS1_3_VERSION);
	tls_context_unref(&other_context);
	pki_free(&cert);
}
