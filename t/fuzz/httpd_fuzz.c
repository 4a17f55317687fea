/* First byte: how to cut; the others: what a client of the control interface
 * sends. Each request is answered once, and nothing is left behind. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/http/httpd.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

static unsigned requests;

static void handle(void *arg, struct httpd_request *request)
{
	struct str body = STR_INIT;

	(void)arg;
	requests++;
	ASSERT(request->head.path[0] == '/');
	ASSERT(request->head.body_len <= HTTPD_MAX_BODY);
	str_puts(&body, request->head.path);
	str_append(&body, request->body, (size_t)request->head.body_len);
	httpd_reply(&request, 200, "text/plain", &body);
	ASSERT(request == NULL);
	str_free(&body);
}

static void stop(void *arg)
{
	loop_stop(arg);
}

static void run(struct loop *loop)
{
	loop_post(loop, stop, loop);
	loop_run(loop);
}

/* How many answers came back, by their status lines: none is that long, and run()
 * is called before the next, so that none is cut. */
static unsigned count_answers(int fd)
{
	char buf[65536];
	ssize_t got;
	unsigned count = 0;
	const char *at;

	while ((got = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT)) > 0) {
		buf[got] = '\0';
		for (at = buf; at < buf + got; at++)
			count += strncmp(at, "HTTP/1.1 ", 9) == 0;
	}
	return count;
}

static void talk(struct loop *loop, struct httpd *httpd, const uint8_t *data,
		 size_t size, size_t piece)
{
	const struct addr peer = { .sa.sa_family = AF_UNIX, .len = 2 };
	unsigned answers = 0, passes;
	int ends[2];

	ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
	httpd_take(httpd, ends[0], NULL, &peer, NULL, 0);
	while (size > 0) {
		size_t len = size < piece ? size : piece;

		if (send(ends[1], data, len, MSG_NOSIGNAL) < 0)
			break;
		data += len;
		size -= len;
		run(loop);
		answers += count_answers(ends[1]);
	}
	shutdown(ends[1], SHUT_WR);
	for (passes = 0; passes < 20; passes++) {
		run(loop);
		answers += count_answers(ends[1]);
	}
	/* Bodies may look like answers, but none is lost. */
	ASSERT(answers >= requests);
	close(ends[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct httpd_settings settings = {
		.clients.max = 1,
		.max_untaken = 65536,
		.clients.request_ms = 5000,
		.clients.idle_ms = 5000,
		.handle = handle,
	};
	struct loop *loop;
	struct httpd *httpd;

	if (size == 0 || size > 20000)
		return 0;
	requests = 0;
	loop = loop_new();
	httpd = httpd_new(loop, &settings);
	talk(loop, httpd, data + 1, size - 1, data[0] + 1u);
	httpd_free(&httpd);
	run(loop);
	run(loop);
	loop_free(&loop);
	return 0;
}
