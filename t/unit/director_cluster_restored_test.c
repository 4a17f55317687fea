/* Nodes whose etcd has forgotten what was last: it is restored from a copy. */
#include "t/unit/cluster_helper.h"

#include <string.h>

#define THREE_SERVERS "10.0.0.1 10.0.0.2 10.0.0.3"
#define VIEW PREFIX "view"

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

/* By the time of view 3. */
static void restore_first(void)
{
	char *copy = strdup(etcd_store_find(&store, VIEW)->value);

	cr_assert_eq(serial(&a), 1);
	cr_assert(set_admin(&a, "10.0.0.1", DIRECTOR_DRAIN));
	SETTLE(&a, &b);
	cr_assert(set_admin(&a, "10.0.0.2", DIRECTOR_DRAIN));
	SETTLE(&a, &b);
	cr_assert_eq(serial(&a), 3);
	etcd_store_put(&store, VIEW, copy);
	free(copy);
}

/* Users are where that sent them. */
Test(director_cluster_restored, the_last_view_is_written_again)
{
	restore_first();
	peer_hear(&a);
	cr_expect_eq(serial(&a), 3);
	cr_expect_eq(admin_of(&a, "10.0.0.1"), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 3);
	cr_expect_eq(serial(&b), 3);
	cr_expect(agreed(&a));
	cr_expect_not_null(strstr(etcd_store_find(&store, VIEW)->value,
				  "\"serial\":3,"));
}

/* By whoever knows it. */
Test(director_cluster_restored, who_does_not_lead_writes_it_too)
{
	restore_first();
	SETTLE(&b);
	cr_expect_not(director_cluster_leads(b.cluster));
	cr_expect_not_null(strstr(etcd_store_find(&store, VIEW)->value,
				  "\"serial\":3,"));
}

Test(director_cluster_restored, one_who_knows_no_other_hears_it)
{
	struct peer c;

	restore_first();
	join(&c, "c", THREE_SERVERS);
	peer_hear(&c);
	cr_expect_eq(serial(&c), 1);
	SETTLE(&a, &b, &c);
	cr_expect_eq(serial(&c), 3);
	peer_free(&c);
}

/* What was agreed on stays so, and what was not does. */
Test(director_cluster_restored, who_was_waited_for_still_is)
{
	char *copy = strdup(etcd_store_find(&store, VIEW)->value);

	b.slow = true;
	cr_assert(set_admin(&a, "10.0.0.1", DIRECTOR_DRAIN));
	SETTLE(&a, &b);
	cr_assert_not(agreed(&a));
	etcd_store_put(&store, VIEW, copy);
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 2);
	cr_expect_not(agreed(&a));
	b.slow = false;
	SETTLE(&a, &b);
	cr_expect(agreed(&a));
	free(copy);
}

/* Numbers are not given a second time. */
Test(director_cluster_restored, nobody_is_done_with_views_to_come)
{
	restore_first();
	SETTLE(&a, &b);
	b.slow = true;
	cr_assert(set_admin(&a, "10.0.0.1", DIRECTOR_UP));
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 4);
	cr_expect_not(agreed(&a));
	b.slow = false;
	SETTLE(&a, &b);
	cr_expect(agreed(&a));
}
