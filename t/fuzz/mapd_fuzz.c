/* First byte: how to cut; the others: what a client sends that looks up entries
 * of a table. Each request is answered once, in its own language, and nothing is
 * left behind. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/mapd.h"
#include "lib/netstring.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

#define MAX_ANSWER 4096

static unsigned requests, right;

static void handle(void *arg, struct mapd_request *request)
{
	(void)arg;
	right++;
	ASSERT(strlen(request->wire.key) <= MAP_REQUEST_MAX);
	mapd_reply(&request, MAP_OK, request->wire.key);
	ASSERT(request == NULL);
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

/* Takes one answer from the start of text; 0 when there is none. */
static size_t take_answer(const char *text, size_t len)
{
	struct netstring netstring;
	const char *end;
	int got;

	if (len == 0)
		return 0;
	if (text[0] == '2' || text[0] == '4') {
		end = memchr(text, '\n', len);
		if (end != NULL && len > 3 && text[3] == ' ')
			return (size_t)(end - text) + 1;
	}
	got = netstring_parse(text, len, MAX_ANSWER, &netstring);
	ASSERT(got == 1);
	ASSERT(memcmp(netstring.text, "OK ", 3) == 0 ||
	       memcmp(netstring.text, "PERM ", 5) == 0);
	return netstring.size;
}

static void count_answers(const struct str *got)
{
	size_t at = 0, size;

	for (; (size = take_answer(str_c(got) + at, got->len - at)) > 0;
	     at += size)
		requests++;
	ASSERT(at == got->len);
	ASSERT(requests >= right);
}

static void receive(int fd, struct str *got)
{
	char buf[65536];
	ssize_t len;

	while ((len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		str_append(got, buf, (size_t)len);
}

static void talk(struct loop *loop, struct mapd *mapd, const uint8_t *data,
		 size_t size, size_t piece)
{
	const struct addr peer = { .sa.sa_family = AF_UNIX, .len = 2 };
	struct str got = STR_INIT;
	unsigned before;
	int ends[2];

	ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
	mapd_take(mapd, ends[0], &peer, NULL);
	while (size > 0) {
		size_t len = size < piece ? size : piece;

		if (send(ends[1], data, len, MSG_NOSIGNAL) < 0)
			break;
		data += len;
		size -= len;
		run(loop);
		receive(ends[1], &got);
	}
	shutdown(ends[1], SHUT_WR);
	do {
		before = right;
		run(loop);
		run(loop);
		run(loop);
		receive(ends[1], &got);
	} while (right != before);
	count_answers(&got);
	str_free(&got);
	close(ends[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mapd_settings settings = {
		.clients.max = 1,
		.clients.request_ms = 5000,
		.clients.idle_ms = 5000,
		.handle = handle,
	};
	struct loop *loop;
	struct mapd *mapd;

	if (size == 0 || size > 20000)
		return 0;
	requests = right = 0;
	loop = loop_new();
	mapd = mapd_new(loop, &settings);
	talk(loop, mapd, data + 1, size - 1, data[0] + 1u);
	mapd_free(&mapd);
	run(loop);
	run(loop);
	loop_free(&loop);
	return 0;
}
