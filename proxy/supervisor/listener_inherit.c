#include "proxy/supervisor/listener_inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/mem.h"

static int get_option(int fd, int option, int *value_r)
{
	socklen_t len = sizeof(*value_r);

	return getsockopt(fd, SOL_SOCKET, option, value_r, &len);
}

/* -1, with errno, when fd is not what we accept connections from. */
static int check_socket(int fd, struct addr *addr)
{
	int type, listening;

	addr->len = sizeof(addr->un);
	if (get_option(fd, SO_TYPE, &type) < 0 ||
	    get_option(fd, SO_ACCEPTCONN, &listening) < 0 ||
	    getsockname(fd, &addr->sa, &addr->len) < 0)
		return -1;
	if (type == SOCK_STREAM && listening != 0)
		return 0;
	errno = EINVAL;
	return -1;
}

/* What a socket of our own has. */
static void set_options(int fd, const struct addr *addr)
{
	const int on = 1;

	fcntl(fd, F_SETFD, FD_CLOEXEC);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (addr->sa.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* NULL, with errno, when fd is no listening stream socket. */
static struct listener *inherit(struct listener_set *set, int fd)
{
	struct listener *listener;
	struct addr addr;

	if (check_socket(fd, &addr) < 0)
		return NULL;
	set_options(fd, &addr);
	listener = mem_new(struct listener);
	listener->refs = 1;
	listener->fd = fd;
	listener->addr = addr;
	set->items[set->count++] = listener;
	return listener;
}

/* --- socket activation --- */

/* 0 when there is none. */
static unsigned long get_variable(const char *name)
{
	const char *text = getenv(name);
	unsigned long value;
	char *end;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	value = strtoul(text, &end, 10);
	return errno == 0 && *end == '\0' ? value : 0;
}

static unsigned long count_activated(void)
{
	return get_variable("LISTEN_PID") == (unsigned long)getpid() ?
	       get_variable("LISTEN_FDS") : 0;
}

unsigned listener_inherit_behind(int first)
{
	unsigned long count = count_activated();

	return (unsigned)first + (count < INT_MAX / 2 ? (unsigned)count : INT_MAX / 2);
}

static void inherit_activated(struct listener_set *set, int fd)
{
	struct listener *listener = inherit(set, fd);
	struct stat st;

	if (listener == NULL) {
		log_error(NULL, "socket activation: descriptor %d: %s", fd,
			  errno == EINVAL ? "no listening stream socket"
					  : strerror(errno));
		close(fd);
		return;
	}
	listener->foreign = true;
	if (listener->addr.sa.sa_family == AF_UNIX &&
	    lstat(listener->addr.un.sun_path, &st) == 0) {
		listener->dev = st.st_dev;
		listener->ino = st.st_ino;
	}
}

struct listener_set *listener_inherit_activated(int first)
{
	unsigned long i, count = count_activated();
	struct listener_set *set;

	/* They are for nobody else. */
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	if (count == 0)
		return NULL;
	set = mem_new(struct listener_set);
	for (i = 0; i < count && set->count < LISTENER_MAX; i++)
		inherit_activated(set, first + (int)i);
	return set;
}

/* Not by identity: one with other flags is a copy. */
static bool is_used(const struct listener_set *set, const struct addr *addr)
{
	unsigned i;

	for (i = 0; set != NULL && i < set->count; i++) {
		if (addr_equal(&set->items[i]->addr, addr))
			return true;
	}
	return false;
}

void listener_inherit_close(struct listener_set **inherited,
			    const struct listener_set *set)
{
	struct str text = STR_INIT;
	unsigned i;

	for (i = 0; *inherited != NULL && i < (*inherited)->count; i++) {
		const struct addr *addr = &(*inherited)->items[i]->addr;

		if (is_used(set, addr))
			continue;
		str_clear(&text);
		addr_write(&text, addr);
		log_warning(NULL, "socket activation: no listener is "
			    "configured for %s, closing it", str_c(&text));
	}
	str_free(&text);
	listener_set_close(inherited);
}

/* --- handing over --- */

struct listener_set *
listener_inherit_state(const struct handover_state *state, struct err *err)
{
	struct listener_set *set = mem_new(struct listener_set);
	const struct handover_listener *saved;
	struct listener *listener;
	unsigned i;

	for (i = 0; i < state->listener_count; i++) {
		saved = &state->listeners[i];
		listener = inherit(set, saved->fd);
		if (listener == NULL) {
			err_put(err, "descriptor %d is no listening socket",
				saved->fd);
			listener_set_forget(&set);
			return NULL;
		}
		listener->flags = saved->flags;
		listener->foreign = saved->foreign;
		listener->dev = (dev_t)saved->dev;
		listener->ino = (ino_t)saved->ino;
	}
	return set;
}

void listener_inherit_save(struct handover_state *state,
			   const struct listener_set *set)
{
	unsigned i;

	state->listener_count = set->count;
	for (i = 0; i < set->count; i++) {
		const struct listener *listener = set->items[i];

		state->listeners[i] = (struct handover_listener){
			.fd = listener->fd,
			.flags = listener->flags,
			.foreign = listener->foreign,
			.dev = listener->dev,
			.ino = listener->ino,
		};
	}
}
