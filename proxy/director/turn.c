#include "proxy/director/turn.h"

#include "lib/mem.h"
#include "proxy/worker/gather.h"

#define LOOK_AGAIN_MS 20
#define ASK_AGAIN_MS 100

struct director_turn {
	struct loop *loop;
	struct worker_set *set;
	void (*over)(void *arg, uint64_t serial);
	void *arg;
	struct director *view; /* NULL: nothing is waited for */
	uint64_t serial;
	struct list asked; /* struct gather */
	bool all_have_it;
	struct loop_timer timer;
	unsigned lingering;
};

static void finish(struct director_turn *turn)
{
	director_unref(&turn->view);
	turn->over(turn->arg, turn->serial);
}

static void look(struct director_turn *turn)
{
	turn->lingering = director_users_lingering(
		turn->set->users, director_is_elsewhere, turn->view);
	if (turn->lingering == 0)
		finish(turn);
	else
		loop_timer_set(&turn->timer, LOOK_AGAIN_MS);
}

/* What was posted to the worker before has been done by now. */
static void visit(struct gather_part *part)
{
	(void)part;
}

static void visited(struct gather *gather)
{
	struct director_turn *turn = gather->arg;

	turn->all_have_it = gather->missing == 0;
	if (turn->all_have_it)
		look(turn);
	else
		loop_timer_set(&turn->timer, ASK_AGAIN_MS);
}

static void ask(struct director_turn *turn)
{
	struct gather *gather = gather_new(turn->set, &turn->asked);

	gather->visit = visit;
	gather->done = visited;
	gather->arg = turn;
	gather_start(gather);
}

static void again(struct loop_timer *timer)
{
	struct director_turn *turn =
		container_of(timer, struct director_turn, timer);

	if (turn->all_have_it)
		look(turn);
	else
		ask(turn);
}

static void forget_asked(struct director_turn *turn)
{
	while (!list_empty(&turn->asked))
		gather_forget(list_first(&turn->asked, struct gather, node));
}

struct director_turn *
director_turn_new(struct loop *loop, struct worker_set *set,
		  void (*over)(void *arg, uint64_t serial), void *arg)
{
	struct director_turn *turn = mem_new(struct director_turn);

	turn->loop = loop;
	turn->set = set;
	turn->over = over;
	turn->arg = arg;
	list_init(&turn->asked);
	loop_timer_open(&turn->timer, loop, again);
	return turn;
}

void director_turn_free(struct director_turn **turn_p)
{
	struct director_turn *turn = *turn_p;

	if (turn == NULL)
		return;
	forget_asked(turn);
	loop_timer_close(&turn->timer);
	director_unref(&turn->view);
	mem_free(turn_p);
}

void director_turn_begin(struct director_turn *turn, struct director *view,
			 uint64_t serial)
{
	forget_asked(turn);
	loop_timer_clear(&turn->timer);
	director_unref(&turn->view);
	turn->view = director_ref(view);
	turn->serial = serial;
	turn->all_have_it = false;
	ask(turn);
}

unsigned director_turn_lingering(const struct director_turn *turn)
{
	return turn->view != NULL ? turn->lingering : 0;
}
