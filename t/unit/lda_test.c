/* A program that saves mail, run by the process that this test is. */
#include "backends/local/lda/lda.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/local/deliver.h"
#include "backends/local/time_limit.h"
#include "lib/clock.h"

static const char head[] = "Return-Path: <s@x>\n";
static struct local_policy policy;
static struct local_request request;
static struct mail_facts facts;
static struct local_result result;
static struct arena *arena;
static char dir[64], program[96], saved[96];

static void make_message(size_t size)
{
	facts.message = memfd_create("mail", 0);
	cr_assert_eq(ftruncate(facts.message, (off_t)size), 0);
	request.size = size;
}

static void setup(void)
{
	strcpy(dir, "/tmp/waypost-lda-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(program, sizeof(program), "%s/lda", dir);
	snprintf(saved, sizeof(saved), "%s/mail", dir);
	signal(SIGPIPE, SIG_IGN);
	arena = arena_new(512);
	policy = (struct local_policy){
		.lda_command = program, .timeout = 20, .grace = 10,
	};
	request = (struct local_request){
		.user = "joe", .home = dir, .head = head,
		.head_len = strlen(head), .deadline_ms = UINT64_MAX,
	};
	facts = (struct mail_facts){ .request = &request,
				     .start_ms = clock_now_ms() };
	make_message(10);
}

static void teardown(void)
{
	arena_free(&arena);
	unlink(program);
	unlink(saved);
	rmdir(dir);
}

TestSuite(lda, .init = setup, .fini = teardown, .timeout = 60);

static void run(const char *script)
{
	FILE *file = fopen(program, "w");

	cr_assert_not_null(file);
	fprintf(file, "#!/bin/sh\n%s\n", script);
	cr_assert_eq(fchmod(fileno(file), 0755), 0);
	cr_assert_eq(fclose(file), 0);
	cr_assert(time_limit_start(UINT64_MAX, policy.timeout));
	lda_deliver(&policy, &facts, arena, &result);
	time_limit_end();
	/* It has left nobody behind. */
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
	cr_assert_eq(errno, ECHILD);
}

static void expect(enum local_status status, const char *part)
{
	cr_expect_eq(result.status, status, "%d: %s", (int)result.status,
		     result.text);
	cr_expect(strstr(result.text, part) != NULL, "%s", result.text);
}

Test(lda, saves_all_of_it)
{
	struct stat st;

	make_message(300000);
	run("cat >mail");
	expect(LOCAL_SAVED, "");
	cr_assert_str_empty(result.text);
	cr_assert_eq(stat(saved, &st), 0);
	cr_expect_eq(st.st_size, 300000 + (off_t)strlen(head));
}

Test(lda, a_message_shorter_than_it_should_be)
{
	request.size++;
	run("cat >mail");
	expect(LOCAL_FAILED, "without having read all");
}

Test(lda, no_reader)
{
	run("exit 0");
	expect(LOCAL_FAILED, "ended with status 0 without having read all");
	make_message(300000);
	run("exec <&-; exit 0");
	expect(LOCAL_FAILED, "without having read all");
	run("exit 67");
	expect(LOCAL_NO_USER, "EX_NOUSER");
}

Test(lda, what_it_says)
{
	run("cat >/dev/null; echo one; echo two >&2; exit 75");
	expect(LOCAL_FAILED, "status 75 (EX_TEMPFAIL), saying one two");
	run("cat >/dev/null; head -c 1000000 /dev/zero | tr '\\0' x; echo end");
	expect(LOCAL_SAVED, "saying ...xxxxx");
	expect(LOCAL_SAVED, "xxxend");
	cr_expect_lt(strlen(result.text), 512);
}

Test(lda, time_is_up)
{
	request.deadline_ms = clock_now_ms() + 2000;
	run("trap '' TERM; sleep 1000");
	expect(LOCAL_FAILED, "killed by signal 9 (Killed) after "
	       "lmtp_delivery_timeout");
	request.deadline_ms = clock_now_ms() + 2000;
	run("cat >/dev/null; trap 'exit 77' TERM; sleep 1000 & wait");
	expect(LOCAL_REFUSED, "after lmtp_delivery_timeout");
}

Test(lda, who_stays_is_ended)
{
	run("cat >/dev/null; sleep 1000 & setsid sleep 1000 & setsid -f sleep 1000");
	expect(LOCAL_SAVED, "");
}

Test(lda, what_cannot_be_run)
{
	policy.lda_command = "/no/such/program";
	run("");
	expect(LOCAL_MISCONFIGURED, "cannot run /no/such/program: No such file");
	policy.lda_command = "/";
	run("");
	expect(LOCAL_MISCONFIGURED, "cannot run /: Permission denied");
}
