/* An LMTP server that takes messages and forgets them, for loads that smtp-sink
 * cannot stand behind: it knows BDAT (RFC 3030).
 *
 *	sink [-c] host port
 *
 * -c: offers CHUNKING (and answers MAIL as it answers no message, for waypost
 * sends DATA otherwise). Prints "mesg=N" when messages have come in, as smtp-sink
 * does. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

#define IN_SIZE 65536
#define OUT_SIZE 16384
#define EVENTS 64

enum state { COMMAND, DATA, CHUNK };

struct conn {
	int fd;
	enum state state;
	size_t len;	  /* of in */
	unsigned rcpts;
	unsigned matched; /* of "\r\n.\r\n" */
	unsigned long long chunk_left;
	bool chunk_last, leaving;
	size_t out_len;
	char in[IN_SIZE], out[OUT_SIZE];
};

static unsigned long messages;
static bool chunking;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void say(struct conn *conn, const char *text)
{
	size_t len = strlen(text);

	if (conn->out_len + len > OUT_SIZE) {
		fputs("sink: too many replies\n", stderr);
		exit(1);
	}
	memcpy(conn->out + conn->out_len, text, len);
	conn->out_len += len;
}

static void flush(struct conn *conn)
{
	if (conn->out_len > 0 &&
	    write(conn->fd, conn->out, conn->out_len) !=
		    (ssize_t)conn->out_len)
		conn->leaving = true;
	conn->out_len = 0;
}

static void message_done(struct conn *conn)
{
	for (; conn->rcpts > 0; conn->rcpts--)
		say(conn, "250 2.0.0 Ok: taken\r\n");
	messages++;
	conn->state = COMMAND;
}

static void chunk_done(struct conn *conn)
{
	if (conn->chunk_last) {
		message_done(conn);
		return;
	}
	say(conn, "250 2.0.0 Ok\r\n");
	conn->state = COMMAND;
}

static void start_chunk(struct conn *conn, const char *args)
{
	char *end;

	conn->chunk_left = strtoull(args, &end, 10);
	conn->chunk_last = strncasecmp(end, " LAST", 5) == 0;
	conn->state = CHUNK;
	if (conn->chunk_left == 0)
		chunk_done(conn);
}

static bool is(const char *line, const char *verb)
{
	return strncasecmp(line, verb, strlen(verb)) == 0;
}

static void command(struct conn *conn, const char *line)
{
	if (is(line, "LHLO")) {
		say(conn, "250-sink.example\r\n250-8BITMIME\r\n");
		say(conn, chunking ? "250-CHUNKING\r\n" : "");
		say(conn, "250-ENHANCEDSTATUSCODES\r\n250 PIPELINING\r\n");
	} else if (is(line, "RCPT")) {
		conn->rcpts++;
		say(conn, "250 2.1.5 Ok\r\n");
	} else if (is(line, "DATA")) {
		say(conn, "354 End data with <CR><LF>.<CR><LF>\r\n");
		conn->state = DATA;
		conn->matched = 2;
	} else if (is(line, "BDAT ") && chunking) {
		start_chunk(conn, line + 5);
	} else if (is(line, "QUIT")) {
		say(conn, "221 2.0.0 Bye\r\n");
		conn->leaving = true;
	} else if (is(line, "MAIL")) {
		say(conn, "250 2.1.0 Ok\r\n");
	} else if (is(line, "RSET")) {
		conn->rcpts = 0;
		say(conn, "250 2.0.0 Ok\r\n");
	} else {
		say(conn, "500 5.5.2 Error: command not recognized\r\n");
	}
}

/* Returns how many bytes were used; 0: the line is not complete. */
static size_t take_line(struct conn *conn, char *data, size_t len)
{
	char *end = memchr(data, '\n', len);

	if (end == NULL)
		return 0;
	*end = '\0';
	command(conn, data);
	return (size_t)(end - data) + 1;
}

static size_t take_data(struct conn *conn, const char *data, size_t len)
{
	static const char final[] = "\r\n.\r\n";
	const char *p = data, *end = data + len;

	while (p < end) {
		if (conn->matched == 0) {
			p = memchr(p, '\r', (size_t)(end - p));
			if (p == NULL)
				return len;
		}
		if (*p == final[conn->matched])
			conn->matched++;
		else
			conn->matched = *p == '\r' ? 1 : 0;
		p++;
		if (conn->matched == sizeof(final) - 1) {
			message_done(conn);
			break;
		}
	}
	return (size_t)(p - data);
}

static size_t take_chunk(struct conn *conn, size_t len)
{
	if (len > conn->chunk_left)
		len = (size_t)conn->chunk_left;
	conn->chunk_left -= len;
	if (conn->chunk_left == 0)
		chunk_done(conn);
	return len;
}

static void take(struct conn *conn)
{
	size_t used, at = 0;

	do {
		char *data = conn->in + at;
		size_t len = conn->len - at;

		if (len == 0)
			break;
		if (conn->state == COMMAND)
			used = take_line(conn, data, len);
		else if (conn->state == DATA)
			used = take_data(conn, data, len);
		else
			used = take_chunk(conn, len);
		at += used;
	} while (used > 0);
	conn->len -= at;
	memmove(conn->in, conn->in + at, conn->len);
}

static void readable(struct conn *conn)
{
	ssize_t got = read(conn->fd, conn->in + conn->len,
			   IN_SIZE - conn->len);

	if (got <= 0) {
		conn->leaving = true;
	} else {
		conn->len += (size_t)got;
		take(conn);
		flush(conn);
	}
	if (conn->leaving || conn->len == IN_SIZE) {
		close(conn->fd);
		free(conn);
	}
}

static void watch(int epoll, int fd, void *conn)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = conn };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

static void accept_one(int epoll, int listener)
{
	struct conn *conn;
	int one = 1, fd = accept(listener, NULL, NULL);

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	conn = calloc(1, sizeof(*conn));
	if (conn == NULL)
		die("calloc");
	conn->fd = fd;
	say(conn, "220 sink.example LMTP\r\n");
	flush(conn);
	watch(epoll, fd, conn);
}

static int listen_on(const char *host, const char *port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_port = htons((unsigned short)atoi(port));
	if (fd < 0 || inet_pton(AF_INET, host, &addr.sin_addr) != 1 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, 5000) < 0)
		die("listen");
	return fd;
}

static void serve(int epoll, int listener)
{
	struct epoll_event events[EVENTS];
	unsigned long before = messages;
	int i, count = epoll_wait(epoll, events, EVENTS, -1);

	if (count < 0 && errno != EINTR)
		die("epoll_wait");
	for (i = 0; i < count; i++) {
		if (events[i].data.ptr == NULL)
			accept_one(epoll, listener);
		else
			readable(events[i].data.ptr);
	}
	if (messages == before)
		return;
	printf("mesg=%lu\r", messages);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int epoll = epoll_create1(0), listener;

	if (argc > 1 && strcmp(argv[1], "-c") == 0) {
		chunking = true;
		argv++;
		argc--;
	}
	if (argc != 3) {
		fputs("usage: sink [-c] host port\n", stderr);
		return 64;
	}
	listener = listen_on(argv[1], argv[2]);
	watch(epoll, listener, NULL);
	for (;;)
		serve(epoll, listener);
}
