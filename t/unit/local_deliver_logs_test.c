/* What is written for the log by a process that has become a user: nowhere. */
#include "backends/local/deliver.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/channel.h"
#include "lib/log/log.h"

#define SOMEBODY 64321

static int log_fd;

/* In the process of the delivery: a file gets the number that the log had. */
static const char *expand(struct arena *arena, const struct local_request *request,
			  const struct mail_facts *facts, const char *name,
			  const char *text, struct err *err)
{
	int fd;
	struct stat st;

	(void)arena;
	(void)request;
	(void)facts;
	(void)name;
	(void)err;
	do
		fd = memfd_create("mail", 0);
	while (fd >= 0 && fd < log_fd);
	if (fd != log_fd)
		return "no file had its number";
	log_error(NULL, "something is wrong");
	log_flush();
	return fstat(fd, &st) == 0 && st.st_size == 0
		       ? text : "it is in the user's file";
}

static pid_t start(const struct local_policy *policy, int requests)
{
	int status[2];
	const struct local_deliverer deliverer = {
		.policy = policy, .requests = requests,
		.status = pipe(status) == 0 ? status[1] : -1,
	};
	pid_t child = fork();

	if (child == 0)
		_exit(local_deliverer_run(&deliverer));
	return child;
}

Test(local_deliver_logs, lines_do_not_get_into_files_of_the_user, .timeout = 60)
{
	char dir[] = "/tmp/waypost-deliver-XXXXXX", location[64], path[64];
	const struct log_settings log_settings = {
		.path = path, .info_path = "", .debug_path = "",
		.timestamp = "", .syslog_facility = "mail", .prefix = "",
	};
	struct local_policy policy = {
		.first_uid = 500, .first_gid = 1, .chroot_dirs = "",
		.maildir = { .autocreate = true, .hostname = "host" },
		.timeout = 10, .grace = 2, .log_format = "fine",
		.expand = expand,
	};
	const struct local_request request = {
		.uid = SOMEBODY, .gid = SOMEBODY, .user = "joe", .home = dir,
		.chroot = "", .location = location, .mailbox = "INBOX",
		.groups_user = "", .groups = "", .mail_from = "",
		.rcpt_to = "", .orcpt = "", .detail = "", .copy = "",
		.head = "", .deadline_ms = UINT64_MAX,
	};
	static struct channel_packet packet;
	int requests[2], answers[2], fds[2], files[LOG_FILES];
	struct local_result result;
	struct str bytes = STR_INIT;
	struct err err;
	pid_t child;

	if (geteuid() != 0)
		return;
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chown(dir, SOMEBODY, SOMEBODY), 0);
	snprintf(location, sizeof(location), "maildir:%s/Maildir", dir);
	snprintf(path, sizeof(path), "%s/log", dir);
	cr_assert_eq(log_open(&log_settings, &err), 0, "%s", err.text);
	log_files(files);
	log_fd = files[LOG_FILE_ERROR];
	cr_assert_gt(log_fd, STDERR_FILENO);
	cr_assert_eq(channel_pair(requests, &err), 0);
	cr_assert_eq(channel_block(requests[0], &err), 0);
	child = start(&policy, requests[0]);
	/* What it has of both ends, it would wait for. */
	cr_assert_eq(channel_pair(answers, &err), 0);
	cr_assert_eq(channel_block(answers[0], &err), 0);
	fds[LOCAL_REQUEST_RESULT] = answers[1];
	fds[LOCAL_REQUEST_MESSAGE] = memfd_create("message", 0);
	cr_assert_eq(local_request_encode(&bytes, &request, &err), 0);
	cr_assert_eq(channel_send(requests[1], bytes.data, bytes.len, fds, 2,
				  &err), 0);
	close(answers[1]);
	channel_await(answers[0]);
	cr_assert_eq(channel_recv(answers[0], &packet, &err), 1, "%s", err.text);
	cr_assert_eq(local_result_decode(&result, packet.data, packet.len, &err), 0);
	cr_expect_str_eq(result.log, "fine");
	close(answers[0]);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	str_free(&bytes);
}
