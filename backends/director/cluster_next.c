/* What a process of a cluster writes, one thing after the other. */
#include <string.h>

#include "backends/director/cluster_private.h"
#include "backends/director/json_fields.h"
#include "backends/director/view_json.h"
#include "lib/mem.h"

/* In one transaction, with room for more: of a node that was killed so often. */
#define MAX_BURIED (ETCD_MAX_OPS - 8)

/* --- names --- */

void director_cluster_put_server(struct str *out,
				 const struct director_server *server)
{
	str_printf(out, "%s@%s", server->ip, server->tag);
}

struct etcd_bytes director_cluster_key(const struct director_cluster *cluster,
				       struct arena *arena, const char *name)
{
	char *key = arena_concat(arena, cluster->self.prefix, name, "");

	return (struct etcd_bytes){ key, strlen(key) };
}

const char *director_cluster_own_key(const struct director_cluster *cluster,
				     struct arena *arena, const char *kind)
{
	return arena_printf(arena, "%s%s/%s", kind, cluster->self.node,
			    cluster->self.process);
}

/* --- what this process says --- */

void director_cluster_set_lease(struct director_cluster *cluster,
				int64_t lease)
{
	cluster->lease = lease;
}

void director_cluster_set_lives(struct director_cluster *cluster,
				bool (*lives)(void *arg, const char *process),
				void *arg)
{
	cluster->lives = lives;
	cluster->lives_arg = arg;
}

void director_cluster_done(struct director_cluster *cluster, uint64_t serial)
{
	if (serial > cluster->done)
		cluster->done = serial;
}

int director_cluster_check_servers(const struct director_servers *servers,
				   struct err *err)
{
	struct director_state state;
	struct str view = STR_INIT;
	size_t size;

	director_state_init(&state);
	director_state_configure(&state, servers);
	director_view_put(&state, &view);
	size = view.len;
	str_free(&view);
	director_state_free(&state);
	if (size <= DIRECTOR_CLUSTER_MAX_CONFIG)
		return 0;
	return err_set(err, "the servers are %zu KiB of the cluster's view, of "
		       "%d that they may be: fewer servers or shorter names are "
		       "needed", (size + 1023) / 1024,
		       DIRECTOR_CLUSTER_MAX_CONFIG / 1024);
}

static void put_config(const struct director_cluster *cluster,
		       const struct director_servers *servers, struct str *out)
{
	struct director_state state;

	director_state_init(&state);
	director_state_configure(&state, servers);
	str_puts(out, "{\"hash\":");
	json_put_string(out, cluster->self.hash);
	str_puts(out, ",\"config\":");
	director_view_put(&state, out);
	str_putc(out, '}');
	director_state_free(&state);
}

void director_cluster_configure(struct director_cluster *cluster,
				const struct director_servers *servers)
{
	struct str was = cluster->config;

	cluster->config = (struct str)STR_INIT;
	put_config(cluster, servers, &cluster->config);
	cluster->insists |= was.len > 0 &&
			    strcmp(str_c(&was), str_c(&cluster->config)) != 0;
	str_free(&was);
}

void director_cluster_vote(struct director_cluster *cluster, uint32_t id,
			   const char *why, uint64_t at_s)
{
	struct cluster_vote *vote = cluster->votes;
	unsigned i = 0;

	while (i < cluster->vote_count && vote[i].id != id)
		i++;
	if (i == cluster->vote_count) {
		if (why == NULL)
			return;
		cluster->votes = mem_realloc(cluster->votes,
					     ++cluster->vote_count *
						     sizeof(*vote));
		cluster->votes[i] = (struct cluster_vote){ .id = id };
	}
	vote = &cluster->votes[i];
	if (vote->why != NULL && why != NULL && strcmp(vote->why, why) == 0)
		return;
	if (vote->why != NULL && why == NULL)
		vote->recovery = ++cluster->recoveries;
	mem_free(&vote->why);
	vote->why = why != NULL ? mem_strdup(why) : NULL;
	vote->at_s = at_s;
}

void director_cluster_slept(struct director_cluster *cluster)
{
	cluster->slept = ++cluster->recoveries;
}

bool director_cluster_is_awake(const struct director_cluster *cluster)
{
	return cluster->told_recoveries >= cluster->slept;
}

static bool is_doubted(const struct director_cluster *cluster,
		       const struct cluster_vote *vote)
{
	return vote->why == NULL && vote->recovery > cluster->told_recoveries;
}

bool director_cluster_doubts(const struct director_cluster *cluster,
			     uint32_t id)
{
	unsigned i;

	for (i = 0; i < cluster->vote_count; i++) {
		if (cluster->votes[i].id == id)
			return is_doubted(cluster, &cluster->votes[i]);
	}
	return false;
}

unsigned director_cluster_doubted(const struct director_cluster *cluster)
{
	unsigned i, count = 0;

	for (i = 0; i < cluster->vote_count; i++) {
		const struct cluster_vote *vote = &cluster->votes[i];

		count += is_doubted(cluster, vote) &&
			 director_backend_present(
				 &cluster->wanted->backends[vote->id]);
	}
	return count;
}

/* --- transactions --- */

/* Adds an op on a key, which is to be as it was seen. */
struct draft {
	const struct director_cluster *cluster;
	struct arena *arena;
	struct etcd_compare compares[ETCD_MAX_OPS];
	struct etcd_op ops[ETCD_MAX_OPS];
	size_t compare_count, op_count;
};

static void expect(struct draft *draft, const char *name)
{
	const struct cluster_key *key =
		cluster_keys_find(&draft->cluster->keys, name);

	draft->compares[draft->compare_count++] = (struct etcd_compare){
		ETCD_COMPARE_MOD,
		director_cluster_key(draft->cluster, draft->arena, name),
		key != NULL ? key->mod : 0,
	};
}

static void put(struct draft *draft, const char *name, const char *value,
		bool leased)
{
	draft->ops[draft->op_count++] = (struct etcd_op){
		.key = director_cluster_key(draft->cluster, draft->arena, name),
		.value = { value, strlen(value) },
		.lease = leased ? draft->cluster->lease : 0,
	};
}

static void delete(struct draft *draft, const char *name)
{
	draft->ops[draft->op_count++] = (struct etcd_op){
		.delete = true,
		.key = director_cluster_key(draft->cluster, draft->arena, name),
	};
}

static bool says(const struct director_cluster *cluster, const char *name,
		 const char *value)
{
	const struct cluster_key *key =
		cluster_keys_find(&cluster->keys, name);

	return key != NULL && strcmp(key->value, value) == 0;
}

static struct draft *draft_new(const struct director_cluster *cluster,
			       struct arena *arena)
{
	struct draft *draft = arena_new_struct(arena, struct draft);

	draft->cluster = cluster;
	draft->arena = arena;
	return draft;
}

static bool is_made(const struct draft *draft, struct etcd_txn *txn_r)
{
	*txn_r = (struct etcd_txn){ draft->compares, draft->compare_count,
				    draft->ops, draft->op_count };
	return draft->op_count > 0;
}

/* --- the configuration --- */

bool director_cluster_same_config(const struct director_cluster *cluster)
{
	return says(cluster, "config", str_c(&cluster->config));
}

static bool has_to_say_config(const struct director_cluster *cluster)
{
	if (cluster->config.len == 0 || director_cluster_same_config(cluster))
		return false;
	return cluster_keys_find(&cluster->keys, "config") == NULL ||
	       cluster->insists || director_cluster_is_alone(cluster);
}

bool director_cluster_yields(const struct director_cluster *cluster)
{
	return cluster->config.len > 0 &&
	       !director_cluster_same_config(cluster) &&
	       !has_to_say_config(cluster);
}

static void say_config(struct draft *draft)
{
	expect(draft, "config");
	if (has_to_say_config(draft->cluster))
		put(draft, "config",
		    arena_strdup(draft->arena,
				 str_c(&draft->cluster->config)), false);
}

/* --- this process --- */

static const char *own_text(const struct director_cluster *cluster,
			    struct arena *arena)
{
	struct str text = STR_INIT, digest = STR_INIT;
	struct json_writer json = { .out = &text };
	const char *copy;

	json_open_object(&json, NULL);
	json_write_number(&json, "done", cluster->done);
	json_write_number(&json, "since", cluster->self.since);
	if (cluster->recoveries > 0)
		json_write_number(&json, "recoveries", cluster->recoveries);
	json_write_text(&json, "version", cluster->self.version);
	director_cluster_put_digest(&digest, str_c(&cluster->config),
				    cluster->config.len);
	json_write_text(&json, "config", str_c(&digest));
	json_close_object(&json);
	copy = arena_strdup(arena, str_c(&text));
	str_free(&text);
	str_free(&digest);
	return copy;
}

static void say_hello(struct draft *draft)
{
	const struct director_cluster *cluster = draft->cluster;
	struct arena *arena = draft->arena;
	const char *own = director_cluster_own_key(cluster, arena, "node/");
	const char *runs = director_cluster_own_key(cluster, arena, "runs/");
	const char *text = own_text(cluster, arena);
	const char *member = arena_concat(arena, "member/", cluster->self.node,
					  "");
	bool is_there = cluster_keys_find(&cluster->keys, own) != NULL;

	/* Of those who hash in different ways one takes part. */
	if (!is_there)
		say_config(draft);
	if (!says(cluster, own, text))
		put(draft, own, text, true);
	if (cluster_keys_find(&cluster->keys, runs) == NULL)
		put(draft, runs, "{}", false);
	/* With each process that comes: see take_back(). */
	if (!is_there || cluster_keys_find(&cluster->keys, member) == NULL)
		put(draft, member, "{}", false);
}

/* Others of this node who are not there any more. */
static void bury(struct draft *draft)
{
	const struct director_cluster *cluster = draft->cluster;
	size_t i, count;
	const struct cluster_key *key = director_cluster_of_node(
		cluster, "runs/", cluster->self.node, &count);

	for (i = 0; i < count && draft->op_count < MAX_BURIED; i++) {
		if (director_cluster_is_dead(cluster, &key[i]))
			delete(draft, key[i].name);
	}
}

static void vote(struct draft *draft, const struct cluster_vote *vote)
{
	const struct director_cluster *cluster = draft->cluster;
	struct str text = STR_INIT;
	struct json_writer json = { .out = &text };
	const char *name;

	str_putc(&text, '/');
	director_cluster_put_server(
		&text, &cluster->wanted->backends[vote->id].server);
	name = arena_concat(draft->arena,
			    director_cluster_own_key(cluster, draft->arena,
						     "vote/"),
			    str_c(&text), "");
	str_clear(&text);
	if (vote->why != NULL) {
		json_open_object(&json, NULL);
		json_write_text(&json, "why", vote->why);
		json_write_number(&json, "at", vote->at_s);
		json_close_object(&json);
		if (!says(cluster, name, str_c(&text)))
			put(draft, name,
			    arena_strdup(draft->arena, str_c(&text)), true);
	} else if (cluster_keys_find(&cluster->keys, name) != NULL) {
		delete(draft, name);
	}
	str_free(&text);
}

static void say_votes(struct draft *draft)
{
	unsigned i;

	for (i = 0; i < draft->cluster->vote_count &&
		    draft->op_count < ETCD_MAX_OPS; i++)
		vote(draft, &draft->cluster->votes[i]);
}

/* --- taking part --- */

const char *director_cluster_problem(const struct director_cluster *cluster)
{
	if (cluster->broken && cluster->serial == 0)
		return "the cluster's view cannot be read";
	if (cluster->hash != NULL &&
	    strcmp(cluster->hash, cluster->self.hash) != 0 &&
	    !director_cluster_is_only(cluster))
		return "director_hash or director_username_hash is another one "
		       "than the cluster's";
	return NULL;
}

/* --- views --- */

static const char *view_text(const struct director_cluster *cluster,
			     struct arena *arena, uint64_t serial,
			     const struct str *now, const struct str *before)
{
	struct str text = STR_INIT;
	const char *copy;

	str_printf(&text, "{\"serial\":%llu,\"by\":",
		   (unsigned long long)serial);
	json_put_string(&text, cluster->self.node);
	str_printf(&text, ",\"now\":%s", str_c(now));
	if (before->len > 0)
		str_printf(&text, ",\"before\":%s", str_c(before));
	str_putc(&text, '}');
	copy = arena_strdup(arena, str_c(&text));
	str_free(&text);
	return copy;
}

/* The view as it is, but without servers that were lost meanwhile. */
static void put_reduced(struct director_cluster *cluster, struct str *out)
{
	struct director_state *now = &cluster->now;
	bool *was = mem_alloc((now->count + 1) * sizeof(*was));
	unsigned i;

	for (i = 0; i < now->count; i++) {
		const struct director_backend *wanted =
			&cluster->wanted->backends[i];

		was[i] = now->backends[i].sick;
		now->backends[i].sick |= wanted->sick && !wanted->trusted;
	}
	director_view_put(now, out);
	for (i = 0; i < now->count; i++)
		now->backends[i].sick = was[i];
	mem_free(&was);
}

static void put_view(struct draft *draft, uint64_t serial,
		     const struct str *now, const struct str *before)
{
	const struct director_cluster *cluster = draft->cluster;

	expect(draft, "view");
	expect(draft, director_cluster_own_key(cluster, draft->arena, "node/"));
	put(draft, "view",
	    view_text(cluster, draft->arena, serial, now, before), false);
}

/* Nobody is at the servers that it loses: they are dead. */
static void lose_servers(struct draft *draft, const struct str *now)
{
	struct director_cluster *cluster =
		(struct director_cluster *)draft->cluster;
	struct str reduced = STR_INIT, before = STR_INIT;

	put_reduced(cluster, &reduced);
	if (cluster->has_before)
		director_view_put(&cluster->before, &before);
	if (strcmp(str_c(&reduced), str_c(now)) != 0)
		put_view(draft, cluster->serial, &reduced, &before);
	str_free(&reduced);
	str_free(&before);
}

unsigned director_cluster_kept_lost(const struct director_cluster *cluster)
{
	unsigned i, count = 0;

	for (i = 0; i < cluster->now.count && cluster->away != NULL; i++)
		count += cluster->now.backends[i].sick &&
			 !cluster->wanted->backends[i].sick;
	return count;
}

static bool has_lost_more(const struct director_cluster *cluster)
{
	unsigned i;

	for (i = 0; i < cluster->now.count; i++) {
		if (cluster->now.backends[i].sick &&
		    !cluster->before.backends[i].sick)
			return true;
	}
	return false;
}

/* A node has gone away before it was done with the view, and users whom that
 * moves wait for it: they had better stay where they were. As long as there is a
 * before nobody was let in by the view, unless it has lost a server since.
 * Whether there is such a view to take back. */
static bool take_back(struct draft *draft)
{
	const struct director_cluster *cluster = draft->cluster;
	const char *away = director_cluster_away(cluster);
	struct str before = STR_INIT, none = STR_INIT;

	if (away == NULL || !cluster->has_before || has_lost_more(cluster))
		return false;
	director_view_put(&cluster->before, &before);
	put_view(draft, cluster->serial + 1, &before, &none);
	expect(draft, arena_concat(draft->arena, "member/", away, ""));
	str_free(&before);
	return true;
}

/* Not all are done with the view. */
static void hold_view(struct draft *draft, const struct str *now)
{
	if (!take_back(draft))
		lose_servers(draft, now);
}

/* What the cluster knows was lost, by hand, or is older in the store than here. */
static void restore_view(struct draft *draft, const struct str *now)
{
	const struct director_cluster *cluster = draft->cluster;
	struct str before = STR_INIT;

	if (cluster->has_before)
		director_view_put(&cluster->before, &before);
	put_view(draft, cluster->serial, now, &before);
	str_free(&before);
}

/* All are done with the view, and those who wait may go on; or then, the next
 * one. */
static void go_on(struct draft *draft, const struct str *now)
{
	const struct director_cluster *cluster = draft->cluster;
	struct str wanted = STR_INIT, none = STR_INIT;

	director_view_put(cluster->wanted, &wanted);
	if (cluster->has_before)
		put_view(draft, cluster->serial, now, &none);
	else if (strcmp(str_c(now), str_c(&wanted)) != 0)
		put_view(draft, cluster->serial + 1, &wanted, now);
	str_free(&wanted);
}

static void say_view(struct draft *draft)
{
	const struct director_cluster *cluster = draft->cluster;
	struct str now = STR_INIT;

	/* Whoever leads now need not be one who knows. */
	if (cluster->broken ||
	    (!director_cluster_leads(cluster) && !cluster->stale_view) ||
	    cluster->wanted_config.len == 0)
		return;
	if (cluster->serial > 0)
		director_view_put(&cluster->now, &now);
	if (cluster->stale_view)
		restore_view(draft, &now);
	else if (cluster->serial == 0)
		go_on(draft, &now);
	else if (cluster_keys_find(&cluster->keys, "view") == NULL)
		restore_view(draft, &now);
	else if (director_cluster_all_done(cluster))
		go_on(draft, &now);
	else
		hold_view(draft, &now);
	str_free(&now);
}

bool director_cluster_next(struct director_cluster *cluster,
			   struct arena *arena, struct etcd_txn *txn_r)
{
	static void (*const steps[])(struct draft *draft) = {
		say_hello, bury, say_config, say_votes, say_view,
	};
	size_t i;

	if (cluster->lease == 0 || director_cluster_problem(cluster) != NULL)
		return false;
	if (director_cluster_same_config(cluster))
		cluster->insists = false;
	for (i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct draft *draft = draft_new(cluster, arena);

		steps[i](draft);
		if (is_made(draft, txn_r))
			return true;
	}
	return false;
}

void director_cluster_leave(struct director_cluster *cluster, bool for_good,
			    struct arena *arena, struct etcd_txn *txn_r)
{
	struct draft *draft = draft_new(cluster, arena);
	const char *own = director_cluster_own_key(cluster, arena, "node/");
	const char *member = arena_concat(arena, "member/", cluster->self.node,
					  "");
	size_t count;

	delete(draft, own);
	delete(draft, director_cluster_own_key(cluster, arena, "runs/"));
	bury(draft);
	director_cluster_of_node(cluster, "node/", cluster->self.node, &count);
	if (for_good &&
	    count <= (cluster_keys_find(&cluster->keys, own) != NULL))
		delete(draft, member);
	else if (for_good)
		put(draft, member, CLUSTER_GOING, false);
	is_made(draft, txn_r);
}

void director_cluster_adopt(const struct director_cluster *cluster,
			    struct arena *arena, struct etcd_txn *txn_r)
{
	struct draft *draft = draft_new(cluster, arena);

	expect(draft, "config");
	put(draft, "config", arena_strdup(arena, str_c(&cluster->config)),
	    false);
	is_made(draft, txn_r);
}

void director_cluster_forget(const struct director_cluster *cluster,
			     const char *node, struct arena *arena,
			     struct etcd_txn *txn_r)
{
	struct draft *draft = draft_new(cluster, arena);
	const char *member = arena_concat(arena, "member/", node, "");

	const struct cluster_key *key;
	size_t i, count;

	expect(draft, member);
	delete(draft, member);
	key = director_cluster_of_node(cluster, "runs/", node, &count);
	for (i = 0; i < count && draft->op_count < MAX_BURIED; i++) {
		expect(draft, key[i].name);
		delete(draft, key[i].name);
	}
	is_made(draft, txn_r);
}
