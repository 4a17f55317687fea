#include "lib/spoilt.h"

#include <sys/socket.h>

#define MAX (sizeof(((struct spoilt *)0)->fds) / sizeof(struct pollfd))

static void shut(int fd)
{
	char buf[4096];

	(void)shutdown(fd, SHUT_RDWR);
	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

void spoilt_end(struct spoilt *spoilt)
{
	nfds_t i;

	if (spoilt->count > 0 && poll(spoilt->fds, spoilt->count, 0) > 0) {
		for (i = 0; i < spoilt->count; i++) {
			if (spoilt->fds[i].revents != 0)
				shut(spoilt->fds[i].fd);
		}
	}
	spoilt->count = 0;
}

void spoilt_add(struct spoilt *spoilt, int fd)
{
	if (spoilt->count == MAX)
		spoilt_end(spoilt);
	spoilt->fds[spoilt->count++] = (struct pollfd){ fd, POLLIN, 0 };
}
