#include "backends/local/mail/facts.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char head[] = "Return-Path: <s@x>\nDelivered-To: head@example.org\n";
static struct local_request request;
static struct mail_facts facts;

static void message(const char *text)
{
	size_t len = strlen(text);

	facts.message = memfd_create("mail", 0);
	cr_assert_eq(write(facts.message, text, len), (ssize_t)len);
	request.size = len;
}

static void setup(void)
{
	request = (struct local_request){
		.mail_from = "s@x",
		.rcpt_to = "joe+lists@example.org",
		.orcpt = "",
		.detail = "lists",
		.mailbox = "INBOX",
		.head = head,
		.head_len = strlen(head),
		.session_ms = 12,
	};
	facts = (struct mail_facts){
		.request = &request,
		.original_header = "",
		.status = "saved mail to INBOX",
		.storage_id = "1.M1P1.host",
	};
	message("Subject: hi\nMessage-ID: <1@x>\nFrom: J <j@y>, k@z\n\nbody\n");
}

static void teardown(void)
{
	close(facts.message);
}

TestSuite(mail_facts, .init = setup, .fini = teardown);

static void expect(enum mail_fact fact, const char *wanted)
{
	struct str got = STR_INIT;

	mail_facts_put(&facts, fact, &got);
	cr_expect_str_eq(str_c(&got), wanted);
	str_free(&got);
}

Test(mail_facts, what_there_is)
{
	expect(MAIL_FACT_NONE, "");
	expect(MAIL_FACT_STATUS, "saved mail to INBOX");
	expect(MAIL_FACT_MESSAGE_ID, "<1@x>");
	expect(MAIL_FACT_SUBJECT, "hi");
	expect(MAIL_FACT_FROM, "j@y");
	expect(MAIL_FACT_FROM_ENVELOPE, "s@x");
	expect(MAIL_FACT_RCPT_TO, "joe+lists@example.org");
	expect(MAIL_FACT_DETAIL, "lists");
	expect(MAIL_FACT_MAILBOX, "INBOX");
	expect(MAIL_FACT_SIZE, "105");
	expect(MAIL_FACT_VIRTUAL_SIZE, "112");
	expect(MAIL_FACT_SESSION_MS, "12");
	expect(MAIL_FACT_STORAGE_ID, "1.M1P1.host");
}

Test(mail_facts, what_is_missing)
{
	close(facts.message);
	message("\nMessage-ID: <1@x>\n");
	expect(MAIL_FACT_MESSAGE_ID, "unspecified");
	expect(MAIL_FACT_SUBJECT, "");
	expect(MAIL_FACT_FROM, "");
	close(facts.message);
	message("Subject: no end");
	expect(MAIL_FACT_SUBJECT, "no end");
}

Test(mail_facts, shortened_and_clean)
{
	char text[1000] = "Subject: \x1b[31m\xff caf\xc3\xa9 ";
	/* 15 bytes of those above are among the 77. */
	char wanted[100] = "?[31m\xef\xbf\xbd caf\xc3\xa9 ";

	memset(text + strlen(text), 'x', 500);
	strcat(text, "\n\n");
	memset(wanted + strlen(wanted), 'x', 77 - 15);
	strcat(wanted, "...");
	close(facts.message);
	message(text);
	expect(MAIL_FACT_SUBJECT, wanted);
}

Test(mail_facts, only_the_start_is_looked_at)
{
	static char text[MAIL_FACTS_HEADER_MAX + 100];

	memset(text, 'x', sizeof(text) - 50);
	text[1] = ':';
	strcpy(text + MAIL_FACTS_HEADER_MAX - 30, "\nSubject: hi\nMessage-ID: "
	       "<a-long-one@example.org>\n\n");
	close(facts.message);
	message(text);
	expect(MAIL_FACT_SUBJECT, "hi");
	expect(MAIL_FACT_MESSAGE_ID, "unspecified");
}

Test(mail_facts, the_original_recipient)
{
	close(facts.message);
	message("X-Original-To: \"o r\"@example.org\nX-Bad: joe\n"
		"X-Long: a@@b\nDelivered-To: body@example.org\n\n");
	expect(MAIL_FACT_TO_ENVELOPE, "joe+lists@example.org");
	facts.original_header = "X-Original-To";
	expect(MAIL_FACT_TO_ENVELOPE, "\"o r\"@example.org");
	facts.original_header = "delivered-to";
	expect(MAIL_FACT_TO_ENVELOPE, "head@example.org");
	facts.original_header = "X-Bad";
	expect(MAIL_FACT_TO_ENVELOPE, "joe+lists@example.org");
	facts.original_header = "X-Long";
	expect(MAIL_FACT_TO_ENVELOPE, "joe+lists@example.org");
	facts.original_header = "X-None";
	expect(MAIL_FACT_TO_ENVELOPE, "joe+lists@example.org");
	facts.original_header = "X-Original-To";
	request.orcpt = "orcpt@example.org";
	expect(MAIL_FACT_TO_ENVELOPE, "orcpt@example.org");
}
