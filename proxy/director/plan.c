#include "proxy/director/plan.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/mem.h"

#define NOWHERE UINT32_MAX
#define PINS_AT_A_TIME 64

/* One user's way, or that of one hash. Ids of servers, or NOWHERE. */
struct way {
	uint32_t from, to;
	bool pinned;
	bool there; /* pinned, and at from now */
};

struct director_plan {
	struct arena *arena;
	struct director *before, *after;
	const char *tag;
	struct director_pins pins;
	struct director_users *table;
	uint64_t now_us;
	unsigned count; /* of servers */
	unsigned part, pin, sample; /* the next one */
	unsigned long *users; /* by servers: who are there now, but for pinned */
	unsigned *samples;    /* by servers: who should be there */
	struct way *ways;
	unsigned way_count;
	struct director_plan_result result;
};

struct director_plan *director_plan_new(struct director *before,
					struct director *after, const char *tag,
					struct director_pins *pins,
					struct director_users *users,
					uint64_t now_us)
{
	struct director_plan *plan = mem_new(struct director_plan);

	plan->arena = arena_new(1024);
	plan->before = director_ref(before);
	plan->after = director_ref(after);
	plan->tag = arena_strdup(plan->arena, tag);
	plan->pins = *pins;
	*pins = (struct director_pins){ NULL, 0, 0 };
	plan->table = users;
	plan->now_us = now_us;
	plan->count = director_server_count(after);
	plan->users = mem_alloc((plan->count + 1) * sizeof(*plan->users));
	plan->samples = mem_alloc((plan->count + 1) * sizeof(*plan->samples));
	plan->ways = mem_alloc((DIRECTOR_PLAN_SAMPLES + plan->pins.count) *
			       sizeof(*plan->ways));
	return plan;
}

void director_plan_free(struct director_plan **plan_p)
{
	struct director_plan *plan = *plan_p;

	if (plan == NULL)
		return;
	director_unref(&plan->before);
	director_unref(&plan->after);
	director_pins_clear(&plan->pins);
	mem_free(&plan->users);
	mem_free(&plan->samples);
	mem_free(&plan->ways);
	arena_free(&plan->arena);
	mem_free(plan_p);
}

/* --- who is where now --- */

static void count_user(void *arg, uint64_t key,
		       const struct director_whereabouts *where)
{
	struct director_plan *plan = arg;

	(void)key;
	if (where->server < plan->count &&
	    (where->deliveries > 0 || where->expires_us > plan->now_us))
		plan->users[where->server]++;
}

static void count_part(struct director_plan *plan)
{
	director_users_each_in(plan->table, plan->part++, count_user, plan);
}

/* --- users who were moved by hand --- */

/* Returns false when the user's mail is not what the pin is about: users are not
 * told apart any more as they were when it was made. */
static bool place_of_pin(const struct director_plan *plan,
			 const struct director *director, struct arena *arena,
			 const struct director_pin *pin, uint32_t *place_r)
{
	struct director_choice choice = { .key = pin->key };
	struct err err;

	*place_r = director_choose(director, arena, pin->user, plan->tag,
				   &choice, &err) == 0
			   ? choice.server->id : NOWHERE;
	return choice.key == pin->key;
}

/* Whether the user is there, and not one of those who are counted together. */
static bool take_out(struct director_plan *plan, uint64_t key, uint32_t from)
{
	struct director_whereabouts where;

	if (!director_users_find(plan->table, key, plan->now_us, &where) ||
	    where.server >= plan->count)
		return false;
	if (plan->users[where.server] > 0)
		plan->users[where.server]--;
	return where.server == from;
}

static void look_at_pin(struct director_plan *plan, struct arena *arena,
			const struct director_pin *pin)
{
	struct way way = { .pinned = true };

	if (strcmp(director_server(plan->after, pin->server)->tag,
		   plan->tag) != 0 ||
	    !place_of_pin(plan, plan->before, arena, pin, &way.from) ||
	    !place_of_pin(plan, plan->after, arena, pin, &way.to))
		return;
	way.there = take_out(plan, pin->key, way.from);
	if (way.from != way.to)
		plan->ways[plan->way_count++] = way;
	else
		plan->result.kept++;
}

static void look_at_pins(struct director_plan *plan)
{
	struct arena *arena = arena_new(4096);
	unsigned i;

	for (i = 0; i < PINS_AT_A_TIME && plan->pin < plan->pins.count; i++)
		look_at_pin(plan, arena, plan->pins.list[plan->pin++]);
	arena_free(&arena);
}

/* --- all others --- */

/* Users are spread evenly over the hashes. */
static uint64_t sample_hash(unsigned i)
{
	return (uint64_t)i * (UINT64_MAX / DIRECTOR_PLAN_SAMPLES) +
	       UINT64_MAX / DIRECTOR_PLAN_SAMPLES / 2;
}

static uint32_t place_of(const struct director *director, const char *tag,
			 unsigned sample)
{
	const struct director_server *server =
		director_hashed(director, tag, sample_hash(sample));

	return server != NULL ? server->id : NOWHERE;
}

static void take_sample(struct director_plan *plan)
{
	const struct way way = {
		.from = place_of(plan->before, plan->tag, plan->sample),
		.to = place_of(plan->after, plan->tag, plan->sample),
	};

	plan->sample++;
	if (way.from != NOWHERE)
		plan->samples[way.from]++;
	if (way.from != way.to)
		plan->ways[plan->way_count++] = way;
}

/* --- what comes of it --- */

static int way_order(const void *a_p, const void *b_p)
{
	const struct way *a = a_p, *b = b_p;

	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	return a->to < b->to ? -1 : a->to > b->to;
}

static const struct director_server *
server_of(const struct director *director, uint32_t id)
{
	return id != NOWHERE ? director_server(director, id) : NULL;
}

/* Of the users who are at a server now, as many as of the hashes that it has. */
static unsigned long share_of(const struct director_plan *plan, uint32_t from,
			      unsigned samples)
{
	if (from == NOWHERE || samples == 0)
		return 0;
	return (plan->users[from] * samples + plan->samples[from] / 2) /
	       plan->samples[from];
}

/* The way of the first of count, and how many of them have the same. */
static unsigned put_move(const struct director_plan *plan,
			 const struct way *ways, unsigned count,
			 struct director_plan_move *move)
{
	unsigned i = 0;

	do {
		move->pinned += ways[i].pinned;
		move->samples += !ways[i].pinned;
		move->users += ways[i].there;
		i++;
	} while (i < count && way_order(&ways[0], &ways[i]) == 0);
	move->from = server_of(plan->before, ways->from);
	move->to = server_of(plan->after, ways->to);
	move->users += share_of(plan, ways->from, move->samples);
	return i;
}

static unsigned count_moves(const struct director_plan *plan)
{
	unsigned i, count = plan->way_count > 0;

	for (i = 1; i < plan->way_count; i++)
		count += way_order(&plan->ways[i - 1], &plan->ways[i]) != 0;
	return count;
}

/* Nobody is sent there, but who is there may stay, and may not any more. */
static bool is_left(const struct director_plan *plan, uint32_t id)
{
	return plan->users[id] > 0 && plan->samples[id] == 0 &&
	       id < director_server_count(plan->before) &&
	       strcmp(director_server(plan->after, id)->tag, plan->tag) == 0 &&
	       director_keeps(plan->before, id) &&
	       !director_keeps(plan->after, id);
}

static unsigned put_left(const struct director_plan *plan,
			 struct director_plan_move *moves)
{
	unsigned i, count = 0;

	for (i = 0; i < plan->count; i++) {
		if (is_left(plan, i))
			moves[count++] = (struct director_plan_move){
				.from = server_of(plan->before, i),
				.scatters = true,
				.users = plan->users[i],
			};
	}
	return count;
}

static void add_up(struct director_plan_result *result)
{
	unsigned i;

	for (i = 0; i < result->count; i++) {
		const struct director_plan_move *move = &result->moves[i];

		result->all.samples += move->samples;
		result->all.pinned += move->pinned;
		result->all.users += move->users;
	}
}

static void finish(struct director_plan *plan)
{
	struct director_plan_result *result = &plan->result;
	struct director_plan_move *moves;
	unsigned i = 0;

	if (plan->way_count > 0)
		qsort(plan->ways, plan->way_count, sizeof(*plan->ways),
		      way_order);
	moves = arena_alloc(plan->arena, (count_moves(plan) + plan->count) *
						 sizeof(*moves));
	result->moves = moves;
	while (i < plan->way_count)
		i += put_move(plan, plan->ways + i, plan->way_count - i,
			      &moves[result->count++]);
	result->count += put_left(plan, &moves[result->count]);
	add_up(result);
}

bool director_plan_go_on(struct director_plan *plan, uint64_t until_us)
{
	if (plan->sample == DIRECTOR_PLAN_SAMPLES) {
		finish(plan);
		return true;
	}
	do {
		if (plan->part < DIRECTOR_USER_PARTS)
			count_part(plan);
		else if (plan->pin < plan->pins.count)
			look_at_pins(plan);
		else
			take_sample(plan);
	} while (plan->sample < DIRECTOR_PLAN_SAMPLES &&
		 clock_now_us() < until_us);
	return false;
}

const struct director_plan_result *
director_plan_result(const struct director_plan *plan)
{
	return &plan->result;
}
