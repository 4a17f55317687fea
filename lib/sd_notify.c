#include "lib/sd_notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* An abstract socket's name is behind an "@". -1: neither that nor a path. */
static int notify_address(const char *name, struct sockaddr_un *un,
			  socklen_t *len_r)
{
	size_t len = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || name[1] == '\0' ||
	    len >= sizeof(un->sun_path))
		return -1;
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, name, len);
	if (name[0] == '@')
		un->sun_path[0] = '\0';
	*len_r = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
			     (name[0] == '/'));
	return 0;
}

int sd_notify_send(const char *text, struct err *err)
{
	/* Not for ever, should nobody read there. */
	const struct timeval timeout = { .tv_sec = 2 };
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un;
	socklen_t len;
	ssize_t sent;
	int fd;

	if (name == NULL)
		return 0;
	if (notify_address(name, &un, &len) < 0)
		return err_set(err, "NOTIFY_SOCKET: not an address");
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, "socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	do {
		sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL,
			      (struct sockaddr *)&un, len);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		err_put(err, "NOTIFY_SOCKET: %s", strerror(errno));
	close(fd);
	return sent < 0 ? -1 : 0;
}

static bool get_number(const char *name, unsigned long long *number_r)
{
	const char *text = getenv(name);
	char *end;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*number_r = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

uint64_t sd_notify_watchdog_us(void)
{
	unsigned long long us, pid;

	if (!get_number("WATCHDOG_USEC", &us))
		return 0;
	if (getenv("WATCHDOG_PID") != NULL &&
	    (!get_number("WATCHDOG_PID", &pid) ||
	     pid != (unsigned long long)getpid()))
		return 0;
	return us;
}
