/* The nodes of the cluster, and what they know. */
#include <string.h>

#include "proxy/control/private.h"
#include "proxy/director/cluster.h"
#include "proxy/director/keeper.h"

/* NULL: there is none, and the call is refused. */
static struct cluster_node *node_of(struct control_call **call)
{
	struct cluster_node *node =
		director_keeper_cluster((*call)->control->env.keeper);

	if (node == NULL)
		control_refuse(call, 409, "cluster_etcd_urls is not set");
	return node;
}

struct nodes {
	struct json_writer *json;
	uint64_t serial;
};

static void write_node(void *arg, const struct director_cluster_node *node)
{
	const struct nodes *nodes = arg;
	struct json_writer *json = nodes->json;

	json_open_object(json, NULL);
	json_write_text(json, "node", node->node);
	json_write_text(json, "state", node->away ? "away" : "there");
	if (node->process != NULL)
		json_write_text(json, "process", node->process);
	if (!node->away) {
		json_write_text(json, "version", node->version);
		json_write_number(json, "done", node->done);
		json_write_number(json, "lag", nodes->serial > node->done
						? nodes->serial - node->done
						: 0);
		json_write_bool(json, "leads", node->leads);
		json_write_bool(json, "self", node->self);
		json_write_bool(json, "other_config", node->other_config);
	}
	json_close_object(json);
}

static void write_ring(struct json_writer *json, struct cluster_node *node)
{
	struct director_cluster *cluster = cluster_node_cluster(node);
	const char *problem = cluster_node_problem(node);
	struct nodes nodes = { json, director_cluster_serial(cluster) };

	json_open_object(json, NULL);
	json_write_text(json, "etcd", cluster_node_member(node));
	json_write_bool(json, "in_step", problem == NULL);
	if (problem != NULL)
		json_write_text(json, "problem", problem);
	json_write_seconds(json, "lost_seconds",
			   cluster_node_lost_ms(node) * 1000);
	json_write_number(json, "serial", nodes.serial);
	json_write_bool(json, "agreed", director_cluster_agreed(cluster));
	json_write_bool(json, "same_config",
			director_cluster_same_config(cluster));
	json_open_array(json, "nodes");
	director_cluster_nodes(cluster, write_node, &nodes);
	json_close_array(json);
	json_close_object(json);
}

void control_ring(struct control_call *call)
{
	struct cluster_node *node = node_of(&call);

	if (node == NULL)
		return;
	write_ring(&call->json, node);
	control_answer(&call);
}

static void forgotten(void *arg, const char *error)
{
	struct control_call *call = arg;

	if (error != NULL)
		control_refuse(&call, 409, error);
	else
		control_answer_ok(&call);
}

static void forget(struct control_call *call, struct cluster_node *node,
		   const char *name)
{
	struct arena *arena = arena_new(512);
	struct etcd_txn txn;

	director_cluster_forget(cluster_node_cluster(node), name, arena, &txn);
	cluster_node_change(node, &txn, arena, forgotten, call);
}

void control_ring_remove(struct control_call *call)
{
	struct cluster_node *node = node_of(&call);
	const char *name;
	bool there;

	if (node == NULL)
		return;
	name = control_param(call, "node");
	if (name == NULL || *name == '\0')
		control_refuse(&call, 400, "node is needed");
	else if (!cluster_node_in_step(node))
		control_refuse(&call, 409, "etcd is lost");
	else if (!director_cluster_has_node(cluster_node_cluster(node), name,
					    &there))
		control_refuse(&call, 404, "there is no such node");
	else if (there)
		control_refuse(&call, 409, "the node is there: stop it");
	else
		forget(call, node, name);
}

static void adopt(struct control_call *call, struct cluster_node *node)
{
	struct arena *arena = arena_new(4096);
	struct etcd_txn txn;

	director_cluster_adopt(cluster_node_cluster(node), arena, &txn);
	cluster_node_change(node, &txn, arena, control_changed, call);
}

void control_ring_adopt(struct control_call *call)
{
	struct cluster_node *node = node_of(&call);
	const char *problem;

	if (node == NULL)
		return;
	problem = cluster_node_problem(node);
	if (problem != NULL)
		control_refuse(&call, 409, problem);
	else if (director_cluster_same_config(cluster_node_cluster(node)))
		control_answer_ok(&call);
	else
		adopt(call, node);
}
