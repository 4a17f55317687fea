/* A program that is fed a mail of which the end cannot be read any more. */
#include "backends/local/lda/lda.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/local/deliver.h"
#include "backends/local/time_limit.h"
#include "lib/clock.h"

#define SIZE 300000

static char dir[64], program[96], part[96], mail[96];

static void write_program(void)
{
	FILE *file;

	strcpy(dir, "/tmp/waypost-lda-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(program, sizeof(program), "%s/lda", dir);
	snprintf(part, sizeof(part), "%s/part", dir);
	snprintf(mail, sizeof(mail), "%s/mail", dir);
	file = fopen(program, "w");
	cr_assert_not_null(file);
	fputs("#!/bin/sh\ncat >part && mv part mail\n", file);
	cr_assert_eq(fchmod(fileno(file), 0755), 0);
	cr_assert_eq(fclose(file), 0);
}

static void clean_up(void)
{
	unlink(program);
	unlink(part);
	unlink(mail);
	rmdir(dir);
}

/* For a program the end of its input is the end of the mail. */
Test(lda_unreadable, it_is_not_saved_in_part, .timeout = 60)
{
	static const char head[] = "Return-Path: <s@x>\n";
	const struct local_policy policy = {
		.lda_command = program, .timeout = 20, .grace = 10,
	};
	const struct local_request request = {
		.user = "joe", .home = dir, .head = head,
		.head_len = strlen(head), .size = SIZE + 1,
		.deadline_ms = UINT64_MAX,
	};
	const struct mail_facts facts = {
		.request = &request, .message = memfd_create("mail", 0),
		.start_ms = clock_now_ms(),
	};
	struct arena *arena = arena_new(512);
	struct local_result result;

	signal(SIGPIPE, SIG_IGN);
	write_program();
	cr_assert_eq(ftruncate(facts.message, SIZE), 0);
	cr_assert(time_limit_start(UINT64_MAX, policy.timeout));
	lda_deliver(&policy, &facts, arena, &result);
	time_limit_end();
	cr_expect_eq(result.status, LOCAL_FAILED, "%s", result.text);
	cr_expect(strstr(result.text, "the mail cannot be read") != NULL, "%s",
		  result.text);
	cr_expect_lt(access(mail, F_OK), 0);
	arena_free(&arena);
	clean_up();
}
