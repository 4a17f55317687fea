/* Nodes whose etcd has forgotten what was last: it is restored from a copy. */
#include "t/unit/cluster_helper.h"

#define THREE_SERVERS "10.0.0.1 10.0.0.2 10.0.0.3"
#define VIEW PREFIX "view"

static struct peer a, b;

static void start(void)
{
	world_start();
	join(&a, "a", THREE_SERVERS);
	SETTLE(&a);
	join(&b, "b", THREE_SERVERS);
	SETTLE(&a, &b);
}

static void end(void)
{
	peer_free(&a);
	peer_free(&b);
	world_end();
}

TestSuite(director_cluster_restored, .init = start, .fini = end, .timeout = 60);

/* Numbers are given a second time: to be done with the first is nothing. */
Test(director_cluster_restored, nobody_is_done_with_views_to_come)
{
	char *copy = strdup(etcd_store_find(&store, VIEW)->value);

	cr_assert_eq(serial(&a), 1);
	cr_assert(set_admin(&a, "10.0.0.1", DIRECTOR_DRAIN));
	SETTLE(&a, &b);
	cr_assert(set_admin(&a, "10.0.0.1", DIRECTOR_UP));
	SETTLE(&a, &b);
	cr_assert_eq(serial(&a), 3);
	etcd_store_put(&store, VIEW, copy);
	SETTLE(&a, &b);
	cr_assert_eq(serial(&a), 1);
	b.slow = true;
	cr_assert(set_admin(&a, "10.0.0.2", DIRECTOR_DRAIN));
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 2);
	cr_expect_not(director_cluster_agreed(a.cluster));
	b.slow = false;
	SETTLE(&a, &b);
	cr_expect(director_cluster_agreed(a.cluster));
	free(copy);
}
