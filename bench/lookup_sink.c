/* An HTTP/1.1 server that gives every request the same answer, for what a
 * driver costs when the store costs next to nothing.
 *
 *	lookup_sink port body
 *
 * listens on 127.0.0.1; connections are kept open, one process, one thread. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct connection {
	int fd;
	size_t len;
	char in[16384];
};

static int epoll;
static char answer[16384];
static size_t answer_len;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listen_on(const char *port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_port = htons((unsigned short)atoi(port));
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, 1024) < 0)
		die("listen");
	return fd;
}

static void watch(struct connection *connection)
{
	struct epoll_event event = { .events = EPOLLIN };

	event.data.ptr = connection;
	epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event);
}

static void welcome(int listener)
{
	struct connection *connection;
	int one = 1, fd = accept(listener, NULL, NULL);

	if (fd < 0)
		return;
	connection = calloc(1, sizeof(*connection));
	if (connection == NULL)
		die("calloc");
	connection->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	watch(connection);
}

/* The length of the first request, as far as it is there as a whole; else 0. */
static size_t request_len(const struct connection *connection)
{
	const char *end = strstr(connection->in, "\r\n\r\n"), *length;
	size_t len;

	if (end == NULL)
		return 0;
	len = (size_t)(end + 4 - connection->in);
	length = strcasestr(connection->in, "\r\nContent-Length:");
	if (length != NULL && length < end)
		len += strtoul(length + 17, NULL, 10);
	return len <= connection->len ? len : 0;
}

static void serve(struct connection *connection)
{
	ssize_t ret = read(connection->fd, connection->in + connection->len,
			   sizeof(connection->in) - 1 - connection->len);
	size_t len;

	if (ret <= 0) {
		close(connection->fd);
		free(connection);
		return;
	}
	connection->len += (size_t)ret;
	connection->in[connection->len] = '\0';
	while ((len = request_len(connection)) > 0) {
		connection->len -= len;
		memmove(connection->in, connection->in + len,
			connection->len + 1);
		if (write(connection->fd, answer, answer_len) !=
		    (ssize_t)answer_len)
			die("write");
	}
}

int main(int argc, char **argv)
{
	struct connection listener = { .len = 0 };
	struct epoll_event events[64];
	int count, i;

	if (argc != 3) {
		fputs("usage: lookup_sink port body\n", stderr);
		return 64;
	}
	answer_len = (size_t)snprintf(
		answer, sizeof(answer), "HTTP/1.1 200 OK\r\n"
		"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(argv[2]), argv[2]);
	if (answer_len >= sizeof(answer))
		return 64;
	epoll = epoll_create1(0);
	listener.fd = listen_on(argv[1]);
	watch(&listener);
	for (;;) {
		count = epoll_wait(epoll, events, 64, -1);
		for (i = 0; i < count; i++) {
			if (events[i].data.ptr == &listener)
				welcome(listener.fd);
			else
				serve(events[i].data.ptr);
		}
	}
}
