/* The deliverers (deliver.h) that one worker thread has to do with. The first request
 * of each comes through the channel that all wait at; its answer comes through a
 * socket of its own, the link, and so do more requests for the same user. Kept for a
 * moment, most deliveries of a busy user need no process of their own, and where all
 * mail is one user's, none.
 *
 * What we cannot know is whether a deliverer that is kept still is there. If it has
 * ended without having read a request, the kernel says so: ECONNRESET, and not the end
 * of the stream. So the request can go another way. */
#ifndef BACKENDS_LOCAL_LINKS_H
#define BACKENDS_LOCAL_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/str.h"

struct local_link {
	/* the caller's: */
	int fd;
	void *owner;
	bool again; /* it has been kept since it was opened */

	/* the module's own: */
	struct local_links *links;
	struct list node;
	struct loop_io io;
	struct loop_task task;
	struct str who;
	uint64_t opened_us, kept_us;
};

struct local_links {
	struct loop *loop;
	void (*readable)(struct local_link *link);
	struct list kept; /* last used first */
	unsigned kept_count, open_count;
	unsigned limit;
	struct loop_timer timer;
	struct loop_task room;
};

/* readable(): there is an answer, or an end, on a link that is not kept. Nothing is
 * kept until local_links_limit() says how many links there may be then, with those
 * that are in use. */
void local_links_init(struct local_links *links, struct loop *loop,
		      void (*readable)(struct local_link *link));
void local_links_limit(struct local_links *links, unsigned limit);

/* Closes those that are kept: more of their users may have other settings by now. */
void local_links_drop(struct local_links *links);

/* Closes those that are kept; there may be no others. */
void local_links_close(struct local_links *links);

/* A link that was kept for who (local_request_who()); NULL: none. */
struct local_link *local_links_take(struct local_links *links,
				    const struct str *who);

/* A new one, and in *other the end for the deliverer, to be closed once it is sent.
 * who is copied. NULL: no descriptors. */
struct local_link *local_links_open(struct local_links *links,
				    const struct str *who, int *other);

/* The deliverer has nothing to do any more: keeps the link, or closes it. */
void local_link_keep(struct local_link *link);

/* Its deliverer ends, or waits at the channel again, once it has done its work. */
void local_link_close(struct local_link *link);

#endif
