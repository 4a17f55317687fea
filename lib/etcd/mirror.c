#include "lib/etcd/mirror.h"

#define MAX_PAGE 256 /* keys; fewer when they are large */

struct etcd_mirror {
	struct etcd *etcd;
	struct str prefix;
	const struct etcd_mirror_events *events;
	void *arg;
	bool watching; /* else loading, or about to */
	bool lost;     /* was told, and not settled since */
	int64_t limit; /* of a page */
	struct etcd_header at; /* with the revision of all pages, 0: not known
				  yet; watching: up to which all is told */
	int64_t total;	 /* how many keys there are by what is told */
	int64_t awaited; /* later: so far the watch has to come; 0: it may be
			    silent */
	bool doubted; /* a member was left since the watch has told something */
	struct str last;  /* key of the last page */
	struct etcd_request *request; /* a page, or whether there is something
					 new */
	struct etcd_watch *watch;
	struct loop_timer timer; /* for loading, or to ask what is new */
	unsigned backoff_ms;
};

static struct etcd_bytes bytes_of(const struct str *str)
{
	return (struct etcd_bytes){ str_c(str), str->len };
}

/* Loads everything, in a while. */
static void mirror_again(struct etcd_mirror *mirror)
{
	mirror->watching = false;
	etcd_cancel(&mirror->request);
	etcd_watch_cancel(&mirror->watch);
	loop_timer_set(&mirror->timer, etcd_backoff(&mirror->backoff_ms));
}

static void mirror_lose(struct etcd_mirror *mirror, const char *why)
{
	mirror_again(mirror);
	if (mirror->lost)
		return;
	mirror->lost = true;
	mirror->events->lost(mirror->arg, why);
}

/* --- watching --- */

/* A key that is made has version 1. */
static void tell_event(struct etcd_mirror *mirror,
		       const struct etcd_event *event)
{
	if (event->delete)
		mirror->total--;
	else if (event->kv.version == 1)
		mirror->total++;
	if (event->delete)
		mirror->events->gone(mirror->arg, event->kv.key,
				     event->kv.mod_revision);
	else
		mirror->events->put(mirror->arg, &event->kv);
}

/* The revision in the header may be ahead of what is told so far, when there is
 * much to tell; that of the events is not. A revision is never split. */
static void watch_line(void *arg, const struct etcd_watch_line *line)
{
	struct etcd_mirror *mirror = arg;
	size_t i;

	if (line->created)
		mirror->backoff_ms = 0;
	if (line->count == 0)
		return;
	for (i = 0; i < line->count; i++)
		tell_event(mirror, &line->events[i]);
	mirror->at.revision = line->events[line->count - 1].kv.mod_revision;
	mirror->doubted = false;
	mirror->events->settled(mirror->arg, mirror->at.revision);
}

static void watch_start(struct etcd_mirror *mirror);

static void watch_end(void *arg, enum etcd_watch_end how, const char *why)
{
	struct etcd_mirror *mirror = arg;

	mirror->watch = NULL;
	if (how == ETCD_WATCH_BROKEN)
		watch_start(mirror);
	else
		mirror_lose(mirror, why);
}

static void watch_start(struct etcd_mirror *mirror)
{
	static const struct etcd_watch_events events = {
		watch_line, watch_end,
	};

	mirror->awaited = 0;
	mirror->watch = etcd_watch(mirror->etcd, bytes_of(&mirror->prefix),
				   &mirror->at, &events, mirror);
}

/* How far the watch has to come for what the answer knows: to the key that was put
 * since, or, when none was and there are not as many keys, to a deletion. Who
 * deletes a key and puts another has put one. */
static int64_t news_of(const struct etcd_mirror *mirror,
		       const struct etcd_answer *answer)
{
	if (answer->range.count > 0)
		return answer->range.kvs[0].mod_revision;
	return answer->header.revision >= mirror->at.revision &&
			       answer->range.total != mirror->total
		       ? mirror->at.revision + 1 : 0;
}

/* At another member it goes on from what was told. If that does not help, what was
 * told may be wrong. */
static void doubt(struct etcd_mirror *mirror)
{
	static const char why[] = "its watch does not tell what has changed";

	if (mirror->doubted)
		mirror_lose(mirror, why);
	mirror->doubted = true;
	etcd_leave(mirror->etcd, why);
}

/* Only a member that reaches a quorum can answer. */
static void news_answered(void *arg, const struct etcd_answer *answer)
{
	struct etcd_mirror *mirror = arg;

	mirror->request = NULL;
	if (answer->error != NULL) {
		mirror_lose(mirror, answer->error);
		return;
	}
	loop_timer_set(&mirror->timer, etcd_timeout_ms(mirror->etcd));
	if (mirror->awaited > mirror->at.revision)
		doubt(mirror);
	else
		mirror->awaited = news_of(mirror, answer);
}

static void ask_for_news(struct etcd_mirror *mirror)
{
	struct str body = STR_INIT;

	etcd_wire_put_newer(&body, bytes_of(&mirror->prefix),
			    mirror->at.revision);
	mirror->request = etcd_call(mirror->etcd, ETCD_RANGE, &body,
				    news_answered, mirror);
}

/* --- loading --- */

static void load_page(struct etcd_mirror *mirror);

static void loaded(struct etcd_mirror *mirror)
{
	mirror->watching = true;
	mirror->lost = false;
	loop_timer_set(&mirror->timer, etcd_timeout_ms(mirror->etcd));
	watch_start(mirror);
	mirror->events->settled(mirror->arg, mirror->at.revision);
}

static void take_page(struct etcd_mirror *mirror,
		      const struct etcd_answer *answer)
{
	const struct etcd_range *range = &answer->range;
	size_t i;

	if (mirror->at.revision == 0) {
		mirror->at = answer->header;
		mirror->events->begins(mirror->arg);
	} else if (answer->header.cluster_id != mirror->at.cluster_id) {
		mirror_again(mirror);
		return;
	}
	for (i = 0; i < range->count; i++)
		mirror->events->put(mirror->arg, &range->kvs[i]);
	mirror->total += (int64_t)range->count;
	if (range->count == 0 || !range->more) {
		loaded(mirror);
		return;
	}
	str_clear(&mirror->last);
	str_append(&mirror->last, range->kvs[range->count - 1].key.data,
		   range->kvs[range->count - 1].key.len);
	load_page(mirror);
}

static void page_answered(void *arg, const struct etcd_answer *answer)
{
	struct etcd_mirror *mirror = arg;

	mirror->request = NULL;
	if (answer->error == NULL) {
		take_page(mirror, answer);
	} else if (answer->code == ETCD_TOO_LARGE && mirror->limit > 1) {
		mirror->limit /= 4;
		load_page(mirror);
	} else if (answer->code == ETCD_OUT_OF_RANGE) {
		mirror_again(mirror); /* it was compacted between two pages */
	} else {
		mirror_lose(mirror, answer->error);
	}
}

static void load_page(struct etcd_mirror *mirror)
{
	struct str body = STR_INIT;

	etcd_wire_put_range(&body, bytes_of(&mirror->prefix),
			    bytes_of(&mirror->last), mirror->limit,
			    mirror->at.revision);
	mirror->request = etcd_call(mirror->etcd, ETCD_RANGE, &body,
				    page_answered, mirror);
}

static void load(struct etcd_mirror *mirror)
{
	mirror->at.revision = mirror->total = 0;
	mirror->doubted = false;
	str_clear(&mirror->last);
	load_page(mirror);
}

/* --- the mirror --- */

static void timer_event(struct loop_timer *timer)
{
	struct etcd_mirror *mirror =
		container_of(timer, struct etcd_mirror, timer);

	if (mirror->watching)
		ask_for_news(mirror);
	else
		load(mirror);
}

struct etcd_mirror *etcd_mirror_new(struct etcd *etcd, const char *prefix,
				    const struct etcd_mirror_events *events,
				    void *arg)
{
	struct etcd_mirror *mirror = mem_new(struct etcd_mirror);

	mirror->etcd = etcd;
	str_puts(&mirror->prefix, prefix);
	mirror->events = events;
	mirror->arg = arg;
	mirror->limit = MAX_PAGE;
	loop_timer_open(&mirror->timer, etcd_loop(etcd), timer_event);
	load(mirror);
	return mirror;
}

void etcd_mirror_free(struct etcd_mirror **mirror_p)
{
	struct etcd_mirror *mirror = *mirror_p;

	if (mirror == NULL)
		return;
	etcd_cancel(&mirror->request);
	etcd_watch_cancel(&mirror->watch);
	loop_timer_close(&mirror->timer);
	str_free(&mirror->prefix);
	str_free(&mirror->last);
	mem_free(mirror_p);
}
