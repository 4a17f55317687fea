/* Whether deliveries by the view before are over, while some of them begin and end. */
#include <criterion/criterion.h>

#include <string.h>

#include "backends/director/users.h"

/* One server is the right one for nobody. */
enum { BEFORE, AFTER };

static struct loop *loop;
static struct director_users *users;
/* The delivery of one transaction that ends while others are looked at, and the one
 * that it lets in before. */
static struct director_visit ends, joins;
static uint64_t order[3]; /* keys of users as they are looked at */
static unsigned looks;

static enum director_hold hold(const void *arg, uint32_t id)
{
	(void)arg;
	(void)id;
	return DIRECTOR_LETS_GO;
}

static uint64_t flushed_us(const void *arg, uint32_t id)
{
	(void)arg;
	(void)id;
	return 0;
}

static const struct director_rules rules = {
	.hold = hold,
	.flushed_us = flushed_us,
	.generation = 1,
};

static bool enter(struct director_visit *visit, uint64_t key,
		  enum director_manner manner, uint32_t server)
{
	uint32_t got;

	visit->loop = loop;
	visit->tag = "";
	return director_users_enter(users, visit, 1, key, server, manner,
				    &rules, &got) && got == server;
}

static void setup(void)
{
	loop = loop_new();
	users = director_users_new(0);
	memset(&ends, 0, sizeof(ends));
	memset(&joins, 0, sizeof(joins));
	looks = 0;
}

static void teardown(void)
{
	director_users_leave(&ends, 2);
	director_users_leave(&joins, 2);
	director_users_free(&users);
	loop_free(&loop);
}

TestSuite(director_lingering, .init = setup, .fini = teardown, .timeout = 60);

static bool note_order(const void *arg, uint64_t key, uint64_t hash,
		       const char *tag, uint32_t server)
{
	(void)arg;
	(void)hash;
	(void)tag;
	(void)server;
	order[looks++] = key;
	return false;
}

/* Three users who are looked at one after the other. */
static void find_order(void)
{
	struct director_visit visits[3];
	uint64_t key;

	memset(visits, 0, sizeof(visits));
	for (key = 0; key < 3; key++)
		cr_assert(enter(&visits[key], key, DIRECTOR_MAY_STAY, BEFORE));
	director_users_lingering(users, note_order, NULL);
	cr_assert_eq(looks, 3);
	for (key = 0; key < 3; key++)
		director_users_leave(&visits[key], 1);
	looks = 0;
}

static bool elsewhere(const void *arg, uint64_t key, uint64_t hash,
		      const char *tag, uint32_t server)
{
	(void)arg;
	(void)hash;
	(void)tag;
	/* As another thread may, once the first user was looked at. */
	if (key == order[1] && looks++ == 0) {
		cr_assert(enter(&joins, order[0], DIRECTOR_JOINS, BEFORE));
		director_users_leave(&ends, 2);
	}
	return server == BEFORE && key != order[1];
}

Test(director_lingering, whoever_joins_meanwhile_counts)
{
	struct director_visit looked_at = { 0 };

	find_order();
	cr_assert(enter(&looked_at, order[1], DIRECTOR_MAY_STAY, AFTER));
	cr_assert(enter(&ends, order[2], DIRECTOR_MAY_STAY, BEFORE));
	cr_expect_gt(director_users_lingering(users, elsewhere, NULL), 0);
	cr_expect_eq(director_users_lingering(users, elsewhere, NULL), 1);
	director_users_leave(&joins, 3);
	cr_expect_eq(director_users_lingering(users, elsewhere, NULL), 0);
	director_users_leave(&looked_at, 3);
}
