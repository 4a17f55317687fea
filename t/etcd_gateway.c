#include "t/etcd_gateway.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/panic.h"

#define WORLD_PATIENCE_US 20000000

struct connection {
	struct list node;
	struct gateway *gateway;
	struct loop_io io;
	int fd;
	struct str in, out;
	bool streams;
};

/* --- a connection --- */

static void connection_close(struct connection *connection)
{
	connection->gateway->open--;
	if (connection->streams)
		connection->gateway->streams--;
	list_remove(&connection->node);
	loop_io_close(&connection->io);
	close(connection->fd);
	str_free(&connection->in);
	str_free(&connection->out);
	mem_free(&connection);
}

static void flush(struct connection *connection)
{
	struct str *out = &connection->out;
	ssize_t sent = send(connection->fd, str_c(out), out->len,
			    MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent > 0)
		str_consume(out, (size_t)sent);
	loop_io_want(&connection->io, LOOP_READ |
			(out->len > 0 ? LOOP_WRITE : 0u));
}

static void put(struct connection *connection, const struct str *text)
{
	str_append(&connection->out, str_c(text), text->len);
	flush(connection);
}

static void put_chunk(struct str *out, const char *text)
{
	if (*text == '\0')
		return;
	str_printf(out, "%zx\r\n", strlen(text));
	str_puts(out, text);
	str_puts(out, "\r\n");
}

static void answer(struct connection *connection,
		   const struct gateway_reply *reply)
{
	struct str out = STR_INIT;

	str_printf(&out, "HTTP/1.1 %u Status\r\n"
		   "Content-Type: application/json\r\n",
		   reply->status != 0 ? reply->status : 200);
	if (reply->how == GATEWAY_ANSWER) {
		str_printf(&out, "Content-Length: %zu\r\n\r\n",
			   strlen(reply->body));
		str_puts(&out, reply->body);
	} else if (reply->how == GATEWAY_TRAILER) {
		str_puts(&out, "Trailer: Grpc-Trailer-Content-Type\r\n"
			 "Transfer-Encoding: chunked\r\n\r\n");
		put_chunk(&out, reply->body);
		str_puts(&out, "0\r\nGrpc-Trailer-Content-Type: "
			 "application/grpc\r\n\r\n");
	} else {
		str_puts(&out, "Transfer-Encoding: chunked\r\n\r\n");
		put_chunk(&out, reply->body);
		connection->streams = true;
		connection->gateway->streams++;
	}
	put(connection, &out);
	str_free(&out);
}

/* The first that was not used yet, or else the last one; NULL: there is none. */
static const struct gateway_reply *find_reply(struct gateway *gateway,
					      const char *path)
{
	const struct gateway_reply *found = NULL;
	size_t i;

	for (i = 0; i < GATEWAY_MAX_REPLIES; i++) {
		if (gateway->replies[i].path == NULL ||
		    strcmp(gateway->replies[i].path, path) != 0)
			continue;
		found = &gateway->replies[i];
		if (!gateway->used[i]) {
			gateway->used[i] = true;
			break;
		}
	}
	return found;
}

static void serve(struct connection *connection, const char *path)
{
	const struct gateway_reply *reply =
		find_reply(connection->gateway, path);

	if (reply == NULL || reply->how == GATEWAY_SILENT)
		return;
	if (reply->how == GATEWAY_BREAK)
		connection_close(connection);
	else
		answer(connection, reply);
}

/* Puts the request down, and its path into path. */
static void note_request(struct connection *connection, const char *body,
			 size_t len, char *path, size_t size)
{
	static const char name[] = "Authorization: ";
	struct str *seen = &connection->gateway->seen;
	const char *head = str_c(&connection->in);
	const char *token = strstr(head, name);
	size_t path_len;

	ASSERT(strncmp(head, "POST /v3/", 9) == 0);
	path_len = strcspn(head + 9, " ");
	ASSERT(path_len < size);
	memcpy(path, head + 9, path_len);
	path[path_len] = '\0';
	str_printf(seen, "%s ", path);
	if (token != NULL && token < body)
		str_append(seen, token + sizeof(name) - 1,
			   strcspn(token + sizeof(name) - 1, "\r"));
	else
		str_puts(seen, "-");
	str_putc(seen, ' ');
	str_append(seen, body, len);
	str_putc(seen, '\n');
}

static void connection_read(struct connection *connection)
{
	const char *body, *length;
	char path[64];
	ssize_t got = recv(connection->fd, str_reserve(&connection->in, 65536),
			   65536, 0);
	size_t len;

	if (got <= 0) {
		connection_close(connection);
		return;
	}
	str_grown(&connection->in, (size_t)got);
	body = strstr(str_c(&connection->in), "\r\n\r\n");
	length = strstr(str_c(&connection->in), "Content-Length: ");
	if (body == NULL || length == NULL)
		return;
	body += 4;
	len = strtoul(length + 16, NULL, 10);
	if (strlen(body) < len)
		return;
	note_request(connection, body, len, path, sizeof(path));
	str_clear(&connection->in);
	serve(connection, path);
}

static void connection_event(struct loop_io *io, unsigned events)
{
	struct connection *connection =
		container_of(io, struct connection, io);

	if (events & LOOP_WRITE)
		flush(connection);
	if (events & LOOP_READ)
		connection_read(connection);
}

static void accept_event(struct loop_io *io, unsigned events)
{
	struct gateway *gateway = container_of(io, struct gateway, io);
	struct connection *connection = mem_new(struct connection);

	(void)events;
	connection->gateway = gateway;
	connection->fd = accept(gateway->fd, NULL, NULL);
	ASSERT(connection->fd >= 0);
	gateway->accepted++;
	gateway->open++;
	list_append(&gateway->connections, &connection->node);
	loop_io_open(&connection->io, gateway->loop, connection->fd,
		     connection_event);
	loop_io_want(&connection->io, LOOP_READ);
}

/* --- the gateway --- */

static int bind_to(struct sockaddr_in *sa)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	socklen_t len = sizeof(*sa);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ASSERT(bind(fd, (struct sockaddr *)sa, len) == 0);
	ASSERT(getsockname(fd, (struct sockaddr *)sa, &len) == 0);
	return fd;
}

void gateway_open(struct gateway *gateway, struct loop *loop)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };

	*gateway = (struct gateway){ .loop = loop };
	list_init(&gateway->connections);
	inet_pton(AF_INET, "127.0.0.1", &sa.sin_addr);
	gateway->kept = bind_to(&sa);
	gateway->fd = bind_to(&sa);
	ASSERT(listen(gateway->fd, 10) == 0);
	gateway->port = ntohs(sa.sin_port);
	loop_io_open(&gateway->io, loop, gateway->fd, accept_event);
	loop_io_want(&gateway->io, LOOP_READ);
}

void gateway_down(struct gateway *gateway)
{
	struct list *node, *tmp;

	list_each(&gateway->connections, node, tmp)
		connection_close(container_of(node, struct connection, node));
	loop_io_close(&gateway->io);
	if (gateway->fd >= 0)
		close(gateway->fd);
	gateway->fd = -1;
}

void gateway_free(struct gateway *gateway)
{
	gateway_down(gateway);
	close(gateway->kept);
	str_free(&gateway->seen);
}

void gateway_reply(struct gateway *gateway, struct gateway_reply reply)
{
	size_t i = 0;

	while (gateway->replies[i].path != NULL)
		i++;
	ASSERT(i < GATEWAY_MAX_REPLIES - 1);
	gateway->replies[i] = reply;
}

void gateway_reset(struct gateway *gateway)
{
	memset(gateway->replies, 0, sizeof(gateway->replies));
	memset(gateway->used, 0, sizeof(gateway->used));
}

void gateway_say(struct gateway *gateway, const char *text)
{
	struct str out = STR_INIT;
	struct list *node, *tmp;

	put_chunk(&out, text);
	list_each(&gateway->connections, node, tmp) {
		struct connection *connection =
			container_of(node, struct connection, node);

		if (connection->streams)
			put(connection, &out);
	}
	str_free(&out);
}

void gateway_end_streams(struct gateway *gateway)
{
	struct list *node, *tmp;
	struct str out = STR_INIT;

	str_puts(&out, "0\r\n\r\n");
	list_each(&gateway->connections, node, tmp) {
		struct connection *connection =
			container_of(node, struct connection, node);

		if (!connection->streams)
			continue;
		put(connection, &out);
		connection_close(connection);
	}
	str_free(&out);
}

unsigned gateway_count(const struct gateway *gateway, const char *path)
{
	const char *line = str_c(&gateway->seen);
	size_t len = strlen(path);
	unsigned count = 0;

	for (; *line != '\0'; line = strchr(line, '\n') + 1)
		count += strncmp(line, path, len) == 0 && line[len] == ' ';
	return count;
}

bool gateway_saw(const struct gateway *gateway, const char *text)
{
	return strstr(str_c(&gateway->seen), text) != NULL;
}

/* --- the world --- */

static void tick(struct loop_timer *timer)
{
	loop_stop(container_of(timer, struct etcd_world, tick)->loop);
}

void etcd_world_init(struct etcd_world *world, unsigned members)
{
	struct err err;
	char text[64];
	unsigned i;

	*world = (struct etcd_world){
		.settings = { .url_count = members, .timeout_ms = 4000 },
	};
	world->loop = loop_new();
	world->arena = arena_new(256);
	loop_timer_open(&world->tick, world->loop, tick);
	world->end_us = loop_now_us(world->loop) + WORLD_PATIENCE_US;
	for (i = 0; i < WORLD_GATEWAYS; i++) {
		gateway_open(&world->gateways[i], world->loop);
		snprintf(text, sizeof(text), "http://127.0.0.1:%u",
			 world->gateways[i].port);
		ASSERT(http_url_parse(&world->urls[i], world->arena, text,
				      &err) == 0);
		world->url_list[i] = &world->urls[i];
	}
	world->settings.urls = world->url_list;
}

void etcd_world_start(struct etcd_world *world)
{
	world->etcd = etcd_new(world->loop, NULL, &world->settings);
}

void etcd_world_free(struct etcd_world *world)
{
	unsigned i;

	etcd_free(&world->etcd);
	for (i = 0; i < WORLD_GATEWAYS; i++)
		gateway_free(&world->gateways[i]);
	loop_timer_close(&world->tick);
	loop_free(&world->loop);
	arena_free(&world->arena);
}

void etcd_world_turn(struct etcd_world *world, const char *what)
{
	if (loop_now_us(world->loop) > world->end_us)
		PANIC("waited too long for %s", what);
	loop_timer_set(&world->tick, 1);
	loop_run(world->loop);
}

void etcd_world_run(struct etcd_world *world, unsigned ms)
{
	loop_timer_set(&world->tick, ms);
	loop_run(world->loop);
}
