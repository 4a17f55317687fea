#include "proxy/worker/gather.h"

#include "lib/mem.h"

/* A thread that does not come back for so long is stuck. */
#define GATHER_TIMEOUT_MS 2000

static void gather_free(struct gather *gather)
{
	unsigned i;

	list_remove(&gather->node);
	loop_timer_close(&gather->timer);
	for (i = 0; i < gather->count; i++) {
		str_free(&gather->parts[i].out);
		mem_free(&gather->parts[i].data);
	}
	mem_free(&gather->parts);
	arena_free(&gather->arena);
	mem_free(&gather);
}

/* What nobody will read, though a thread that is stuck may keep the gather. */
static void drop_texts(struct gather *gather)
{
	unsigned i;

	for (i = 0; gather->told && i < gather->count; i++) {
		if (gather->parts[i].back)
			str_free(&gather->parts[i].out);
	}
}

static void gather_tell(struct gather *gather)
{
	if (gather->told)
		return;
	gather->told = true;
	loop_timer_clear(&gather->timer);
	gather->done(gather);
	drop_texts(gather);
}

bool gather_forget(struct gather *gather)
{
	bool waits = !gather->told;

	gather->told = true;
	list_remove(&gather->node);
	loop_timer_clear(&gather->timer);
	return waits;
}

static void gather_timeout(struct loop_timer *timer)
{
	gather_tell(container_of(timer, struct gather, timer));
}

static void part_back(void *arg)
{
	struct gather_part *part = arg;
	struct gather *gather = part->gather;

	part->back = true;
	drop_texts(gather);
	if (--gather->missing > 0)
		return;
	gather_tell(gather);
	gather_free(gather);
}

static void part_visit(void *arg)
{
	struct gather_part *part = arg;

	part->gather->visit(part);
	loop_post(part->gather->loop, part_back, part);
}

struct gather *gather_new(const struct worker_set *set, struct list *asked)
{
	struct gather *gather = mem_new(struct gather);
	unsigned i;

	gather->arena = arena_new(256);
	gather->count = gather->missing = set->count;
	gather->parts = mem_alloc(set->count * sizeof(*gather->parts));
	for (i = 0; i < set->count; i++) {
		gather->parts[i].gather = gather;
		gather->parts[i].worker = set->workers[i];
	}
	list_append(asked, &gather->node);
	gather->loop = set->control;
	loop_timer_open(&gather->timer, gather->loop, gather_timeout);
	return gather;
}

void gather_start(struct gather *gather)
{
	unsigned i;

	loop_timer_set(&gather->timer, GATHER_TIMEOUT_MS);
	for (i = 0; i < gather->count; i++)
		loop_post(gather->parts[i].worker->loop, part_visit,
			  &gather->parts[i]);
}
