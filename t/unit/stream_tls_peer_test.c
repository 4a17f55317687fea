/* Streams through TLS with a bare OpenSSL as the peer: versions and ciphers, and
 * what only an odd peer does. */
#include "t/unit/stream_tls_helper.h"

TestSuite(stream_tls_peer, .init = world_setup, .fini = world_teardown,
	  .timeout = 120);

Test(stream_tls_peer, changes_keys_when_the_peer_asks)
{
	int i;

	make_contexts("mx.example", TLS_VERIFY);
	raw_client(TLS1_3_VERSION);
	UNTIL(raw_handshake() && b.secured);
	for (i = 0; i < 5; i++) {
		stream_puts(b.stream, "before");
		UNTIL(raw_got("before"));
		cr_assert_eq(SSL_key_update(raw, SSL_KEY_UPDATE_REQUESTED), 1);
		cr_assert_eq(SSL_write(raw, "x", 1), 1);
		UNTIL((int)b.in.len == i + 1);
		stream_puts(b.stream, "after");
		UNTIL(raw_got("after"));
	}
	cr_assert_eq(b.broken, 0);
	raw_close();
	world_close();
}

/* Answers to a peer that never reads them do not pile up. */
Test(stream_tls_peer, does_not_answer_a_peer_that_never_reads)
{
	int i;

	make_contexts("mx.example", TLS_VERIFY);
	raw_client(TLS1_3_VERSION);
	UNTIL(raw_handshake() && b.secured);
	to_a.hold = true;
	for (i = 0; i < 100000 && !b.eof; i++) {
		cr_assert_leq(stream_pending(b.stream), 100000);
		SSL_key_update(raw, SSL_KEY_UPDATE_REQUESTED);
		SSL_do_handshake(raw);
		if (i % 20 == 0)
			pass();
	}
	UNTIL(b.eof);
	cr_assert(b.failed);
	cr_assert_str_eq(b.error, "TLS connection failed: the peer asks for "
				  "answers and reads none");
	raw_close();
	world_close();
}

Test(stream_tls_peer, refuses_renegotiation)
{
	make_contexts("mx.example", TLS_VERIFY);
	raw_client(TLS1_2_VERSION);
	UNTIL(raw_handshake() && b.secured);
	stream_puts(b.stream, "before");
	UNTIL(raw_got("before"));
	SSL_renegotiate(raw);
	raw_done = false;
	passes(2);
	raw_handshake();
	passes(5);
	cr_assert_not(raw_handshake());
	cr_assert_eq(ERR_GET_REASON(ERR_peek_last_error()),
		     SSL_R_NO_RENEGOTIATION);
	cr_assert_eq(b.secured, 1);
	raw_close();
	world_close();
}

Test(stream_tls_peer, speaks_1_2)
{
	struct tls_info info;
	char *body = make_body(50000, 8);
	char buf[50000];
	int len, sum = 0;

	make_contexts("mx.example", TLS_VERIFY);
	raw_client(TLS1_2_VERSION);
	chunk = 7;
	UNTIL(raw_handshake() && b.secured);
	chunk = 65536;
	cr_assert(stream_tls_info(b.stream, &info));
	cr_assert_str_eq(info.protocol, "TLSv1.2");
	HAS(info.cipher, "ECDHE-ECDSA");
	cr_assert_null(info.server_name);
	stream_write(b.stream, body, 50000);
	while (sum < 50000) {
		pass();
		len = SSL_read(raw, buf + sum, sizeof(buf) - (size_t)sum);
		sum += len > 0 ? len : 0;
	}
	cr_assert_eq(memcmp(buf, body, 50000), 0);
	cr_assert_eq(SSL_write(raw, "QUIT\r\n", 6), 6);
	UNTIL(got(&b, "QUIT\r\n"));
	SSL_shutdown(raw);
	UNTIL(b.eof);
	cr_assert_not(b.failed);
	mem_free(&body);
	raw_close();
	world_close();
}

Test(stream_tls_peer, refuses_old_versions)
{
	make_contexts("mx.example", TLS_VERIFY);
	raw_client(TLS1_1_VERSION);
	UNTIL(b.broken == (raw_handshake(), 1));
	cr_assert_str_eq(b.error, "TLS handshake failed: unsupported protocol");
	cr_assert_not(b.untrusted);
	raw_close();
	world_close();
	settings.ssl_min_protocol = TLS_VERSION_1_3;
	make_contexts("mx.example", TLS_VERIFY);
	raw_client(TLS1_2_VERSION);
	UNTIL(b.broken == (raw_handshake(), 1));
	cr_assert_str_eq(b.error, "TLS handshake failed: unsupported protocol");
	raw_close();
	world_close();
}

Test(stream_tls_peer, speaks_old_versions_when_told_to)
{
	struct tls_info info;

	settings.ssl_min_protocol = TLS_VERSION_1_0;
	settings.ssl_cipher_list = "ALL:@SECLEVEL=0";
	make_contexts("mx.example", TLS_VERIFY);
	raw_client(TLS1_1_VERSION);
	UNTIL(raw_handshake() && b.secured);
	cr_assert(stream_tls_info(b.stream, &info));
	cr_assert_str_eq(info.protocol, "TLSv1.1");
	raw_close();
	world_close();
}

/* The cipher that a client with that list gets. */
static void gets_cipher(const char *list, const char *sigalgs,
			const char *cipher)
{
	struct tls_info info;

	raw_client(TLS1_2_VERSION);
	cr_assert(SSL_set_cipher_list(raw, list));
	if (sigalgs != NULL)
		cr_assert(SSL_set1_sigalgs_list(raw, sigalgs));
	UNTIL(raw_handshake() && b.secured);
	cr_assert(stream_tls_info(b.stream, &info));
	cr_assert_str_eq(info.cipher, cipher);
	raw_close();
	world_close();
}

Test(stream_tls_peer, chooses_ciphers)
{
	const char *list = "ECDHE-ECDSA-AES128-GCM-SHA256:"
			   "ECDHE-ECDSA-AES256-GCM-SHA384";

	settings.ssl_cipher_list = "ECDHE-ECDSA-AES256-GCM-SHA384:"
				   "ECDHE-ECDSA-AES128-GCM-SHA256";
	make_contexts("mx.example", TLS_VERIFY);
	gets_cipher(list, NULL, "ECDHE-ECDSA-AES128-GCM-SHA256");
	settings.ssl_prefer_server_ciphers = true;
	make_contexts("mx.example", TLS_VERIFY);
	gets_cipher(list, NULL, "ECDHE-ECDSA-AES256-GCM-SHA384");
}

Test(stream_tls_peer, has_a_certificate_for_each_key_type)
{
	struct pki_cert rsa;

	pki_make(&rsa, &(struct pki_params){ .issuer = &ca, .name = "rsa",
					     .rsa = true });
	settings.ssl_alt_cert = str_c(&rsa.pem);
	settings.ssl_alt_key = str_c(&rsa.key);
	make_contexts("mx.example", TLS_VERIFY);
	gets_cipher("ECDHE-RSA-AES256-GCM-SHA384", "RSA+SHA256",
		    "ECDHE-RSA-AES256-GCM-SHA384");
	gets_cipher("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDSA+SHA256",
		    "ECDHE-ECDSA-AES256-GCM-SHA384");
	pki_free(&rsa);
}


/* --- a client of ours towards a bare server --- */

/* a is a stream and a client, its peer bare. */
static void raw_server(int max_version)
{
	int fds[2];

	world_connect(0, fds);
	a.stream = stream_new(loop, fds[0], &end_handler, &a);
	stream_start_tls(a.stream, tls_connect(peer, &log_ctx));
	raw_open(fds[1], max_version);
	SSL_use_certificate(raw, server.x509);
	SSL_use_PrivateKey(raw, server.pkey);
	SSL_set_accept_state(raw);
}

Test(stream_tls_peer, client_refuses_renegotiation)
{
	make_contexts("mx.example", TLS_VERIFY);
	raw_server(TLS1_2_VERSION);
	UNTIL(raw_handshake() && a.secured);
	SSL_renegotiate(raw);
	raw_done = false;
	UNTIL((raw_handshake(), raw_got("")) || ERR_peek_last_error() != 0);
	cr_assert_eq(ERR_GET_REASON(ERR_peek_last_error()),
		     SSL_R_NO_RENEGOTIATION);
	cr_assert_eq(a.secured, 1);
	raw_close();
	world_close();
}

Test(stream_tls_peer, resumes_sessions_of_1_2_many_times)
{
	struct tls_info info;
	int i;

	make_contexts("mx.example", TLS_VERIFY);
	for (i = 0; i < 6; i++) {
		raw_server(TLS1_2_VERSION);
		UNTIL(raw_handshake() && a.secured);
		cr_assert(stream_tls_info(a.stream, &info));
		cr_assert_str_eq(info.protocol, "TLSv1.2");
		cr_assert_eq(info.resumed, i > 0, "connection %d", i);
		cr_assert(info.verified);
		/* A server that just goes away spoils nothing. */
		if (i % 2 == 0) {
			shutdown(to_a.to, SHUT_WR);
			UNTIL(a.eof);
			cr_assert(a.failed);
		}
		raw_close();
		world_close();
	}
}

/* A session ticket in several records, of which one is here: OpenSSL cannot
 * write until it has the rest. */
static void get_part_of_ticket(void)
{
	raw_server(TLS1_3_VERSION);
	SSL_set_verify(raw, SSL_VERIFY_PEER, NULL);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(raw_ctx), ca.x509);
	SSL_set_session_id_context(raw, (const void *)"x", 1);
	SSL_set_max_send_fragment(raw, 512);
	UNTIL(a.secured || (raw_handshake(), false));
	to_a.hold = true;
	UNTIL(raw_handshake());
	chunk = 5 + 512 + 17;
	to_a.hold = false;
	way_move(&to_a);
	to_a.hold = true;
	passes(5);
	stream_puts(a.stream, "has to wait");
	stream_want_write(a.stream);
	no_calls_without_input();
	cr_assert_eq(a.writable, 0);
	cr_assert_eq(stream_pending(a.stream), 11, "it could be sent");
}

Test(stream_tls_peer, a_write_may_have_to_wait_for_input)
{
	struct pki_cert large;
	char buf[10];
	size_t len;

	pki_make(&large, &(struct pki_params){ .issuer = &ca, .name = "large",
					       .name_size = 1500 });
	settings.ssl_client_cert = str_c(&large.pem);
	settings.ssl_client_key = str_c(&large.key);
	make_contexts("mx.example", TLS_VERIFY);
	get_part_of_ticket();
	stream_want_read(a.stream, false);
	to_a.hold = false;
	UNTIL(raw_got("has to wait"));
	UNTIL(a.writable == 1);
	cr_assert_eq(a.broken, 0);
	raw_close();
	world_close();
	/* The same when it is the owner's reading that gets the rest. */
	make_contexts("mx.example", TLS_VERIFY);
	get_part_of_ticket();
	chunk = 65536;
	to_a.hold = false;
	way_move(&to_a);
	cr_assert_eq(stream_read(a.stream, buf, sizeof(buf), &len), 0);
	UNTIL(raw_got("has to wait"));
	UNTIL(a.writable == 1);
	raw_close();
	world_close();
	pki_free(&large);
}

Test(stream_tls_peer, tells_the_alert_of_a_server)
{
	make_contexts("mx.example", TLS_VERIFY);
	raw_server(TLS1_1_VERSION);
	UNTIL(a.broken == (raw_handshake(), 1));
	cr_assert_str_eq(a.error, "TLS handshake failed: alert from the peer: "
				  "protocol version");
	cr_assert_not(a.untrusted);
	raw_close();
	world_close();
}
