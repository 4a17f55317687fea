/* What the nodes of a cluster agree on. */
#include "t/unit/cluster_helper.h"

#include <stdio.h>
#include <string.h>

static struct peer c;

TestSuite(director_cluster, .init = world_start, .fini = world_end);

static void three(void)
{
	two();
	join(&c, "c", SERVERS);
	SETTLE(&a, &b, &c);
}

static void free_three(void)
{
	free_two();
	peer_free(&c);
}

/* --- who is there --- */

Test(director_cluster, first_node_writes_a_view)
{
	join(&a, "a", SERVERS);
	cr_expect_null(director_cluster_now(a.cluster));
	SETTLE(&a);
	cr_expect_eq(serial(&a), 1);
	cr_expect(agreed(&a));
	cr_expect(director_cluster_leads(a.cluster));
	cr_expect(director_cluster_is_member(a.cluster));
	cr_expect(director_cluster_in_force(a.cluster));
	cr_expect(director_cluster_same_config(a.cluster));
	cr_expect_null(director_cluster_before(a.cluster));
	cr_expect_eq(director_cluster_now(a.cluster)->count, 4);
	cr_expect_not(is_lost(&a, SERVER(1)));
	peer_free(&a);
}

Test(director_cluster, without_a_lease_nothing_is_written)
{
	join(&a, "a", SERVERS);
	director_cluster_set_lease(a.cluster, 0);
	SETTLE(&a);
	cr_expect_eq(store.count, 0);
	peer_free(&a);
}

Test(director_cluster, second_node_joins)
{
	two();
	cr_expect_eq(serial(&b), 1);
	cr_expect(agreed(&b));
	cr_expect(director_cluster_leads(a.cluster));
	cr_expect_not(director_cluster_leads(b.cluster));
	cr_expect_not_null(etcd_store_find(&store, PREFIX "member/b"));
	free_two();
}

/* The others would not wait for it. */
Test(director_cluster, who_is_not_a_member_does_not_route)
{
	join(&a, "a", SERVERS);
	SETTLE(&a);
	join(&b, "b", SERVERS);
	peer_hear(&b);
	cr_expect_eq(serial(&b), 1);
	cr_expect_null(director_cluster_now(b.cluster));
	cr_expect(peer_write(&b));
	peer_hear(&b);
	cr_expect_not_null(director_cluster_now(b.cluster));
	free_two();
}

Test(director_cluster, only_the_leader_writes_views)
{
	two();
	set_admin(&b, SERVER(1), DIRECTOR_DRAIN);
	peer_hear(&b);
	cr_expect_not(peer_write(&b));
	peer_hear(&a);
	cr_expect(peer_write(&a));
	peer_hear(&b);
	cr_expect_eq(serial(&b), 2);
	free_two();
}

Test(director_cluster, another_leads_when_the_leader_is_gone)
{
	two();
	goodbye(&a);
	set_admin(&b, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&b);
	cr_expect(director_cluster_leads(b.cluster));
	cr_expect_eq(serial(&b), 2);
	cr_expect_eq(admin_of(&b, SERVER(1)), DIRECTOR_DRAIN);
	peer_free(&b);
}

/* Which it does not know yet. */
Test(director_cluster, a_leader_without_a_lease_writes_no_view)
{
	two();
	set_admin(&b, SERVER(1), DIRECTOR_DRAIN);
	peer_hear(&a);
	etcd_store_end_lease(&store, a.lease);
	cr_expect(peer_write(&a));
	peer_hear(&b);
	cr_expect_eq(serial(&b), 1);
	free_two();
}

Test(director_cluster, two_leaders_write_one_view)
{
	struct etcd_txn first, second;

	two();
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	peer_hear(&a);
	cr_assert(director_cluster_next(a.cluster, arena, &first));
	cr_assert(director_cluster_next(a.cluster, arena, &second));
	cr_expect(etcd_store_txn(&store, &first));
	cr_expect_not(etcd_store_txn(&store, &second));
	free_two();
}

struct seen {
	char text[256];
};

static void see(void *arg, const struct director_cluster_node *node)
{
	struct seen *seen = arg;
	size_t len = strlen(seen->text);

	snprintf(seen->text + len, sizeof(seen->text) - len, "%s/%s %llu%s%s; ",
		 node->node, node->process != NULL ? node->process : "-",
		 (unsigned long long)node->done, node->leads ? " leads" : "",
		 node->self ? " self" : "");
}

Test(director_cluster, nodes_are_shown)
{
	struct seen seen = { "" };

	three();
	etcd_store_end_lease(&store, b.lease);
	peer_hear(&c);
	director_cluster_nodes(c.cluster, see, &seen);
	cr_expect_str_eq(seen.text, "a/1 1 leads; c/1 1 self; b/- 0; ");
	free_three();
}

Test(director_cluster, has_node)
{
	bool there = true;

	three();
	etcd_store_end_lease(&store, b.lease);
	peer_hear(&a);
	cr_expect(director_cluster_has_node(a.cluster, "b", &there));
	cr_expect_not(there);
	cr_expect(director_cluster_has_node(a.cluster, "c", &there));
	cr_expect(there);
	cr_expect_not(director_cluster_has_node(a.cluster, "d", &there));
	cr_expect_not(there);
	free_three();
}

Test(director_cluster, a_lease_that_was_lost_is_followed_by_another)
{
	two();
	etcd_store_end_lease(&store, b.lease);
	b.lease = etcd_store_grant(&store);
	director_cluster_set_lease(b.cluster, b.lease);
	SETTLE(&a, &b);
	cr_expect(director_cluster_is_member(b.cluster));
	cr_expect(agreed(&a));
	cr_expect_null(director_cluster_away(a.cluster));
	free_two();
}

/* --- votes --- */

Test(director_cluster, of_two_nodes_both_have_to_vote)
{
	two();
	vote(&a, SERVER(1), "it does not answer");
	SETTLE(&a, &b);
	cr_expect_not(is_lost(&a, SERVER(1)));
	vote(&b, SERVER(1), "it does not answer");
	SETTLE(&a, &b);
	cr_expect(is_lost(&a, SERVER(1)));
	cr_expect(is_lost(&b, SERVER(1)));
	cr_expect_not(is_lost(&b, SERVER(2)));
	cr_expect_eq(backend_in(&a.wanted, SERVER(1))->health.at_s, 1000);
	cr_expect_str_eq(backend_in(&a.wanted, SERVER(1))->health.by,
			 "2 of 2 nodes: it does not answer");
	free_two();
}

Test(director_cluster, of_three_nodes_two_have_to_vote)
{
	three();
	vote(&b, SERVER(1), "dead");
	SETTLE(&a, &b, &c);
	cr_expect_not(is_lost(&a, SERVER(1)));
	vote(&c, SERVER(1), "dead");
	SETTLE(&a, &b, &c);
	cr_expect(is_lost(&a, SERVER(1)));
	vote(&b, SERVER(1), NULL);
	SETTLE(&a, &b, &c);
	cr_expect_not(is_lost(&a, SERVER(1)));
	free_three();
}

Test(director_cluster, votes_are_written_on_change_only)
{
	int64_t revision;

	two();
	vote(&a, SERVER(1), "dead");
	SETTLE(&a, &b);
	revision = store.revision;
	director_cluster_vote(a.cluster,
			      backend_in(&a.wanted, SERVER(1))->server.id,
			      "dead", 2000);
	SETTLE(&a, &b);
	cr_expect_eq(store.revision, revision);
	free_two();
}

/* A node has one vote, however many processes. */
Test(director_cluster, two_processes_of_a_node_have_one_vote)
{
	struct peer second;

	three();
	peer_make(&second, "b", "2", "rendezvous %Lu");
	peer_configure(&second, SERVERS);
	SETTLE(&a, &b, &c, &second);
	vote(&b, SERVER(1), "dead");
	vote(&second, SERVER(1), "dead");
	SETTLE(&a, &b, &c, &second);
	cr_expect_not(is_lost(&a, SERVER(1)));
	peer_free(&second);
	free_three();
}

/* Its lease may go on for a while. */
Test(director_cluster, who_has_said_goodbye_does_not_vote)
{
	struct etcd_txn txn;

	two();
	vote(&b, SERVER(1), "dead");
	SETTLE(&a, &b);
	director_cluster_leave(b.cluster, true, arena, &txn);
	cr_assert(etcd_store_txn(&store, &txn));
	SETTLE(&a);
	cr_expect_not(is_lost(&a, SERVER(1)));
	free_two();
}

Test(director_cluster, more_votes_than_a_transaction_holds)
{
	unsigned i;

	join(&a, "a", "10.0.0.1-10.0.0.200");
	SETTLE(&a);
	for (i = 0; i < 200; i++)
		director_cluster_vote(a.cluster, i, "dead", 1000);
	SETTLE(&a);
	for (i = 0; i < 200; i++)
		cr_expect(a.wanted.backends[i].sick);
	cr_expect(is_lost(&a, "10.0.0.200"));
	peer_free(&a);
}

/* --- the barrier --- */

Test(director_cluster, a_view_waits_for_those_who_are_not_done_with_the_last)
{
	two();
	b.slow = true;
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 2);
	cr_expect_not(agreed(&a));
	cr_expect_eq(admin_of(&a, SERVER(1)), DIRECTOR_DRAIN);
	cr_expect_eq(backend_in(director_cluster_before(a.cluster),
				SERVER(1))->admin, DIRECTOR_UP);
	set_admin(&a, SERVER(2), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 2);
	cr_expect_not(director_cluster_in_force(a.cluster));
	director_cluster_done(b.cluster, 2);
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 3);
	cr_expect_not(agreed(&a));
	b.slow = false;
	SETTLE(&a, &b);
	cr_expect(agreed(&a));
	cr_expect(director_cluster_in_force(a.cluster));
	free_two();
}

/* The rest of what is to be waited for is what the view says. */
Test(director_cluster, once_all_are_done_there_is_no_before)
{
	two();
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	cr_expect_eq(serial(&b), 2);
	cr_expect(agreed(&b));
	cr_expect_null(director_cluster_before(b.cluster));
	free_two();
}

/* Whoever comes later has no deliveries by earlier views. */
Test(director_cluster, a_node_that_joins_does_not_undo_what_was_agreed)
{
	two();
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	join(&c, "c", SERVERS);
	c.slow = true;
	SETTLE(&a, &b, &c);
	cr_expect(agreed(&a));
	cr_expect_eq(serial(&c), 2);
	free_three();
}

/* But it is waited for: it may deliver by the view that is to be left. */
Test(director_cluster, a_node_that_joins_is_waited_for)
{
	two();
	join(&c, "c", SERVERS);
	c.slow = true;
	SETTLE(&a, &b, &c);
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b, &c);
	cr_expect_eq(serial(&a), 1, "%llu", (unsigned long long)serial(&a));
	director_cluster_done(c.cluster, 1);
	SETTLE(&a, &b, &c);
	cr_expect_eq(serial(&a), 2);
	cr_expect_not(agreed(&a));
	free_three();
}

/* --- lost servers --- */

static void lose(const char *ip)
{
	vote(&a, ip, "dead");
	vote(&b, ip, "dead");
}

Test(director_cluster, a_server_is_lost_under_the_same_serial_while_some_wait)
{
	two();
	b.slow = true;
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	lose(SERVER(2));
	SETTLE(&a, &b);
	cr_expect_eq(serial(&b), 2);
	cr_expect_not(agreed(&b));
	cr_expect(is_lost(&b, SERVER(2)));
	cr_expect_not_null(director_cluster_before(b.cluster));
	director_cluster_done(b.cluster, 2);
	SETTLE(&a, &b);
	cr_expect(agreed(&b));
	cr_expect(is_lost(&b, SERVER(2)));
	free_two();
}

Test(director_cluster, while_a_node_is_away_only_lost_servers_are_left)
{
	three();
	etcd_store_end_lease(&store, c.lease);
	SETTLE(&a, &b);
	cr_expect_str_eq(director_cluster_away(a.cluster), "c");
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 1);
	lose(SERVER(2));
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 1);
	cr_expect(is_lost(&a, SERVER(2)));
	cr_expect_eq(admin_of(&a, SERVER(1)), DIRECTOR_UP);
	vote(&b, SERVER(2), NULL);
	SETTLE(&a, &b);
	cr_expect(is_lost(&a, SERVER(2)), "its users would be moved back");
	c.lease = etcd_store_grant(&store);
	director_cluster_set_lease(c.cluster, c.lease);
	SETTLE(&a, &b, &c);
	cr_expect_eq(admin_of(&c, SERVER(1)), DIRECTOR_DRAIN);
	cr_expect_not(is_lost(&c, SERVER(2)));
	cr_expect(agreed(&a));
	free_three();
}

Test(director_cluster, a_node_that_is_forgotten_holds_nothing_back)
{
	three();
	etcd_store_end_lease(&store, c.lease);
	SETTLE(&a, &b);
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	forget(&a, "c");
	SETTLE(&a, &b);
	cr_expect_null(director_cluster_away(a.cluster));
	cr_expect_eq(admin_of(&a, SERVER(1)), DIRECTOR_DRAIN);
	cr_expect(agreed(&a));
	free_three();
}

/* It has come back meanwhile. */
Test(director_cluster, who_comes_back_is_not_forgotten)
{
	struct etcd_txn txn;

	two();
	etcd_store_end_lease(&store, b.lease);
	peer_hear(&a);
	director_cluster_forget(a.cluster, "b", arena, &txn);
	b.lease = etcd_store_grant(&store);
	director_cluster_set_lease(b.cluster, b.lease);
	SETTLE(&b);
	cr_expect_not(etcd_store_txn(&store, &txn));
	free_two();
}

/* --- views that are taken back --- */

static void go_away_undone(void)
{
	three();
	c.slow = true;
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b, &c);
	cr_expect_not(agreed(&a));
	etcd_store_end_lease(&store, c.lease);
}

Test(director_cluster, a_view_that_a_node_was_not_done_with_is_taken_back)
{
	go_away_undone();
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 3);
	cr_expect_eq(admin_of(&a, SERVER(1)), DIRECTOR_UP);
	cr_expect_null(director_cluster_before(a.cluster));
	free_three();
}

/* Users have gone to where it sent them. */
Test(director_cluster, a_view_that_all_were_done_with_is_not_taken_back)
{
	three();
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b, &c);
	cr_expect(agreed(&b));
	etcd_store_end_lease(&store, c.lease);
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 2);
	cr_expect_eq(admin_of(&a, SERVER(1)), DIRECTOR_DRAIN);
	cr_expect_null(director_cluster_before(a.cluster));
	free_three();
}

/* The users of that server may be anywhere. */
Test(director_cluster, a_view_that_has_lost_a_server_is_not_taken_back)
{
	three();
	c.slow = true;
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b, &c);
	lose(SERVER(2));
	SETTLE(&a, &b, &c);
	etcd_store_end_lease(&store, c.lease);
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 2);
	cr_expect_not_null(director_cluster_before(a.cluster));
	free_three();
}

/* And one that it is told of just then. */
Test(director_cluster, agreeing_and_taking_back_exclude_each_other)
{
	struct etcd_txn back;

	go_away_undone();
	peer_hear(&a);
	cr_assert(director_cluster_next(a.cluster, arena, &back));
	c.slow = false;
	c.lease = etcd_store_grant(&store);
	director_cluster_set_lease(c.cluster, c.lease);
	SETTLE(&c);
	cr_expect_not(etcd_store_txn(&store, &back));
	SETTLE(&a, &b, &c);
	cr_expect_eq(serial(&a), 2);
	cr_expect(agreed(&a));
	free_three();
}

/* --- processes --- */

Test(director_cluster, the_last_process_takes_its_node_along)
{
	two();
	goodbye(&b);
	peer_hear(&a);
	cr_expect_null(etcd_store_find(&store, PREFIX "member/b"));
	cr_expect_null(director_cluster_away(a.cluster));
	peer_free(&a);
}

Test(director_cluster, one_of_two_processes_leaves_the_node)
{
	struct peer second;

	two();
	peer_make(&second, "b", "2", "rendezvous %Lu");
	peer_configure(&second, SERVERS);
	SETTLE(&a, &b, &second);
	goodbye(&b);
	SETTLE(&a, &second);
	cr_expect_not_null(etcd_store_find(&store, PREFIX "member/b"));
	cr_expect(director_cluster_is_member(second.cluster));
	peer_free(&second);
	peer_free(&a);
}

/* The other one is new: the one that goes has not heard of it. */
Test(director_cluster, a_node_that_was_taken_along_is_written_again)
{
	struct peer second;

	two();
	peer_make(&second, "b", "2", "rendezvous %Lu");
	peer_configure(&second, SERVERS);
	peer_hear(&second);
	cr_assert(peer_write(&second));
	goodbye(&b);
	SETTLE(&a, &second);
	cr_expect_not_null(etcd_store_find(&store, PREFIX "member/b"));
	peer_free(&second);
	peer_free(&a);
}

static bool nobody_lives(void *arg, const char *process)
{
	(void)arg;
	(void)process;
	return false;
}

/* Its lease is still there: it is waited for. */
Test(director_cluster, a_process_that_is_started_again)
{
	struct peer again;

	two();
	peer_free(&b);
	peer_make(&again, "b", "2", "rendezvous %Lu");
	peer_configure(&again, SERVERS);
	director_cluster_set_lives(again.cluster, nobody_lives, NULL);
	SETTLE(&a, &again);
	cr_expect(director_cluster_is_member(again.cluster));
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &again);
	cr_expect_eq(serial(&a), 2);
	cr_expect_not(agreed(&a));
	etcd_store_end_lease(&store, b.lease);
	SETTLE(&a, &again);
	cr_expect_eq(serial(&a), 2);
	cr_expect(agreed(&a));
	peer_free(&again);
	peer_free(&a);
}
