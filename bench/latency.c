/* Measures how long one message takes for a client that pipelines: MAIL, RCPT
 * and DATA in one segment, then the message in another.
 *
 *	latency [-bnt] [-w count] host port count size
 *
 * prints the 50th and the 99th percentile and the mean, in microseconds. -b: BDAT
 * in place of DATA, in one segment with the rest; -n: a new connection for each
 * message; -t: TLS from the first byte, no session is resumed; -w: messages
 * before those that are measured (100). */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HEAD_SIZE 128 /* room for the envelope */
#define FINAL_DOT 3

struct client {
	const char *host, *port;
	SSL_CTX *context; /* NULL: in clear */
	SSL *tls;
	int fd;
	bool chunked;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int dial(const char *host, const char *port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_port = htons((unsigned short)atoi(port));
	if (fd < 0 || inet_pton(AF_INET, host, &addr.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void put(struct client *client, const char *data, size_t len)
{
	ssize_t ret;

	for (; len > 0; data += ret, len -= (size_t)ret) {
		ret = client->tls != NULL
			      ? SSL_write(client->tls, data, (int)len)
			      : write(client->fd, data, len);
		if (ret <= 0)
			die("write");
	}
}

static ssize_t get(struct client *client, char *buf, size_t size)
{
	return client->tls != NULL ? SSL_read(client->tls, buf, (int)size)
				   : read(client->fd, buf, size);
}

/* Reads count replies; the last one has to begin with code. */
static void expect(struct client *client, int count, const char *code)
{
	static char buf[65536];
	size_t len = 0;
	char *line = buf, *end;
	ssize_t ret;

	for (;;) {
		ret = get(client, buf + len, sizeof(buf) - 1 - len);
		if (ret <= 0)
			die("read");
		len += (size_t)ret;
		buf[len] = '\0';
		while ((end = strchr(line, '\n')) != NULL) {
			if (line[3] != '-' && --count == 0)
				goto out;
			line = end + 1;
		}
	}
out:
	if (strncmp(line, code, 3) == 0)
		return;
	fprintf(stderr, "unexpected reply: %s", line);
	exit(1);
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void open_session(struct client *client)
{
	client->fd = dial(client->host, client->port);
	if (client->context != NULL) {
		client->tls = SSL_new(client->context);
		if (client->tls == NULL || !SSL_set_fd(client->tls, client->fd) ||
		    SSL_connect(client->tls) != 1)
			die("TLS handshake");
	}
	expect(client, 1, "220");
	put(client, "LHLO bench.example\r\n", 20);
	expect(client, 1, "250");
}

static void close_session(struct client *client)
{
	put(client, "QUIT\r\n", 6);
	expect(client, 1, "221");
	SSL_free(client->tls);
	client->tls = NULL;
	close(client->fd);
}

#define ENVELOPE \
	"MAIL FROM:<sender@example.net>\r\nRCPT TO:<user@example.org>\r\n"

static void send_data(struct client *client, const char *body, size_t len)
{
	static const char envelope[] = ENVELOPE "DATA\r\n";

	put(client, envelope, sizeof(envelope) - 1);
	expect(client, 3, "354");
	put(client, body, len);
	expect(client, 1, "250");
}

/* body has room for what goes before it. */
static void send_chunk(struct client *client, char *body, size_t len)
{
	char head[HEAD_SIZE];
	size_t size = (size_t)snprintf(head, sizeof(head),
				       ENVELOPE "BDAT %zu LAST\r\n", len);

	memcpy(body - size, head, size);
	put(client, body - size, size + len);
	expect(client, 3, "250");
}

static void send_one(struct client *client, char *body, size_t len)
{
	if (client->chunked)
		send_chunk(client, body, len - FINAL_DOT);
	else
		send_data(client, body, len);
}

/* Sends count messages; times (NULL: nobody wants to know) gets how long each
 * took. */
static void send_all(struct client *client, int count, bool anew,
		     char *body, size_t len, double *times)
{
	double start, end;
	int i;

	if (!anew)
		open_session(client);
	for (i = 0; i < count; i++) {
		start = now_us();
		if (anew)
			open_session(client);
		send_one(client, body, len);
		end = now_us();
		if (anew)
			close_session(client);
		if (times != NULL)
			times[i] = end - start;
	}
	if (!anew)
		close_session(client);
}

/* With HEAD_SIZE bytes of room in front. */
static char *make_body(size_t size, size_t *len_r)
{
	static const char head[] = "Subject: latency\r\n\r\n";
	char *buf = malloc(HEAD_SIZE + size + 256);
	char *body = buf + HEAD_SIZE, *p = body;

	if (buf == NULL)
		die("malloc");
	memcpy(p, head, sizeof(head) - 1);
	p += sizeof(head) - 1;
	while (p < body + size) {
		memset(p, 'x', 78);
		memcpy(p + 78, "\r\n", 2);
		p += 80;
	}
	memcpy(p, ".\r\n", FINAL_DOT);
	*len_r = (size_t)(p + FINAL_DOT - body);
	return body;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Whatever certificate the server shows will do. */
static SSL_CTX *new_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (context == NULL)
		die("OpenSSL");
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	return context;
}

static int usage(void)
{
	fputs("usage: latency [-bnt] [-w count] host port count size\n", stderr);
	return 64;
}

int main(int argc, char **argv)
{
	struct client client = { .context = NULL };
	int i, c, count, warm_up = 100;
	bool anew = false;
	double *times, sum = 0;
	size_t len;
	char *body;

	while ((c = getopt(argc, argv, "bntw:")) != -1) {
		if (c == 'b')
			client.chunked = true;
		else if (c == 'n')
			anew = true;
		else if (c == 't')
			client.context = new_context();
		else if (c == 'w')
			warm_up = atoi(optarg);
		else
			return usage();
	}
	if (argc - optind != 4 || (count = atoi(argv[optind + 2])) <= 0)
		return usage();
	client.host = argv[optind];
	client.port = argv[optind + 1];
	body = make_body((size_t)atol(argv[optind + 3]), &len);
	times = calloc((size_t)count, sizeof(*times));
	if (times == NULL)
		die("calloc");
	if (warm_up > 0)
		send_all(&client, warm_up, anew, body, len, NULL);
	send_all(&client, count, anew, body, len, times);
	for (i = 0; i < count; i++)
		sum += times[i];
	qsort(times, (size_t)count, sizeof(*times), compare);
	printf("%.1f %.1f %.1f\n", times[count / 2], times[count * 99 / 100],
	       sum / count);
	free(times);
	free(body - HEAD_SIZE);
	SSL_CTX_free(client.context);
	return 0;
}
