/* The nodes of a cluster: who is there, who leads, and what they vote. */
#include <string.h>

#include "backends/director/cluster_private.h"
#include "backends/director/json_fields.h"
#include "lib/hash.h"
#include "lib/mem.h"

int director_cluster_place(const char *name, struct cluster_place *place_r)
{
	const char *node = strchr(name, '/'), *process, *end;

	if (node == NULL)
		return -1;
	process = strchr(++node, '/');
	if (process == NULL || process == node)
		return -1;
	end = strchrnul(process + 1, '/');
	if (end == process + 1)
		return -1;
	*place_r = (struct cluster_place){
		.node = node,
		.node_len = (size_t)(process - node),
		.process = process + 1,
		.process_len = (size_t)(end - process - 1),
		.rest = *end == '/' ? end + 1 : NULL,
	};
	return 0;
}

static bool same_node(const struct cluster_place *a,
		      const struct cluster_place *b)
{
	return a->node_len == b->node_len &&
	       memcmp(a->node, b->node, a->node_len) == 0;
}

/* The processes of all nodes, node by node, and what else has such a key. */
static const struct cluster_key *
processes(const struct director_cluster *cluster, size_t *count_r)
{
	return cluster_keys_under(&cluster->keys, "node/", count_r);
}

static bool is_process(const struct cluster_key *key,
		       struct cluster_place *place_r)
{
	return director_cluster_place(key->name, place_r) == 0 &&
	       place_r->rest == NULL;
}

int director_cluster_check_processes(const struct director_cluster *cluster,
				     struct err *err)
{
	const struct cluster_key *key;
	struct cluster_place place;
	size_t i, count;
	int ret = 0;

	key = processes(cluster, &count);
	for (i = 0; i < count; i++) {
		struct err why;
		struct json *root = json_parse(key[i].value, key[i].len, &why);

		if (!is_process(&key[i], &place))
			err_put(&why, "it is no NODE/PROCESS");
		if ((root == NULL || !is_process(&key[i], &place)) &&
		    director_cluster_complain(cluster, &key[i], why.text,
					      err) < 0)
			ret = -1;
		json_close(&root);
	}
	return ret;
}

static unsigned count_nodes(const struct director_cluster *cluster)
{
	struct cluster_place place, last = { .node = "", .node_len = 0 };
	const struct cluster_key *key;
	unsigned nodes = 0;
	size_t i, count;

	key = processes(cluster, &count);
	for (i = 0; i < count; i++) {
		if (!is_process(&key[i], &place))
			continue;
		nodes += !same_node(&place, &last);
		last = place;
	}
	return nodes;
}

/* --- votes --- */

/* Of one server. */
struct poll {
	unsigned votes;
	struct cluster_place last; /* one vote for each node */
	const struct cluster_key *first;
};

/* As director_cluster_put_server() writes it. */
static bool is_called(const struct director_server *server, const char *name)
{
	size_t len = strlen(server->ip);

	return strncmp(name, server->ip, len) == 0 && name[len] == '@' &&
	       strcmp(name + len + 1, server->tag) == 0;
}

static uint32_t id_of(const struct director_cluster *cluster,
		      const char *name)
{
	uint32_t i = 0;

	while (i < cluster->wanted->count &&
	       !is_called(&cluster->wanted->backends[i].server, name))
		i++;
	return i;
}

/* Votes go with the lease, which lasts longer than a process that says goodbye. */
static bool is_there(const struct director_cluster *cluster,
		     const struct cluster_place *place)
{
	struct str name = STR_INIT;
	bool there;

	str_printf(&name, "node/%.*s/%.*s", (int)place->node_len, place->node,
		   (int)place->process_len, place->process);
	there = cluster_keys_find(&cluster->keys, str_c(&name)) != NULL;
	str_free(&name);
	return there;
}

static void take_vote(const struct director_cluster *cluster,
		      struct poll *polls, const struct cluster_key *key)
{
	struct cluster_place place;
	struct poll *poll;
	uint32_t id;

	if (director_cluster_place(key->name, &place) < 0 ||
	    place.rest == NULL || !is_there(cluster, &place))
		return;
	id = id_of(cluster, place.rest);
	if (id == cluster->wanted->count)
		return;
	poll = &polls[id];
	if (poll->first != NULL && same_node(&poll->last, &place))
		return;
	if (poll->first == NULL)
		poll->first = key;
	poll->votes++;
	poll->last = place;
}

/* What the first of them says of the reason, and since when. */
static void lose(struct director_cluster *cluster, uint32_t id,
		 const struct poll *poll, unsigned nodes)
{
	struct err err;
	struct json *root =
		json_parse(poll->first->value, poll->first->len, &err);
	const char *why = json_text(json_member(root, "why"));
	uint64_t at_s = 0;
	struct str text = STR_INIT;

	if (json_field_number(root, "at", INT64_MAX, &at_s, &err) < 0)
		at_s = 0;
	str_printf(&text, "%u of %u nodes: %s", poll->votes, nodes,
		   why != NULL ? why : "it does not say why");
	director_state_set_health(cluster->wanted,
				  &cluster->wanted->backends[id], true,
				  str_c(&text), at_s);
	str_free(&text);
	json_close(&root);
}

void director_cluster_count_votes(struct director_cluster *cluster)
{
	unsigned nodes = count_nodes(cluster), count = cluster->wanted->count;
	struct poll *polls = mem_alloc((count + 1) * sizeof(*polls));
	const struct cluster_key *key;
	size_t i, votes;

	memset(polls, 0, (count + 1) * sizeof(*polls));
	key = cluster_keys_under(&cluster->keys, "vote/", &votes);
	for (i = 0; i < votes; i++)
		take_vote(cluster, polls, &key[i]);
	for (i = 0; i < count; i++) {
		if (polls[i].votes * 2 > nodes)
			lose(cluster, (uint32_t)i, &polls[i], nodes);
	}
	mem_free(&polls);
}

/* --- who is there --- */

static const struct cluster_key *
leader(const struct director_cluster *cluster)
{
	const struct cluster_key *key, *first = NULL;
	struct cluster_place place;
	size_t i, count;

	key = processes(cluster, &count);
	for (i = 0; i < count; i++) {
		if (is_process(&key[i], &place) &&
		    (first == NULL || key[i].create < first->create))
			first = &key[i];
	}
	return first;
}

const struct cluster_key *
director_cluster_of_node(const struct director_cluster *cluster,
			 const char *kind, const char *node, size_t *count_r)
{
	struct arena *arena = arena_new(256);
	const struct cluster_key *key = cluster_keys_under(
		&cluster->keys, arena_concat(arena, kind, node, "/"), count_r);

	arena_free(&arena);
	return key;
}

/* Of any kind. */
static bool is_own(const struct director_cluster *cluster,
		   const struct cluster_key *key)
{
	const struct director_cluster_self *self = &cluster->self;
	struct cluster_place place;

	return key != NULL && is_process(key, &place) &&
	       place.node_len == strlen(self->node) &&
	       memcmp(place.node, self->node, place.node_len) == 0 &&
	       strcmp(place.process, self->process) == 0;
}

bool director_cluster_is_dead(const struct director_cluster *cluster,
			      const struct cluster_key *key)
{
	struct cluster_place place;

	return cluster->lives != NULL && is_process(key, &place) &&
	       !is_own(cluster, key) &&
	       !cluster->lives(cluster->lives_arg, place.process);
}

bool director_cluster_leads(const struct director_cluster *cluster)
{
	return is_own(cluster, leader(cluster));
}

static uint64_t done_of(const struct json *root)
{
	uint64_t done;
	struct err err;

	return json_field_number(root, "done", INT64_MAX, &done, &err) == 0
		       ? done : 0;
}

static bool is_done(const struct cluster_key *key, uint64_t serial)
{
	struct err err;
	struct json *root = json_parse(key->value, key->len, &err);
	bool done = root != NULL && done_of(root) >= serial;

	json_close(&root);
	return done;
}

static uint64_t recoveries_of(const struct json *root)
{
	uint64_t count;
	struct err err;

	return json_field_number(root, "recoveries", INT64_MAX, &count,
				 &err) == 0 ? count : 0;
}

void director_cluster_hear_own(struct director_cluster *cluster)
{
	struct arena *arena = arena_new(256);
	const struct cluster_key *key = cluster_keys_find(
		&cluster->keys, director_cluster_own_key(cluster, arena,
							 "node/"));
	struct json *root = NULL;
	struct err err;

	if (key != NULL)
		root = json_parse(key->value, key->len, &err);
	if (recoveries_of(root) > cluster->told_recoveries) {
		cluster->told_recoveries = recoveries_of(root);
		cluster->news |= DIRECTOR_NEWS_HEALTH;
	}
	json_close(&root);
	arena_free(&arena);
}

bool director_cluster_has_node(const struct director_cluster *cluster,
			       const char *node, bool *there_r)
{
	struct arena *arena = arena_new(256);
	size_t there, run;
	bool known;

	director_cluster_of_node(cluster, "node/", node, &there);
	director_cluster_of_node(cluster, "runs/", node, &run);
	*there_r = there > 0;
	known = cluster_keys_find(&cluster->keys,
				  arena_concat(arena, "member/", node, "")) !=
		NULL;
	arena_free(&arena);
	return known || there > 0 || run > 0;
}

static bool is_going(const struct cluster_key *member)
{
	return strcmp(member->value, CLUSTER_GOING) == 0;
}

/* Whether a process is away, by the key that says that it runs. */
static bool process_is_away(const struct director_cluster *cluster,
			    const struct cluster_key *key,
			    struct cluster_place *place_r)
{
	return is_process(key, place_r) && !is_there(cluster, place_r);
}

/* Whether a node has no process that is known of, and has not said goodbye. */
static bool node_is_away(const struct director_cluster *cluster,
			 const struct cluster_key *member)
{
	const char *node = strchr(member->name, '/') + 1;
	size_t run;
	bool there;

	director_cluster_has_node(cluster, node, &there);
	director_cluster_of_node(cluster, "runs/", node, &run);
	return !there && run == 0 && !is_going(member);
}

static char *find_away(const struct director_cluster *cluster)
{
	const struct cluster_key *key;
	struct cluster_place place;
	size_t i, count;

	key = cluster_keys_under(&cluster->keys, "runs/", &count);
	for (i = 0; i < count; i++) {
		if (process_is_away(cluster, &key[i], &place))
			return mem_strndup(place.node, place.node_len);
	}
	key = cluster_keys_under(&cluster->keys, "member/", &count);
	for (i = 0; i < count; i++) {
		if (node_is_away(cluster, &key[i]))
			return mem_strdup(strchr(key[i].name, '/') + 1);
	}
	return NULL;
}

void director_cluster_look_for_away(struct director_cluster *cluster)
{
	mem_free(&cluster->away);
	cluster->away = find_away(cluster);
}

const char *director_cluster_away(const struct director_cluster *cluster)
{
	return cluster->away;
}

static bool all_are_own(const struct director_cluster *cluster,
			const char *kind)
{
	size_t i, count, len = strlen(cluster->self.node);
	const struct cluster_key *key =
		cluster_keys_under(&cluster->keys, kind, &count);

	for (i = 0; i < count; i++) {
		const char *node = key[i].name + strlen(kind);

		if (strncmp(node, cluster->self.node, len) != 0 ||
		    (node[len] != '\0' && node[len] != '/'))
			return false;
	}
	return true;
}

bool director_cluster_is_alone(const struct director_cluster *cluster)
{
	return all_are_own(cluster, "node/") && all_are_own(cluster, "member/");
}

bool director_cluster_is_member(const struct director_cluster *cluster)
{
	struct arena *arena = arena_new(256);
	bool is_member = cluster_keys_find(
		&cluster->keys, director_cluster_own_key(cluster, arena,
							 "node/")) != NULL;

	arena_free(&arena);
	return is_member;
}

bool director_cluster_is_only(const struct director_cluster *cluster)
{
	size_t i, count;
	const struct cluster_key *key = processes(cluster, &count);

	for (i = 0; i < count; i++) {
		if (!is_own(cluster, &key[i]))
			return false;
	}
	key = director_cluster_of_node(cluster, "runs/", cluster->self.node,
				       &count);
	for (i = 0; i < count; i++) {
		if (!is_own(cluster, &key[i]) &&
		    !director_cluster_is_dead(cluster, &key[i]))
			return false;
	}
	return all_are_own(cluster, "member/");
}

bool director_cluster_all_done(const struct director_cluster *cluster)
{
	const struct cluster_key *key;
	struct cluster_place place;
	size_t i, count;

	key = processes(cluster, &count);
	for (i = 0; i < count; i++) {
		if (is_process(&key[i], &place) &&
		    !is_done(&key[i], cluster->serial))
			return false;
	}
	return director_cluster_away(cluster) == NULL;
}

/* --- what they are --- */

void director_cluster_put_digest(struct str *out, const char *text, size_t len)
{
	str_printf(out, "%016llx",
		   (unsigned long long)hash_bytes(0, text, len));
}

/* --- showing them --- */

struct walk {
	const struct director_cluster *cluster;
	struct str config; /* the digest of the cluster's; "": it has none */
	void (*fn)(void *arg, const struct director_cluster_node *node);
	void *arg;
};

static bool has_other_config(const struct walk *walk, const struct json *root)
{
	const char *config = json_text(json_member(root, "config"));

	return config != NULL && walk->config.len > 0 &&
	       strcmp(config, str_c(&walk->config)) != 0;
}

static void show_process(const struct walk *walk,
			 const struct cluster_key *key)
{
	struct arena *arena = arena_new(256);
	struct director_cluster_node node = {
		.leads = key == leader(walk->cluster),
		.self = is_own(walk->cluster, key),
	};
	struct cluster_place place;
	struct err err;
	struct json *root = json_parse(key->value, key->len, &err);

	if (is_process(key, &place)) {
		node.node = arena_strndup(arena, place.node, place.node_len);
		node.process = arena_strndup(arena, place.process,
					     place.process_len);
		node.version = json_text(json_member(root, "version"));
		node.done = done_of(root);
		node.other_config = has_other_config(walk, root);
		walk->fn(walk->arg, &node);
	}
	json_close(&root);
	arena_free(&arena);
}

/* Of a node of which others are there. */
static void show_away_process(const struct walk *walk,
			      const struct cluster_key *key)
{
	struct arena *arena = arena_new(256);
	struct director_cluster_node node = { .away = true };
	struct cluster_place place;
	bool there = false;

	if (process_is_away(walk->cluster, key, &place)) {
		node.node = arena_strndup(arena, place.node, place.node_len);
		node.process = place.process;
		director_cluster_has_node(walk->cluster, node.node, &there);
	}
	if (there)
		walk->fn(walk->arg, &node);
	arena_free(&arena);
}

/* Once, however many processes it has. */
static void show_away(const struct walk *walk, const char *name, size_t len)
{
	struct arena *arena = arena_new(256);
	struct director_cluster_node node = {
		.node = arena_strndup(arena, name, len),
		.away = true,
	};
	bool there;

	director_cluster_has_node(walk->cluster, node.node, &there);
	if (!there)
		walk->fn(walk->arg, &node);
	arena_free(&arena);
}

static void show_all_away(const struct walk *walk)
{
	struct cluster_place place, last = { .node = "", .node_len = 0 };
	const struct cluster_key *key;
	size_t i, count;

	key = cluster_keys_under(&walk->cluster->keys, "runs/", &count);
	for (i = 0; i < count; i++) {
		show_away_process(walk, &key[i]);
		if (!is_process(&key[i], &place) || same_node(&place, &last))
			continue;
		show_away(walk, place.node, place.node_len);
		last = place;
	}
	key = cluster_keys_under(&walk->cluster->keys, "member/", &count);
	for (i = 0; i < count; i++) {
		const char *name = strchr(key[i].name, '/') + 1;

		if (node_is_away(walk->cluster, &key[i]))
			show_away(walk, name, strlen(name));
	}
}

void director_cluster_nodes(const struct director_cluster *cluster,
			    void (*fn)(void *arg,
				       const struct director_cluster_node *),
			    void *arg)
{
	struct walk walk = { cluster, STR_INIT, fn, arg };
	const struct cluster_key *key =
		cluster_keys_find(&cluster->keys, "config");
	size_t i, count;

	if (key != NULL)
		director_cluster_put_digest(&walk.config, key->value, key->len);
	key = processes(cluster, &count);
	for (i = 0; i < count; i++)
		show_process(&walk, &key[i]);
	show_all_away(&walk);
	str_free(&walk.config);
}
