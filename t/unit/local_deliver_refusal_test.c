/* The process that delivers: what it refuses. */
#include "t/unit/local_deliver_helper.h"

TestSuite(local_deliver_refusal, .init = setup, .fini = teardown, .timeout = 60);

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

Test(local_deliver_refusal, never_root)
{
	policy.first_uid = 0;
	request.uid = policy.fixed ? geteuid() + 1 : 0;
	expect_refusal();
}

Test(local_deliver_refusal, never_the_group_of_root)
{
	policy.first_gid = 0;
	request.gid = policy.fixed ? getegid() + 1 : 0;
	expect_refusal();
}

Test(local_deliver_refusal, no_uid_is_no_uid)
{
	request.uid = (uid_t)-1;
	expect_refusal();
}

Test(local_deliver_refusal, below_the_first_uid)
{
	request.uid = 499;
	expect_refusal();
}

Test(local_deliver_refusal, beyond_the_last_uid)
{
	policy.last_uid = SOMEBODY - 1;
	if (policy.fixed)
		request.uid++;
	expect_refusal();
}

Test(local_deliver_refusal, beyond_the_last_gid)
{
	policy.last_gid = SOMEBODY - 1;
	if (policy.fixed)
		request.gid++;
	expect_refusal();
}

Test(local_deliver_refusal, chroot_to_anywhere)
{
	request.chroot = dir;
	expect_refusal();
}

Test(local_deliver_refusal, chroot_out_of_the_valid_ones)
{
	request.chroot = "/srv/mail/../../tmp";
	expect_refusal();
}

/* In a group that is not valid nobody is, be it by name. */
Test(local_deliver_refusal, groups_that_are_not_valid_are_left_out)
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

Test(local_deliver_refusal, only_what_the_user_may_write)
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

Test(local_deliver_refusal, no_descriptors)
{
	expect_wrong_fds(NULL, 0);
}

Test(local_deliver_refusal, one_descriptor)
{
	expect_wrong_fds(&message, 1);
}

Test(local_deliver_refusal, sixty_four_descriptors)
{
	int fds[CHANNEL_MAX_FDS], i;

	for (i = 0; i < CHANNEL_MAX_FDS; i++)
		fds[i] = message;
	expect_wrong_fds(fds, CHANNEL_MAX_FDS);
}

Test(local_deliver_refusal, not_a_request)
{
	const int fds[] = { answer_ends[1], message };

	expect_malformed("GET / HTTP/1.0", 14, fds, 2);
}

Test(local_deliver_refusal, a_packet_that_is_too_large)
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

Test(local_deliver_refusal, a_message_that_is_shorter_than_said)
{
	request.size++;
	expect_no_mail(LOCAL_FAILED);
}

Test(local_deliver_refusal, a_message_that_is_a_directory)
{
	message = open("/", O_RDONLY);
	request.size = 1;
	expect_no_mail(LOCAL_FAILED);
}

Test(local_deliver_refusal, a_message_that_is_a_device_without_end)
{
	message = open("/dev/zero", O_RDONLY);
	expect_no_mail(LOCAL_FAILED);
}

/* Not a byte goes into anything but a channel. */
Test(local_deliver_refusal, a_file_in_the_place_of_the_channel)
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

Test(local_deliver_refusal, a_pipe_in_the_place_of_the_channel)
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

Test(local_deliver_refusal, an_empty_packet_is_no_request)
{
	struct local_result result;

	start();
	cr_assert_eq(send(ends[1], "", 0, 0), 0);
	close(answer_ends[1]);
	cr_expect_not(got_answer(&result));
	cr_expect_eq(ended(), LOCAL_DELIVERER_MALFORMED);
}

Test(local_deliver_refusal, a_question_with_a_message)
{
	const int fds[] = { answer_ends[1], message };

	request.kind = LOCAL_REQUEST_CHECK;
	expect_wrong_fds(fds, 2);
}
