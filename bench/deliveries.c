/* The load of bench/local: count messages, each to some of the users, sent by
 * LMTP or SMTP or, for what a file system can do at all, written into Maildirs
 * without any server.
 *
 *	deliveries [-r rcpts] [-s sessions] [-u users] [-z size] lmtp|smtp PORT count
 *	deliveries [-f] [...] plain DIRECTORY count
 *
 * Message N is for rcpts of the users from N * rcpts on. Says "ready" once all
 * sessions are open, waits for a line, and prints how many seconds it took, and
 * its own CPU's. A session sends MAIL, RCPT and DATA in one segment, the message
 * in another, and waits for the replies. plain: so many processes write into
 * DIRECTORY/userN/Maildir; -f: with fsync of the file and of its directory. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENVELOPE_MAX 8192
#define LINE 80
#define HEAD 300 /* about what a server writes before the message */

struct load {
	unsigned sessions, rcpts, users, count;
	size_t size;
	bool fsync, smtp;
	unsigned next; /* message */
};

struct session {
	int fd;
	unsigned replies; /* still to come */
	char line[3];	  /* the start of the line under way */
	size_t line_len;
	bool goes_on; /* a line of the reply with more to come */
	unsigned number;
	bool in_data;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static unsigned user_of(const struct load *load, unsigned number, unsigned rcpt)
{
	return (number * load->rcpts + rcpt) % load->users;
}

/* size bytes, of which the last line says that it is complete. */
static size_t make_message(const struct load *load, char *out, unsigned number,
			   const char *eol)
{
	size_t len = (size_t)sprintf(out, "Message-Id: <%u@bench.example>%s"
				     "Subject: bench%s%s", number, eol, eol, eol);
	size_t end = strlen(eol) + 3;

	while (len + LINE + end <= load->size) {
		memset(out + len, 'x', LINE - strlen(eol));
		len += LINE - strlen(eol);
		len += (size_t)sprintf(out + len, "%s", eol);
	}
	return len + (size_t)sprintf(out + len, "end%s", eol);
}

static void put(int fd, const char *data, size_t len)
{
	ssize_t done;

	for (; len > 0; data += done, len -= (size_t)done) {
		done = write(fd, data, len);
		if (done <= 0)
			die("write");
	}
}

static void wait_to_go(void)
{
	puts("ready");
	fflush(stdout);
	if (getchar() == EOF)
		exit(1);
}

/* --- by LMTP or SMTP --- */

static void send_envelope(struct load *load, struct session *session)
{
	char text[ENVELOPE_MAX];
	size_t len = (size_t)sprintf(text, "MAIL FROM:<sender@example.net>\r\n");
	unsigned i;

	session->number = load->next++;
	for (i = 0; i < load->rcpts; i++)
		len += (size_t)sprintf(text + len,
				       "RCPT TO:<user%u@example.org>\r\n",
				       user_of(load, session->number, i));
	len += (size_t)sprintf(text + len, "DATA\r\n");
	session->replies = load->rcpts + 2;
	session->in_data = false;
	put(session->fd, text, len);
}

static void send_message(const struct load *load, struct session *session)
{
	char *text = malloc(load->size + 256);
	size_t len;

	if (text == NULL)
		die("malloc");
	len = make_message(load, text, session->number, "\r\n");
	len += (size_t)sprintf(text + len, ".\r\n");
	session->replies = load->smtp ? 1 : load->rcpts;
	session->in_data = true;
	put(session->fd, text, len);
	free(text);
}

static void take_reply(const struct session *session)
{
	char wanted = session->in_data || session->replies > 0 ? '2' : '3';

	if (session->line[0] == wanted)
		return;
	fprintf(stderr, "message %u: unexpected reply %.3s\n", session->number,
		session->line);
	exit(1);
}

/* Returns whether all replies that were due are there. */
static bool take(struct session *session, const char *data, size_t len)
{
	for (; len > 0; data++, len--) {
		if (session->line_len < 3)
			session->line[session->line_len] = *data;
		else if (session->line_len == 3)
			session->goes_on = *data == '-';
		session->line_len++;
		if (*data != '\n')
			continue;
		session->line_len = 0;
		if (session->goes_on)
			continue;
		session->replies--;
		take_reply(session);
	}
	return session->replies == 0;
}

static void fill(struct session *session)
{
	char data[16384];
	ssize_t got;

	do {
		got = read(session->fd, data, sizeof(data));
		if (got <= 0)
			die("read");
	} while (!take(session, data, (size_t)got));
}

static void open_session(struct session *session, const char *port, bool smtp)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int one = 1;

	session->fd = socket(AF_INET, SOCK_STREAM, 0);
	addr.sin_port = htons((unsigned short)atoi(port));
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (session->fd < 0 ||
	    connect(session->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("connect");
	setsockopt(session->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	session->in_data = true;
	session->replies = 1;
	fill(session);
	session->replies = 1;
	put(session->fd, smtp ? "EHLO bench.example\r\n" : "LHLO bench.example\r\n",
	    20);
	fill(session);
}

/* Returns whether the session has more to do. */
static bool step(struct load *load, struct session *session)
{
	char data[16384];
	ssize_t got = read(session->fd, data, sizeof(data));

	if (got <= 0)
		die("read");
	if (!take(session, data, (size_t)got))
		return true;
	if (!session->in_data)
		send_message(load, session);
	else if (load->next < load->count)
		send_envelope(load, session);
	else
		return false;
	return true;
}

static void run_sessions(struct load *load, struct session *sessions,
			 struct pollfd *fds)
{
	unsigned i, open = 0;

	for (i = 0; i < load->sessions; i++) {
		fds[i].fd = -1;
		fds[i].events = POLLIN;
		if (load->next == load->count)
			continue;
		send_envelope(load, &sessions[i]);
		fds[i].fd = sessions[i].fd;
		open++;
	}
	while (open > 0) {
		if (poll(fds, load->sessions, -1) < 0)
			die("poll");
		for (i = 0; i < load->sessions; i++) {
			if (fds[i].fd < 0 || fds[i].revents == 0 ||
			    step(load, &sessions[i]))
				continue;
			fds[i].fd = -1;
			open--;
		}
	}
}

static double send_all(struct load *load, const char *port)
{
	struct session *sessions = calloc(load->sessions, sizeof(*sessions));
	struct pollfd *fds = calloc(load->sessions, sizeof(*fds));
	double start;
	unsigned i;

	if (sessions == NULL || fds == NULL)
		die("calloc");
	for (i = 0; i < load->sessions; i++)
		open_session(&sessions[i], port, load->smtp);
	wait_to_go();
	start = seconds(CLOCK_MONOTONIC);
	run_sessions(load, sessions, fds);
	start = seconds(CLOCK_MONOTONIC) - start;
	for (i = 0; i < load->sessions; i++) {
		put(sessions[i].fd, "QUIT\r\n", 6);
		sessions[i].replies = 1;
		fill(&sessions[i]);
		close(sessions[i].fd);
	}
	free(sessions);
	free(fds);
	return start;
}

/* --- plain --- */

static void write_one(const struct load *load, const char *dir, unsigned user,
		      unsigned serial, const char *text, size_t len)
{
	char tmp[640], new[640], box[512];
	int fd;

	snprintf(box, sizeof(box), "%s/user%u/Maildir/new", dir, user);
	snprintf(new, sizeof(new), "%s/%u.bench", box, serial);
	snprintf(tmp, sizeof(tmp), "%s/user%u/Maildir/tmp/%u.bench", dir, user,
		 serial);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		die(tmp);
	put(fd, text, len);
	if ((load->fsync && fsync(fd) < 0) || close(fd) < 0 ||
	    rename(tmp, new) < 0)
		die(tmp);
	if (!load->fsync)
		return;
	fd = open(box, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		die(box);
	close(fd);
}

/* Each of the load's processes writes its share of the mails. */
static void write_share(const struct load *load, const char *dir, unsigned share)
{
	char *text = malloc(load->size + HEAD + 256);
	unsigned serial;
	size_t len;

	if (text == NULL)
		die("malloc");
	memset(text, 'h', HEAD - 1);
	text[HEAD - 1] = '\n';
	for (serial = share; serial < load->count * load->rcpts;
	     serial += load->sessions) {
		unsigned number = serial / load->rcpts;

		len = HEAD + make_message(load, text + HEAD, number, "\n");
		write_one(load, dir, user_of(load, number, serial % load->rcpts),
			  serial, text, len);
	}
	free(text);
}

static double write_all(const struct load *load, const char *dir)
{
	unsigned i;
	int go[2], status;
	double start;

	if (pipe(go) < 0)
		die("pipe");
	for (i = 0; i < load->sessions; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid > 0)
			continue;
		close(go[1]);
		if (read(go[0], &status, 1) != 0)
			_exit(1);
		write_share(load, dir, i);
		_exit(0);
	}
	wait_to_go();
	start = seconds(CLOCK_MONOTONIC);
	close(go[1]);
	while (wait(&status) > 0) {
		if (status != 0)
			exit(1);
	}
	return seconds(CLOCK_MONOTONIC) - start;
}

/* --- main --- */

static double cpu_of(int who)
{
	struct rusage used;

	getrusage(who, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static int usage(void)
{
	fputs("usage: deliveries [-f] [-r rcpts] [-s sessions] [-u users] "
	      "[-z size] lmtp|smtp|plain port|directory count\n", stderr);
	return 64;
}

static bool parse(struct load *load, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "fr:s:u:z:")) != -1) {
		if (c == 'f')
			load->fsync = true;
		else if (c == 'r')
			load->rcpts = (unsigned)atoi(optarg);
		else if (c == 's')
			load->sessions = (unsigned)atoi(optarg);
		else if (c == 'u')
			load->users = (unsigned)atoi(optarg);
		else if (c == 'z')
			load->size = (size_t)atol(optarg);
		else
			return false;
	}
	if (argc - optind != 3)
		return false;
	load->smtp = strcmp(argv[optind], "smtp") == 0;
	load->count = (unsigned)atoi(argv[optind + 2]);
	return load->rcpts > 0 && load->rcpts <= 100 && load->sessions > 0 &&
	       load->users > 0 && load->count > 0 && load->size >= 256;
}

int main(int argc, char **argv)
{
	struct load load = { .sessions = 1, .rcpts = 1, .users = 1,
			     .size = 4096 };
	double took;

	if (!parse(&load, argc, argv))
		return usage();
	if (strcmp(argv[optind], "plain") == 0)
		took = write_all(&load, argv[optind + 1]);
	else
		took = send_all(&load, argv[optind + 1]);
	printf("%.6f %.6f\n", took, cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN));
	return 0;
}
