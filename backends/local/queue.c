#include "backends/local/queue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/channel.h"
#include "lib/mem.h"
#include "lib/panic.h"

/* Until a full channel is tried again, unless an answer comes before. */
#define RETRY_MS 10
/* One that hangs counts as much. */
#define USUAL_MAX_US 1000000
/* Before anything is known: whoever waits by it should not wait long for nothing. */
#define USUAL_START_US 25000

struct local_queue {
	struct loop *loop;
	int requests;
	struct list waiting; /* struct local_delivery: for room */
	struct loop_timer retry;
	struct loop_task send;
	struct local_links links;
	struct local_stats stats;
	uint64_t usual_us;
	bool off; /* by the newest settings */
};

static void send_waiting(struct local_queue *queue);
static void read_answer(struct local_link *link);

static void retry(struct loop_timer *timer)
{
	send_waiting(container_of(timer, struct local_queue, retry));
}

static void send_now(struct loop_task *task)
{
	send_waiting(container_of(task, struct local_queue, send));
}

struct local_queue *local_queue_new(struct loop *loop, int requests)
{
	struct local_queue *queue = mem_new(struct local_queue);

	queue->loop = loop;
	queue->requests = requests;
	queue->usual_us = USUAL_START_US;
	list_init(&queue->waiting);
	loop_timer_open(&queue->retry, loop, retry);
	queue->send.fn = send_now;
	local_links_init(&queue->links, loop, read_answer);
	return queue;
}

void local_queue_limit(struct local_queue *queue, unsigned limit)
{
	local_links_limit(&queue->links, limit);
}

void local_queue_renew(struct local_queue *queue, bool on)
{
	queue->off = !on;
	local_links_drop(&queue->links);
}

void local_queue_free(struct local_queue **queue_p)
{
	struct local_queue *queue = *queue_p;

	if (queue == NULL)
		return;
	ASSERT(queue->stats.under_way == 0);
	loop_timer_close(&queue->retry);
	loop_task_cancel(&queue->send);
	local_links_close(&queue->links);
	mem_free(queue_p);
}

/* Whoever works at it finds out. */
static void let_go(struct local_delivery *delivery)
{
	if (delivery->link == NULL)
		delivery->queue->stats.waiting--;
	else
		local_link_close(delivery->link);
	delivery->link = NULL;
}

static void forget(struct local_delivery *delivery)
{
	delivery->queue->stats.under_way--;
	delivery->queue = NULL;
	list_remove(&delivery->node);
	loop_timer_close(&delivery->timer);
	str_free(&delivery->packet);
	str_free(&delivery->who);
}

void local_delivery_cancel(struct local_delivery *delivery)
{
	if (delivery->queue == NULL)
		return;
	let_go(delivery);
	forget(delivery);
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

	forget(delivery);
	/* Who answers has room for another one. */
	if (!list_empty(&queue->waiting))
		loop_defer(queue->loop, &queue->send);
	delivery->done(delivery, result);
}

static void fail(struct local_delivery *delivery, const char *text)
{
	struct local_result result = { .status = LOCAL_FAILED };

	snprintf(result.text, sizeof(result.text), "%s", text);
	count(delivery, LOCAL_STATS_NO_ANSWER);
	let_go(delivery);
	end(delivery, &result);
}

static void learn(struct local_queue *queue, uint64_t took_us)
{
	if (took_us > USUAL_MAX_US)
		took_us = USUAL_MAX_US;
	queue->usual_us = (3 * queue->usual_us + took_us) / 4;
}

unsigned local_queue_usual_ms(const struct local_queue *queue)
{
	return (unsigned)(queue->usual_us / 1000);
}

static void take_result(struct local_delivery *delivery,
			const struct local_result *result)
{
	learn(delivery->queue,
	      loop_now_us(delivery->queue->loop) - delivery->begun_us);
	delivery->queue->stats.links += result->status == LOCAL_SAVED &&
					result->linked;
	count(delivery, result->status);
	local_link_keep(delivery->link);
	delivery->link = NULL;
	end(delivery, result);
}

/* Its deliverer has ended before it has read the request. */
static void take_back(struct local_delivery *delivery)
{
	struct local_queue *queue = delivery->queue;

	local_link_close(delivery->link);
	delivery->link = NULL;
	queue->stats.waiting++;
	list_prepend(&queue->waiting, &delivery->node);
	loop_defer(queue->loop, &queue->send);
}

static void fail_unanswered(struct local_delivery *delivery)
{
	fail(delivery, delivery->queue->off
			       ? "no delivery process has answered: a reload has "
				 "turned local delivery off"
			       : "the delivery process ended without an answer");
}

static void read_answer(struct local_link *link)
{
	struct local_delivery *delivery = link->owner;
	char data[LOCAL_RESULT_MAX];
	ssize_t got = read(link->fd, data, sizeof(data));
	struct local_result result;
	struct err err;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0 && errno == ECONNRESET && link->again)
		take_back(delivery);
	else if (got < 0)
		fail(delivery, strerror(errno));
	else if (got == 0)
		fail_unanswered(delivery);
	else if (local_result_decode(&result, data, (size_t)got, &err) < 0)
		fail(delivery, err.text);
	else
		take_result(delivery, &result);
}

static void time_out(struct loop_timer *timer)
{
	struct local_delivery *delivery =
		container_of(timer, struct local_delivery, timer);

	fail(delivery, delivery->link != NULL
			       ? "the delivery process did not answer in time"
			       : "no delivery process was free in time");
}

static void sent(struct local_delivery *delivery, struct local_link *link)
{
	link->owner = delivery;
	delivery->link = link;
	delivery->queue->stats.waiting--;
	list_remove(&delivery->node);
}

/* To a deliverer that is this user already. Returns whether there is one. */
static bool send_again(struct local_delivery *delivery)
{
	struct local_links *links = &delivery->queue->links;
	unsigned fds = local_request_fds(delivery->kind) - 1;
	struct local_link *link;
	struct err err;

	while ((link = local_links_take(links, &delivery->who)) != NULL) {
		if (channel_offer(link->fd, delivery->packet.data,
				  delivery->packet.len, &delivery->message, fds,
				  &err) > 0) {
			sent(delivery, link);
			return true;
		}
		local_link_close(link);
	}
	return false;
}

/* To whoever waits at the channel. 1: sent; 0: there is no room; -1: never will be. */
static int send_new(struct local_delivery *delivery, struct err *err)
{
	struct local_queue *queue = delivery->queue;
	int fds[LOCAL_REQUEST_FDS], status;
	struct local_link *link = local_links_open(&queue->links, &delivery->who,
						   &fds[LOCAL_REQUEST_RESULT]);

	/* Descriptors may be free again later. */
	if (link == NULL)
		return 0;
	fds[LOCAL_REQUEST_MESSAGE] = delivery->message;
	status = channel_offer(queue->requests, delivery->packet.data,
			       delivery->packet.len, fds,
			       local_request_fds(delivery->kind), err);
	close(fds[LOCAL_REQUEST_RESULT]);
	if (status > 0)
		sent(delivery, link);
	else
		local_link_close(link);
	return status;
}

static int send_one(struct local_delivery *delivery, struct err *err)
{
	return send_again(delivery) ? 1 : send_new(delivery, err);
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

/* Without the copy there may be room. */
static int encode(struct str *packet, const struct local_request *request,
		  struct err *err)
{
	struct local_request alone;

	if (local_request_encode(packet, request, err) == 0)
		return 0;
	if (*request->copy == '\0')
		return -1;
	str_clear(packet);
	alone = *request;
	alone.copy = "";
	return local_request_encode(packet, &alone, err);
}

int local_queue_add(struct local_queue *queue, struct local_delivery *delivery,
		    const struct local_request *request, int message,
		    unsigned timeout_ms, struct err *err)
{
	struct str packet = STR_INIT;

	ASSERT(delivery->queue == NULL);
	if (encode(&packet, request, err) < 0) {
		str_free(&packet);
		if (request->kind == LOCAL_REQUEST_SAVE)
			queue->stats.results[LOCAL_FAILED]++;
		return -1;
	}
	delivery->queue = queue;
	delivery->packet = packet;
	delivery->kind = request->kind;
	delivery->message = message;
	local_request_who(&delivery->who, request);
	delivery->bytes = request->size + request->head_len;
	delivery->begun_us = loop_now_us(queue->loop);
	queue->stats.under_way++;
	queue->stats.waiting++;
	loop_timer_open(&delivery->timer, queue->loop, time_out);
	loop_timer_set(&delivery->timer, timeout_ms);
	list_append(&queue->waiting, &delivery->node);
	/* Later: done() never runs inside this call. */
	if (queue->retry.due_us == 0)
		loop_defer(queue->loop, &queue->send);
	return 0;
}
