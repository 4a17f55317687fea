/* Measures how long one message takes for a client that pipelines: MAIL, RCPT
 * and DATA in one segment, then the message in another.
 *
 *	latency host port count size
 *
 * prints the 50th and the 99th percentile and the mean, in microseconds. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP 100

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

static void put(int fd, const char *data, size_t len)
{
	ssize_t ret;

	for (; len > 0; data += ret, len -= (size_t)ret) {
		ret = write(fd, data, len);
		if (ret < 0)
			die("write");
	}
}

/* Reads count replies; the last one has to begin with code. */
static void expect(int fd, int count, const char *code)
{
	static char buf[65536];
	size_t len = 0;
	char *line = buf, *end;
	ssize_t ret;

	for (;;) {
		ret = read(fd, buf + len, sizeof(buf) - 1 - len);
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

static double send_one(int fd, const char *body, size_t len)
{
	static const char envelope[] = "MAIL FROM:<sender@example.net>\r\n"
				       "RCPT TO:<user@example.org>\r\n"
				       "DATA\r\n";
	double start = now_us();

	put(fd, envelope, sizeof(envelope) - 1);
	expect(fd, 3, "354");
	put(fd, body, len);
	expect(fd, 1, "250");
	return now_us() - start;
}

static char *make_body(size_t size, size_t *len_r)
{
	static const char head[] = "Subject: latency\r\n\r\n";
	char *body = malloc(size + 256), *p = body;

	if (body == NULL)
		die("malloc");
	memcpy(p, head, sizeof(head) - 1);
	p += sizeof(head) - 1;
	while (p < body + size) {
		memset(p, 'x', 78);
		memcpy(p + 78, "\r\n", 2);
		p += 80;
	}
	memcpy(p, ".\r\n", 3);
	*len_r = (size_t)(p + 3 - body);
	return body;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	double *times, sum = 0;
	size_t len;
	char *body;
	int i, count, fd;

	if (argc != 5 || (count = atoi(argv[3])) <= 0) {
		fprintf(stderr, "usage: latency host port count size\n");
		return 64;
	}
	body = make_body((size_t)atol(argv[4]), &len);
	times = calloc((size_t)count, sizeof(*times));
	if (times == NULL)
		die("calloc");
	fd = dial(argv[1], argv[2]);
	expect(fd, 1, "220");
	put(fd, "LHLO bench.example\r\n", 20);
	expect(fd, 1, "250");
	for (i = 0; i < WARM_UP; i++)
		send_one(fd, body, len);
	for (i = 0; i < count; i++)
		sum += times[i] = send_one(fd, body, len);
	qsort(times, (size_t)count, sizeof(*times), compare);
	printf("%.1f %.1f %.1f\n", times[count / 2], times[count * 99 / 100],
	       sum / count);
	free(times);
	free(body);
	close(fd);
	return 0;
}
