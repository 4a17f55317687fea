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
	list_remove(&client->node); /* behind those that wait for longer */
	list_append(&clients->list, &client->node);
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
}

/* Ends the connection that has been without a request for longest, of those in that
 * state that nobody vouched for; an answer is sent as far as that goes. False: there
 * is none. */
static bool close_one(struct clients *clients, enum client_state state)
{
	struct list *node, *tmp;

	list_each(&clients->list, node, tmp) {
		struct client *client = container_of(node, struct client, node);

		if (client->vouched || client->state != state)
			continue;
		client_close(client);
		return true;
	}
	return false;
}

bool clients_make_room(struct clients *clients)
{
	return clients->count < clients->set.max ||
	       close_one(clients, CLIENT_READING) ||
	       close_one(clients, CLIENT_DRAINING) ||
	       close_one(clients, CLIENT_ANSWERING) ||
	       (clients->set.cuts_requests &&
		close_one(clients, CLIENT_HANDLED));
}

void clients_add(struct clients *clients, struct client *client, int fd,
		 const void *door)
{
	client->clients = clients;
	client->handler = clients->handler;
	client->door = door;
	client->task.fn = client_task;
	client->stream = stream_new(clients->loop, fd, &client_stream_handler,
				    client);
	list_append(&clients->list, &client->node);
	clients->count++;
	loop_timer_open(&client->timer, clients->loop, client_timeout);
	loop_timer_set(&client->timer, clients->set.request_ms);
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
