/* Listening sockets of the control interface: who comes in, with what rights. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/addr.h"
#include "lib/log/log.h"
#include "lib/mem.h"
#include "proxy/control/private.h"
#include "proxy/listener.h"

#define PAUSE_MS 200 /* after running out of descriptors */
#define MAX_GROUPS 256

struct control_door {
	struct list node;
	struct control *control;
	uint32_t name;
	int fd;
	unsigned flags;
	struct addr addr;
	struct loop_io io;
	struct loop_timer pause;
};

static bool is_local(const struct control_door *door)
{
	return door->addr.sa.sa_family == AF_UNIX;
}

/* The same groups as the kernel compares with a file's. */
static bool has_group(int fd, const struct ucred *cred, gid_t gid)
{
	gid_t groups[MAX_GROUPS];
	socklen_t len = sizeof(groups);
	size_t i;

	if (cred->gid == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (i = 0; i < len / sizeof(groups[0]); i++) {
		if (groups[i] == gid)
			return true;
	}
	return false;
}

/* Whoever may write to the socket's file, judged by who it is and not by how it
 * got hold of the connection; root; and ourself. */
static unsigned local_rights(const struct control_door *door, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct stat st;
	bool may;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return 0;
	may = cred.uid == 0 || cred.uid == geteuid();
	if (!may && stat(door->addr.un.sun_path, &st) == 0)
		may = (st.st_mode & S_IWOTH) ||
		      (cred.uid == st.st_uid && (st.st_mode & S_IWUSR)) ||
		      ((st.st_mode & S_IWGRP) &&
		       has_group(fd, &cred, st.st_gid));
	if (!may)
		log_warning(NULL, "control: user %ld may not use %s",
			    (long)cred.uid, door->addr.un.sun_path);
	return may ? CONTROL_SEE | CONTROL_CHANGE : 0;
}

/* What is said there never goes in clear. */
static void take_with_tls(struct control_door *door, int fd,
			  const struct addr *peer)
{
	const struct worker_source *source = door->control->env.source;
	struct tls_context *tls =
		tls_set_server(source->tls, &source->settings->lmtp);

	if (tls == NULL) {
		log_error(NULL, "control: no ssl_cert for a listener with "
			  "ssl = yes");
		close(fd);
		return;
	}
	httpd_take(door->control->remote, fd, tls, peer, door,
		   CONTROL_BY_TOKEN);
}

static void take_socketmap(struct control_door *door, int fd,
			   const struct addr *peer)
{
	if (is_local(door) && local_rights(door, fd) == 0)
		close(fd);
	else
		mapd_take(door->control->socketmap, fd, peer, door);
}

static void take(struct control_door *door, int fd, const struct addr *peer)
{
	struct control *control = door->control;

	if (door->flags & LISTENER_SOCKETMAP)
		take_socketmap(door, fd, peer);
	else if (is_local(door))
		httpd_take(control->local, fd, NULL, peer, door,
			   local_rights(door, fd));
	else if (door->flags & LISTENER_TLS)
		take_with_tls(door, fd, peer);
	else
		httpd_take(control->remote, fd, NULL, peer, door,
			   CONTROL_BY_TOKEN);
}

static void readable(struct loop_io *io, unsigned events)
{
	struct control_door *door = container_of(io, struct control_door, io);
	struct addr peer = { .len = sizeof(peer.un) };
	int fd = accept4(door->fd, &peer.sa, &peer.len,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd >= 0) {
		take(door, fd, &peer);
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		loop_io_want(&door->io, 0);
		loop_timer_set(&door->pause, PAUSE_MS);
	}
}

static void pause_over(struct loop_timer *timer)
{
	struct control_door *door =
		container_of(timer, struct control_door, pause);

	loop_io_want(&door->io, LOOP_READ);
}

void control_door_open(struct control *control, uint32_t name, int fd,
		       unsigned flags)
{
	struct control_door *door = mem_new(struct control_door);

	door->control = control;
	door->name = name;
	door->fd = fd;
	door->flags = flags;
	door->addr.len = sizeof(door->addr.un);
	if (getsockname(fd, &door->addr.sa, &door->addr.len) < 0)
		door->addr.len = 0;
	list_append(&control->doors, &door->node);
	loop_timer_open(&door->pause, control->env.loop, pause_over);
	loop_io_open(&door->io, control->env.loop, fd, readable);
	loop_io_want(&door->io, LOOP_READ);
}

static void door_shut(struct control_door *door)
{
	loop_io_close(&door->io);
	loop_timer_close(&door->pause);
	if (door->fd >= 0)
		close(door->fd);
	door->fd = -1;
}

static void door_close(struct control_door *door)
{
	if (door->flags & LISTENER_SOCKETMAP)
		mapd_drop(door->control->socketmap, door);
	else
		httpd_drop(is_local(door) ? door->control->local
					  : door->control->remote, door);
	door_shut(door);
	list_remove(&door->node);
	mem_free(&door);
}

void control_door_close_named(struct control *control, uint32_t name)
{
	struct list *node, *tmp;

	list_each(&control->doors, node, tmp) {
		struct control_door *door =
			container_of(node, struct control_door, node);

		if (door->name == name)
			door_close(door);
	}
}

void control_door_shut_all(struct control *control)
{
	struct list *node, *tmp;

	list_each(&control->doors, node, tmp)
		door_shut(container_of(node, struct control_door, node));
}

void control_door_close_all(struct control *control)
{
	struct list *node, *tmp;

	list_each(&control->doors, node, tmp)
		door_close(container_of(node, struct control_door, node));
}
