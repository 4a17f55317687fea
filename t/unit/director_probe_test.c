/* A probe of backends that are well, and of those that are not. */
#include "t/unit/probe_helper.h"

#include <dirent.h>
#include <openssl/err.h>

#include "t/files.h"
#include "t/pki.h"

static struct loop *loop;
static struct backend backend;
static struct remote_target target;
static struct director_probe_params params;
static struct director_probe *probe;
static unsigned calls;
static char *error; /* of the last outcome; NULL: it is well */

/* With the descriptor that opendir() takes. */
static unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static void setup(void)
{
	loop = loop_new();
	backend_open(&backend, loop);
	target = backend_target(&backend);
	params = (struct director_probe_params){
		.target = &target,
		.level = DIRECTOR_PROBE_RCPT,
		.hostname = "w.example",
		.user = "probe@example.org",
		.timeout_ms = 30000,
	};
	calls = 0;
}

static void teardown(void)
{
	backend_close(&backend);
	mem_free(&error);
	pass(loop);
	loop_free(&loop);
}

TestSuite(director_probe, .init = setup, .fini = teardown, .timeout = 60);

static void told(void *arg, const char *text)
{
	cr_assert_eq(arg, &calls);
	calls++;
	mem_free(&error);
	if (text != NULL)
		error = mem_strdup(text);
	loop_stop(loop);
}

static void start(void)
{
	probe = director_probe_start(loop, &params, told, &calls);
	cr_assert_not_null(probe);
	cr_assert_eq(calls, 0, "called inside director_probe_start()");
}

/* One probe, till the backend has seen the end of it. */
static void run(void)
{
	calls = 0;
	start();
	UNTIL(loop, calls > 0);
	UNTIL(loop, backend.open == 0);
	pass(loop);
	cr_assert_eq(calls, 1);
}

static void expect(const char *text)
{
	run();
	if (text == NULL)
		cr_expect_null(error, "%s", error);
	else
		cr_expect_str_eq(error != NULL ? error : "(well)", text);
}

static void expect_heard(const char *text)
{
	cr_expect_str_eq(str_c(&backend.heard), text);
}

/* error begins with text; the rest is another library's. */
static void expect_like(const char *text)
{
	run();
	cr_assert_not_null(error);
	cr_expect_eq(strncmp(error, text, strlen(text)), 0, "%s", error);
}

/* --- well --- */

Test(director_probe, tcp)
{
	params.level = DIRECTOR_PROBE_TCP;
	backend.answers[STAGE_GREETING] = "";
	start();
	UNTIL(loop, calls > 0);
	UNTIL(loop, backend.connections > 0 && backend.open == 0);
	cr_expect_null(error, "%s", error);
	expect_heard("");
}

Test(director_probe, greeting)
{
	params.level = DIRECTOR_PROBE_GREETING;
	expect(NULL);
	expect_heard("QUIT\n");
}

Test(director_probe, lhlo)
{
	params.level = DIRECTOR_PROBE_LHLO;
	expect(NULL);
	expect_heard("LHLO w.example\nQUIT\n");
}

Test(director_probe, rcpt)
{
	expect(NULL);
	expect_heard("LHLO w.example\nMAIL FROM:<>\n"
		     "RCPT TO:<probe@example.org>\nRSET\nQUIT\n");
}

Test(director_probe, smtp)
{
	target.protocol = REMOTE_SMTP;
	expect(NULL);
	expect_heard("EHLO w.example\nMAIL FROM:<>\n"
		     "RCPT TO:<probe@example.org>\nRSET\nQUIT\n");
}

Test(director_probe, smtp_without_extensions)
{
	static const char *const answers[] = { "500 what?\r\n",
					       "502 5.5.1 no\r\n" };
	unsigned i;

	target.protocol = REMOTE_SMTP;
	params.level = DIRECTOR_PROBE_LHLO;
	for (i = 0; i < 2; i++) {
		str_clear(&backend.heard);
		backend.answers[STAGE_EHLO] = answers[i];
		expect(NULL);
		expect_heard("EHLO w.example\nHELO w.example\nQUIT\n");
	}
}

Test(director_probe, from_a_source_address)
{
	cr_assert_eq(addr_parse_ip(&target.source, "127.0.0.7", 0), 0);
	expect(NULL);
	cr_assert_eq(addr_parse_ip(&target.source, "192.0.2.1", 0), 0);
	expect_like("connect(127.0.0.1:");
	cr_expect_not_null(strstr(error, "Cannot assign requested address"));
}

/* --- not there --- */

Test(director_probe, refused)
{
	static const enum director_probe_level levels[] = {
		DIRECTOR_PROBE_TCP, DIRECTOR_PROBE_RCPT,
	};
	struct str text = STR_INIT;
	unsigned i;

	backend_refuse(&backend);
	str_puts(&text, "connect(");
	addr_write(&text, &backend.addr);
	str_puts(&text, ") failed: Connection refused");
	for (i = 0; i < 2; i++) {
		params.level = levels[i];
		expect(str_c(&text));
	}
	str_free(&text);
}

Test(director_probe, does_not_answer_at_all)
{
	int silent = socket(AF_INET, SOCK_STREAM, 0);
	int filler = socket(AF_INET, SOCK_STREAM, 0);
	struct addr *addr = &target.addr;

	addr_set_port(addr, 0);
	cr_assert_eq(bind(silent, &addr->sa, addr->len), 0);
	cr_assert_eq(listen(silent, 0), 0);
	getsockname(silent, &addr->sa, &addr->len);
	cr_assert_eq(connect(filler, &addr->sa, addr->len), 0);
	params.timeout_ms = 50;
	expect_like("connect(127.0.0.1:");
	cr_expect_not_null(strstr(error, "Connection timed out"), "%s", error);
	close(silent);
	close(filler);
}

/* --- at each stage --- */

static const struct {
	enum stage stage;
	const char *name;
} asked[] = {
	{ STAGE_GREETING, "greeting" },
	{ STAGE_LHLO, "LHLO" },
	{ STAGE_MAIL, "MAIL" },
	{ STAGE_RCPT, "RCPT" },
};
#define ASKED (sizeof(asked) / sizeof(asked[0]))

/* The outcome when a stage is answered by that; NULL: closed. */
static void answers(enum stage stage, const char *name, const char *answer,
		    const char *problem)
{
	char text[200];

	str_clear(&backend.heard);
	backend.answers[stage] = answer;
	snprintf(text, sizeof(text), "%s: %s", name, problem);
	expect(text);
	backend.answers[stage] = stages[stage].answer;
}

static bool said_quit(void)
{
	return strstr(str_c(&backend.heard), "QUIT\n") != NULL;
}

Test(director_probe, closes)
{
	size_t i;

	for (i = 0; i < ASKED; i++)
		answers(asked[i].stage, asked[i].name, NULL,
			"connection closed");
}

Test(director_probe, says_nothing)
{
	size_t i;

	params.timeout_ms = 50;
	for (i = 0; i < ASKED; i++) {
		answers(asked[i].stage, asked[i].name, "", "timed out");
		cr_expect_not(said_quit());
	}
}

Test(director_probe, says_421)
{
	size_t i;

	for (i = 0; i < ASKED; i++) {
		answers(asked[i].stage, asked[i].name,
			"421 4.3.2 shutting down\r\n",
			"421 4.3.2 shutting down");
		cr_expect_not(said_quit(), "it closes the connection");
	}
}

Test(director_probe, refuses)
{
	size_t i;

	for (i = 0; i < ASKED; i++) {
		answers(asked[i].stage, asked[i].name,
			"554-5.7.1 not\r\n554 5.7.1 you\r\n",
			"554 5.7.1 not / you");
		cr_expect(said_quit());
		cr_expect_eq(strstr(str_c(&backend.heard), "RSET") != NULL,
			     asked[i].stage == STAGE_RCPT);
	}
}

Test(director_probe, asks_for_more)
{
	size_t i;

	for (i = 0; i < ASKED; i++)
		answers(asked[i].stage, asked[i].name, "354 go on\r\n",
			"354 go on");
}

Test(director_probe, garbage)
{
	size_t i;

	for (i = 0; i < ASKED; i++)
		answers(asked[i].stage, asked[i].name,
			"SSH-2.0-x\\\r\n",
			"Not a reply: \"SSH-2.0-x\\x5c\"");
}

Test(director_probe, speaks_out_of_turn)
{
	size_t i;

	for (i = 0; i < ASKED; i++)
		answers(asked[i].stage, asked[i].name,
			"250 one\r\n250 two\r\n",
			"the server speaks out of turn");
}

Test(director_probe, greets_out_of_turn)
{
	size_t i;

	for (i = 1; i < ASKED; i++)
		answers(asked[i].stage, asked[i].name, "220 hello\r\n",
			"the server greets out of turn");
}

static void expect_too_large(enum stage stage, const char *answer)
{
	backend.answers[stage] = answer;
	run();
	cr_assert_not_null(error);
	cr_expect_not_null(strstr(error, "Reply longer than 4096 bytes"), "%s", error);
	cr_expect_lt(strlen(error), 512);
	backend.answers[stage] = stages[stage].answer;
}

Test(director_probe, huge_replies)
{
	struct str line = STR_INIT, lines = STR_INIT;
	unsigned i;

	str_puts(&line, "250 ");
	for (i = 0; i < 1000000; i++)
		str_putc(&line, 'x');
	for (i = 0; i < 100000; i++)
		str_puts(&lines, "250-more\r\n");
	for (i = 0; i < ASKED; i++) {
		expect_too_large(asked[i].stage, str_c(&line));
		expect_too_large(asked[i].stage, str_c(&lines));
	}
	str_free(&line);
	str_free(&lines);
}

Test(director_probe, long_reasons_are_cut)
{
	struct str line = STR_INIT;
	unsigned i;

	str_puts(&line, "554 ");
	for (i = 0; i < 2000; i++)
		str_puts(&line, "\u00e4");
	str_puts(&line, "\r\n");
	backend.answers[STAGE_LHLO] = str_c(&line);
	run();
	cr_assert_not_null(error);
	cr_expect_leq(strlen(error), 210);
	cr_expect_eq(strncmp(error, "LHLO: 554 \u00e4", 12), 0, "%s", error);
	cr_expect_str_eq(error + strlen(error) - 2, "\u00e4");
	str_free(&line);
}

Test(director_probe, drips)
{
	backend.drip = true;
	expect(NULL);
	expect_heard("LHLO w.example\nMAIL FROM:<>\n"
		     "RCPT TO:<probe@example.org>\nRSET\nQUIT\n");
}

Test(director_probe, drips_for_too_long)
{
	struct str line = STR_INIT;
	unsigned i;

	/* Some 4 s of signs of life. */
	for (i = 0; i < 100; i++)
		str_puts(&line, "220-one more line, and not the last one\r\n");
	str_puts(&line, "220 now\r\n");
	backend.answers[STAGE_GREETING] = str_c(&line);
	backend.drip = true;
	params.timeout_ms = 100;
	expect("greeting: timed out");
	str_free(&line);
}

/* --- the leave --- */

Test(director_probe, how_it_takes_leave_does_not_matter)
{
	static const char *const leaves[] = {
		NULL, "", "421 4.3.2 bye\r\n", "554 no\r\n", "garbage\r\n",
		"250 one\r\n250 two\r\n", "220 hello\r\n",
	};
	size_t i, j;

	for (i = 0; i < 2; i++) {
		for (j = 0; j < sizeof(leaves) / sizeof(leaves[0]); j++) {
			enum stage stage = i == 0 ? STAGE_RSET : STAGE_QUIT;

			backend.answers[stage] = leaves[j];
			expect(NULL);
			backend.answers[stage] = stages[stage].answer;
		}
	}
}

Test(director_probe, a_bad_leave_hides_no_refusal)
{
	backend.answers[STAGE_QUIT] = NULL;
	backend.answers[STAGE_LHLO] = "550 5.7.1 no\r\n";
	expect("LHLO: 550 5.7.1 no");
	backend.answers[STAGE_QUIT] = "garbage\r\n";
	expect("LHLO: 550 5.7.1 no");
}

/* --- RCPT --- */

Test(director_probe, replies_to_rcpt)
{
	static const struct {
		const char *reply;
		bool well;
	} rows[] = {
		{ "250 ok", true },
		{ "251 2.1.5 will forward", true },
		{ "450 mailbox busy", true },
		{ "450 4.2.1 mailbox disabled", true },
		{ "452 4.2.2 over quota", true },
		{ "451 4.1.1 later", true },
		{ "450 4.3.0 server trouble", false },
		{ "451 local error", false },
		{ "451 4.3.0 internal error", false },
		{ "452 insufficient system storage", false },
		{ "452 4.3.1 disk full", false },
		{ "421 4.2.1 bye", false },
		{ "550 no such user", false },
		{ "550 5.1.1 no such user", false },
		{ "552 5.2.2 over quota", false },
		{ "354 what?", false },
	};
	char reply[100], text[100];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(reply, sizeof(reply), "%s\r\n", rows[i].reply);
		snprintf(text, sizeof(text), "RCPT: %s", rows[i].reply);
		backend.answers[STAGE_RCPT] = reply;
		expect(rows[i].well ? NULL : text);
	}
}

/* --- cancel --- */

Test(director_probe, cancel_at_once)
{
	unsigned fds = open_fds();

	start();
	director_probe_cancel(&probe);
	cr_expect_null(probe);
	director_probe_cancel(&probe);
	cr_expect_eq(open_fds(), fds);
	pass(loop);
	cr_expect_eq(calls, 0);
}

Test(director_probe, cancel_at_each_stage)
{
	static const enum stage each[] = {
		STAGE_LHLO, STAGE_MAIL, STAGE_RCPT, STAGE_RSET, STAGE_QUIT,
	};
	unsigned fds = open_fds();
	size_t i;

	for (i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		str_clear(&backend.heard);
		backend.answers[each[i]] = "";
		start();
		UNTIL(loop, strstr(str_c(&backend.heard),
				   stages[each[i]].verb) != NULL);
		director_probe_cancel(&probe);
		UNTIL(loop, backend.open == 0);
		backend.answers[each[i]] = stages[each[i]].answer;
	}
	cr_expect_eq(calls, 0);
	cr_expect_eq(open_fds(), fds);
}

Test(director_probe, leaves_no_descriptor)
{
	unsigned fds = open_fds();

	expect(NULL);
	backend.answers[STAGE_LHLO] = "garbage\r\n";
	run();
	cr_expect_eq(open_fds(), fds);
}

static void told_and_again(void *arg, const char *text)
{
	(void)arg;
	(void)text;
	probe = director_probe_start(loop, &params, told, &calls);
}

Test(director_probe, the_callback_may_start_another)
{
	director_probe_start(loop, &params, told_and_again, NULL);
	UNTIL(loop, calls == 1);
	cr_expect_null(error);
	cr_expect_eq(backend.connections, 2);
}

/* --- TLS --- */

static struct arena *arena;
static struct files files;
static struct pki_cert ca, cert;
static struct tls_settings settings;

static void tls_setup(void)
{
	setup();
	arena = arena_new(1024);
	files_init(&files);
	conf_defaults(&tls_settings_table, arena, &settings);
	pki_make(&ca, &(struct pki_params){ .name = "CA", .is_ca = true });
	pki_make(&cert, &(struct pki_params){
				.issuer = &ca, .name = "b",
				.alt_names = "DNS:b.example" });
	settings.ssl_cert = str_c(&cert.pem);
	settings.ssl_key = str_c(&cert.key);
	settings.ssl_client_ca_file = arena_strdup(
		arena, files_write(&files, "ca.pem", str_c(&ca.pem)));
}

static void make_contexts(void)
{
	struct err err;

	backend.context = tls_context_server(&settings, &err);
	cr_assert_not_null(backend.context, "%s", err.text);
	target.tls_context = tls_context_client(&settings, &err);
	cr_assert_not_null(target.tls_context, "%s", err.text);
	target.host = "b.example";
}

static void tls_teardown(void)
{
	struct tls_context *context = backend.context;

	teardown();
	tls_context_unref(&context);
	tls_context_unref(&target.tls_context);
	pki_free(&ca);
	pki_free(&cert);
	files_done(&files);
	arena_free(&arena);
	cr_assert_eq(ERR_peek_error(), 0, "OpenSSL's error queue: %s",
		     ERR_error_string(ERR_peek_error(), NULL));
}

TestSuite(director_probe_tls, .init = tls_setup, .fini = tls_teardown,
	  .timeout = 60);

static void immediate(void)
{
	make_contexts();
	backend.tls = true;
	target.tls = REMOTE_TLS_IMMEDIATE;
}

static void starttls(void)
{
	make_contexts();
	target.tls = REMOTE_TLS_STARTTLS;
}

Test(director_probe_tls, immediate)
{
	immediate();
	params.level = DIRECTOR_PROBE_GREETING;
	expect(NULL);
	expect_heard("(TLS)\nQUIT\n");
}

Test(director_probe_tls, starttls)
{
	starttls();
	params.level = DIRECTOR_PROBE_LHLO;
	expect(NULL);
	expect_heard("LHLO w.example\nSTARTTLS\n(TLS)\nLHLO w.example\n"
		     "QUIT\n");
}

Test(director_probe_tls, starttls_and_rcpt)
{
	starttls();
	target.protocol = REMOTE_SMTP;
	expect(NULL);
	expect_heard("EHLO w.example\nSTARTTLS\n(TLS)\nEHLO w.example\n"
		     "MAIL FROM:<>\nRCPT TO:<probe@example.org>\nRSET\nQUIT\n");
}

Test(director_probe_tls, the_greeting_needs_no_starttls)
{
	starttls();
	params.level = DIRECTOR_PROBE_GREETING;
	expect(NULL);
	expect_heard("QUIT\n");
}

Test(director_probe_tls, starttls_is_not_offered)
{
	starttls();
	backend.answers[STAGE_LHLO] = "250-b.example\r\n250 PIPELINING\r\n";
	expect("LHLO: the server does not offer STARTTLS");
	expect_heard("LHLO w.example\nQUIT\n");
}

Test(director_probe_tls, starttls_of_a_server_without_extensions)
{
	starttls();
	target.protocol = REMOTE_SMTP;
	backend.answers[STAGE_EHLO] = "502 what?\r\n";
	expect("HELO: the server does not offer STARTTLS");
}

Test(director_probe_tls, starttls_is_refused)
{
	starttls();
	backend.answers[STAGE_STARTTLS] = "454 4.7.0 not now\r\n";
	expect("STARTTLS: 454 4.7.0 not now");
	expect_heard("LHLO w.example\nSTARTTLS\nQUIT\n");
}

Test(director_probe_tls, something_in_clear_behind_starttls)
{
	starttls();
	backend.answers[STAGE_STARTTLS] = "220 go\r\n250 hi\r\n";
	expect("STARTTLS: the server speaks out of turn");
}

Test(director_probe_tls, certificate_for_another_host)
{
	immediate();
	target.host = "c.example";
	expect("TLS handshake failed: certificate verify failed: "
	       "hostname mismatch");
	target.any_cert = true;
	expect(NULL);
}

Test(director_probe_tls, certificate_of_nobody_we_know)
{
	struct pki_cert other;

	pki_make(&other, &(struct pki_params){ .name = "other",
					       .is_ca = true });
	settings.ssl_client_ca_file = arena_strdup(
		arena, files_write(&files, "other.pem", str_c(&other.pem)));
	immediate();
	expect_like("TLS handshake failed: certificate verify failed: ");
	pki_free(&other);
}

Test(director_probe_tls, without_any_ca)
{
	settings.ssl_client_ca_file = "";
	immediate();
	expect_like("TLS: cannot verify certificates: ");
}

Test(director_probe_tls, the_server_speaks_in_clear)
{
	immediate();
	backend.tls = false;
	expect_like("TLS handshake failed: ");
}

Test(director_probe_tls, the_handshake_takes_too_long)
{
	immediate();
	backend.tls = false;
	backend.answers[STAGE_GREETING] = "";
	params.timeout_ms = 100;
	expect("TLS: timed out");
}

Test(director_probe_tls, closes_instead_of_the_handshake)
{
	immediate();
	backend.tls = false;
	backend.answers[STAGE_GREETING] = NULL;
	expect_like("TLS handshake failed: ");
}
