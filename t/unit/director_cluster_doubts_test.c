/* Servers of which a process does not know whether the others have lost them. */
#include "t/unit/cluster_helper.h"

#include <string.h>

static struct peer c;

static void start(void)
{
	world_start();
	two();
	join(&c, "c", SERVERS);
	SETTLE(&a, &b, &c);
}

static void end(void)
{
	free_two();
	peer_free(&c);
	world_end();
}

TestSuite(director_cluster_doubts, .init = start, .fini = end, .timeout = 60);

static bool doubts(const struct peer *peer, const char *ip)
{
	return director_cluster_doubts(peer->cluster,
				       backend_in(&peer->wanted, ip)->server.id);
}

static unsigned doubted(const struct peer *peer)
{
	return director_cluster_doubted(peer->cluster);
}

static void find_dead_and_well(struct peer *peer, const char *ip)
{
	vote(peer, ip, "dead");
	vote(peer, ip, NULL);
}

Test(director_cluster_doubts, none_at_first)
{
	vote(&c, SERVER(1), NULL);
	cr_expect_not(doubts(&c, SERVER(1)));
	cr_expect_eq(doubted(&c), 0);
}

/* It is out of reach, which is more. */
Test(director_cluster_doubts, not_while_it_is_dead)
{
	vote(&c, SERVER(1), "dead");
	cr_expect_not(doubts(&c, SERVER(1)));
	SETTLE(&a, &b, &c);
	cr_expect_not(doubts(&c, SERVER(1)));
}

Test(director_cluster_doubts, until_the_store_has_told_what_was_written)
{
	vote(&c, SERVER(1), "dead");
	SETTLE(&a, &b, &c);
	vote(&c, SERVER(1), NULL);
	cr_expect(doubts(&c, SERVER(1)));
	cr_expect_not(doubts(&c, SERVER(2)));
	cr_expect_eq(doubted(&c), 1);
	cr_assert(peer_write(&c));
	cr_expect(doubts(&c, SERVER(1)));
	peer_hear(&c);
	cr_expect_not(doubts(&c, SERVER(1)));
	cr_expect(director_cluster_news(c.cluster) & DIRECTOR_NEWS_HEALTH);
}

/* Nobody has heard that it was dead. */
Test(director_cluster_doubts, also_when_it_never_had_a_vote)
{
	find_dead_and_well(&c, SERVER(1));
	cr_expect(doubts(&c, SERVER(1)));
	SETTLE(&a, &b, &c);
	cr_expect_not(doubts(&c, SERVER(1)));
}

/* What others write says nothing of what c has missed. */
Test(director_cluster_doubts, another_ones_news_is_none)
{
	find_dead_and_well(&c, SERVER(1));
	set_admin(&a, SERVER(2), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	peer_hear(&c);
	cr_expect(doubts(&c, SERVER(1)));
}

Test(director_cluster_doubts, what_was_written_before_does_not_count)
{
	find_dead_and_well(&c, SERVER(1));
	cr_assert(peer_write(&c));
	find_dead_and_well(&c, SERVER(2));
	find_dead_and_well(&c, SERVER(1));
	peer_hear(&c);
	cr_expect(doubts(&c, SERVER(1)));
	cr_expect(doubts(&c, SERVER(2)));
	SETTLE(&a, &b, &c);
	cr_expect_eq(doubted(&c), 0);
}

Test(director_cluster_doubts, a_lease_that_is_lost_brings_none_back)
{
	find_dead_and_well(&c, SERVER(1));
	SETTLE(&a, &b, &c);
	etcd_store_end_lease(&store, c.lease);
	SETTLE(&a, &b);
	peer_hear(&c);
	cr_expect_eq(doubted(&c), 0);
}

Test(director_cluster_doubts, who_has_slept_is_awake_when_it_has_heard)
{
	cr_expect(director_cluster_is_awake(c.cluster));
	director_cluster_slept(c.cluster);
	SETTLE(&a, &b);
	peer_hear(&c);
	cr_expect_not(director_cluster_is_awake(c.cluster));
	SETTLE(&a, &b, &c);
	cr_expect(director_cluster_is_awake(c.cluster));
	cr_expect_eq(doubted(&c), 0);
}

Test(director_cluster_doubts, one_write_for_each_recovery)
{
	uint64_t writes;

	vote(&c, SERVER(1), "dead");
	SETTLE(&a, &b, &c);
	writes = store.writes;
	vote(&c, SERVER(1), NULL);
	SETTLE(&a, &b, &c);
	cr_expect_eq(store.writes, writes + 1, "beside the vote's deletion");
	SETTLE(&a, &b, &c);
	cr_expect_eq(store.writes, writes + 1);
}

/* The node is cut off; a server dies, loses its users to others, and is back. */
static void miss_a_death(void)
{
	etcd_store_end_lease(&store, c.lease);
	vote(&a, SERVER(1), "dead");
	vote(&b, SERVER(1), "dead");
	vote(&c, SERVER(1), "dead");
	SETTLE(&a, &b);
	cr_assert(is_lost(&a, SERVER(1)));
	vote(&a, SERVER(1), NULL);
	vote(&b, SERVER(1), NULL);
	vote(&c, SERVER(1), NULL);
	SETTLE(&a, &b);
}

Test(director_cluster_doubts, who_is_cut_off_sends_nobody_to_whom_others_lost)
{
	miss_a_death();
	cr_expect(is_lost(&a, SERVER(1)));
	cr_expect_not(is_lost(&c, SERVER(1)));
	cr_expect(doubts(&c, SERVER(1)));
	cr_expect_eq(director_cluster_kept_lost(a.cluster), 1);
	cr_expect_eq(doubted(&a), 0);
}

Test(director_cluster_doubts, who_is_back_knows)
{
	miss_a_death();
	c.lease = etcd_store_grant(&store);
	director_cluster_set_lease(c.cluster, c.lease);
	c.slow = true;
	SETTLE(&a, &b, &c);
	cr_expect_eq(director_cluster_kept_lost(a.cluster), 0);
	cr_expect_eq(doubted(&c), 0);
	cr_expect(is_lost(&c, SERVER(1)) ||
		  director_cluster_before(c.cluster) != NULL);
	c.slow = false;
	SETTLE(&a, &b, &c);
	cr_expect_not(is_lost(&c, SERVER(1)));
	cr_expect(agreed(&a));
}

/* And lets it have its users when that is an administrator's word, too. */
Test(director_cluster_doubts, who_is_forgotten_keeps_no_server_lost)
{
	miss_a_death();
	forget(&a, "c");
	SETTLE(&a, &b);
	cr_expect_eq(director_cluster_kept_lost(a.cluster), 0);
	cr_expect_not(is_lost(&a, SERVER(1)));
	cr_expect(doubts(&c, SERVER(1)), "it has not heard of that");
}

Test(director_cluster_doubts, what_is_no_server_any_more_is_not_counted)
{
	find_dead_and_well(&c, SERVER(4));
	cr_expect_eq(doubted(&c), 1);
	director_cluster_configure(a.cluster,
				   servers_of(arena, "10.0.0.1-10.0.0.3"));
	SETTLE(&a, &b);
	peer_hear(&c);
	cr_expect_eq(doubted(&c), 0);
}
