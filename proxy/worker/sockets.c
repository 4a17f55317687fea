#include "proxy/worker/sockets.h"

#include <unistd.h>

#include "proxy/control/control.h"

bool worker_sockets_has(const struct worker_sockets *sockets, uint32_t name)
{
	unsigned i;

	for (i = 0; i < sockets->count; i++) {
		if (sockets->items[i].name == name)
			return true;
	}
	return false;
}

int worker_sockets_stage(struct worker_sockets *sockets, uint32_t name, int fd,
			 unsigned flags, struct err *err)
{
	if (sockets->count == WORKER_SOCKETS_MAX) {
		close(fd);
		return err_set(err, "too many listeners");
	}
	if (worker_sockets_has(sockets, name)) {
		close(fd);
		return err_set(err, "listener %u came twice", name);
	}
	sockets->items[sockets->count++] =
		(struct worker_socket){ .name = name, .fd = fd,
					.flags = flags };
	return 0;
}

static void drop(struct worker_sockets *sockets, unsigned i)
{
	struct worker_socket *item = &sockets->items[i];

	if (item->fd >= 0)
		close(item->fd);
	else if (item->owner == NULL)
		control_unlisten(sockets->control, item->name);
	else
		worker_unlisten(item->owner, item->name);
	*item = sockets->items[--sockets->count];
}

void worker_sockets_drop_staged(struct worker_sockets *sockets)
{
	unsigned i = 0;

	while (i < sockets->count) {
		if (sockets->items[i].fd >= 0)
			drop(sockets, i);
		else
			i++;
	}
}

static void give(struct worker_sockets *sockets, const struct worker_set *set,
		 struct worker_socket *item)
{
	if (item->fd < 0)
		return;
	if (item->flags & LISTENER_CONTROL) {
		control_listen(sockets->control, item->name, item->fd,
			       item->flags);
	} else {
		item->owner =
			set->workers[sockets->next_owner++ % set->count];
		worker_listen(item->owner, item->name, item->fd, item->flags);
	}
	item->fd = -1;
}

static bool is_named(uint32_t name, const uint32_t *names, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		if (names[i] == name)
			return true;
	}
	return false;
}

void worker_sockets_switch(struct worker_sockets *sockets,
			   const struct worker_set *set, const uint32_t *names,
			   unsigned count)
{
	unsigned i = 0;

	while (i < sockets->count) {
		if (is_named(sockets->items[i].name, names, count))
			give(sockets, set, &sockets->items[i++]);
		else
			drop(sockets, i);
	}
}
