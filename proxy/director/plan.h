/* Which users a change of the director's servers would move, found out a bit at a
 * time: many hashes stand for all users, and those who were moved by hand, whom no hash
 * sends, are looked at one by one. For one thread. */
#ifndef PROXY_DIRECTOR_PLAN_H
#define PROXY_DIRECTOR_PLAN_H

#include "proxy/director/director.h"

enum { DIRECTOR_PLAN_SAMPLES = 100000 };

/* Users who go from one server to another one. */
struct director_plan_move {
	const struct director_server *from, *to; /* NULL: none */
	bool scatters; /* those who only stay there, each to where his hash sends him;
			  not by samples, and to is NULL */
	unsigned samples; /* of DIRECTOR_PLAN_SAMPLES: by the hash */
	unsigned pinned;  /* users who were moved by hand */
	/* Of those who are at from now, about so many; who were moved by hand
	 * are counted. */
	unsigned long users;
};

struct director_plan_result {
	const struct director_plan_move *moves;
	unsigned count;
	struct director_plan_move all; /* the sum of moves; no servers */
	unsigned kept; /* users who were moved by hand and stay */
};

struct director_plan;

/* What happens to users with that tag when the director is after and not before,
 * both by the same settings. Users are those there are at now_us (loop time), and
 * outlive the plan; pins are those of the state that after is of, and are taken
 * over: none are left. */
struct director_plan *director_plan_new(struct director *before,
					struct director *after, const char *tag,
					struct director_pins *pins,
					struct director_users *users,
					uint64_t now_us);

/* Clears the pointer; NULL is fine. */
void director_plan_free(struct director_plan **plan);

/* Goes on until clock_now_us() is until_us, or a little longer; true: it is done. */
bool director_plan_go_on(struct director_plan *plan, uint64_t until_us);

/* When it is done; lives as long as the plan. */
const struct director_plan_result *
director_plan_result(const struct director_plan *plan);

#endif
