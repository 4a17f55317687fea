/* The process that delivers, asked by a worker process that may be anybody. As
 * root it is one that becomes the user; else one that is the user already. */
#include "backends/local/deliver.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/local/queue.h"
#include "lib/channel.h"
#include "lib/clock.h"
#include "lib/mem.h"

#define SOMEBODY 64321

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

static struct local_policy policy;
static struct local_request request;
static struct err err;
static char dir[64], location[256];
static int ends[2], status_fd, answer_ends[2], message;
static pid_t child;

static void make_message(const char *text)
{
	message = memfd_create("mail", 0);
	cr_assert_eq(write(message, text, strlen(text)),
		     (ssize_t)strlen(text));
	request.size = strlen(text);
}

static void setup(void)
{
	bool root = geteuid() == 0;

	strcpy(dir, "/tmp/waypost-deliver-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(location, sizeof(location), "maildir:%s/Maildir", dir);
	policy = (struct local_policy){
		.first_uid = 500,
		.first_gid = 1,
		.chroot_dirs = "/srv/mail:/home/",
		.maildir = { .autocreate = true, .hostname = "host" },
		.timeout = 10,
		.grace = 2,
		.fixed = !root,
		.uid = geteuid(),
		.gid = getegid(),
	};
	request = (struct local_request){
		.uid = root ? SOMEBODY : geteuid(),
		.gid = root ? SOMEBODY : getegid(),
		.user = "joe",
		.home = dir,
		.chroot = "",
		.location = location,
		.mailbox = "INBOX",
		.groups_user = "",
		.groups = "",
		.mail_from = "a@b",
		.rcpt_to = "joe@example.org",
		.orcpt = "",
		.detail = "",
		.copy = "",
		.head = "Return-Path: <a@b>\n",
		.head_len = 19,
		.received = { 1700000000, 0 },
		.deadline_ms = UINT64_MAX,
	};
	if (root)
		cr_assert_eq(chown(dir, SOMEBODY, SOMEBODY), 0);
	cr_assert_eq(channel_pair(ends, &err), 0);
	status_fd = eventfd(0, EFD_NONBLOCK);
	cr_assert_geq(status_fd, 0);
	cr_assert_eq(channel_pair(answer_ends, &err), 0);
	make_message("Subject: x\n\nhello\n");
}

static void teardown(void)
{
	pid_t rm = fork();

	if (rm == 0) {
		execlp("rm", "rm", "-rf", dir, NULL);
		_exit(1);
	}
	waitpid(rm, NULL, 0);
}

TestSuite(local_deliver, .init = setup, .fini = teardown, .timeout = 60);

static void start(void)
{
	const struct local_deliverer deliverer = {
		.policy = &policy,
		.requests = ends[0],
		.status = status_fd,
	};

	cr_assert_eq(channel_block(ends[0], &err), 0);
	child = fork();
	if (child != 0)
		return;
	close(ends[1]);
	close(answer_ends[0]);
	close(answer_ends[1]);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	_exit(local_deliverer_run(&deliverer));
}

/* How it has ended: an exit status, or minus a signal. */
static int ended(void)
{
	int status;

	cr_assert_eq(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void send_request(void)
{
	const int fds[] = { answer_ends[1], message };
	struct str packet = STR_INIT;

	cr_assert_eq(local_request_encode(&packet, &request, &err), 0, "%s",
		     err.text);
	cr_assert_eq(channel_send(ends[1], packet.data, packet.len, fds,
				  LOCAL_REQUEST_FDS, &err), 0);
	str_free(&packet);
	close(answer_ends[1]);
}

/* The answer, if there is one before it ends. */
static bool got_next_answer(struct local_result *result)
{
	static struct channel_packet packet;

	cr_assert_eq(channel_block(answer_ends[0], &err), 0);
	channel_await(answer_ends[0]);
	if (channel_take(answer_ends[0], &packet, &err) == 0)
		return false;
	cr_assert_eq(local_result_decode(result, packet.data, packet.len, &err), 0);
	return true;
}

/* The same, and nobody wants more of it. */
static bool got_answer(struct local_result *result)
{
	bool answered = got_next_answer(result);

	close(answer_ends[0]);
	return answered;
}

static unsigned count_files(const char *below)
{
	char *path = mem_printf("%s/%s", dir, below);
	DIR *stream = opendir(path);
	struct dirent *entry;
	unsigned count = 0;

	while (stream != NULL && (entry = readdir(stream)) != NULL)
		count += entry->d_name[0] != '.';
	if (stream != NULL)
		closedir(stream);
	mem_free(&path);
	return count;
}

static void end_fixed(void)
{
	if (policy.fixed) {
		close(ends[1]);
		cr_assert_eq(ended(), LOCAL_DELIVERER_CLOSED);
	} else {
		cr_assert_eq(ended(), LOCAL_DELIVERER_DONE);
	}
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

/* Whatever the policy says: refused without a trace. */
static void expect_refusal(void)
{
	struct local_result result;
	bool answered;

	start();
	send_request();
	answered = got_answer(&result);
	if (policy.fixed) {
		cr_expect(answered && result.status == LOCAL_FAILED);
		close(ends[1]);
		cr_expect_eq(ended(), LOCAL_DELIVERER_CLOSED);
	} else {
		cr_expect_not(answered);
		cr_expect_eq(ended(), LOCAL_DELIVERER_REFUSED);
	}
	cr_expect_eq(count_files("Maildir"), 0);
}

Test(local_deliver, never_root)
{
	policy.first_uid = 0;
	request.uid = policy.fixed ? geteuid() + 1 : 0;
	expect_refusal();
}

Test(local_deliver, never_the_group_of_root)
{
	policy.first_gid = 0;
	request.gid = policy.fixed ? getegid() + 1 : 0;
	expect_refusal();
}

Test(local_deliver, no_uid_is_no_uid)
{
	request.uid = (uid_t)-1;
	expect_refusal();
}

Test(local_deliver, below_the_first_uid)
{
	request.uid = 499;
	expect_refusal();
}

Test(local_deliver, beyond_the_last_uid)
{
	policy.last_uid = SOMEBODY - 1;
	if (policy.fixed)
		request.uid++;
	expect_refusal();
}

Test(local_deliver, beyond_the_last_gid)
{
	policy.last_gid = SOMEBODY - 1;
	if (policy.fixed)
		request.gid++;
	expect_refusal();
}

Test(local_deliver, chroot_to_anywhere)
{
	request.chroot = dir;
	expect_refusal();
}

Test(local_deliver, chroot_out_of_the_valid_ones)
{
	request.chroot = "/srv/mail/../../tmp";
	expect_refusal();
}

/* In a group that is not valid nobody is, be it by name. */
Test(local_deliver, groups_that_are_not_valid_are_left_out)
{
	struct local_result result;
	char *path;

	if (policy.fixed)
		return;
	path = mem_printf("%s/locked", dir);
	cr_assert_eq(mkdir(path, 0770), 0);
	cr_assert_eq(chmod(path, 0770), 0);
	request.groups_user = "root";
	request.groups = "root";
	snprintf(location, sizeof(location), "maildir:%s/locked/Maildir", dir);
	start();
	send_request();
	cr_assert(got_answer(&result));
	cr_assert_eq(result.status, LOCAL_NO_ACCESS, "%s", result.text);
	cr_assert_eq(ended(), LOCAL_DELIVERER_DONE);
	cr_assert_eq(count_files("locked"), 0);
	mem_free(&path);
}

Test(local_deliver, only_what_the_user_may_write)
{
	struct local_result result;

	request.location = "maildir:/etc/Maildir";
	if (geteuid() != 0 && access("/etc", W_OK) == 0)
		return;
	start();
	send_request();
	cr_assert(got_answer(&result));
	cr_assert_eq(result.status, LOCAL_NO_ACCESS, "%s", result.text);
	end_fixed();
}

static void expect_malformed(const void *data, size_t len, const int *fds,
			     unsigned fd_count)
{
	struct local_result result;

	start();
	cr_assert_eq(channel_send(ends[1], data, len, fds, fd_count, &err), 0);
	close(answer_ends[1]);
	cr_expect_not(got_answer(&result));
	cr_expect_eq(ended(), LOCAL_DELIVERER_MALFORMED);
}

static void expect_wrong_fds(const int *fds, unsigned count)
{
	struct str packet = STR_INIT;

	cr_assert_eq(local_request_encode(&packet, &request, &err), 0);
	expect_malformed(packet.data, packet.len, fds, count);
	str_free(&packet);
}

Test(local_deliver, no_descriptors)
{
	expect_wrong_fds(NULL, 0);
}

Test(local_deliver, one_descriptor)
{
	expect_wrong_fds(&message, 1);
}

Test(local_deliver, sixty_four_descriptors)
{
	int fds[CHANNEL_MAX_FDS], i;

	for (i = 0; i < CHANNEL_MAX_FDS; i++)
		fds[i] = message;
	expect_wrong_fds(fds, CHANNEL_MAX_FDS);
}

Test(local_deliver, not_a_request)
{
	const int fds[] = { answer_ends[1], message };

	expect_malformed("GET / HTTP/1.0", 14, fds, 2);
}

Test(local_deliver, a_packet_that_is_too_large)
{
	struct local_result result;
	char *data = mem_alloc(CHANNEL_MAX_DATA + 1);

	start();
	cr_assert_eq(send(ends[1], data, CHANNEL_MAX_DATA + 1, 0),
		     CHANNEL_MAX_DATA + 1);
	close(answer_ends[1]);
	cr_expect_not(got_answer(&result));
	cr_expect_eq(ended(), LOCAL_DELIVERER_MALFORMED);
	mem_free(&data);
}

static void expect_no_mail(enum local_status status)
{
	struct local_result result;

	start();
	send_request();
	cr_assert(got_answer(&result));
	cr_assert_eq(result.status, status, "%s", result.text);
	end_fixed();
	cr_assert_eq(count_files("Maildir/new"), 0);
	cr_assert_eq(count_files("Maildir/tmp"), 0);
}

Test(local_deliver, a_message_that_is_shorter_than_said)
{
	request.size++;
	expect_no_mail(LOCAL_FAILED);
}

Test(local_deliver, a_message_that_is_a_directory)
{
	message = open("/", O_RDONLY);
	request.size = 1;
	expect_no_mail(LOCAL_FAILED);
}

Test(local_deliver, a_message_that_is_a_device_without_end)
{
	message = open("/dev/zero", O_RDONLY);
	expect_no_mail(LOCAL_FAILED);
}

/* Not a byte goes into anything but a channel. */
Test(local_deliver, a_file_in_the_place_of_the_channel)
{
	int file = memfd_create("answer", 0);
	struct stat st;

	close(answer_ends[1]);
	answer_ends[1] = dup(file);
	start();
	send_request();
	end_fixed();
	cr_assert_eq(fstat(file, &st), 0);
	cr_assert_eq(st.st_size, 0);
}

Test(local_deliver, a_pipe_in_the_place_of_the_channel)
{
	int pipe_ends[2];
	char byte;

	cr_assert_eq(pipe2(pipe_ends, O_NONBLOCK), 0);
	close(answer_ends[1]);
	answer_ends[1] = pipe_ends[1];
	start();
	send_request();
	end_fixed();
	cr_assert_eq(read(pipe_ends[0], &byte, 1), 0);
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

Test(local_deliver, an_empty_packet_is_no_request)
{
	struct local_result result;

	start();
	cr_assert_eq(send(ends[1], "", 0, 0), 0);
	close(answer_ends[1]);
	cr_expect_not(got_answer(&result));
	cr_expect_eq(ended(), LOCAL_DELIVERER_MALFORMED);
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

Test(local_deliver, a_question_with_a_message)
{
	const int fds[] = { answer_ends[1], message };

	request.kind = LOCAL_REQUEST_CHECK;
	expect_wrong_fds(fds, 2);
}
