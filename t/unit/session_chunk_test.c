/* Messages in chunks (BDAT, RFC 3030), from the client and to the backend. */
#include <stdio.h>

#include "lib/smtp/data.h"
#include "t/unit/session_helper.h"

TestSuite(session_chunk, .init = setup, .fini = teardown, .timeout = 60);

#define CHUNKED "Subject: hi\r\n\r\n.dot\r\nend\r\n"

static void say_chunk(const char *data, bool last)
{
	char command[64];

	snprintf(command, sizeof(command), "BDAT %zu%s\r\n", strlen(data),
		 last ? " LAST" : "");
	say(command);
	say(data);
}

static void assert_message(const char *text)
{
	const char *message = str_c(&world.message);
	size_t len = strlen(text), at = world.message.len;

	cr_assert_geq(at, len, "%s", message);
	cr_assert_str_eq(message + at - len, text);
	cr_assert_eq(count(&world.message, "Received: "), 1);
}

/* With every combination of what the client and the backend use. */
static void assert_passes(bool chunks_in, bool chunks_out)
{
	world.chunking = chunks_out;
	if (chunks_in) {
		say("LHLO c\r\n" ENVELOPE);
		expect("250 2.1.5");
		say_chunk(CHUNKED, true);
	} else {
		say("LHLO c\r\n" ENVELOPE "DATA\r\nSubject: hi\r\n\r\n..dot\r\n"
		    "end\r\n.\r\n");
	}
	expect("Saved");
	assert_message(CHUNKED);
	cr_assert_eq(world.chunks, chunks_out ? 1 : 0);
}

Test(session_chunk, chunk_to_chunk)
{
	assert_passes(true, true);
}

Test(session_chunk, chunk_to_data)
{
	assert_passes(true, false);
	cr_assert_eq(count(&world.received, "\r\n..dot\r\n"), 1);
}

Test(session_chunk, data_to_chunk)
{
	assert_passes(false, true);
	cr_assert_eq(count(&world.received, "\r\n..dot\r\n"), 0);
	cr_assert_eq(count(&world.received, "DATA"), 0);
	cr_assert_eq(count(&world.received, " LAST\r\n"), 1);
}

Test(session_chunk, chunks_of_any_size_make_one_message)
{
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	say_chunk("Subject: hi\r", false);
	expect("250 2.0.0 Added 12 octets\r\n");
	say_chunk("\n", false);
	expect("Added 1 octets\r\n");
	say_chunk("", false);
	expect("Added 0 octets\r\n");
	say("NOOP\r\n");
	expect("250 2.0.0 OK\r\n");
	say_chunk("\r\n.", false);
	expect("Added 3 octets\r\n");
	say_chunk("\r\nbody", false);
	expect("Added 6 octets\r\n");
	say_chunk("", true);
	expect("Saved");
	assert_message("Subject: hi\r\n\r\n.\r\nbody\r\n");
	cr_assert_eq(world.delivered, 1);
	say(ENVELOPE "DATA\r\n" MESSAGE);
	expect(":T2 Saved");
}

Test(session_chunk, pipelined_chunks_and_what_follows_them)
{
	say("LHLO c\r\n" ENVELOPE "RCPT TO:<b@x>\r\nBDAT 6\r\na: b\r\nBDAT 3 LAST\r\n"
	    "\r\nc" ENVELOPE "BDAT 4 LAST\r\nx\r\n\r" "QUIT\r\n");
	expect_closed();
	cr_assert_eq(count(&world.replies, "Saved"), 3, "%s",
		     str_c(&world.replies));
	cr_assert_eq(count(&world.replies, "221 2.0.0 Bye"), 1);
	cr_assert_eq(world.delivered, 3);
}

Test(session_chunk, chunks_byte_by_byte)
{
	static const char all[] = "LHLO c\r\n" ENVELOPE "BDAT 6\r\na: b\r\n"
				  "BDAT 5 last\r\n\r\n..x";
	size_t i;

	for (i = 0; i < sizeof(all) - 1; i++) {
		world_send(&world, all + i, 1);
		world_settle(&world);
	}
	expect("Saved");
	assert_message("a: b\r\n\r\n..x\r\n");
}

/* What it says about octets holds, whatever becomes of the command. */
static void assert_chunk_refused(const char *command, const char *reply)
{
	str_clear(&world.replies);
	say(command);
	say("MAIL FROM:<evil@b>\r\n");
	expect(reply);
	say("NOOP\r\n");
	expect("250 2.0.0 OK\r\n");
	cr_assert_eq(count(&world.replies, "250 2.1.0"), 0, "%s",
		     str_c(&world.replies));
}

Test(session_chunk, octets_of_a_refused_chunk_are_no_commands)
{
	say("LHLO c\r\n");
	expect("250 ");
	assert_chunk_refused("BDAT 20 LAST\r\n", "503 5.5.0 MAIL needed");
	say("MAIL FROM:<a@b>\r\n");
	expect("250 2.1.0");
	assert_chunk_refused("BDAT 20\r\n", "503 5.5.0 No valid recipients");
	assert_chunk_refused("BDAT 20 FIRST\r\n", "501 5.5.4");
	say("BDAT many\r\nNOOP\r\n");
	expect_closed();
	cr_assert_eq(count(&world.replies, "501 5.5.4"), 2);
}

Test(session_chunk, octets_of_no_command_at_all_are_no_commands)
{
	static const char *const lines[] = {
		"BDAT\t20 LAST\r\n", "bdat 20 \xff\r\n", "BDAT 20 \1\r\n",
	};
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		str_clear(&world.replies);
		say("LHLO c\r\n");
		say(lines[i]);
		say("MAIL FROM:<evil@b>\r\n");
		expect_closed();
		cr_assert_eq(count(&world.replies, "500 5.5.2"), 1);
		cr_assert_eq(count(&world.replies, "250 2.1.0"), 0);
		world_connect(&world);
	}
}

static void assert_long_line_ends_it(size_t piece)
{
	char line[6000];
	size_t sent;

	memset(line, ' ', sizeof(line));
	memcpy(line, "BDAT 20 LAST", 12);
	str_clear(&world.replies);
	say("LHLO c\r\n");
	expect("250 ");
	for (sent = 0; sent < sizeof(line); sent += piece) {
		world_send(&world, line + sent, piece);
		world_run(&world, "nothing like this", 0);
	}
	say("\r\nMAIL FROM:<evil@b>\r\n");
	expect_closed();
	cr_assert_eq(count(&world.replies, "500 5.5.2 Line too long"), 1);
	cr_assert_eq(count(&world.replies, "250 2.1.0"), 0);
	world_connect(&world);
}

Test(session_chunk, octets_behind_a_line_that_is_too_long_are_no_commands)
{
	assert_long_line_ends_it(6000);
	assert_long_line_ends_it(2000);
	assert_long_line_ends_it(500);
}

/* What comes behind it may be pipelined. */
Test(session_chunk, message_without_a_refused_chunk_is_none)
{
	say("LHLO c\r\n" ENVELOPE "BDAT 8\r\na: b\r\n\r\n"
	    "BDAT 6 LSAT\r\nwhole\nBDAT 6 LAST\r\nrest\r\nNOOP\r\n");
	expect("501 5.5.4 Invalid end marker parameter\r\n"
	       "503 5.5.0 Previous data chunk failed, issue RSET first\r\n"
	       "250 2.0.0 OK\r\n");
	cr_assert_eq(world.delivered, 0);
	say("RSET\r\n" ENVELOPE "BDAT 8 LAST\r\na: b\r\n\r\n");
	expect("Saved");
	assert_message("a: b\r\n\r\n");
}

Test(session_chunk, data_without_a_refused_chunk_is_none)
{
	say("LHLO c\r\nMAIL FROM:<a@b>\r\nBDAT 6\r\na: b\r\n"
	    "RCPT TO:<joe@x>\r\nDATA\r\n");
	expect("503 5.5.0 No valid recipients\r\n250 2.1.5 recipient ok\r\n"
	       "503 5.5.0 Bad sequence of commands\r\n");
	say("RSET\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
}

Test(session_chunk, chunks_and_data_do_not_mix)
{
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	say_chunk("a: b\r\n", false);
	expect("Added 6");
	say("DATA\r\nRCPT TO:<b@x>\r\nMAIL FROM:<c@d>\r\n");
	expect("503 5.5.0 Bad sequence of commands\r\n"
	       "503 5.5.0 Bad sequence of commands\r\n"
	       "503 5.5.0 MAIL already given\r\n");
	say("RSET\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	cr_assert_eq(world.delivered, 1);
	cr_assert_eq(count(&world.message, "a: b"), 0);
}

Test(session_chunk, client_gone_between_chunks_delivers_nothing)
{
	world.chunking = true;
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	say_chunk("a: b\r\n\r\n", false);
	expect("Added 8");
	say("BDAT 100 LAST\r\nhalf");
	world_settle(&world);
	world_half_close(&world);
	expect_closed();
	world_settle(&world);
	cr_assert_eq(world.delivered, 0);
	cr_assert_eq(count(&world.received, "LAST"), 0);
}

Test(session_chunk, chunks_over_the_limit)
{
	world.settings->lmtp.lmtp_max_message_size = 10;
	say("LHLO c\r\n" ENVELOPE "RCPT TO:<b@x>\r\n");
	expect("2.1.5 recipient ok\r\n250 2.1.5");
	say_chunk("a: b\r\n\r\nmuch", false);
	expect("552 5.3.4 Message size");
	say_chunk("more", true);
	expect("552 5.3.4 <joe@x> ");
	expect("552 5.3.4 <b@x> ");
	cr_assert_eq(world.delivered, 0);
}

Test(session_chunk, chunk_with_a_bare_newline)
{
	world.settings->lmtp.lmtp_bare_newlines = SMTP_DATA_REJECT;
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	say_chunk("a: b\r\n\r\nbare\r", true);
	expect("550 5.6.0 <joe@x> ");
	cr_assert_eq(world.delivered, 0);
}

/* A line of the chunk that looks like the end must not be one for a backend
 * that takes DATA. */
Test(session_chunk, chunk_that_looks_like_the_end)
{
	static const char smuggled[] =
		"a: b\r\n\r\n.\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<v@x>\r\n"
		"DATA\r\nevil\r\n.\r\n";

	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	say_chunk(smuggled, true);
	expect("Saved");
	assert_message(smuggled);
	cr_assert_eq(world.delivered, 1);
}

static void say_large_chunk(size_t size)
{
	char line[1001];
	size_t sent;

	snprintf(line, sizeof(line), "BDAT %zu LAST\r\n", size);
	say(line);
	memset(line, 'x', 998);
	memcpy(line + 998, "\r\n", 3);
	for (sent = 0; sent < size; sent += 1000)
		world_send(&world, line, 1000);
}

Test(session_chunk, large_message_goes_out_in_several_chunks)
{
	world.chunking = true;
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	say_large_chunk(2000000);
	expect("Saved");
	cr_assert_gt(world.chunks, 3);
	cr_assert_gt(world.message.len, 2000000);
}

/* More of them than go out at once. */
Test(session_chunk, data_with_many_dots_to_chunk)
{
	int i;

	world.chunking = true;
	say("LHLO c\r\n" ENVELOPE "DATA\r\n");
	for (i = 0; i < 500; i++)
		say("..\r\n");
	say(".\r\n");
	expect("Saved");
	cr_assert_eq(count(&world.message, "\r\n."), 500);
	cr_assert_eq(count(&world.message, ".."), 0);
	cr_assert_eq(world.delivered, 1);
}

static const char *no_chunk_answer(struct world *w, enum world_stage stage)
{
	return stage == WORLD_CHUNK ? "" : world_good_answer(w, stage);
}

/* One backend takes its time with the first chunk, so that what follows has to
 * wait in the file, and some of it in memory. */
static void assert_late_chunks(size_t size)
{
	unsigned delivered = world.delivered;

	str_clear(&world.replies);
	say("RSET\r\n" ENVELOPE "RCPT TO:<nobody.else@x>\r\n");
	expect("ok\r\n250 2.1.5");
	world.answer = no_chunk_answer;
	say_large_chunk(size);
	world_settle(&world);
	world.answer = world_good_answer;
	world_backend_says(&world, world.conns.next, "250 2.0.0 more\r\n");
	world_settle(&world);
	world_backend_says(&world, world.conns.next->next,
			   "250 2.0.0 more\r\n");
	expect("Saved\r\n250 2.0.0 ");
	cr_assert_eq(world.delivered, delivered + 2, "%zu", size);
}

Test(session_chunk, chunks_from_the_file)
{
	size_t size;

	world.chunking = true;
	say("LHLO c\r\n");
	for (size = 300000; size < 450000; size += 11000)
		assert_late_chunks(size);
}

Test(session_chunk, pipelined_small_chunks_do_not_fill_the_memory)
{
	struct misbehaviour bad = { WORLD_DATA, "", 1 };
	char chunk[1024 + 16];
	int i;

	backend_does(&bad);
	world.settings->lmtp.lmtp_client_timeout = 60000;
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	memset(chunk, 'x', sizeof(chunk));
	memcpy(chunk, "BDAT 1022\r\n", 11);
	memcpy(chunk + 11 + 1020, "\r\n", 2);
	for (i = 0; i < 2000; i++) {
		world_send(&world, chunk, 11 + 1022);
		if (i < 300) /* one chunk to a read */
			world_settle(&world);
	}
	say("BDAT 0 LAST\r\n");
	world_settle(&world);
	cr_assert_lt(count(&world.replies, "Added"), 300);
	world_backend_takes_body(&world, world.conns.next);
	expect("Saved");
	cr_assert_eq(count(&world.replies, "Added"), 2000);
}

static void assert_chunk_failure(enum world_stage stage, const char *text,
				 const char *reply)
{
	struct misbehaviour bad = { stage, text, 1 };

	backend_does(&bad);
	world.chunking = true;
	str_clear(&world.replies);
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	say_large_chunk(200000);
	expect(reply);
	cr_assert_eq(count(&world.replies, "Saved"), 0, "%s",
		     str_c(&world.replies));
}

static const char *one_too_many(struct world *w, enum world_stage stage)
{
	if (stage == WORLD_MAIL)
		return "250 2.0.0 one more\r\n250 2.1.0 sender ok\r\n";
	return stage == WORLD_RCPT ? "" : world_good_answer(w, stage);
}

/* With DATA, 354 shows it. */
Test(session_chunk, a_reply_too_many_is_not_taken_for_that_to_a_chunk)
{
	world.chunking = true;
	say("LHLO c\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	cr_assert_eq(world.chunks, 1);
	world.answer = one_too_many;
	say(ENVELOPE "DATA\r\n");
	expect("2.1.0 OK\r\n250 2.1.0 sender ok\r\n354");
	say(MESSAGE);
	world_settle(&world);
	world_backend_says(&world, world.conns.next, "250 2.1.5 late\r\n");
	expect("451 4.4.0 <joe@x> ");
	cr_assert_eq(world.delivered, 1);
	world.answer = world_good_answer;
	say(ENVELOPE "DATA\r\n" MESSAGE);
	expect(":T3 Saved");
	cr_assert_eq(world.connections, 2);
	cr_assert_eq(world.chunks, 2);
}

static const char *always_ok(struct world *w, enum world_stage stage)
{
	const char *good = world_good_answer(w, stage);

	return strncmp(good, "250 ", 4) == 0 && stage != WORLD_LHLO
		       ? "250 OK\r\n"
		       : good;
}

Test(session_chunk, a_backend_whose_replies_are_all_alike_gets_data)
{
	world.chunking = true;
	world.answer = always_ok;
	say("LHLO c\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	say(ENVELOPE "DATA\r\n" MESSAGE);
	expect(":T2 Saved");
	cr_assert_eq(world.chunks, 1);
	cr_assert_eq(world.delivered, 2);
	cr_assert_eq(world.connections, 1);
}

Test(session_chunk, backend_fails_a_chunk)
{
	assert_chunk_failure(WORLD_CHUNK, "452 4.3.1 full\r\n",
			     "452 4.3.1 <joe@x> full\r\n");
	assert_chunk_failure(WORLD_CHUNK, "552 5.2.2 much\r\n",
			     "552 5.2.2 <joe@x> much\r\n");
	assert_chunk_failure(WORLD_CHUNK, "421 4.3.2 bye\r\n", "451 4.4.0 ");
	assert_chunk_failure(WORLD_CHUNK, "354 what\r\n", "451 4.4.0 ");
	assert_chunk_failure(WORLD_CHUNK, NULL, "451 4.4.0 ");
	assert_chunk_failure(WORLD_CHUNK,
			     "250 2.0.0 more\r\n250 2.0.0 twice\r\n",
			     "451 4.4.0 ");
	assert_chunk_failure(WORLD_DOT, "450 4.2.0 later\r\n",
			     "450 4.2.0 <joe@x> later\r\n");
	assert_chunk_failure(WORLD_DOT, NULL, "451 4.4.0 ");
	cr_assert_eq(world.delivered, 0);
}

/* It cannot have seen all of the chunk. */
Test(session_chunk, chunk_taken_before_its_end)
{
	struct list *conn;

	world.answer = no_chunk_answer;
	world.chunking = true;
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5");
	conn = world.conns.next;
	say_large_chunk(500000);
	world_settle(&world);
	world_backend_stops_reading(conn);
	world_backend_says(&world, conn, "250 2.0.0 more\r\n");
	world_settle(&world);
	world_backend_says(&world, conn, "250 2.0.0 early\r\n");
	expect("451 4.4.0 ");
	cr_assert_eq(world.delivered, 0);
}

Test(session_chunk, binary_is_refused_where_it_is_not_taken)
{
	world.settings->lmtp.lmtp_binarymime = true;
	say("LHLO c\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<joe@x>\r\n");
	expect("554 5.6.3 <joe@x> ");
	cr_assert_eq(count(&world.received, "MAIL"), 0);
}

Test(session_chunk, binary_is_refused_without_lmtp_proxy_chunking)
{
	world.settings->lmtp.lmtp_binarymime = true;
	world.settings->lmtp.lmtp_proxy_chunking = false;
	world.chunking = true;
	say("LHLO c\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<joe@x>\r\n");
	expect("554 5.6.3 <joe@x> ");
	cr_assert_eq(count(&world.received, "MAIL"), 0);
}

/* Such a backend gets DATA, with which binary does not go. */
Test(session_chunk, binary_and_a_backend_whose_replies_are_all_alike)
{
	world.settings->lmtp.lmtp_binarymime = true;
	world.chunking = true;
	world.answer = always_ok;
	say("LHLO c\r\n" ENVELOPE "DATA\r\n" MESSAGE);
	expect("Saved");
	say("MAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<joe@x>\r\n");
	expect("451 4.4.0 <joe@x> ");
	cr_assert_eq(world.delivered, 1);
}

Test(session_chunk, binary_passes_unchanged)
{
	static const char binary[] = "a\nb\rc\r.\nd";

	world.settings->lmtp.lmtp_binarymime = true;
	world.chunking = true;
	say("LHLO c\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<joe@x>\r\n");
	expect("250 2.1.5");
	say("RCPT TO:<b@x>\r\nDATA\r\nRCPT TO:<c@x>\r\n");
	expect("503 5.5.0");
	say_chunk(binary, true);
	expect("<c@x> ");
	assert_message(binary);
	cr_assert_eq(world.connections, 1);
	cr_assert_eq(count(&world.received, " BODY=BINARYMIME\r\n"), 1);
}
