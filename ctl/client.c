#include "ctl/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/addr.h"
#include "lib/json.h"

#define SILENCE_S 60
#define READ_SIZE 65536
#define NO_ANSWER (-1)
#define NO_ENTRY (-2) /* the socket is there, but not for this user */

int client_exit(int status)
{
	switch (status) {
	case 200:
		return EX_OK;
	case NO_ANSWER:
		return EX_UNAVAILABLE;
	case 400:
		return EX_USAGE;
	case NO_ENTRY:
	case 401:
	case 403:
		return EX_NOPERM;
	case 404:
		return EX_NOUSER;
	case 409:
		return EX_CONFIG;
	default:
		return EX_TEMPFAIL;
	}
}

void client_put_reason(struct str *out, const struct str *body)
{
	struct err err;
	struct json *answer = json_parse(str_c(body), body->len, &err);
	const char *text = json_text(json_member(answer, "error"));

	if (text != NULL)
		str_put_escaped(out, text, strlen(text));
	else
		str_put_escaped(out, str_c(body), strcspn(str_c(body), "\n"));
	json_close(&answer);
}

static int connect_failed(const char *path, int reason, struct err *err)
{
	bool entry = reason != EACCES && reason != EPERM;

	err_put(err, "%s: %s%s", path, strerror(reason),
		entry ? " (is waypost running?)" : "");
	return entry ? NO_ANSWER : NO_ENTRY;
}

static int client_connect(const char *path, struct err *err)
{
	const struct timeval silence = { .tv_sec = SILENCE_S };
	struct addr addr;
	int fd, reason;

	if (addr_set_unix(&addr, path) < 0)
		return err_set(err, "%s is no path of a socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, "socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
	if (connect(fd, &addr.sa, addr.len) == 0)
		return fd;
	reason = errno;
	close(fd);
	return connect_failed(path, reason, err);
}

static int send_all(int fd, const struct str *text, struct err *err)
{
	size_t at = 0;
	ssize_t sent;

	while (at < text->len) {
		sent = send(fd, text->data + at, text->len - at, MSG_NOSIGNAL);
		if (sent < 0)
			return err_set(err, "send: %s", strerror(errno));
		at += (size_t)sent;
	}
	return 0;
}

static int receive_all(int fd, struct str *in, struct err *err)
{
	ssize_t got;

	while ((got = recv(fd, str_reserve(in, READ_SIZE), READ_SIZE, 0)) > 0)
		str_grown(in, (size_t)got);
	if (got < 0)
		return err_set(err, "no answer: %s", errno == EAGAIN
						  ? "timeout"
						  : strerror(errno));
	return 0;
}

/* The server closes behind it, and says how long it is. */
static int take_answer(const struct str *in, struct str *body, struct err *err)
{
	const char *text = str_c(in), *end = strstr(text, "\r\n\r\n");
	const char *length = strstr(text, "\r\nContent-Length: ");
	size_t len;

	if (strncmp(text, "HTTP/1.1 ", 9) != 0 || end == NULL ||
	    length == NULL || length > end)
		return err_set(err, "the answer is not from waypost");
	end += 4;
	len = in->len - (size_t)(end - text);
	if (len != strtoul(length + 18, NULL, 10))
		return err_set(err, "the answer was cut short");
	str_append(body, end, len);
	return atoi(text + 9);
}

int client_request(const char *socket_path, const char *method,
		   const char *path, struct str *body, struct err *err)
{
	struct str out = STR_INIT, in = STR_INIT;
	int fd = client_connect(socket_path, err), status = NO_ANSWER;

	if (fd < 0)
		return fd;
	str_printf(&out, "%s %s HTTP/1.1\r\nHost: localhost\r\n"
		   "Connection: close\r\nContent-Length: 0\r\n\r\n", method,
		   path);
	if (send_all(fd, &out, err) == 0 && receive_all(fd, &in, err) == 0)
		status = take_answer(&in, body, err);
	close(fd);
	str_free(&out);
	str_free(&in);
	return status;
}
