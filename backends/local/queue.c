#include "backends/local/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/channel.h"
#include "lib/mem.h"
#include "lib/panic.h"

/* Until a full channel is tried again, unless an answer comes before. */
#define RETRY_MS 10

struct local_queue {
	struct loop *loop;
	int requests;
	struct list waiting; /* struct local_delivery: for room */
	struct loop_timer retry;
	struct local_stats stats;
};

static void send_waiting(struct local_queue *queue);

static void retry(struct loop_timer *timer)
{
	send_waiting(container_of(timer, struct local_queue, retry));
}

struct local_queue *local_queue_new(struct loop *loop, int requests)
{
	struct local_queue *queue = mem_new(struct local_queue);

	queue->loop = loop;
	queue->requests = requests;
	list_init(&queue->waiting);
	loop_timer_open(&queue->retry, loop, retry);
	return queue;
}

void local_queue_free(struct local_queue **queue_p)
{
	struct local_queue *queue = *queue_p;

	if (queue == NULL)
		return;
	ASSERT(queue->stats.under_way == 0);
	loop_timer_close(&queue->retry);
	mem_free(queue_p);
}

void local_delivery_cancel(struct local_delivery *delivery)
{
	struct local_queue *queue = delivery->queue;

	if (queue == NULL)
		return;
	delivery->queue = NULL;
	queue->stats.under_way--;
	if (delivery->answer < 0)
		queue->stats.waiting--;
	list_remove(&delivery->node);
	loop_io_close(&delivery->io);
	loop_timer_close(&delivery->timer);
	if (delivery->answer >= 0)
		close(delivery->answer);
	str_free(&delivery->packet);
}

const struct local_stats *local_queue_stats(const struct local_queue *queue)
{
	return &queue->stats;
}

/* result: as in struct local_stats. */
static void count(const struct local_delivery *delivery, unsigned result)
{
	struct local_stats *stats = &delivery->queue->stats;
	uint64_t took_us = loop_now_us(delivery->queue->loop) -
			   delivery->begun_us;

	if (delivery->kind == LOCAL_REQUEST_CHECK) {
		stats->refused += result == LOCAL_OVER_QUOTA;
		histogram_add(&stats->rcpt, took_us);
		return;
	}
	stats->results[result]++;
	histogram_add(&stats->data, took_us);
	if (result == LOCAL_SAVED)
		stats->bytes += delivery->bytes;
}

static void end(struct local_delivery *delivery,
		const struct local_result *result)
{
	struct local_queue *queue = delivery->queue;

	local_delivery_cancel(delivery);
	/* Who answers has room for another one. */
	if (!list_empty(&queue->waiting))
		loop_timer_set(&queue->retry, 0);
	delivery->done(delivery, result);
}

static void fail(struct local_delivery *delivery, const char *text)
{
	struct local_result result = { .status = LOCAL_FAILED };

	snprintf(result.text, sizeof(result.text), "%s", text);
	count(delivery, LOCAL_STATS_NO_ANSWER);
	end(delivery, &result);
}

static void take_result(struct local_delivery *delivery,
			const struct local_result *result)
{
	delivery->queue->stats.links += result->status == LOCAL_SAVED &&
					result->linked;
	count(delivery, result->status);
	end(delivery, result);
}

static void read_answer(struct loop_io *io, unsigned events)
{
	struct local_delivery *delivery =
		container_of(io, struct local_delivery, io);
	char data[LOCAL_RESULT_MAX];
	ssize_t got = read(delivery->answer, data, sizeof(data));
	struct local_result result;
	struct err err;

	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0)
		fail(delivery, strerror(errno));
	else if (got == 0)
		fail(delivery, "the delivery process ended without an answer");
	else if (local_result_decode(&result, data, (size_t)got, &err) < 0)
		fail(delivery, err.text);
	else
		take_result(delivery, &result);
}

static void time_out(struct loop_timer *timer)
{
	struct local_delivery *delivery =
		container_of(timer, struct local_delivery, timer);

	fail(delivery, delivery->answer >= 0
			       ? "the delivery process did not answer in time"
			       : "no delivery process was free in time");
}

/* 1: sent; 0: there is no room; -1: never will be. */
static int send_one(struct local_delivery *delivery, struct err *err)
{
	int fds[LOCAL_REQUEST_FDS], ends[2], status;

	/* Descriptors may be free again later. */
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return 0;
	fds[LOCAL_REQUEST_RESULT] = ends[1];
	fds[LOCAL_REQUEST_MESSAGE] = delivery->message;
	status = channel_offer(delivery->queue->requests, delivery->packet.data,
			       delivery->packet.len, fds,
			       local_request_fds(delivery->kind), err);
	close(ends[1]);
	if (status <= 0) {
		close(ends[0]);
		return status;
	}
	delivery->answer = ends[0];
	delivery->queue->stats.waiting--;
	str_free(&delivery->packet);
	list_remove(&delivery->node);
	loop_io_open(&delivery->io, delivery->queue->loop, ends[0],
		     read_answer);
	loop_io_want(&delivery->io, LOOP_READ);
	return 1;
}

static void send_waiting(struct local_queue *queue)
{
	struct local_delivery *delivery;
	struct err err;

	while ((delivery = list_first(&queue->waiting, struct local_delivery,
				      node)) != NULL) {
		int status = send_one(delivery, &err);

		if (status == 0) {
			loop_timer_set(&queue->retry, RETRY_MS);
			return;
		}
		if (status < 0)
			fail(delivery, err.text);
	}
}

int local_queue_add(struct local_queue *queue, struct local_delivery *delivery,
		    const struct local_request *request, int message,
		    unsigned timeout_ms, struct err *err)
{
	struct str packet = STR_INIT;

	ASSERT(delivery->queue == NULL);
	if (local_request_encode(&packet, request, err) < 0) {
		str_free(&packet);
		return -1;
	}
	delivery->queue = queue;
	delivery->packet = packet;
	delivery->kind = request->kind;
	delivery->message = message;
	delivery->answer = -1;
	delivery->bytes = request->size + request->head_len;
	delivery->begun_us = loop_now_us(queue->loop);
	queue->stats.under_way++;
	queue->stats.waiting++;
	loop_timer_open(&delivery->timer, queue->loop, time_out);
	loop_timer_set(&delivery->timer, timeout_ms);
	list_append(&queue->waiting, &delivery->node);
	/* In the next pass: done() never runs inside this call. */
	if (queue->retry.due_us == 0)
		loop_timer_set(&queue->retry, 0);
	return 0;
}
