#include "proxy/director/cluster.h"

#include <criterion/criterion.h>

#include "lib/mem.h"
#include "t/etcd_gateway.h"
#include "t/unit/settings_helper.h"

#define NOTHING "{" ETCD_AT("5") "}"
#define LEASE "{" ETCD_AT("5") ",\"ID\":\"7\",\"TTL\":\"60\"}"

struct member {
	struct etcd_world world; /* of which only a gateway is used */
	struct gateway *gateway;
	struct settings *settings;
	struct director_state state;
	struct cluster_node *node;
	bool ended;
	struct str error; /* of the change that has ended; empty: none */
};

static void changed(void *arg)
{
	(void)arg;
}

static void left(void *arg)
{
	(void)arg;
}

static void reply(struct member *member, const char *path, const char *body,
		  enum gateway_how how)
{
	gateway_reply(member->gateway,
		      (struct gateway_reply){ path, body, how, 200 });
}

static void join(struct member *member)
{
	static const struct cluster_node_events events = { changed, left };
	struct str text = STR_INIT;
	struct err err;

	str_printf(&text, BASE PASSDB "director_mail_servers = 192.0.2.1\n"
		   "cluster_node = a\ncluster_etcd_timeout = 2s\n"
		   "cluster_etcd_urls = http://127.0.0.1:%u\n",
		   member->gateway->port);
	member->settings = load(str_c(&text));
	str_free(&text);
	director_state_init(&member->state);
	member->node = cluster_node_new(member->world.loop, member->settings,
					&member->state, &events, member, &err);
	cr_assert_not_null(member->node, "%s", err.text);
}

static void member_init(struct member *member)
{
	*member = (struct member){ .error = STR_INIT };
	etcd_world_init(&member->world, 1);
	member->gateway = &member->world.gateways[0];
	reply(member, "kv/range", NOTHING, GATEWAY_ANSWER);
	reply(member, "watch", ETCD_CREATED("5"), GATEWAY_STREAM);
	reply(member, "lease/grant", LEASE, GATEWAY_ANSWER);
}

static void member_free(struct member *member)
{
	cluster_node_free(&member->node);
	director_state_free(&member->state);
	settings_unref(&member->settings);
	etcd_world_free(&member->world);
	str_free(&member->error);
}

static void ended(void *arg, const char *error)
{
	struct member *member = arg;

	cr_expect_not(member->ended);
	member->ended = true;
	if (error != NULL)
		str_puts(&member->error, error);
}

/* Of so many keys that are not there. */
static void delete_keys(struct member *member, size_t count)
{
	struct arena *arena = arena_new(1024);
	struct etcd_compare *compares =
		arena_alloc(arena, count * sizeof(*compares));
	struct etcd_op *ops = arena_alloc(arena, count * sizeof(*ops));
	const struct etcd_txn txn = { compares, count, ops, count };
	struct etcd_bytes key;
	size_t i;

	for (i = 0; i < count; i++) {
		key.data = arena_printf(arena, "/waypost/waypost/moved/%zu", i);
		key.len = strlen(key.data);
		compares[i] = (struct etcd_compare){ .key = key };
		ops[i] = (struct etcd_op){ .delete = true, .key = key };
	}
	cluster_node_change(member->node, &txn, arena, ended, member);
}

/* The first transaction is what the node says of itself. That the second one was done
 * already shows at once; the third one must still be waited for. */
Test(cluster_node, a_change_is_over_when_all_parts_are_written, .timeout = 60)
{
	struct member member;

	member_init(&member);
	reply(&member, "kv/txn", "", GATEWAY_SILENT);
	reply(&member, "kv/txn", NOTHING, GATEWAY_ANSWER);
	reply(&member, "kv/txn", "", GATEWAY_SILENT);
	join(&member);
	WAIT(&member.world, gateway_count(member.gateway, "kv/txn") == 1);
	delete_keys(&member, ETCD_MAX_OPS + 1);
	WAIT(&member.world, member.ended);
	cr_expect_geq(gateway_count(member.gateway, "kv/txn"), 3);
	cr_expect_gt(member.error.len, 0,
		     "a part was not written, and nobody says so");
	member_free(&member);
}
