/* Processes of one node, of which one lives without a lease, or has died: whether the
 * others wait for it. */
#include "t/unit/cluster_helper.h"

#include <stdio.h>
#include <string.h>

static struct peer here, old, young;
static const char *dead[4]; /* processes of node b */
static unsigned dead_count;

static bool lives(void *arg, const char *process)
{
	unsigned i;

	(void)arg;
	for (i = 0; i < dead_count; i++) {
		if (strcmp(dead[i], process) == 0)
			return false;
	}
	return true;
}

static void come(struct peer *peer, const char *process)
{
	peer_make(peer, "b", process, "rendezvous %Lu");
	peer_configure(peer, SERVERS);
	director_cluster_set_lives(peer->cluster, lives, NULL);
}

/* Two nodes, of which one is being replaced. */
static void start(void)
{
	world_start();
	dead_count = 0;
	join(&here, "a", SERVERS);
	SETTLE(&here);
	come(&old, "1");
	SETTLE(&here, &old);
	come(&young, "2");
	SETTLE(&here, &old, &young);
}

static void end(void)
{
	peer_free(&here);
	peer_free(&old);
	peer_free(&young);
	world_end();
}

TestSuite(director_cluster_younger, .init = start, .fini = end, .timeout = 60);

static void lose_lease(struct peer *peer)
{
	etcd_store_end_lease(&store, peer->lease);
}

static void get_lease(struct peer *peer)
{
	peer->lease = etcd_store_grant(&store);
	director_cluster_set_lease(peer->cluster, peer->lease);
}

static void drain(void)
{
	cr_assert(set_admin(&here, SERVER(1), DIRECTOR_DRAIN));
}

/* Nobody lets users in elsewhere. */
#define expect_held() \
	do { \
		cr_expect_eq(admin_of(&here, SERVER(1)), DIRECTOR_UP); \
		cr_expect_null(director_cluster_before(here.cluster)); \
		cr_expect_str_eq(director_cluster_away(here.cluster), "b"); \
	} while (0)

#define expect_drained() \
	do { \
		cr_expect_eq(admin_of(&here, SERVER(1)), DIRECTOR_DRAIN); \
		cr_expect(agreed(&here)); \
		cr_expect_null(director_cluster_away(here.cluster)); \
	} while (0)

Test(director_cluster_younger, both_are_heard)
{
	drain();
	SETTLE(&here, &old, &young);
	expect_drained();
}

/* It routes by the view that it has seen last. */
Test(director_cluster_younger, nobody_agrees_without_the_younger)
{
	lose_lease(&young);
	drain();
	SETTLE(&here, &old);
	expect_held();
	get_lease(&young);
	SETTLE(&here, &old, &young);
	expect_drained();
}

Test(director_cluster_younger, nobody_agrees_without_the_older)
{
	lose_lease(&old);
	drain();
	SETTLE(&here, &young);
	expect_held();
	get_lease(&old);
	SETTLE(&here, &old, &young);
	expect_drained();
}

/* What it was not done with when its lease ran out. */
Test(director_cluster_younger, what_one_was_not_done_with_is_taken_back)
{
	young.slow = true;
	drain();
	SETTLE(&here, &old, &young);
	cr_expect_not(agreed(&here));
	lose_lease(&young);
	SETTLE(&here, &old);
	expect_held();
}

Test(director_cluster_younger, nobody_agrees_without_the_second_of_both)
{
	lose_lease(&old);
	lose_lease(&young);
	drain();
	SETTLE(&here);
	expect_held();
	get_lease(&young);
	SETTLE(&here, &young);
	expect_held();
	get_lease(&old);
	SETTLE(&here, &old, &young);
	expect_drained();
}

/* The kernel of the node says so, whoever of them it is. */
static void die_without_a_lease(struct peer *dies, struct peer *stays)
{
	lose_lease(dies);
	drain();
	SETTLE(&here, stays);
	expect_held();
	dead[dead_count++] = dies->self.process;
	SETTLE(&here, stays);
	expect_drained();
}

Test(director_cluster_younger, a_younger_one_without_a_lease_dies)
{
	die_without_a_lease(&young, &old);
}

Test(director_cluster_younger, an_older_one_without_a_lease_dies)
{
	die_without_a_lease(&old, &young);
}

/* As long as its lease lasts the others cannot know. */
Test(director_cluster_younger, one_with_a_lease_dies)
{
	young.slow = true;
	drain();
	dead[dead_count++] = "2";
	SETTLE(&here, &old);
	cr_expect_not(agreed(&here));
	lose_lease(&young);
	SETTLE(&here, &old);
	expect_drained();
}

/* Which comes in its place, while the older one cannot be heard. */
Test(director_cluster_younger, a_third_one_cleans_up)
{
	struct peer third;

	lose_lease(&old);
	lose_lease(&young);
	drain();
	SETTLE(&here);
	dead[dead_count++] = "2";
	come(&third, "3");
	SETTLE(&here, &third);
	expect_held();
	dead[dead_count++] = "1";
	SETTLE(&here, &third);
	expect_drained();
	peer_free(&third);
}

Test(director_cluster_younger, who_comes_first_does_not_wait_for_itself)
{
	lose_lease(&old);
	lose_lease(&young);
	dead[dead_count++] = "1";
	dead[dead_count++] = "2";
	peer_free(&young);
	come(&young, "3");
	SETTLE(&here, &young);
	cr_expect_null(director_cluster_away(here.cluster));
	cr_expect_null(etcd_store_find(&store, PREFIX "runs/b/1"));
	cr_expect_not_null(etcd_store_find(&store, PREFIX "runs/b/3"));
}

Test(director_cluster_younger, an_administrator_has_made_sure_of_all)
{
	lose_lease(&old);
	lose_lease(&young);
	drain();
	SETTLE(&here);
	forget(&here, "b");
	SETTLE(&here);
	expect_drained();
}

/* And one that was away after all. */
Test(director_cluster_younger, who_was_forgotten_is_known_again)
{
	lose_lease(&old);
	lose_lease(&young);
	SETTLE(&here);
	forget(&here, "b");
	get_lease(&young);
	SETTLE(&here, &young);
	lose_lease(&young);
	drain();
	SETTLE(&here);
	expect_held();
}

/* The node goes for good; one of its processes is still about to end. */
Test(director_cluster_younger, a_goodbye_is_not_anothers)
{
	struct etcd_txn txn;

	lose_lease(&old);
	SETTLE(&here, &young);
	director_cluster_leave(young.cluster, true, arena, &txn);
	cr_assert(etcd_store_txn(&store, &txn));
	lose_lease(&young);
	drain();
	SETTLE(&here);
	expect_held();
	get_lease(&old);
	SETTLE(&here, &old);
	expect_drained();
}

Test(director_cluster_younger, a_goodbye_is_that_of_the_dead_too)
{
	struct etcd_txn txn;

	lose_lease(&old);
	SETTLE(&here, &young);
	dead[dead_count++] = "1";
	director_cluster_leave(young.cluster, true, arena, &txn);
	cr_assert(etcd_store_txn(&store, &txn));
	lose_lease(&young);
	drain();
	SETTLE(&here);
	expect_drained();
}

/* Its copy is from before the younger one came. */
Test(director_cluster_younger, what_etcd_has_forgotten_is_said_again)
{
	etcd_store_delete(&store, PREFIX "runs/b/2");
	lose_lease(&young);
	get_lease(&young);
	SETTLE(&here, &old, &young);
	lose_lease(&young);
	drain();
	SETTLE(&here, &old);
	expect_held();
}

struct seen {
	char text[256];
};

static void see(void *arg, const struct director_cluster_node *node)
{
	struct seen *seen = arg;
	size_t len = strlen(seen->text);

	snprintf(seen->text + len, sizeof(seen->text) - len, "%s/%s%s; ",
		 node->node, node->process != NULL ? node->process : "-",
		 node->away ? " away" : "");
}

Test(director_cluster_younger, one_that_is_away_is_shown)
{
	struct seen seen = { "" };

	lose_lease(&young);
	peer_hear(&here);
	director_cluster_nodes(here.cluster, see, &seen);
	cr_expect_str_eq(seen.text, "a/1; b/1; b/2 away; ");
	lose_lease(&old);
	peer_hear(&here);
	seen.text[0] = '\0';
	director_cluster_nodes(here.cluster, see, &seen);
	cr_expect_str_eq(seen.text, "a/1; b/- away; ");
}
