/* The keys of a cluster: what administrators say, and what nobody should have
 * written. */
#include "t/unit/cluster_helper.h"

#include <stdio.h>
#include <string.h>

#include "backends/director/cluster_keys.h"
#include "backends/director/view_json.h"

TestSuite(director_cluster_keys, .init = world_start, .fini = world_end);

/* --- what nobody should have written --- */

static void expect_complaint(const char *name, const char *value)
{
	err.text[0] = '\0';
	etcd_store_put(&store, name, value);
	cr_expect_eq(peer_hear(&b), -1, "%s: %s", name, value);
	cr_expect(strstr(err.text, name + strlen(PREFIX)) != NULL, "%s",
		  err.text);
}

/* It counts as if it were not there. */
static void expect_no_effect(void)
{
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 1);
	cr_expect(agreed(&a));
	cr_expect(director_cluster_in_force(a.cluster));
}

Test(director_cluster_keys, a_backend_that_cannot_be_read)
{
	static const char *const values[] = {
		"", "x", "{}", "[]", "{\"ip\":\"nobody\"}",
		"{\"ip\":\"10.0.0.1\",\"removed\":true}",
		"{\"ip\":\"10.0.0.1\",\"admin\":\"away\",\"admin_set\":"
		"{\"by\":\"x\",\"at\":1}}",
		"{\"ip\":\"10.0.0.1\",\"weight\":5}",
		"{\"ip\":\"10.0.0.1\",\"removed\":true,\"presence\":{\"by\":1}}",
		/* the name is that of another */
		"{\"ip\":\"10.0.0.2\",\"removed\":true,\"presence\":"
		"{\"by\":\"x\",\"at\":1}}",
	};
	unsigned i;

	two();
	for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
		expect_complaint(PREFIX "backend/10.0.0.1@", values[i]);
		expect_no_effect();
	}
	free_two();
}

Test(director_cluster_keys, a_pin_that_cannot_be_read)
{
	static const char *const values[] = {
		"x", "{}", "{\"user\":\"u\",\"ip\":\"10.0.0.1\"}",
		("{\"user\":\"u\",\"ip\":\"10.0.0.1\",\"key_high\":0,"
		 "\"key_low\":2}"),
	};
	unsigned i;

	two();
	for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
		expect_complaint(PREFIX "pin/0000000000000001", values[i]);
		expect_no_effect();
	}
	free_two();
}

Test(director_cluster_keys, a_configuration_that_cannot_be_read)
{
	static const char *const values[] = {
		"x", "{}", "{\"hash\":\"x\"}",
		"{\"hash\":\"x\",\"config\":{\"servers\":[],\"moved\":1}}",
		("{\"hash\":\"x\",\"config\":{\"servers\":[{\"ip\":\"10.0.0.1\",\"weight\":1},"
		 "{\"ip\":\"10.0.0.2\"}],\"moved\":[]}}"),
	};
	unsigned i;

	two();
	for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
		expect_complaint(PREFIX "config", values[i]);
		SETTLE(&a, &b);
		cr_expect_eq(serial(&a), 1);
		cr_expect(director_backend_present(now_of(&a, SERVER(4))));
	}
	cr_expect(adopt(&a));
	SETTLE(&a, &b);
	cr_expect(director_cluster_same_config(b.cluster));
	cr_expect_eq(serial(&a), 1);
	free_two();
}

Test(director_cluster_keys, a_configuration_that_is_gone)
{
	two();
	etcd_store_delete(&store, PREFIX "config");
	SETTLE(&a, &b);
	cr_expect_not_null(etcd_store_find(&store, PREFIX "config"));
	cr_expect_eq(serial(&a), 1);
	cr_expect(director_cluster_in_force(a.cluster));
	free_two();
}

/* The last one that could be read stays, and the process is not done with it. */
Test(director_cluster_keys, a_view_that_cannot_be_read)
{
	static const char *const values[] = {
		"x", "{}", "{\"serial\":7}", "{\"serial\":7,\"now\":{}}",
		"{\"serial\":7,\"now\":{\"servers\":[{\"ip\":\"10.7.0.1\","
		"\"weight\":1},{}],\"moved\":[]}}",
		"{\"serial\":7,\"now\":{\"servers\":[{\"ip\":\"10.7.0.1\","
		"\"weight\":1}],\"moved\":[]},\"before\":{}}",
		"{\"serial\":7,\"now\":{\"servers\":[],\"moved\":[{\"ip\":"
		"\"10.7.0.1\",\"keys\":\"0000000000000001\"},{\"ip\":"
		"\"10.7.0.2\",\"keys\":\"0000000000000001\"}]}}",
	};
	unsigned i;

	two();
	for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
		expect_complaint(PREFIX "view", values[i]);
		SETTLE(&a, &b);
		cr_expect_eq(serial(&a), 1);
		cr_expect_not_null(director_cluster_now(b.cluster));
		cr_expect(director_backend_present(now_of(&b, SERVER(4))));
		cr_expect_str_eq(etcd_store_find(&store, PREFIX "view")->value,
				 values[i]);
	}
	free_two();
}

/* Without ever having seen one that it can read. */
Test(director_cluster_keys, a_view_that_was_never_read_is_a_problem)
{
	join(&a, "a", SERVERS);
	etcd_store_put(&store, PREFIX "view", "x");
	SETTLE(&a);
	cr_expect_not_null(director_cluster_problem(a.cluster));
	cr_expect_null(director_cluster_now(a.cluster));
	cr_expect_str_eq(etcd_store_find(&store, PREFIX "view")->value, "x");
	peer_free(&a);
}

Test(director_cluster_keys, a_view_that_is_gone_is_written_again)
{
	two();
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	etcd_store_delete(&store, PREFIX "view");
	SETTLE(&a, &b);
	cr_expect_not_null(etcd_store_find(&store, PREFIX "view"));
	cr_expect_eq(serial(&b), 2);
	free_two();
}

/* As an administrator does about one that cannot be read. */
Test(director_cluster_keys, a_view_that_cannot_be_read_and_then_is_gone)
{
	two();
	etcd_store_put(&store, PREFIX "view", "x");
	SETTLE(&a, &b);
	etcd_store_delete(&store, PREFIX "view");
	SETTLE(&a, &b);
	cr_expect_not_null(etcd_store_find(&store, PREFIX "view"));
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	cr_expect_eq(serial(&b), 2);
	cr_expect(agreed(&b));
	free_two();
}

Test(director_cluster_keys, a_view_that_was_never_read_and_then_is_gone)
{
	join(&a, "a", SERVERS);
	etcd_store_put(&store, PREFIX "view", "x");
	SETTLE(&a);
	etcd_store_delete(&store, PREFIX "view");
	SETTLE(&a);
	cr_expect_null(director_cluster_problem(a.cluster));
	cr_expect_not_null(director_cluster_now(a.cluster));
	cr_expect_eq(serial(&a), 1);
	peer_free(&a);
}

Test(director_cluster_keys, processes_that_cannot_be)
{
	static const char *const names[] = {
		PREFIX "node/x", PREFIX "node/", PREFIX "node//1",
		PREFIX "node/x/", PREFIX "node/x/1/2",
	};
	unsigned i;

	etcd_store_put(&store, PREFIX "node/0", "{\"done\":0}");
	two();
	cr_expect_eq(serial(&a), 1);
	cr_expect(director_cluster_leads(a.cluster));
	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		expect_complaint(names[i], "{\"done\":0}");
		expect_no_effect();
		set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
		SETTLE(&a, &b);
		cr_expect_eq(serial(&a), 2, "%s", names[i]);
		cr_expect(agreed(&a));
		free_two();
		world_end();
		world_start();
		two();
	}
	free_two();
}

static void count_nodes(void *arg, const struct director_cluster_node *node)
{
	unsigned *count = arg;

	(void)node;
	(*count)++;
}

/* It is there, whatever it says, and waited for. */
Test(director_cluster_keys, a_process_that_says_nothing_of_use)
{
	unsigned count = 0;

	two();
	expect_complaint(PREFIX "node/x/1", "y");
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 1);
	director_cluster_nodes(a.cluster, count_nodes, &count);
	cr_expect_eq(count, 3);
	etcd_store_delete(&store, PREFIX "node/x/1");
	SETTLE(&a, &b);
	cr_expect_eq(serial(&a), 2);
	free_two();
}

Test(director_cluster_keys, votes_that_cannot_be)
{
	static const char *const names[] = {
		PREFIX "vote/", PREFIX "vote/a", PREFIX "vote/a/1",
		PREFIX "vote/a/1/", PREFIX "vote/a/1/10.0.0.1",
		PREFIX "vote/a/1/10.9.9.9@", PREFIX "vote/c/1/10.0.0.1@",
	};
	unsigned i;

	two();
	vote(&b, SERVER(1), "dead");
	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		etcd_store_put(&store, names[i], "{\"why\":1}");
		expect_no_effect();
	}
	etcd_store_put(&store, PREFIX "vote/a/1/10.0.0.1@", "x");
	SETTLE(&a, &b);
	cr_expect(is_lost(&a, SERVER(1)));
	cr_expect_str_eq(backend_in(&a.wanted, SERVER(1))->health.by,
			 "2 of 2 nodes: it does not say why");
	free_two();
}

Test(director_cluster_keys, keys_of_others_are_passed_over)
{
	struct etcd_kv kv = {
		.key = { PREFIX "node/x\0/1", sizeof(PREFIX "node/x\0/1") - 1 },
		.value = { "{}", 2 },
	};

	two();
	etcd_store_put(&store, "/waypost/other/config", "x");
	etcd_store_put(&store, PREFIX "what", "x");
	cr_expect_eq(peer_hear(&a), 0);
	director_cluster_put(a.cluster, &kv);
	cr_expect_eq(director_cluster_settled(a.cluster, &err), 0);
	expect_no_effect();
	free_two();
}

/* --- ids --- */

static void expect_same_ids(const struct peer *peer,
			    const struct director_state *state)
{
	unsigned i;

	if (state == NULL)
		return;
	cr_assert_eq(state->count, peer->wanted.count);
	for (i = 0; i < state->count; i++) {
		cr_expect_eq(state->backends[i].server.id, i);
		cr_expect_str_eq(state->backends[i].server.ip,
				 peer->wanted.backends[i].server.ip);
	}
}

static void expect_ids(const struct peer *peer)
{
	expect_same_ids(peer, director_cluster_now(peer->cluster));
	expect_same_ids(peer, director_cluster_before(peer->cluster));
}

Test(director_cluster_keys, ids_are_the_same_whatever_came_first)
{
	two();
	b.slow = true;
	peer_configure(&a, "10.0.0.3-10.0.0.6");
	SETTLE(&a, &b);
	expect_ids(&a);
	expect_ids(&b);
	cr_expect_not_null(director_cluster_before(b.cluster));
	peer_free(&a);
	join(&a, "c", "10.0.0.5-10.0.0.7");
	SETTLE(&a, &b);
	expect_ids(&a);
	cr_expect_neq(backend_in(&a.wanted, "10.0.0.1")->server.id,
		      backend_in(&b.wanted, "10.0.0.1")->server.id);
	etcd_store_put(&store, PREFIX "backend/10.0.0.9@",
		       "{\"ip\":\"10.0.0.9\",\"added\":true,\"added_weight\":9,"
		       "\"presence\":{\"by\":\"x\",\"at\":1}}");
	SETTLE(&a, &b);
	expect_ids(&a);
	expect_ids(&b);
	free_two();
}

/* What a server was like in another configuration is no part of what is wanted:
 * a node that came later would want something else. */
Test(director_cluster_keys, what_is_wanted_is_what_the_keys_say)
{
	struct director_servers servers = *servers_of(arena, "10.0.0.1 10.0.0.2");
	struct director_server *second =
		(struct director_server *)&servers.list[1];

	two();
	second->way = (struct director_way){ .port = 2424 };
	second->name = "two.example.org";
	second->weight = 7;
	director_cluster_configure(a.cluster, &servers);
	SETTLE(&a, &b);
	cr_expect_eq(now_of(&b, SERVER(2))->server.way.port, 2424);
	etcd_store_put(&store, PREFIX "backend/10.0.0.2@",
		       "{\"ip\":\"10.0.0.2\",\"added\":true,\"added_weight\":9,"
		       "\"presence\":{\"by\":\"x\",\"at\":1}}");
	peer_configure(&a, "10.0.0.1");
	SETTLE(&a, &b);
	cr_expect_eq(now_of(&b, SERVER(2))->server.way.port, 0);
	cr_expect_null(now_of(&b, SERVER(2))->server.name);
	free_two();
}

/* --- what administrators say --- */

Test(director_cluster_keys, more_changes_than_a_transaction_holds)
{
	struct director_state draft;
	struct etcd_txn txn;
	unsigned i;

	join(&a, "a", "10.0.0.1-10.0.0.200");
	SETTLE(&a);
	director_cluster_draft(a.cluster, &draft);
	for (i = 0; i < draft.count; i++)
		director_state_set_weight(&draft, &draft.backends[i], 7, "x", 1);
	director_cluster_change(a.cluster, &draft, arena, &txn);
	director_state_free(&draft);
	cr_assert_eq(txn.op_count, 200);
	cr_assert_eq(txn.compare_count, 200);
	for (i = 0; i < 200; i++) {
		struct etcd_txn part = { &txn.compares[i], 1, &txn.ops[i], 1 };

		cr_expect_str_eq(part.compares->key.data, part.ops->key.data);
		cr_expect(etcd_store_txn(&store, &part));
	}
	SETTLE(&a);
	for (i = 0; i < 200; i++)
		cr_expect_eq(director_cluster_now(a.cluster)
				     ->backends[i].server.weight, 7);
	peer_free(&a);
}

Test(director_cluster_keys, who_changes_the_same_at_the_same_time)
{
	struct director_state draft;
	struct etcd_txn txn;

	two();
	director_cluster_draft(a.cluster, &draft);
	director_state_set_admin(&draft, director_state_find(&draft, SERVER(1),
							     &err),
				 DIRECTOR_DOWN, "x", 1);
	director_cluster_change(a.cluster, &draft, arena, &txn);
	director_state_free(&draft);
	cr_expect(set_admin(&b, SERVER(2), DIRECTOR_DRAIN));
	cr_expect(set_admin(&b, SERVER(1), DIRECTOR_DRAIN));
	cr_expect_not(etcd_store_txn(&store, &txn));
	SETTLE(&a, &b);
	cr_expect_eq(admin_of(&a, SERVER(1)), DIRECTOR_DRAIN);
	cr_expect_eq(admin_of(&a, SERVER(2)), DIRECTOR_DRAIN);
	free_two();
}

static bool commit(struct director_state *draft)
{
	struct etcd_txn txn, part;
	size_t pos, count;
	bool done = true;

	director_cluster_change(a.cluster, draft, arena, &txn);
	director_state_free(draft);
	for (pos = 0; pos < txn.op_count && done; pos += count) {
		count = txn.op_count - pos < ETCD_MAX_OPS
				? txn.op_count - pos : ETCD_MAX_OPS;
		part = (struct etcd_txn){ txn.compares + pos, count,
					  txn.ops + pos, count };
		done = etcd_store_txn(&store, &part);
	}
	return done;
}

Test(director_cluster_keys, users_are_moved_and_back)
{
	struct director_state draft;

	two();
	director_cluster_draft(a.cluster, &draft);
	director_state_pin(&draft, UINT64_C(0xfedcba9876543210), "u",
			   director_state_find(&draft, SERVER(2), &err), 0, "x",
			   1);
	cr_expect(commit(&draft));
	SETTLE(&a, &b);
	cr_expect_not_null(director_state_pin_of(
		director_cluster_now(b.cluster), UINT64_C(0xfedcba9876543210)));
	cr_expect_not_null(etcd_store_find(&store,
					   PREFIX "pin/fedcba9876543210"));
	cr_expect_eq(serial(&b), 2);
	director_cluster_draft(a.cluster, &draft);
	cr_expect(director_state_unpin(&draft, UINT64_C(0xfedcba9876543210)));
	cr_expect(commit(&draft));
	SETTLE(&a, &b);
	cr_expect_null(etcd_store_find(&store, PREFIX "pin/fedcba9876543210"));
	cr_expect_eq(serial(&b), 3);
	free_two();
}

/* Of another version, perhaps. */
/* Each key is read when it has changed, and not with all others: what comes of it
 * has to be the same. */
static void expect_as_new(const struct peer *peer)
{
	struct director_state draft, all;
	struct director_cluster *other;
	struct str is = STR_INIT, should = STR_INIT;

	director_state_init(&all);
	other = director_cluster_new(&peer->self, &all);
	etcd_store_tell_all(&store, other, &err);
	director_cluster_draft(peer->cluster, &draft);
	director_view_put_healthy(&draft, &is);
	director_view_put_healthy(&all, &should);
	cr_expect_str_eq(str_c(&is), str_c(&should));
	str_free(&is);
	str_free(&should);
	director_state_free(&draft);
	director_cluster_free(&other);
	director_state_free(&all);
}

static bool pin_by_chance(unsigned users)
{
	struct director_state draft;
	uint64_t user = (uint64_t)rand() % users;

	director_cluster_draft(a.cluster, &draft);
	if (rand() % 3 == 0)
		director_state_unpin(&draft, user);
	else
		director_state_pin(&draft, user, "u",
				   &draft.backends[rand() % 4], 0, "joe", 1);
	return commit(&draft);
}

Test(director_cluster_keys, users_are_moved_one_by_one)
{
	unsigned i;

	two();
	srand(5);
	for (i = 0; i < 200; i++) {
		cr_assert(pin_by_chance(20));
		if (i % 50 == 0)
			etcd_store_put(&store, PREFIX "pin/000000000000000z",
				       "x");
		if (i % 50 == 10)
			etcd_store_put(&store, PREFIX "pin/0000000000000003",
				       i % 20 == 0 ? "{}" : "y");
		if (i % 50 == 20)
			etcd_store_delete(&store, PREFIX "pin/0000000000000003");
		SETTLE(&a, &b);
		expect_as_new(&b);
	}
	free_two();
}

Test(director_cluster_keys, a_pin_names_a_server_that_nobody_has)
{
	two();
	etcd_store_put(&store, PREFIX "pin/0000000000000003",
		       "{\"user\":\"u\",\"key_high\":0,\"key_low\":3,"
		       "\"ip\":\"10.7.7.7\"}");
	SETTLE(&a, &b);
	expect_as_new(&b);
	cr_expect_eq(backend_in(&b.wanted, "10.7.7.7")->server.id, 4);
	cr_expect_not(director_backend_present(backend_in(&b.wanted,
							  "10.7.7.7")));
	etcd_store_delete(&store, PREFIX "pin/0000000000000003");
	SETTLE(&a, &b);
	expect_as_new(&b);
	free_two();
}

/* --- what etcd would not take --- */

static size_t view_size(void)
{
	const struct store_key *view = etcd_store_find(&store, PREFIX "view");

	return strlen(view->value);
}

/* The largest that there may be, at the moment when all is in it twice. */
Test(director_cluster_keys, the_largest_view_is_one_that_etcd_takes)
{
	struct director_state draft;
	unsigned i;

	join(&a, "a", "10.1.0.0-10.1.0.255 10.1.1.0-10.1.1.255 "
		      "10.1.2.0-10.1.2.255 10.1.3.0-10.1.3.255");
	SETTLE(&a);
	director_cluster_draft(a.cluster, &draft);
	for (i = 0; i < DIRECTOR_MAX_PINS; i++)
		director_state_pin(&draft, UINT64_MAX - i * UINT64_C(977), "u",
				   &draft.backends[i % draft.count], 0, "j", 1);
	cr_expect_eq(director_cluster_fits(a.cluster, &draft, &err), 0, "%s",
		     err.text);
	cr_assert(commit(&draft));
	SETTLE(&a);
	a.slow = true;
	cr_assert(set_admin(&a, "10.1.0.1", DIRECTOR_DRAIN));
	SETTLE(&a);
	cr_expect_not_null(director_cluster_before(a.cluster));
	cr_expect_eq(director_cluster_now(a.cluster)->pins.count,
		     DIRECTOR_MAX_PINS);
	cr_expect_gt(view_size(), 2 * 16 * DIRECTOR_MAX_PINS);
	cr_expect_lt(view_size(), 2 * DIRECTOR_CLUSTER_MAX_VIEW);
	peer_free(&a);
}

Test(director_cluster_keys, a_view_that_is_too_large)
{
	struct director_state draft;
	struct director_backend *backend;
	unsigned i;

	two();
	director_cluster_draft(a.cluster, &draft);
	for (i = draft.count; i < DIRECTOR_MAX_SERVERS; i++) {
		const char *entry = arena_printf(
			arena, "10.2.%u.%u@%0150u", i / 256, i % 256, i);

		backend = director_state_add(&draft, entry, "joe", 1, &err);
		cr_assert_not_null(backend, "%s", err.text);
	}
	cr_expect_eq(director_cluster_fits(a.cluster, &draft, &err), -1);
	cr_expect_not_null(strstr(err.text, "of 640"), "%s", err.text);
	/* What is too large already may become smaller. */
	cr_assert(commit(&draft));
	peer_hear(&a);
	director_cluster_draft(a.cluster, &draft);
	director_state_remove(&draft,
			      director_state_find(&draft, "10.2.1.1", &err),
			      "joe", 2);
	cr_expect_eq(director_cluster_fits(a.cluster, &draft, &err), 0);
	director_state_free(&draft);
	free_two();
}

Test(director_cluster_keys, servers_that_are_too_many_for_a_cluster)
{
	const struct director_servers *servers = servers_of(
		arena, "10.1.0.0-10.1.0.255 10.1.1.0-10.1.1.255");
	struct director_server *list =
		(struct director_server *)servers->list;
	unsigned i;

	cr_expect_eq(director_cluster_check_servers(servers, &err), 0);
	for (i = 0; i < servers->count; i++)
		list[i].name = arena_printf(arena, "%01000u", i);
	cr_expect_eq(director_cluster_check_servers(servers, &err), -1);
	cr_expect_not_null(strstr(err.text, "of 448"), "%s", err.text);
}

Test(director_cluster_keys, what_cannot_be_read_is_not_deleted)
{
	two();
	etcd_store_put(&store, PREFIX "backend/10.0.0.1@", "x");
	etcd_store_put(&store, PREFIX "pin/0000000000000001", "x");
	SETTLE(&a, &b);
	set_admin(&a, SERVER(2), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	cr_expect_eq(admin_of(&b, SERVER(2)), DIRECTOR_DRAIN);
	cr_expect_not_null(etcd_store_find(&store, PREFIX "backend/10.0.0.1@"));
	cr_expect_not_null(etcd_store_find(&store,
					   PREFIX "pin/0000000000000001"));
	set_admin(&a, SERVER(1), DIRECTOR_DRAIN);
	SETTLE(&a, &b);
	cr_expect_eq(admin_of(&b, SERVER(1)), DIRECTOR_DRAIN);
	free_two();
}

/* --- the list itself --- */

Test(director_cluster_keys, list)
{
	struct cluster_keys keys = { NULL, 0, 0 };
	const struct cluster_key *key;
	char name[16];
	size_t count;
	unsigned i;

	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "x/%u", i * 37 % 100);
		cluster_keys_put(&keys, name, "a\0b", 3, 1, 1 + i);
	}
	cluster_keys_put(&keys, "x", "", 0, 1, 1);
	cluster_keys_put(&keys, "x0", "", 0, 1, 1);
	key = cluster_keys_under(&keys, "x/", &count);
	cr_expect_eq(count, 100);
	cr_expect_str_eq(key->name, "x/0");
	key = cluster_keys_find(&keys, "x/7");
	cr_assert_not_null(key);
	cr_expect_eq(memcmp(key->value, "a\0b", 4), 0);
	cluster_keys_drop(&keys, "x/7");
	cluster_keys_drop(&keys, "x/7");
	cr_expect_null(cluster_keys_find(&keys, "x/7"));
	cluster_keys_under(&keys, "x/", &count);
	cr_expect_eq(count, 99);
	cluster_keys_under(&keys, "y/", &count);
	cr_expect_eq(count, 0);
	cluster_keys_clear(&keys);
}
