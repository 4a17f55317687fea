/* The keys of a cluster: its configuration, which nodes may not agree on. */
#include "t/unit/cluster_helper.h"

#include <string.h>

TestSuite(director_cluster_config, .init = world_start, .fini = world_end);

Test(director_cluster_config, a_node_with_the_same_configuration)
{
	two();
	cr_expect(director_cluster_same_config(b.cluster));
	cr_expect_eq(serial(&b), 1);
	free_two();
}

Test(director_cluster_config, a_node_with_another_uses_that_of_the_cluster)
{
	join(&a, "a", SERVERS);
	SETTLE(&a);
	join(&b, "b", "10.9.9.9");
	SETTLE(&a, &b);
	cr_expect_not(director_cluster_same_config(b.cluster));
	cr_expect_null(director_cluster_problem(b.cluster));
	cr_expect_eq(director_cluster_now(b.cluster)->count, 4);
	free_two();
}

/* Whether the node of that name was shown to have another configuration. */
struct others {
	bool a, b;
};

static void note_other(void *arg, const struct director_cluster_node *node)
{
	struct others *others = arg;

	*(strcmp(node->node, "a") == 0 ? &others->a : &others->b) =
		node->other_config;
}

static void expect_others(const struct peer *peer, bool first, bool second)
{
	struct others others = { false, false };

	director_cluster_nodes(peer->cluster, note_other, &others);
	cr_expect_eq(others.a, first, "a: %d", others.a);
	cr_expect_eq(others.b, second, "b: %d", others.b);
}

Test(director_cluster_config, a_reload_without_a_change_says_nothing)
{
	join(&a, "a", SERVERS);
	SETTLE(&a);
	join(&b, "b", "10.9.9.9");
	SETTLE(&a, &b);
	peer_configure(&b, "10.9.9.9");
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 1);
	cr_expect(director_cluster_same_config(a.cluster));
	cr_expect(director_cluster_yields(b.cluster));
	cr_expect_not(director_cluster_yields(a.cluster));
	expect_others(&a, false, true);
	expect_others(&b, false, true);
	free_two();
}

Test(director_cluster_config, a_change_that_could_not_be_said_yet_stays_one)
{
	two();
	director_cluster_set_lease(b.cluster, 0);
	peer_configure(&b, "10.9.9.9");
	peer_configure(&b, "10.9.9.9");
	SETTLE(&a, &b);
	cr_expect_not(director_cluster_same_config(b.cluster));
	cr_expect_not(director_cluster_yields(b.cluster));
	director_cluster_set_lease(b.cluster, b.lease);
	SETTLE(&a, &b);
	cr_expect(director_cluster_same_config(b.cluster));
	expect_others(&a, true, false);
	free_two();
}

Test(director_cluster_config, a_change_that_was_taken_back_says_nothing)
{
	two();
	director_cluster_set_lease(b.cluster, 0);
	peer_configure(&b, "10.9.9.9");
	peer_configure(&b, SERVERS);
	director_cluster_set_lease(b.cluster, b.lease);
	SETTLE(&a, &b);
	peer_configure(&a, "10.0.0.1");
	SETTLE(&a, &b);
	cr_expect(director_cluster_same_config(a.cluster));
	free_two();
}

Test(director_cluster_config, a_configuration_is_adopted)
{
	join(&a, "a", SERVERS);
	SETTLE(&a);
	join(&b, "b", "10.0.0.1-10.0.0.5");
	SETTLE(&a, &b);
	cr_expect(adopt(&b));
	SETTLE(&a, &b);
	cr_expect(director_cluster_same_config(b.cluster));
	cr_expect(now_of(&a, "10.0.0.5")->configured);
	cr_expect(director_cluster_yields(a.cluster));
	expect_others(&b, true, false);
	free_two();
}

Test(director_cluster_config, of_two_who_adopt_one_does)
{
	struct etcd_txn txn;

	join(&a, "a", SERVERS);
	SETTLE(&a);
	join(&b, "b", "10.0.0.1-10.0.0.5");
	SETTLE(&a, &b);
	director_cluster_adopt(a.cluster, arena, &txn);
	cr_expect(adopt(&b));
	cr_expect_not(etcd_store_txn(&store, &txn));
	free_two();
}

Test(director_cluster_config, a_node_whose_servers_change)
{
	two();
	peer_configure(&b, "10.0.0.1-10.0.0.5");
	SETTLE(&a, &b);
	cr_expect(director_cluster_same_config(b.cluster));
	cr_expect_not(director_cluster_same_config(a.cluster));
	cr_expect_eq(serial(&a), 2);
	cr_expect(now_of(&a, "10.0.0.5")->configured);
	cr_expect(adopt(&a));
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 3);
	cr_expect_not(director_backend_present(now_of(&a, "10.0.0.5")));
	cr_expect_not(director_cluster_same_config(b.cluster));
	free_two();
}

Test(director_cluster_config, a_node_that_is_alone)
{
	two();
	goodbye(&a);
	SETTLE(&b);
	goodbye(&b);
	join(&a, "c", "10.0.0.1-10.0.0.5");
	SETTLE(&a);
	cr_expect(director_cluster_same_config(a.cluster));
	cr_expect(now_of(&a, "10.0.0.5")->configured);
	cr_expect_eq(serial(&a), 2);
	peer_free(&a);
}

Test(director_cluster_config, a_node_that_is_away_is_there_for_that)
{
	two();
	etcd_store_end_lease(&store, b.lease);
	etcd_store_end_lease(&store, a.lease);
	peer_free(&a);
	join(&a, "a", "10.0.0.1-10.0.0.5");
	SETTLE(&a);
	cr_expect_not(director_cluster_same_config(a.cluster));
	free_two();
}

Test(director_cluster_config, another_hash_is_a_problem)
{
	join(&a, "a", SERVERS);
	SETTLE(&a);
	peer_make(&b, "b", "1", "md5-ring %Lu");
	peer_configure(&b, SERVERS);
	SETTLE(&a, &b);
	cr_expect_not_null(director_cluster_problem(b.cluster));
	cr_expect_null(etcd_store_find(&store, PREFIX "node/b/1"));
	cr_expect_null(director_cluster_problem(a.cluster));
	goodbye(&a);
	SETTLE(&b);
	cr_expect_null(director_cluster_problem(b.cluster));
	cr_expect(director_cluster_is_member(b.cluster));
	peer_free(&b);
}

/* Both come at once: one of them hashes for the cluster, and the other is none
 * of it, as it would hold up everything. */
Test(director_cluster_config, two_hashes_at_once)
{
	join(&a, "a", SERVERS);
	peer_make(&b, "b", "1", "md5-ring %Lu");
	peer_configure(&b, SERVERS);
	peer_hear(&a);
	peer_hear(&b);
	peer_write(&b);
	peer_write(&a);
	SETTLE(&a, &b);
	cr_expect_not_null(director_cluster_problem(a.cluster));
	cr_expect_null(etcd_store_find(&store, PREFIX "node/a/1"));
	cr_expect_null(etcd_store_find(&store, PREFIX "member/a"));
	cr_expect(agreed(&b));
	free_two();
}

/* The old process of the same node still hashes as before. */
Test(director_cluster_config, another_hash_waits_for_the_process_before)
{
	join(&a, "a", SERVERS);
	SETTLE(&a);
	peer_make(&b, "a", "2", "md5-ring %Lu");
	peer_configure(&b, SERVERS);
	SETTLE(&a, &b);
	cr_expect_not_null(director_cluster_problem(b.cluster));
	cr_expect_null(director_cluster_problem(a.cluster));
	goodbye(&a);
	SETTLE(&b);
	cr_expect_null(director_cluster_problem(b.cluster));
	peer_free(&b);
}
