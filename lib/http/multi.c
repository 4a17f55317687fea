#include "lib/http/multi.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/panic.h"

#define POLL_AT_ONCE 64

enum socket_state {
	SOCKET_CLOSED, /* kept for the next one */
	SOCKET_USED,
	SOCKET_IDLE, /* curl keeps it; nothing may come from it */
};

struct http_socket { /* of curl */
	struct list node;
	struct http_multi *multi;
	enum socket_state state;
	bool told; /* when curl closes it: something was heard over it */
	int fd;
	struct loop_io io;
};

static void socket_event(struct loop_io *io, unsigned events)
{
	struct http_multi *multi =
		container_of(io, struct http_socket, io)->multi;
	int mask = (events & LOOP_READ ? CURL_CSELECT_IN : 0) |
		   (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0), running;

	curl_multi_socket_action(multi->curl, io->fd, mask, &running);
	multi->turned(multi);
}

static void timer_event(struct loop_timer *timer)
{
	struct http_multi *multi = container_of(timer, struct http_multi, timer);
	int running;

	curl_multi_socket_action(multi->curl, CURL_SOCKET_TIMEOUT, 0, &running);
	multi->turned(multi);
}

/* Curl may not be called from here. */
static int set_timer(CURLM *curl, long timeout_ms, void *arg)
{
	struct http_multi *multi = arg;

	(void)curl;
	if (timeout_ms < 0)
		loop_timer_clear(&multi->timer);
	else
		loop_timer_set(&multi->timer, (uint64_t)timeout_ms);
	return 0;
}

/* The one with that descriptor; NULL: none is open. */
static struct http_socket *socket_find(struct http_multi *multi, int fd)
{
	struct list *node, *tmp;

	list_each(&multi->sockets, node, tmp) {
		struct http_socket *sock =
			container_of(node, struct http_socket, node);

		if (sock->state != SOCKET_CLOSED && sock->fd == fd)
			return sock;
	}
	return NULL;
}

static struct http_socket *socket_new(struct http_multi *multi, int fd)
{
	struct http_socket *sock = NULL;
	struct list *node, *tmp;

	list_each(&multi->sockets, node, tmp) {
		sock = container_of(node, struct http_socket, node);
		if (sock->state == SOCKET_CLOSED)
			break;
		sock = NULL;
	}
	if (sock == NULL) {
		sock = mem_new(struct http_socket);
		sock->multi = multi;
		list_append(&multi->sockets, &sock->node);
	}
	sock->fd = fd;
	return sock;
}

static struct http_socket *socket_use(struct http_multi *multi, int fd)
{
	struct http_socket *sock = socket_find(multi, fd);

	if (sock == NULL)
		sock = socket_new(multi, fd);
	sock->state = SOCKET_USED;
	loop_io_open(&sock->io, multi->loop, fd, socket_event);
	curl_multi_assign(multi->curl, fd, sock);
	return sock;
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
			void *socket_arg)
{
	struct http_multi *multi = arg;
	struct http_socket *sock = socket_arg;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (sock != NULL) {
			loop_io_close(&sock->io);
			sock->state = sock->told ? SOCKET_IDLE : SOCKET_CLOSED;
		}
		return 0;
	}
	if (sock == NULL)
		sock = socket_use(multi, fd);
	loop_io_want(&sock->io, (what & CURL_POLL_IN ? LOOP_READ : 0u) |
			(what & CURL_POLL_OUT ? LOOP_WRITE : 0u));
	return 0;
}

int http_multi_close_socket(void *multi, curl_socket_t fd)
{
	struct http_socket *sock = socket_find(multi, fd);

	if (sock != NULL) {
		sock->state = SOCKET_CLOSED;
		sock->told = false;
	}
	return close(fd);
}

/* Curl does not tell that it has closed a connection on which connect() has failed
 * or timed out, but one that can be used again: only such a descriptor is known not to
 * be another thread's. */
void http_multi_keep(struct http_multi *multi, CURL *easy)
{
	struct http_socket *sock;
	curl_socket_t fd;

	if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
	    fd == CURL_SOCKET_BAD)
		return;
	sock = socket_find(multi, fd);
	if (sock == NULL) {
		sock = socket_new(multi, fd);
		sock->state = SOCKET_IDLE;
	}
	sock->told = true;
}

/* With nothing to be read from it. However fast the peer sends, that has an end: the
 * kernel refuses what comes from now on. */
static void shut(int fd)
{
	char buf[4096];

	(void)shutdown(fd, SHUT_RDWR);
	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

static void shut_spoilt(struct pollfd *fds, nfds_t count)
{
	nfds_t i;

	if (count == 0 || poll(fds, count, 0) <= 0)
		return;
	for (i = 0; i < count; i++) {
		if (fds[i].revents != 0)
			shut(fds[i].fd);
	}
}

/* What comes over an idle connection would be taken for the answer to the next
 * request, and so one user for another; curl only looks whether it is closed. */
void http_multi_drop_spoilt(struct http_multi *multi)
{
	struct pollfd fds[POLL_AT_ONCE];
	struct list *node, *tmp;
	nfds_t count = 0;

	list_each(&multi->sockets, node, tmp) {
		const struct http_socket *sock =
			container_of(node, struct http_socket, node);

		if (sock->state != SOCKET_IDLE)
			continue;
		if (count == POLL_AT_ONCE) {
			shut_spoilt(fds, count);
			count = 0;
		}
		fds[count++] = (struct pollfd){ sock->fd, POLLIN, 0 };
	}
	shut_spoilt(fds, count);
}

void http_multi_open(struct http_multi *multi, struct loop *loop,
		     void (*turned)(struct http_multi *multi))
{
	multi->loop = loop;
	multi->turned = turned;
	list_init(&multi->sockets);
	loop_timer_open(&multi->timer, loop, timer_event);
	multi->curl = curl_multi_init();
	ASSERT(multi->curl != NULL);
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
}

void http_multi_close(struct http_multi *multi)
{
	struct list *node, *tmp;

	curl_multi_cleanup(multi->curl);
	loop_timer_close(&multi->timer);
	list_each(&multi->sockets, node, tmp) {
		struct http_socket *sock =
			container_of(node, struct http_socket, node);

		loop_io_close(&sock->io);
		mem_free(&sock);
	}
}
