/* The process that delivers, asked by a worker process that may be anybody. As
 * root it is one that becomes the user; else one that is the user already. Included by
 * one .c file per program. */
#ifndef LOCAL_DELIVER_HELPER_H
#define LOCAL_DELIVER_HELPER_H

#include <criterion/criterion.h>
#include <dirent.h>
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

#include "backends/local/deliver.h"
#include "lib/channel.h"
#include "lib/mem.h"

#define SOMEBODY 64321

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

#endif
