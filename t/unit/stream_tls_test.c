/* Streams through TLS: data, ends, and what comes before. */
#include "t/unit/stream_tls_helper.h"

#include "lib/log/log.h"

TestSuite(stream_tls, .init = world_setup, .fini = world_teardown,
	  .timeout = 120);

/* --- data --- */

Test(stream_tls, carries_both_ways_and_tells_about_it)
{
	struct tls_info info;
	struct str text = STR_INIT;

	open_secured("MX.example.", TLS_VERIFY);
	cr_assert_eq(a.secured, 1);
	cr_assert_eq(b.secured, 1);
	stream_puts(a.stream, "from a");
	stream_puts(b.stream, "from b");
	UNTIL(got(&b, "from a") && got(&a, "from b"));
	cr_assert(stream_tls_info(a.stream, &info));
	cr_assert_str_eq(info.protocol, "TLSv1.3");
	cr_assert_str_eq(info.cipher, "TLS_AES_256_GCM_SHA384");
	cr_assert_eq(info.bits, 256);
	cr_assert_str_eq(info.server_name, "MX.example");
	cr_assert_str_eq(info.peer_subject, "CN=server");
	cr_assert(info.verified);
	cr_assert_not(info.resumed);
	tls_info_write(&text, &info);
	cr_assert_str_eq(str_c(&text), "TLSv1.3 with cipher "
				       "TLS_AES_256_GCM_SHA384 (256/256 bits)");
	cr_assert(stream_tls_info(b.stream, &info));
	cr_assert_str_eq(info.server_name, "MX.example");
	cr_assert_null(info.peer_subject);
	cr_assert_not(info.verified);
	cr_assert_null(memmem(to_b.seen.data, to_b.seen.len, "from a", 6));
	cr_assert_eq(a.broken + b.broken, 0);
	cr_assert_eq(a.writable + b.writable, 0, "nobody asked");
	str_free(&text);
	world_close();
}

/* 1 MiB each way at once, through small buffers. */
static void carry_much(int size, size_t piece, bool once)
{
	const size_t len = 1 << 20;
	char *one = make_body(len, 1), *two = make_body(len, 2);

	make_contexts("mx.example", TLS_VERIFY);
	world_open(size);
	handshake();
	a.piece = b.piece = piece;
	a.once = b.once = once;
	a.body = one;
	b.body = two;
	a.body_len = b.body_len = len;
	stream_puts(a.stream, "head ");
	end_send(&a);
	end_send(&b);
	cr_assert_lt(a.body_sent, len);
	UNTIL(b.in.len == len + 5 && a.in.len == len);
	cr_assert_eq(memcmp(b.in.data, "head ", 5), 0);
	cr_assert_eq(memcmp(b.in.data + 5, one, len), 0);
	cr_assert_eq(memcmp(a.in.data, two, len), 0);
	cr_assert_eq(stream_pending(a.stream), 0);
	cr_assert_eq(stream_pending(b.stream), 0);
	mem_free(&one);
	mem_free(&two);
	world_close();
}

Test(stream_tls, carries_much_through_small_buffers)
{
	carry_much(4096, 0, false);
	carry_much(4096, 1000, true);
	carry_much(200000, 16384, true);
}

Test(stream_tls, carries_much_from_the_queue)
{
	const size_t len = 300000;
	char *body = make_body(len, 3);

	make_contexts("mx.example", TLS_VERIFY);
	world_open(4096);
	handshake();
	stream_write(a.stream, body, len);
	stream_want_write(a.stream);
	UNTIL(b.in.len == len);
	cr_assert_eq(memcmp(b.in.data, body, len), 0);
	UNTIL(a.writable == 1);
	passes(20);
	cr_assert_eq(a.writable, 1);
	mem_free(&body);
	world_close();
}

Test(stream_tls, works_byte_by_byte)
{
	chunk = 1;
	open_secured("mx.example", TLS_VERIFY);
	stream_puts(a.stream, "a\r\nb\r\n");
	stream_puts(b.stream, "220 hello\r\n");
	UNTIL(got(&b, "a\r\nb\r\n") && got(&a, "220 hello\r\n"));
	stream_close(&a.stream);
	UNTIL(b.eof);
	cr_assert_not(b.failed);
	world_close();
}

Test(stream_tls, reads_what_tls_holds_in_later_passes)
{
	char *body = make_body(16000, 4);

	open_secured("mx.example", TLS_VERIFY);
	b.piece = 100;
	b.once = true;
	stream_write(a.stream, body, 16000);
	UNTIL(b.in.len == 16000);
	cr_assert_geq(b.reads, 160);
	cr_assert_eq(memcmp(b.in.data, body, 16000), 0);
	mem_free(&body);
	world_close();
}

Test(stream_tls, reads_many_small_records_at_once)
{
	int i;

	open_secured("mx.example", TLS_VERIFY);
	to_b.hold = true;
	for (i = 0; i < 100; i++) {
		stream_puts(a.stream, "0123456789");
		passes(1);
	}
	to_b.hold = false;
	b.once = true;
	b.reads = 0;
	UNTIL(b.in.len == 1000);
	cr_assert_leq(b.reads, 2);
	world_close();
}

Test(stream_tls, holds_back_while_reading_is_off)
{
	open_secured("mx.example", TLS_VERIFY);
	b.piece = 1;
	b.once = true;
	stream_puts(a.stream, "abc");
	UNTIL(b.in.len == 1);
	stream_want_read(b.stream, false);
	b.reads = 0;
	passes(20);
	cr_assert_eq(b.reads, 0);
	cr_assert_eq(b.in.len, 1);
	stream_want_read(b.stream, true);
	UNTIL(got(&b, "abc"));
	world_close();
}

Test(stream_tls, sleeps_while_a_record_is_incomplete)
{
	open_secured("mx.example", TLS_VERIFY);
	no_calls_without_input();
	b.toggle = true;
	stream_puts(a.stream, "first");
	UNTIL(got(&b, "first"));
	no_calls_without_input();
	/* A part of a record is in OpenSSL's buffer, behind a whole one. */
	to_b.hold = true;
	stream_puts(a.stream, " second");
	passes(2);
	stream_puts(a.stream, " third");
	passes(2);
	chunk = 29 + 10;
	to_b.hold = false;
	pass();
	to_b.hold = true;
	UNTIL(got(&b, "first second"));
	no_calls_without_input();
	to_b.hold = false;
	UNTIL(got(&b, "first second third"));
	no_calls_without_input();
	world_close();
}

Test(stream_tls, puts_small_pieces_into_one_record)
{
	struct iovec iov[3] = {
		{ "body ", 5 }, { "", 0 }, { "end", 3 },
	};
	size_t before;

	open_secured("mx.example", TLS_VERIFY);
	before = to_b.seen.len;
	stream_puts(a.stream, "one ");
	stream_puts(a.stream, "two ");
	cr_assert_eq(stream_sendv(a.stream, iov, 3), 8);
	UNTIL(got(&b, "one two body end"));
	cr_assert_eq(count_records(&to_b.seen, before), 1);
	before = to_b.seen.len;
	stream_puts(a.stream, "MAIL\r\n");
	stream_puts(a.stream, "RCPT\r\n");
	UNTIL(b.in.len == 28);
	cr_assert_eq(count_records(&to_b.seen, before), 1);
	world_close();
}

Test(stream_tls, fills_records)
{
	char *body = make_body(65536, 5);
	struct iovec iov[2] = { { body, 100 }, { body, 65436 } };
	size_t before;

	open_secured("mx.example", TLS_VERIFY);
	before = to_b.seen.len;
	cr_assert_eq(stream_sendv(a.stream, iov, 2), 65536);
	UNTIL(b.in.len == 65536);
	cr_assert_eq(count_records(&to_b.seen, before), 4);
	cr_assert_eq(memcmp(b.in.data, body, 100), 0);
	cr_assert_eq(memcmp(b.in.data + 100, body, 65436), 0);
	mem_free(&body);
	world_close();
}

/* --- the end --- */

Test(stream_tls, close_is_an_orderly_end)
{
	open_secured("mx.example", TLS_VERIFY);
	stream_puts(a.stream, "bye");
	stream_close(&a.stream);
	UNTIL(b.eof);
	cr_assert(got(&b, "bye"));
	cr_assert_not(b.failed);
	cr_assert_str_eq(b.error, "connection closed");
	world_close();
}

Test(stream_tls, shutdown_leaves_the_other_way_open)
{
	open_secured("mx.example", TLS_VERIFY);
	stream_puts(a.stream, "bye");
	stream_shutdown(a.stream);
	UNTIL(b.eof);
	cr_assert(got(&b, "bye"));
	cr_assert_not(b.failed);
	stream_puts(b.stream, "still here");
	UNTIL(got(&a, "still here"));
	stream_close(&b.stream);
	UNTIL(a.eof);
	cr_assert_not(a.failed, "%s", a.error);
	world_close();
}

Test(stream_tls, end_without_close_notify_is_a_failure)
{
	open_secured("mx.example", TLS_VERIFY);
	stream_puts(a.stream, "half of it");
	UNTIL(got(&b, "half of it"));
	shutdown(to_b.to, SHUT_WR);
	UNTIL(b.eof);
	cr_assert(b.failed);
	cr_assert_str_eq(b.error, "TLS connection truncated: no close_notify "
				  "before the end");
	cr_assert_not(b.untrusted);
	world_close();
}

Test(stream_tls, end_inside_a_record_is_a_failure)
{
	open_secured("mx.example", TLS_VERIFY);
	chunk = 10;
	stream_puts(a.stream, "never seen");
	passes(1);
	to_b.hold = true;
	passes(5);
	shutdown(to_b.to, SHUT_WR);
	UNTIL(b.eof);
	cr_assert(b.failed);
	HAS(b.error, "TLS connection truncated");
	cr_assert_eq(b.in.len, 0);
	world_close();
}

Test(stream_tls, close_with_a_rest_is_not_an_orderly_end)
{
	char *body = make_body(1 << 20, 6);

	make_contexts("mx.example", TLS_VERIFY);
	world_open(4096);
	handshake();
	stream_write(a.stream, body, 1 << 20);
	passes(3);
	stream_close(&a.stream);
	UNTIL(b.eof);
	cr_assert(b.failed);
	cr_assert_lt(b.in.len, 1 << 20);
	HAS(b.error, "TLS connection truncated");
	mem_free(&body);
	world_close();
}

Test(stream_tls, altered_bytes_are_a_failure)
{
	open_secured("mx.example", TLS_VERIFY);
	to_b.hold = true;
	stream_puts(a.stream, "something");
	passes(3);
	cr_assert_eq(send(to_b.to, "\x17\x03\x03\x00\x20", 5, 0), 5);
	cr_assert_eq(send(to_b.to, "0123456789abcdef0123456789abcdef", 32, 0),
		     32);
	UNTIL(b.eof);
	cr_assert(b.failed);
	cr_assert_str_eq(b.error, "TLS connection failed: decryption failed or "
				  "bad record mac");
	UNTIL(a.eof);
	cr_assert_str_eq(a.error, "TLS connection failed: alert from the peer: "
				  "bad record mac");
	stream_puts(b.stream, "too late");
	UNTIL(b.broken == 1);
	passes(10);
	cr_assert_eq(b.broken, 1);
	cr_assert_eq(stream_pending(b.stream), 0);
	world_close();
}

Test(stream_tls, says_once_that_its_peer_is_gone)
{
	open_secured("mx.example", TLS_VERIFY);
	close(to_b.from);
	to_b.hold = to_a.hold = true;
	stream_want_read(a.stream, false);
	stream_puts(a.stream, "lost");
	UNTIL(a.broken == 1);
	cr_assert_str_eq(a.error, "TLS connection failed: Broken pipe");
	stream_puts(a.stream, "lost, too");
	passes(10);
	cr_assert_eq(a.broken, 1);
	to_b.from = to_a.to = dup(to_a.from);
	world_close();
}

Test(stream_tls, can_be_closed_in_every_callback)
{
	make_contexts("mx.example", TLS_VERIFY);
	world_open(0);
	a.close_secured = true;
	start();
	UNTIL(a.secured);
	cr_assert_null(a.stream);
	UNTIL(b.eof);
	cr_assert_not(b.failed);
	world_close();
	world_open(0);
	start();
	b.close_readable = true;
	stream_puts(a.stream, "data");
	UNTIL(b.stream == NULL);
	world_close();
	world_open(0);
	b.close_broken = true;
	start_b();
	stream_puts(a.stream, "QUIT\r\n");
	UNTIL(b.broken);
	cr_assert_null(b.stream);
	world_close();
}

Test(stream_tls, outlives_its_contexts_and_peer)
{
	make_contexts("mx.example", TLS_VERIFY);
	world_open(0);
	start();
	tls_peer_unref(&peer);
	tls_context_unref(&client_context);
	tls_context_unref(&server_context);
	UNTIL(a.secured && b.secured);
	stream_puts(a.stream, "data");
	UNTIL(got(&b, "data"));
	world_close();
}

/* --- before TLS --- */

Test(stream_tls, what_was_queued_before_leaves_in_clear)
{
	make_contexts("mx.example", TLS_VERIFY);
	world_open(0);
	stream_puts(b.stream, "220 go ahead\r\n");
	start_b();
	stream_puts(b.stream, "secret");
	UNTIL(got(&a, "220 go ahead\r\n"));
	cr_assert_eq(to_a.seen.len, 14);
	stream_start_tls(a.stream, tls_connect(peer, &log_ctx));
	stream_puts(a.stream, "LHLO\r\n");
	stream_want_write(a.stream);
	UNTIL(got(&b, "LHLO\r\n") && got(&a, "220 go ahead\r\nsecret"));
	cr_assert_eq(a.secured, 1);
	UNTIL(a.writable == 1);
	cr_assert_null(memmem(to_a.seen.data, to_a.seen.len, "secret", 6));
	world_close();
}

Test(stream_tls, what_was_queued_before_may_have_to_wait)
{
	char *body = make_body(60000, 7);

	make_contexts("mx.example", TLS_VERIFY);
	world_open(4096);
	stream_write(b.stream, body, 60000);
	start_b();
	cr_assert_eq(stream_pending(b.stream), 60000);
	UNTIL(a.in.len == 60000);
	stream_start_tls(a.stream, tls_connect(peer, &log_ctx));
	UNTIL(a.secured && b.secured);
	mem_free(&body);
	world_close();
}

Test(stream_tls, a_stalled_handshake_just_waits)
{
	make_contexts("mx.example", TLS_VERIFY);
	world_open(0);
	start_b();
	stream_puts(b.stream, "waiting");
	stream_want_write(b.stream);
	no_calls_without_input();
	cr_assert_eq(b.secured + b.broken + b.reads + b.writable, 0);
	cr_assert_eq(stream_pending(b.stream), 7);
	cr_assert_not(stream_tls_info(b.stream, &(struct tls_info){ 0 }));
	stream_close(&b.stream);
	UNTIL(a.eof);
	cr_assert_eq(a.in.len, 0);
	world_close();
}

/* What the server says to a client that sends text. */
static void garbage(const char *text, size_t len, const char *error)
{
	make_contexts("mx.example", TLS_VERIFY);
	world_open(0);
	start_b();
	stream_write(a.stream, text, len);
	UNTIL(b.broken == 1);
	cr_assert_eq(b.secured, 0);
	cr_assert(b.failed);
	cr_assert_not(b.untrusted);
	HAS(b.error, "TLS handshake failed: ");
	HAS(b.error, error);
	passes(10);
	cr_assert_eq(b.broken, 1);
	world_close();
}

Test(stream_tls, refuses_what_is_not_tls)
{
	garbage("GET / HTTP/1.0\r\n\r\n", 18, "http request");
	garbage("LHLO client.example\r\n", 21, "the peer does not speak TLS");
	garbage("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10, "length");
	garbage("\x16\x03\x01\xff\xff", 5, "packet length too long");
	garbage("\x15\x03\x01\x00\x02\x02\x28", 7, "unexpected message");
	garbage("\x15\x03\x01\x00\x02\x01\x00", 7, "TLS");
}

Test(stream_tls, client_refuses_what_is_not_tls)
{
	make_contexts("mx.example", TLS_VERIFY);
	world_open(0);
	stream_puts(b.stream, "220 mx.example LMTP\r\n");
	stream_start_tls(a.stream, tls_connect(peer, &log_ctx));
	UNTIL(a.broken == 1);
	cr_assert_str_eq(a.error, "TLS handshake failed: the peer does not "
				  "speak TLS");
	cr_assert_not(a.untrusted);
	world_close();
}

Test(stream_tls, an_end_in_the_handshake_is_a_failure)
{
	make_contexts("mx.example", TLS_VERIFY);
	world_open(0);
	start_b();
	stream_close(&a.stream);
	UNTIL(b.broken == 1);
	cr_assert_str_eq(b.error, "TLS handshake failed: the peer closed the "
				  "connection");
	cr_assert_not(b.untrusted);
	world_close();
}

Test(stream_tls, logs_when_asked_to)
{
	struct log_settings log = {
		.info_path = "", .debug_path = "", .timestamp = "",
		.syslog_facility = "mail", .prefix = "",
	};
	struct str text = STR_INIT;
	char path[100];

	snprintf(path, sizeof(path), "%s", files_path(&files, "log"));
	log.path = path;
	cr_assert_eq(log_open(&log, &err), 0, "%s", err.text);
	settings.verbose_ssl = true;
	open_secured("mx.example", TLS_VERIFY);
	stream_close(&a.stream);
	UNTIL(b.eof);
	world_close();
	log_flush();
	log_close();
	files_read(path, &text);
	HAS(str_c(&text), "test: TLS: SSLv3/TLS read client hello");
	HAS(str_c(&text), "test: TLS alert received: warning: close notify");
	str_free(&text);
}
