/* The process that delivers: what it saves, and when it ends. */
#include "t/unit/local_deliver_helper.h"

#include "lib/clock.h"

TestSuite(local_deliver, .init = setup, .fini = teardown, .timeout = 60);

/* What is of that type takes so long to be on the disk. */
static unsigned sync_us;
static mode_t slow = S_IFDIR;

int fsync(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == slow)
		usleep(sync_us);
	return 0;
}

Test(local_deliver, saves_and_says_so)
{
	struct local_result result;

	start();
	send_request();
	cr_assert(got_answer(&result));
	cr_assert_eq(result.status, LOCAL_SAVED, "%s", result.text);
	end_fixed();
	cr_assert_eq(count_files("Maildir/new"), 1);
	cr_assert_eq(count_files("Maildir/tmp"), 0);
}

Test(local_deliver, a_mailbox_that_is_not_there_is_inbox)
{
	struct local_result result;

	policy.maildir.autocreate = false;
	request.mailbox = "detail";
	start();
	send_request();
	cr_assert(got_answer(&result));
	cr_assert_eq(result.status, LOCAL_SAVED, "%s", result.text);
	end_fixed();
	cr_assert_eq(count_files("Maildir/new"), 1);
}

Test(local_deliver, a_channel_that_is_full_does_not_stop_it)
{
	char page[4096] = { 0 };

	while (send(answer_ends[1], page, sizeof(page), MSG_DONTWAIT) > 0)
		;
	start();
	send_request();
	while (count_files("Maildir/new") == 0)
		usleep(1000);
	close(answer_ends[0]);
	end_fixed();
}

Test(local_deliver, who_has_given_up_gets_no_mail)
{
	send_request();
	close(answer_ends[0]);
	start();
	end_fixed();
	cr_assert_eq(count_files("Maildir/new"), 0);
}

/* Since the client may send it again. */
Test(local_deliver, too_late_is_too_late)
{
	struct local_result result;

	request.deadline_ms = 1;
	start();
	send_request();
	/* Whoever has asked lets go. */
	shutdown(answer_ends[0], SHUT_RDWR);
	cr_assert_not(got_answer(&result));
	end_fixed();
	cr_assert_eq(count_files("Maildir/new"), 0);
}

static void fill(const char *below)
{
	char *command = mem_printf("mkdir -p %s/%s/new %s/%s/cur %s/%s/tmp && "
				   "touch '%s/%s/new/1.h,S=99'", dir, below,
				   dir, below, dir, below, dir, below);
	pid_t shell = fork();
	int status;

	if (shell == 0) {
		if (geteuid() == 0 &&
		    (setgid(request.gid) < 0 || setuid(request.uid) < 0))
			_exit(1);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(1);
	}
	cr_assert_eq(waitpid(shell, &status, 0), shell);
	cr_assert_eq(status, 0);
	mem_free(&command);
}

/* The mail is in new before the time is up, and on the disk after it. */
static void save_slowly(unsigned us)
{
	fill("Maildir");
	policy.maildir.fsync = true;
	request.deadline_ms = clock_now_ms() + 2000;
	sync_us = us;
	start();
	send_request();
}

Test(local_deliver, what_has_appeared_is_said)
{
	struct local_result result;

	save_slowly(3000000);
	cr_assert(got_answer(&result));
	cr_assert_eq(result.status, LOCAL_SAVED, "%s", result.text);
	end_fixed();
	cr_assert_eq(count_files("Maildir/new"), 2);
}

Test(local_deliver, what_is_in_an_mbox_is_said)
{
	struct local_result result;

	snprintf(location, sizeof(location), "mbox:%s/mail:INBOX=%s/inbox", dir,
		 dir);
	slow = S_IFREG;
	save_slowly(3000000);
	cr_assert(got_answer(&result));
	cr_assert_eq(result.status, LOCAL_SAVED, "%s", result.text);
	end_fixed();
}

Test(local_deliver, what_hangs_ends_all_the_same)
{
	struct local_result result;
	uint64_t began = clock_now_ms();

	save_slowly(50000000);
	cr_assert_not(got_answer(&result));
	cr_assert_eq(ended(), -SIGALRM);
	cr_assert_geq(clock_now_ms() - began, 4000);
}

Test(local_deliver, ends_when_it_is_told_to_while_it_waits)
{
	start();
	kill(child, SIGTERM);
	cr_assert_eq(ended(), -SIGTERM);
}

Test(local_deliver, ends_when_nobody_can_ask)
{
	start();
	close(ends[1]);
	cr_assert_eq(ended(), LOCAL_DELIVERER_CLOSED);
}

/* --- more for the same user --- */

static void ask_again(unsigned fds)
{
	struct str packet = STR_INIT;

	cr_assert_eq(local_request_encode(&packet, &request, &err), 0);
	cr_assert_eq(channel_send(answer_ends[0], packet.data, packet.len,
				  &message, fds, &err), 0);
	str_free(&packet);
}

static void deliver_first(void)
{
	struct local_result result;

	start();
	send_request();
	cr_assert(got_next_answer(&result));
	cr_assert_eq(result.status, LOCAL_SAVED, "%s", result.text);
}

Test(local_deliver, more_for_the_same_user)
{
	struct local_result result;
	int i;

	deliver_first();
	for (i = 0; i < 3; i++) {
		ask_again(1);
		cr_assert(got_next_answer(&result));
		cr_assert_eq(result.status, LOCAL_SAVED, "%s", result.text);
	}
	request.mailbox = "elsewhere";
	ask_again(1);
	cr_assert(got_answer(&result));
	cr_assert_eq(result.status, LOCAL_SAVED, "%s", result.text);
	end_fixed();
	cr_assert_eq(count_files("Maildir/new"), 4);
	cr_assert_eq(count_files("Maildir/.elsewhere/new"), 1);
}

static void expect_no_more(unsigned fds)
{
	struct local_result result;

	ask_again(fds);
	cr_expect_not(got_answer(&result));
	cr_expect_eq(ended(), LOCAL_DELIVERER_MALFORMED);
	cr_expect_eq(count_files("Maildir/new"), 1);
}

Test(local_deliver, another_user_is_not_the_same)
{
	deliver_first();
	request.uid++;
	expect_no_more(1);
}

Test(local_deliver, another_group_is_not_the_same)
{
	deliver_first();
	request.gid++;
	expect_no_more(1);
}

Test(local_deliver, other_groups_are_not_the_same)
{
	if (policy.fixed)
		return; /* they have no effect there */
	deliver_first();
	request.groups = "mail";
	expect_no_more(1);
}

Test(local_deliver, another_root_directory_is_not_the_same)
{
	deliver_first();
	request.chroot = "/srv/mail";
	expect_no_more(1);
}

Test(local_deliver, more_without_a_message)
{
	deliver_first();
	expect_no_more(0);
}

Test(local_deliver, more_that_is_no_request)
{
	struct local_result result;

	deliver_first();
	cr_assert_eq(channel_send(answer_ends[0], "QUIT", 4, NULL, 0, &err), 0);
	cr_expect_not(got_answer(&result));
	cr_expect_eq(ended(), LOCAL_DELIVERER_MALFORMED);
}

Test(local_deliver, ends_when_it_is_told_to_while_it_waits_for_more)
{
	deliver_first();
	kill(child, SIGTERM);
	cr_assert_eq(ended(), -SIGTERM);
}

/* --- quota --- */

static struct quota_setting quota[3] = {
	{ "quota", "maildir:U" },
	{ "quota_rule", "*:messages=%n" },
	{ "quota_exceeded_message", "full\nof mail" },
};

/* %n is 1. */
static const char *expand(struct arena *arena,
			  const struct local_request *for_whom,
			  const struct mail_facts *facts,
			  const char *name, const char *text,
			  struct err *why)
{
	const char *at = strstr(text, "%n");

	cr_assert_null(facts, "%s", name);
	cr_assert_str_eq(for_whom->user, "joe", "%s", name);
	if (at == NULL && strchr(text, '%') == NULL)
		return text;
	if (at == NULL) {
		err_put(why, "%s: unknown", name);
		return NULL;
	}
	return arena_printf(arena, "%.*s1%s", (int)(at - text), text, at + 2);
}

static void set_quota(void)
{
	policy.quota = quota;
	policy.quota_count = 3;
	policy.expand = expand;
}

static void ask(void)
{
	struct str packet = STR_INIT;

	request.kind = LOCAL_REQUEST_CHECK;
	cr_assert_eq(local_request_encode(&packet, &request, &err), 0);
	cr_assert_eq(channel_send(ends[1], packet.data, packet.len,
				  &answer_ends[1], 1, &err), 0);
	str_free(&packet);
	close(answer_ends[1]);
}

Test(local_deliver, over_quota)
{
	struct local_result result;

	set_quota();
	fill("Maildir");
	start();
	send_request();
	cr_assert(got_answer(&result));
	cr_expect_eq(result.status, LOCAL_OVER_QUOTA, "%s", result.text);
	cr_expect_str_eq(result.reply, "full of mail");
	end_fixed();
	cr_expect_eq(count_files("Maildir/new"), 1);
}

Test(local_deliver, a_rule_of_the_userdb_counts_more)
{
	struct local_result result;

	set_quota();
	fill("Maildir");
	request.rules[0] = (struct quota_setting){ "quota_rule", "*:messages=2" };
	request.rule_count = 1;
	start();
	send_request();
	cr_assert(got_answer(&result));
	cr_expect_eq(result.status, LOCAL_SAVED, "%s", result.text);
	cr_expect_str_eq(result.reply, "");
	end_fixed();
	cr_expect_eq(count_files("Maildir/new"), 2);
}

Test(local_deliver, quota_that_cannot_be_expanded)
{
	struct local_result result;

	set_quota();
	quota[1].value = "*:messages=%x";
	start();
	send_request();
	cr_assert(got_answer(&result));
	cr_expect_eq(result.status, LOCAL_FAILED);
	cr_expect_str_eq(result.text, "quota_rule: unknown");
	end_fixed();
	cr_expect_eq(count_files("Maildir/new"), 0);
}

Test(local_deliver, asked_whether_there_is_room)
{
	struct local_result result;

	set_quota();
	start();
	ask();
	cr_assert(got_answer(&result));
	cr_expect_eq(result.status, LOCAL_SAVED, "%s", result.text);
	end_fixed();
	cr_expect_eq(count_files("Maildir"), 0);
}

Test(local_deliver, asked_when_there_is_none)
{
	struct local_result result;

	set_quota();
	fill("Maildir");
	start();
	ask();
	cr_assert(got_answer(&result));
	cr_expect_eq(result.status, LOCAL_OVER_QUOTA, "%s", result.text);
	end_fixed();
}
