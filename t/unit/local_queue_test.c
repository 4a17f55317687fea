/* Deliveries as the worker process sees them; the other side is ours. */
#include "backends/local/queue.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/channel.h"

#define MANY 600

static struct loop *loop;
static struct local_queue *queue;
static struct local_delivery deliveries[MANY];
static struct local_result last;
static struct local_request request;
static struct channel_packet packet;
static struct loop_timer timer;
static struct err err;
static unsigned done_count;
static int ends[2], message;
static bool late;

static void time_is_up(struct loop_timer *done_timer)
{
	late = true;
	loop_stop(done_timer->loop);
}

static void setup(void)
{
	request = (struct local_request){
		.user = "joe", .home = "", .chroot = "",
		.location = "maildir:/x", .mailbox = "INBOX",
		.groups_user = "", .groups = "", .head = "", .copy = "",
		.mail_from = "", .rcpt_to = "", .orcpt = "", .detail = "",
	};
	loop = loop_new();
	loop_timer_open(&timer, loop, time_is_up);
	cr_assert_eq(channel_pair(ends, &err), 0);
	signal(SIGPIPE, SIG_IGN);
	queue = local_queue_new(loop, ends[1]);
	message = memfd_create("mail", 0);
}

static void teardown(void)
{
	loop_timer_close(&timer);
	local_queue_free(&queue);
	loop_free(&loop);
}

TestSuite(local_queue, .init = setup, .fini = teardown, .timeout = 60);

static void done(struct local_delivery *delivery,
		 const struct local_result *result)
{
	cr_assert_null(delivery->queue);
	last = *result;
	done_count++;
	loop_stop(loop);
}

static void add(unsigned i, unsigned timeout_ms)
{
	deliveries[i].done = done;
	cr_assert_eq(local_queue_add(queue, &deliveries[i], &request, message,
				     timeout_ms, &err), 0, "%s", err.text);
}

/* Until a delivery is done, or for so long. */
static void run(unsigned ms)
{
	late = false;
	loop_timer_set(&timer, ms);
	loop_run(loop);
	loop_timer_clear(&timer);
}

static void take(void)
{
	run(20);
	cr_assert_eq(channel_recv(ends[0], &packet, &err), 1);
	cr_assert_eq(packet.fd_count, LOCAL_REQUEST_FDS);
	close(packet.fds[LOCAL_REQUEST_MESSAGE]);
}

static void answer(const void *data, size_t len)
{
	if (len > 0)
		cr_assert_eq(write(packet.fds[LOCAL_REQUEST_RESULT], data,
				   len), (ssize_t)len);
	close(packet.fds[LOCAL_REQUEST_RESULT]);
	run(5000);
	cr_assert_not(late);
	cr_assert_eq(done_count, 1);
}

Test(local_queue, an_answer_comes_back)
{
	struct local_result result = {
		.status = LOCAL_OVER_QUOTA, .error = 122, .text = "full",
	};
	struct str bytes = STR_INIT;

	add(0, 5000);
	take();
	local_result_encode(&bytes, &result);
	answer(bytes.data, bytes.len);
	cr_assert_eq(last.status, LOCAL_OVER_QUOTA);
	cr_assert_eq(last.error, 122);
	cr_assert_str_eq(last.text, "full");
	cr_assert_eq(local_queue_stats(queue)->results[LOCAL_OVER_QUOTA], 1);
	cr_assert_eq(local_queue_stats(queue)->bytes, 0);
	str_free(&bytes);
}

static uint64_t count_of(const struct histogram *histogram)
{
	uint64_t count = 0;
	unsigned i;

	for (i = 0; i < HISTOGRAM_BUCKETS; i++)
		count += histogram->counts[i];
	return count;
}

static void expect_now(unsigned under_way, unsigned waiting)
{
	cr_expect_eq(local_queue_stats(queue)->under_way, under_way);
	cr_expect_eq(local_queue_stats(queue)->waiting, waiting);
}

Test(local_queue, what_it_counts)
{
	const struct local_stats *stats = local_queue_stats(queue);
	struct local_result result = { .status = LOCAL_SAVED };
	struct str bytes = STR_INIT;

	request.size = 100;
	request.head = "A: b\n";
	request.head_len = 5;
	add(0, 5000);
	expect_now(1, 1);
	take();
	expect_now(1, 0);
	local_result_encode(&bytes, &result);
	answer(bytes.data, bytes.len);
	expect_now(0, 0);
	cr_expect_eq(stats->results[LOCAL_SAVED], 1);
	cr_expect_eq(stats->bytes, 105);
	cr_expect_eq(count_of(&stats->data), 1);
	add(1, 5000);
	local_delivery_cancel(&deliveries[1]);
	expect_now(0, 0);
	cr_expect_eq(count_of(&stats->data), 1);
	str_free(&bytes);
}

Test(local_queue, questions_count_when_they_are_refused)
{
	const struct local_stats *stats = local_queue_stats(queue);
	struct local_result result = { .status = LOCAL_OVER_QUOTA };
	struct str bytes = STR_INIT;

	request.kind = LOCAL_REQUEST_CHECK;
	add(0, 5000);
	run(20);
	cr_assert_eq(channel_recv(ends[0], &packet, &err), 1);
	local_result_encode(&bytes, &result);
	answer(bytes.data, bytes.len);
	cr_expect_eq(stats->refused, 1);
	cr_expect_eq(stats->results[LOCAL_OVER_QUOTA], 0);
	cr_expect_eq(count_of(&stats->rcpt), 1);
	cr_expect_eq(count_of(&stats->data), 0);
	str_free(&bytes);
}

Test(local_queue, nobody_answers)
{
	add(0, 5000);
	take();
	answer("", 0);
	cr_assert_eq(last.status, LOCAL_FAILED);
	cr_assert_str_eq(last.text,
			 "the delivery process ended without an answer");
	cr_assert_eq(local_queue_stats(queue)->results[LOCAL_STATS_NO_ANSWER], 1);
	cr_assert_eq(local_queue_stats(queue)->results[LOCAL_FAILED], 0);
}

/* A client who came before the reload is still served by the settings of then. */
Test(local_queue, nobody_answers_since_it_is_turned_off)
{
	local_queue_renew(queue, false);
	add(0, 5000);
	take();
	answer("", 0);
	cr_assert_eq(last.status, LOCAL_FAILED);
	cr_assert_str_eq(last.text, "no delivery process has answered: a reload "
				    "has turned local delivery off");
	local_queue_renew(queue, true);
	add(1, 5000);
	take();
	close(packet.fds[LOCAL_REQUEST_RESULT]);
	run(5000);
	cr_assert_str_eq(last.text,
			 "the delivery process ended without an answer");
}

Test(local_queue, nonsense_is_no_success)
{
	add(0, 5000);
	take();
	answer("\0\0\0", 3);
	cr_assert_eq(last.status, LOCAL_FAILED);
}

Test(local_queue, it_takes_too_long)
{
	add(0, 50);
	take();
	run(5000);
	cr_assert_eq(done_count, 1);
	cr_assert_eq(last.status, LOCAL_FAILED);
	cr_assert_str_eq(last.text,
			 "the delivery process did not answer in time");
	/* Who still works on it finds out. */
	cr_assert_lt(write(packet.fds[LOCAL_REQUEST_RESULT], "x", 1), 0);
}

Test(local_queue, nobody_is_there)
{
	close(ends[0]);
	add(0, 5000);
	run(5000);
	cr_assert_eq(done_count, 1);
	cr_assert_eq(last.status, LOCAL_FAILED);
}

Test(local_queue, what_does_not_fit_is_an_error)
{
	char longer[LOCAL_REQUEST_STRING + 2];

	memset(longer, 'x', sizeof(longer));
	longer[LOCAL_REQUEST_STRING + 1] = '\0';
	request.user = longer;
	cr_assert_eq(local_queue_add(queue, &deliveries[0], &request, message,
				     5000, &err), -1);
	cr_assert_null(deliveries[0].queue);
	cr_assert_eq(local_queue_stats(queue)->results[LOCAL_FAILED], 1);
	request.kind = LOCAL_REQUEST_CHECK;
	cr_assert_eq(local_queue_add(queue, &deliveries[0], &request, -1, 5000,
				     &err), -1);
	cr_assert_eq(local_queue_stats(queue)->results[LOCAL_FAILED], 1);
	cr_assert_eq(local_queue_stats(queue)->under_way, 0);
}

Test(local_queue, a_copy_that_does_not_fit_is_left_out)
{
	struct local_request got;
	char longer[LOCAL_REQUEST_STRING + 2];

	memset(longer, 'x', sizeof(longer));
	longer[LOCAL_REQUEST_STRING + 1] = '\0';
	request.copy = longer;
	add(0, 5000);
	take();
	cr_assert_eq(local_request_decode(&got, packet.data, packet.len, &err), 0);
	cr_expect_str_eq(got.copy, "");
	cr_expect_str_eq(got.user, "joe");
	answer("", 0);
}

Test(local_queue, a_cancelled_one_is_forgotten)
{
	add(0, 5000);
	add(1, 5000);
	local_delivery_cancel(&deliveries[0]);
	local_delivery_cancel(&deliveries[0]);
	take();
	local_delivery_cancel(&deliveries[1]);
	run(50);
	cr_assert_eq(done_count, 0);
}

/* --- deliverers that are kept --- */

static void answer_saved(void)
{
	struct local_result result = { .status = LOCAL_SAVED };
	struct str bytes = STR_INIT;

	local_result_encode(&bytes, &result);
	cr_assert_eq(channel_send(packet.fds[LOCAL_REQUEST_RESULT], bytes.data,
				  bytes.len, NULL, 0, &err), 0);
	str_free(&bytes);
	done_count = 0;
	run(5000);
	cr_assert_eq(done_count, 1);
	done_count = 0;
}

/* Delivery i comes through the channel, and is answered. */
static void deliver_by_channel(unsigned i)
{
	add(i, 5000);
	take();
	answer_saved();
}

Test(local_queue, it_learns_what_is_usual)
{
	unsigned i, before;

	cr_assert_eq(local_queue_usual_ms(queue), 25);
	for (i = 0; i < 20; i++)
		deliver_by_channel(i);
	cr_expect_lt(local_queue_usual_ms(queue), 500);
	/* No answer says nothing. */
	before = local_queue_usual_ms(queue);
	add(i, 50);
	take();
	run(5000);
	cr_expect_eq(local_queue_usual_ms(queue), before);
}

static struct channel_packet more;

static bool came_by(int link)
{
	run(20);
	if (channel_recv(link, &more, &err) != 1)
		return false;
	channel_packet_close(&more);
	return true;
}

Test(local_queue, the_same_user_has_the_same_deliverer)
{
	struct str bytes = STR_INIT;
	int link;

	local_queue_limit(queue, 4);
	deliver_by_channel(0);
	link = packet.fds[LOCAL_REQUEST_RESULT];
	add(1, 5000);
	expect_now(1, 1);
	cr_assert(came_by(link));
	expect_now(1, 0);
	local_result_encode(&bytes, &last);
	cr_assert_eq(channel_send(link, bytes.data, bytes.len, NULL, 0, &err), 0);
	run(5000);
	cr_assert_eq(done_count, 1);
	cr_assert_eq(last.status, LOCAL_SAVED);
	str_free(&bytes);
}

Test(local_queue, another_user_has_another_one)
{
	local_queue_limit(queue, 4);
	deliver_by_channel(0);
	request.uid++;
	deliver_by_channel(1);
	request.uid--;
	request.groups = "mail";
	deliver_by_channel(2);
}

Test(local_queue, who_works_is_not_asked)
{
	int link;

	local_queue_limit(queue, 4);
	deliver_by_channel(0);
	link = packet.fds[LOCAL_REQUEST_RESULT];
	add(1, 5000);
	cr_assert(came_by(link));
	add(2, 5000);
	take();
	local_delivery_cancel(&deliveries[1]);
	local_delivery_cancel(&deliveries[2]);
	run(20);
}

static bool is_closed(int link)
{
	run(20);
	return channel_recv(link, &more, &err) < 0;
}

Test(local_queue, no_more_are_kept_than_there_may_be)
{
	int links[3];
	unsigned i;

	local_queue_limit(queue, 2);
	for (i = 0; i < 3; i++) {
		request.uid = i + 1;
		deliver_by_channel(i);
		links[i] = packet.fds[LOCAL_REQUEST_RESULT];
	}
	cr_expect(is_closed(links[0]));
	cr_expect_not(is_closed(links[1]));
	cr_expect_not(is_closed(links[2]));
}

/* As many as there may be, of a uid each; these are the ends of the first ones. */
static void keep_six(int oldest[2])
{
	unsigned i;

	local_queue_limit(queue, 6);
	for (i = 0; i < 6; i++) {
		request.uid = i + 1;
		deliver_by_channel(i);
		if (i < 2)
			oldest[i] = packet.fds[LOCAL_REQUEST_RESULT];
	}
}

/* Who has to go would take a CPU from who has just been asked. */
Test(local_queue, who_has_to_go_may_stay_until_an_answer)
{
	int oldest[2];

	keep_six(oldest);
	request.uid = 7;
	add(6, 5000);
	take();
	cr_expect_not(is_closed(oldest[0]));
	answer_saved();
	cr_expect(is_closed(oldest[0]));
	cr_expect_not(is_closed(oldest[1]));
}

Test(local_queue, no_more_of_them_stay_than_there_is_room_for)
{
	int oldest[2];
	unsigned i;

	keep_six(oldest);
	for (i = 6; i < 8; i++) {
		request.uid = i + 1;
		add(i, 5000);
	}
	cr_expect(is_closed(oldest[0]));
	local_delivery_cancel(&deliveries[6]);
	local_delivery_cancel(&deliveries[7]);
	run(20);
}

/* It has ended before it could read the request. */
Test(local_queue, who_has_ended_is_replaced)
{
	int link;

	local_queue_limit(queue, 4);
	deliver_by_channel(0);
	link = packet.fds[LOCAL_REQUEST_RESULT];
	add(1, 5000);
	run(20);
	close(link);
	take();
	cr_assert_eq(done_count, 0);
	expect_now(1, 0);
	answer("", 0);
	cr_assert_str_eq(last.text,
			 "the delivery process ended without an answer");
}

/* It has read it: nobody knows whether there is a mail. */
Test(local_queue, who_ends_at_work_is_not_replaced)
{
	int link;

	local_queue_limit(queue, 4);
	deliver_by_channel(0);
	link = packet.fds[LOCAL_REQUEST_RESULT];
	add(1, 5000);
	cr_assert(came_by(link));
	close(link);
	run(5000);
	cr_assert_eq(done_count, 1);
	cr_assert_eq(last.status, LOCAL_FAILED);
	cr_assert_str_eq(last.text,
			 "the delivery process ended without an answer");
}

Test(local_queue, who_is_gone_is_forgotten)
{
	local_queue_limit(queue, 4);
	deliver_by_channel(0);
	close(packet.fds[LOCAL_REQUEST_RESULT]);
	deliver_by_channel(1);
}

Test(local_queue, nobody_wants_them_any_more)
{
	local_queue_limit(queue, 4);
	deliver_by_channel(0);
	cr_assert_not(is_closed(packet.fds[LOCAL_REQUEST_RESULT]));
	run(2500);
	cr_assert(is_closed(packet.fds[LOCAL_REQUEST_RESULT]));
}

/* The channel is full before they are all in it. */
Test(local_queue, many_wait_for_their_turn)
{
	struct str bytes = STR_INIT;
	unsigned i;

	local_result_encode(&bytes, &last);
	for (i = 0; i < MANY; i++)
		add(i, 30000);
	while (done_count < MANY) {
		run(5);
		while (channel_recv(ends[0], &packet, &err) == 1) {
			close(packet.fds[LOCAL_REQUEST_MESSAGE]);
			cr_assert_gt(write(packet.fds[LOCAL_REQUEST_RESULT],
					   bytes.data, bytes.len), 0);
			close(packet.fds[LOCAL_REQUEST_RESULT]);
		}
	}
	cr_assert_eq(last.status, LOCAL_SAVED);
	str_free(&bytes);
}
