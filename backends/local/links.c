#include "backends/local/links.h"

#include <string.h>
#include <unistd.h>

#include "backends/local/deliver.h"
#include "lib/channel.h"
#include "lib/mem.h"
#include "lib/panic.h"

#define KEEP_MS 2000
/* As early as a timer may be. */
#define EARLY_MS 1
/* One for so many of the limit, which is no more than 3/4 of what there may be. */
#define LATER 6
#define STAY_US (LOCAL_DELIVERER_STAY_S * (uint64_t)1000000)

static void link_free(struct loop_task *task)
{
	struct local_link *link = container_of(task, struct local_link, task);

	str_free(&link->who);
	mem_free(&link);
}

static void link_forget(struct local_link *link)
{
	if (list_linked(&link->node)) {
		list_remove(&link->node);
		link->links->kept_count--;
	}
	link->links->open_count--;
	loop_io_close(&link->io);
	close(link->fd);
}

void local_link_close(struct local_link *link)
{
	struct loop *loop = link->links->loop;

	link_forget(link);
	loop_defer(loop, &link->task);
}

static struct local_link *oldest(struct local_links *links)
{
	return list_last(&links->kept, struct local_link, node);
}

static void make_room(struct loop_task *task)
{
	struct local_links *links = container_of(task, struct local_links, room);

	while (links->kept_count > 0 && links->open_count > links->limit)
		local_link_close(oldest(links));
}

/* Once whoever waits has been served: it is the end of a process. As that takes a CPU from
 * who has just been given a request, a few more may stay until there is an answer. */
static void want_room(struct local_links *links, unsigned more)
{
	if (links->kept_count > 0 && links->open_count > links->limit + more)
		loop_defer(links->loop, &links->room);
}

static bool has_stayed(const struct local_link *link, uint64_t now_us)
{
	return now_us - link->opened_us >= STAY_US;
}

/* Those that nobody has wanted. */
static void expire(struct loop_timer *timer)
{
	struct local_links *links = container_of(timer, struct local_links, timer);
	uint64_t now_us = loop_now_us(links->loop);

	while (links->kept_count > 0 &&
	       now_us - oldest(links)->kept_us >=
		       (KEEP_MS - EARLY_MS) * (uint64_t)1000)
		local_link_close(oldest(links));
	if (links->kept_count > 0)
		loop_timer_set(timer, KEEP_MS);
}

static void on_readable(struct loop_io *io, unsigned events)
{
	struct local_link *link = container_of(io, struct local_link, io);

	(void)events;
	/* It has ended, or talks when nobody has asked. */
	if (list_linked(&link->node))
		local_link_close(link);
	else
		link->links->readable(link);
}

void local_links_init(struct local_links *links, struct loop *loop,
		      void (*readable)(struct local_link *link))
{
	*links = (struct local_links){ .loop = loop, .readable = readable };
	list_init(&links->kept);
	links->room.fn = make_room;
	loop_timer_open(&links->timer, loop, expire);
}

void local_links_limit(struct local_links *links, unsigned limit)
{
	links->limit = limit;
}

void local_links_drop(struct local_links *links)
{
	while (links->kept_count > 0)
		local_link_close(oldest(links));
}

void local_links_close(struct local_links *links)
{
	while (links->kept_count > 0) {
		struct local_link *link = oldest(links);

		link_forget(link);
		link_free(&link->task);
	}
	ASSERT(links->open_count == 0);
	loop_task_cancel(&links->room);
	loop_timer_close(&links->timer);
}

struct local_link *local_links_take(struct local_links *links,
				    const struct str *who)
{
	uint64_t now_us = loop_now_us(links->loop);
	struct list *node, *tmp;

	list_each(&links->kept, node, tmp) {
		struct local_link *link =
			container_of(node, struct local_link, node);

		if (link->who.len != who->len || has_stayed(link, now_us) ||
		    memcmp(link->who.data, who->data, who->len) != 0)
			continue;
		list_remove(&link->node);
		links->kept_count--;
		return link;
	}
	return NULL;
}

struct local_link *local_links_open(struct local_links *links,
				    const struct str *who, int *other)
{
	struct local_link *link;
	struct err err;
	int ends[2];

	if (channel_pair(ends, &err) < 0)
		return NULL;
	link = mem_new(struct local_link);
	link->links = links;
	link->fd = ends[0];
	link->opened_us = loop_now_us(links->loop);
	link->task.fn = link_free;
	str_append(&link->who, who->data, who->len);
	loop_io_open(&link->io, links->loop, ends[0], on_readable);
	loop_io_want(&link->io, LOOP_READ);
	links->open_count++;
	want_room(links, links->limit / LATER);
	*other = ends[1];
	return link;
}

void local_link_keep(struct local_link *link)
{
	struct local_links *links = link->links;
	uint64_t now_us = loop_now_us(links->loop);

	if (has_stayed(link, now_us)) {
		local_link_close(link);
		return;
	}
	link->owner = NULL;
	link->again = true;
	link->kept_us = now_us;
	list_prepend(&links->kept, &link->node);
	links->kept_count++;
	want_room(links, 0);
	if (links->timer.due_us == 0)
		loop_timer_set(&links->timer, KEEP_MS);
}
