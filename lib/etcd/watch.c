/* The watches of a client of etcd. There is no way to cancel one but to close its
 * connection. */
#include "lib/etcd/lines.h"
#include "lib/etcd/private.h"

struct etcd_watch {
	struct etcd_waiter waiter;
	struct list node; /* of etcd->watches */
	struct etcd *etcd;
	struct str body, header;
	struct etcd_header since;
	const struct etcd_watch_events *events;
	void *arg;
	struct http_request *http;
	struct etcd_lines lines;
	struct loop_timer timer; /* nobody has taken it in time, or it is over */
	unsigned turn, login;	 /* when it was sent */
	bool repeated;		 /* after another login */
	bool created;
	bool telling; /* a line */
	bool over;
	enum etcd_watch_end how;
	char *why;
};

static void watch_stop(struct etcd_watch *watch)
{
	list_remove(&watch->node);
	list_remove(&watch->waiter.node);
	http_cancel(&watch->http);
	etcd_lines_free(&watch->lines);
}

static void watch_free(struct etcd_watch *watch)
{
	watch_stop(watch);
	loop_timer_close(&watch->timer);
	str_free(&watch->body);
	str_wipe(&watch->header);
	mem_free(&watch->why);
	mem_free(&watch);
}

/* It is told in the next pass: who calls may be in the middle of something. */
static void watch_over(struct etcd_watch *watch, enum etcd_watch_end how,
		       const char *why)
{
	watch_stop(watch);
	watch->over = true;
	watch->how = how;
	watch->why = mem_strdup(why);
	loop_timer_set(&watch->timer, 0);
}

static void timer_event(struct loop_timer *timer)
{
	struct etcd_watch *watch =
		container_of(timer, struct etcd_watch, timer);
	struct arena *arena = arena_new(256);

	if (!watch->over)
		watch_over(watch, ETCD_WATCH_REFUSED,
			   etcd_describe_timeout(watch->etcd, arena));
	arena_free(&arena);
	watch->etcd->users--;
	watch->events->end(watch->arg, watch->how, watch->why);
	watch_free(watch);
}

static void watch_fail(struct etcd_waiter *waiter, const char *why)
{
	watch_over(container_of(waiter, struct etcd_watch, waiter),
		   ETCD_WATCH_REFUSED, why);
}

static void watch_left(struct etcd_watch *watch, const char *why)
{
	if (watch->created) {
		watch_over(watch, ETCD_WATCH_BROKEN, why);
		return;
	}
	watch_stop(watch);
	etcd_wait(watch->etcd, &watch->waiter);
}

void etcd_watch_left(struct list *node, const char *why)
{
	watch_left(container_of(node, struct etcd_watch, node), why);
}

/* Its member is not what it should be. */
static void watch_broken(struct etcd_watch *watch, const char *why)
{
	list_remove(&watch->node);
	etcd_leave_turn(watch->etcd, watch->turn, why);
	watch_left(watch, why);
	etcd_run(watch->etcd);
}

static void watch_refused(struct etcd_watch *watch, enum etcd_verdict verdict,
			  const char *why)
{
	if (verdict == ETCD_LEAVE) {
		watch_broken(watch, why);
	} else if (verdict == ETCD_LOGIN && !watch->repeated &&
		   etcd_login_again(watch->etcd, watch->login)) {
		watch->repeated = true;
		watch_stop(watch);
		etcd_wait(watch->etcd, &watch->waiter);
		etcd_run(watch->etcd);
	} else {
		watch_over(watch, ETCD_WATCH_REFUSED, why);
	}
}

/* The stream stays open, but nothing comes any more. */
static void watch_canceled(struct etcd_watch *watch,
			   const struct etcd_watch_line *line)
{
	if (line->compact_revision > 0)
		watch_over(watch, ETCD_WATCH_HOPELESS,
			   "the changes since then were compacted");
	else
		watch_refused(watch, etcd_verdict_of_text(line->reason),
			      *line->reason != '\0' ? line->reason :
			      "etcd canceled the watch");
}

static void watch_tell(struct etcd_watch *watch,
		       const struct etcd_watch_line *line)
{
	if (line->created) {
		watch->created = true;
		loop_timer_clear(&watch->timer);
	}
	watch->telling = watch->etcd->answering = true;
	watch->events->line(watch->arg, line);
	watch->telling = watch->etcd->answering = false;
}

static void watch_read(struct etcd_watch *watch, struct arena *arena,
		       const char *text, size_t len)
{
	struct etcd_watch_line line;
	struct err err = { "" };

	if (etcd_wire_read_watch(&line, arena, text, len, &err) < 0) {
		watch_broken(watch, err.text);
		return;
	}
	line.error = etcd_clip(arena, line.error);
	line.reason = etcd_clip(arena, line.reason);
	if (line.error_code != 0) {
		watch_refused(watch, etcd_verdict(line.error_code, line.error),
			      line.error);
	} else if (etcd_distrust_turn(watch->etcd, watch->turn, &line.header,
				      false)) {
		/* It was left with all others there. */
	} else if (line.header.cluster_id != watch->since.cluster_id) {
		watch_over(watch, ETCD_WATCH_HOPELESS,
			   "it is another cluster now");
	} else if (line.canceled) {
		watch_canceled(watch, &line);
	} else if (line.created &&
		   line.header.revision < watch->since.revision) {
		/* Or its history began anew: then it never gets there. */
		watch_broken(watch, "it is behind: it has not seen yet what "
			     "others have told");
	} else {
		watch_tell(watch, &line);
	}
}

static void watch_line(struct etcd_watch *watch, const char *text, size_t len)
{
	struct arena *arena = arena_new(4096);

	watch_read(watch, arena, text, len);
	arena_free(&arena);
}

static void watch_data(void *arg, const char *data, size_t len)
{
	struct etcd_watch *watch = arg;
	const char *line;
	size_t line_len;
	int got = 0;

	etcd_lines_add(&watch->lines, data, len);
	while (list_linked(&watch->node) &&
	       (got = etcd_lines_next(&watch->lines, &line, &line_len)) > 0)
		watch_line(watch, line, line_len);
	if (got < 0 && list_linked(&watch->node))
		watch_over(watch, ETCD_WATCH_HOPELESS, "too much has changed "
			   "at once");
}

/* etcd leaves out the end of the line in which it says that it stops. */
static void watch_done(void *arg, const struct http_answer *answer)
{
	struct etcd_watch *watch = arg;
	struct arena *arena = arena_new(1024);
	struct etcd_failure failure;
	enum etcd_verdict verdict = etcd_judge(answer, arena, &failure);
	const char *line;
	size_t len;

	watch->http = NULL;
	if (verdict == ETCD_TAKE &&
	    etcd_lines_rest(&watch->lines, &line, &len))
		watch_line(watch, line, len);
	if (!list_linked(&watch->node) || watch->http != NULL) {
		/* That line was the reason; it may be under way again. */
	} else if (verdict == ETCD_TAKE) {
		watch_broken(watch, "it has ended the watch");
	} else {
		watch_refused(watch, verdict, failure.text);
	}
	arena_free(&arena);
}

static void watch_run(struct etcd_waiter *waiter)
{
	struct etcd_watch *watch =
		container_of(waiter, struct etcd_watch, waiter);
	struct etcd *etcd = watch->etcd;
	struct http_call call = {
		.path = "/v3/watch", .body = str_c(&watch->body),
		.body_len = watch->body.len, .data = watch_data,
	};

	watch->turn = etcd->turn;
	watch->login = etcd->login.number;
	list_append(&etcd->watches, &watch->node);
	watch->http = etcd_start(etcd, &call, &watch->header, watch_done,
				 watch);
}

struct etcd_watch *etcd_watch(struct etcd *etcd, struct etcd_bytes prefix,
			      const struct etcd_header *since,
			      const struct etcd_watch_events *events, void *arg)
{
	struct etcd_watch *watch = mem_new(struct etcd_watch);

	watch->waiter.run = watch_run;
	watch->waiter.fail = watch_fail;
	watch->etcd = etcd;
	watch->events = events;
	watch->arg = arg;
	watch->since = *since;
	etcd_wire_put_watch(&watch->body, prefix, since->revision + 1);
	etcd_lines_init(&watch->lines, ETCD_MAX_LINE);
	loop_timer_open(&watch->timer, etcd->loop, timer_event);
	loop_timer_set(&watch->timer, etcd->settings->timeout_ms);
	etcd->users++;
	etcd_wait(etcd, &watch->waiter);
	etcd_run(etcd);
	return watch;
}

void etcd_watch_cancel(struct etcd_watch **watch_p)
{
	struct etcd_watch *watch = *watch_p;

	*watch_p = NULL;
	if (watch == NULL)
		return;
	ASSERT(!watch->telling);
	watch->etcd->users--;
	watch_free(watch);
}
