#include "lib/clients.h"

#define READ_SIZE 4096
#define DRAIN_MS 2000

/* --- the end of a connection --- */

static void client_free(struct loop_task *task)
{
	struct client *client = container_of(task, struct client, task);

	str_wipe(&client->in);
	client->handler->free(client);
}

static void client_close(struct client *client)
{
	struct clients *clients = client->clients;

	if (client->state == CLIENT_CLOSED)
		return;
	client->state = CLIENT_CLOSED;
	clients->count--;
	list_remove(&client->node);
	crowd_leave(&client->stranger);
	loop_timer_close(&client->timer);
	stream_close(&client->stream);
	client->handler->closed(client);
	loop_task_cancel(&client->task);
	client->task.fn = client_free;
	loop_defer(clients->loop, &client->task);
}

static void client_timeout(struct loop_timer *timer)
{
	client_close(container_of(timer, struct client, timer));
}

/* --- a request and its answer --- */

/* Behind those that wait for longer. */
static void client_queue(struct client *client)
{
	list_remove(&client->node);
	list_append(&client->clients->list, &client->node);
	client->turn = client->clients->turns++;
}

void client_vouch(struct client *client)
{
	crowd_leave(&client->stranger);
}

void client_handle(struct client *client, size_t size)
{
	str_consume(&client->in, size);
	client->state = CLIENT_HANDLED;
	loop_timer_clear(&client->timer);
	stream_want_read(client->stream, false);
}

void client_answer(struct client *client, bool last)
{
	client->last = last;
	client->state = CLIENT_ANSWERING;
	loop_timer_set(&client->timer, client->clients->set.request_ms);
	stream_want_read(client->stream, false);
	stream_flush_later(client->stream);
	stream_want_write(client->stream);
}

static void client_go_on(struct client *client)
{
	if (client->state != CLIENT_READING)
		return;
	if (client->in.len > 0)
		client->handler->parse(client);
	if (client->state == CLIENT_READING && client->eof)
		client_close(client);
}

static void client_task(struct loop_task *task)
{
	client_go_on(container_of(task, struct client, task));
}

static void client_wait_for_request(struct client *client)
{
	struct clients *clients = client->clients;

	client->state = CLIENT_READING;
	client->used = true;
	client_queue(client);
	loop_timer_set(&client->timer, client->in.len > 0
					       ? clients->set.request_ms
					       : clients->set.idle_ms);
	if (!client->eof)
		stream_want_read(client->stream, true);
	loop_defer(clients->loop, &client->task);
}

static void client_drain(struct client *client)
{
	client->state = CLIENT_DRAINING;
	stream_shutdown(client->stream);
	stream_want_read(client->stream, true);
	loop_timer_set(&client->timer, DRAIN_MS);
}

/* --- the stream --- */

static void client_readable(struct stream *stream, void *owner)
{
	struct client *client = owner;
	bool idle = client->in.len == 0;
	size_t len;
	int got;

	got = stream_read(stream, str_reserve(&client->in, READ_SIZE),
			  READ_SIZE, &len);
	if (client->state == CLIENT_DRAINING) {
		if (got < 0)
			client_close(client);
		return;
	}
	if (got > 0)
		str_grown(&client->in, len);
	if (got < 0) {
		client->eof = true;
		stream_want_read(stream, false);
	}
	if (idle && client->in.len > 0)
		loop_timer_set(&client->timer, client->clients->set.request_ms);
	client_go_on(client);
}

static void client_writable(struct stream *stream, void *owner)
{
	struct client *client = owner;

	(void)stream;
	if (client->state != CLIENT_ANSWERING)
		return;
	client->handler->answered(client);
	if (client->last || client->clients->leaving)
		client_drain(client);
	else
		client_wait_for_request(client);
}

static void client_broken(struct stream *stream, void *owner)
{
	(void)stream;
	client_close(owner);
}

static void client_secured(struct stream *stream, void *owner)
{
	(void)stream;
	(void)owner;
}

static const struct stream_handler client_stream_handler = {
	.readable = client_readable,
	.writable = client_writable,
	.broken = client_broken,
	.secured = client_secured,
};

/* --- too many --- */

static uint64_t stranger_rank(const struct crowd_member *member)
{
	const struct client *client =
		container_of(member, struct client, stranger);

	if (client->state == CLIENT_HANDLED &&
	    !client->clients->set.cuts_requests)
		return CROWD_STAYS;
	return (uint64_t)client->state << 56 | client->turn;
}

/* NULL: none is idle. */
static struct client *find_idle(struct clients *clients)
{
	struct list *node, *tmp;

	list_each(&clients->list, node, tmp) {
		struct client *client = container_of(node, struct client, node);

		if (client->state == CLIENT_READING && client->in.len == 0)
			return client;
	}
	return NULL;
}

/* An answer that is cut off is sent as far as that goes. */
static void make_room(struct clients *clients, struct client *newest)
{
	struct crowd_member *stranger = crowd_choose(&clients->strangers);
	struct client *client =
		container_of(stranger, struct client, stranger);

	if (client == newest)
		client = find_idle(clients);
	client_close(client != NULL ? client : newest);
}

/* --- all of them --- */

void clients_init(struct clients *clients, struct loop *loop,
		  const struct clients_handler *handler,
		  const struct clients_settings *settings)
{
	*clients = (struct clients){
		.loop = loop,
		.handler = handler,
		.set = *settings,
	};
	list_init(&clients->list);
	crowd_init(&clients->strangers, stranger_rank);
}

bool clients_add(struct clients *clients, struct client *client, int fd,
		 const struct addr *peer, const void *door)
{
	client->clients = clients;
	client->handler = clients->handler;
	client->door = door;
	client->state = CLIENT_ARRIVING;
	client->task.fn = client_task;
	client->stream = stream_new(clients->loop, fd, &client_stream_handler,
				    client);
	client_queue(client);
	crowd_join(&clients->strangers, &client->stranger, peer);
	loop_timer_open(&client->timer, clients->loop, client_timeout);
	loop_timer_set(&client->timer, clients->set.request_ms);
	if (++clients->count > clients->set.max)
		make_room(clients, client);
	if (client->state == CLIENT_CLOSED)
		return false;
	client->state = CLIENT_READING;
	return true;
}

/* What has just come in may have a request on its way. */
void clients_leave(struct clients *clients)
{
	struct list *node, *tmp;

	clients->leaving = true;
	list_each(&clients->list, node, tmp) {
		struct client *client = container_of(node, struct client, node);

		if (client->state == CLIENT_READING && client->used &&
		    client->in.len == 0)
			client_close(client);
	}
}

void clients_drop(struct clients *clients, const void *door)
{
	struct list *node, *tmp;

	list_each(&clients->list, node, tmp) {
		struct client *client = container_of(node, struct client, node);

		if (client->door == door)
			client_close(client);
	}
}

void clients_close_all(struct clients *clients)
{
	struct list *node, *tmp;

	list_each(&clients->list, node, tmp)
		client_close(container_of(node, struct client, node));
}
