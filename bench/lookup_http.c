/* What an HTTP server can give: a client that writes requests and waits for
 * their answers on connections that stay open, one request under way on each.
 *
 *	lookup_http [-n connections] [-w count] host port request expected count
 *		users
 *
 * request is the name of a file with a whole request, in which @@@@@@@@ stands
 * for the number of a user, as in bench/lookup.c; each answer has to hold the
 * text expected. Prints seconds and CPU seconds. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define PLACE "@@@@@@@@"

struct connection {
	int fd;
	size_t len;
	char in[16384]; /* the answer so far */
};

struct client {
	int epoll;
	struct connection *connections;
	char *request, *place; /* NULL: all requests are the same */
	size_t request_len;
	const char *expected;
	unsigned users, next;
	unsigned long left, under_way;
};

static void die(const char *what)
{
	fprintf(stderr, "lookup_http: %s\n", what);
	exit(1);
}

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void read_request(struct client *client, const char *path)
{
	static char buf[8192];
	FILE *file = fopen(path, "r");

	if (file == NULL)
		die("cannot read the request");
	client->request_len = fread(buf, 1, sizeof(buf) - 1, file);
	fclose(file);
	client->request = buf;
	client->place = strstr(buf, PLACE);
}

static void dial(struct client *client, struct connection *connection,
		 const char *host, const char *port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	struct epoll_event event = { .events = EPOLLIN };
	int one = 1;

	connection->fd = socket(AF_INET, SOCK_STREAM, 0);
	addr.sin_port = htons((unsigned short)atoi(port));
	if (connection->fd < 0 || inet_pton(AF_INET, host, &addr.sin_addr) != 1 ||
	    connect(connection->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("cannot connect");
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(connection->fd, F_SETFL, O_NONBLOCK);
	event.data.ptr = connection;
	epoll_ctl(client->epoll, EPOLL_CTL_ADD, connection->fd, &event);
}

static void ask(struct client *client, struct connection *connection)
{
	char number[16];

	client->left--;
	client->under_way++;
	connection->len = 0;
	if (client->place != NULL) {
		snprintf(number, sizeof(number), "%08u", client->next + 1);
		memcpy(client->place, number, strlen(PLACE));
		client->next = (client->next + 1) % client->users;
	}
	if (write(connection->fd, client->request, client->request_len) !=
	    (ssize_t)client->request_len)
		die("cannot write");
}

/* Whether the answer is there as a whole. */
static bool is_whole(const struct connection *connection)
{
	const char *end = strstr(connection->in, "\r\n\r\n"), *length;
	size_t head;

	if (end == NULL)
		return false;
	head = (size_t)(end + 4 - connection->in);
	length = strcasestr(connection->in, "\r\nContent-Length:");
	if (length != NULL && length < end)
		return connection->len >= head + strtoul(length + 17, NULL, 10);
	return connection->len >= head + 5 &&
	       memcmp(connection->in + connection->len - 5, "0\r\n\r\n", 5) == 0;
}

static void take(struct client *client, struct connection *connection)
{
	ssize_t ret = read(connection->fd, connection->in + connection->len,
			   sizeof(connection->in) - 1 - connection->len);

	if (ret <= 0)
		die("the connection is lost");
	connection->len += (size_t)ret;
	connection->in[connection->len] = '\0';
	if (!is_whole(connection))
		return;
	if (strncmp(connection->in, "HTTP/1.1 200", 12) != 0 ||
	    strstr(connection->in, client->expected) == NULL) {
		fputs(connection->in, stderr);
		die("unexpected answer");
	}
	client->under_way--;
	if (client->left > 0)
		ask(client, connection);
}

static void run(struct client *client, unsigned connections,
		unsigned long count)
{
	struct epoll_event events[64];
	int ready, i;
	unsigned n;

	client->left = count;
	for (n = 0; n < connections && client->left > 0; n++)
		ask(client, &client->connections[n]);
	while (client->under_way > 0) {
		ready = epoll_wait(client->epoll, events, 64, 10000);
		if (ready <= 0)
			die("no answer");
		for (i = 0; i < ready; i++)
			take(client, events[i].data.ptr);
	}
}

static int usage(void)
{
	fputs("usage: lookup_http [-n connections] [-w count] host port request "
	      "expected count users\n", stderr);
	return 64;
}

int main(int argc, char **argv)
{
	struct client client = { .epoll = epoll_create1(0) };
	unsigned long warm_up = 0, count;
	unsigned connections = 1, i;
	double start, cpu;
	int c;

	while ((c = getopt(argc, argv, "n:w:")) != -1) {
		if (c == 'n')
			connections = (unsigned)atoi(optarg);
		else if (c == 'w')
			warm_up = strtoul(optarg, NULL, 10);
		else
			return usage();
	}
	argv += optind;
	if (argc - optind != 6 || connections == 0 ||
	    (count = strtoul(argv[4], NULL, 10)) == 0 ||
	    (client.users = (unsigned)atoi(argv[5])) == 0)
		return usage();
	read_request(&client, argv[2]);
	client.expected = argv[3];
	client.connections = calloc(connections, sizeof(*client.connections));
	if (client.connections == NULL)
		die("no memory");
	for (i = 0; i < connections; i++)
		dial(&client, &client.connections[i], argv[0], argv[1]);
	if (warm_up > 0)
		run(&client, connections, warm_up);
	start = seconds(CLOCK_MONOTONIC);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	run(&client, connections, count);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%.6f %.6f\n", seconds(CLOCK_MONOTONIC) - start, cpu);
	free(client.connections);
	close(client.epoll);
	return 0;
}
