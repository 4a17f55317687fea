#include "proxy/director/cluster.h"

#include <string.h>
#include <sys/random.h>

#include "config.h"
#include "lib/birth.h"
#include "lib/etcd/etcd.h"
#include "lib/etcd/lease.h"
#include "lib/etcd/mirror.h"
#include "lib/log/log.h"
#include "lib/mem.h"

#define RETRY_MS 1000
#define IN_FORCE_MS 2000 /* what administrators wait for it */
#define CONFLICT_MS 50 /* what the others have done is on its way */

struct cluster_node {
	struct loop *loop;
	struct settings *settings; /* as it was started with */
	const struct cluster_node_events *events;
	void *arg;
	struct director_cluster *cluster;
	struct arena *arena; /* of names */

	struct dns *dns;
	struct tls_trust *trust;
	struct etcd_settings etcd_settings;
	struct etcd *etcd;
	struct etcd_mirror *mirror;
	struct etcd_lease *lease;

	struct etcd_request *request; /* what this node says */
	int64_t awaited; /* its revision, until the mirror has told it */
	struct loop_timer retry;
	struct list changes; /* struct cluster_change */
	int64_t revision;    /* that the mirror has told */
	uint64_t lost_us;    /* since when; 0: it is in step */
	bool knows;	     /* it was in step once */
	bool yields;	     /* the cluster's servers are not its own */
	unsigned doubted, kept_lost; /* servers, as was said */
	bool leaving, for_good;
};

/* What an administrator wants. */
struct cluster_change {
	struct list node;
	struct cluster_node *owner;
	struct arena *arena;
	struct etcd_txn txn, part; /* all of it; what is being written */
	size_t pos; /* behind the part */
	struct etcd_request *request;
	int64_t awaited; /* all is written: the last revision; 0: not yet */
	bool disputed; /* it failed, or was done and the answer was lost */
	struct loop_timer timer; /* of waiting for the view */
	void (*fn)(void *arg, const char *error);
	void *arg;
};

/* --- changes --- */

static void change_end(struct cluster_change *change, const char *error)
{
	void (*fn)(void *arg, const char *error) = change->fn;
	void *arg = change->arg;

	list_remove(&change->node);
	loop_timer_close(&change->timer);
	etcd_cancel(&change->request);
	arena_free(&change->arena);
	mem_free(&change);
	fn(arg, error);
}

static void change_go_on(struct cluster_change *change, int64_t revision);

/* All is written; does this node know, and is there a view by it? While a node is
 * away it may take long. */
static void change_look(struct cluster_change *change)
{
	const struct cluster_node *node = change->owner;

	if (change->disputed &&
	    director_cluster_is_so(node->cluster, &change->part)) {
		change->disputed = false;
		change_go_on(change, node->revision);
	} else if (change->awaited != 0 && change->awaited <= node->revision &&
		   (director_cluster_in_force(node->cluster) ||
		    director_cluster_away(node->cluster) != NULL)) {
		change_end(change, NULL);
	}
}

static void change_waited(struct loop_timer *timer)
{
	struct cluster_change *change =
		container_of(timer, struct cluster_change, timer);

	change_end(change, change->disputed
			? "somebody else has changed the same at the same "
			  "time: look, and try again"
			: NULL);
}

static void change_written(void *arg, const struct etcd_txn_answer *answer,
			   const char *error)
{
	struct cluster_change *change = arg;
	struct err text;

	change->request = NULL;
	if (answer == NULL) {
		err_put(&text, "etcd: %.300s", error);
		change_end(change, text.text);
	} else if (!answer->succeeded) {
		change->disputed = true;
		loop_timer_set(&change->timer, IN_FORCE_MS / 2);
		change_look(change);
	} else {
		change_go_on(change, answer->header.revision);
	}
}

static void change_step(struct cluster_change *change)
{
	size_t count = change->txn.op_count - change->pos;

	if (count > ETCD_MAX_OPS)
		count = ETCD_MAX_OPS;
	change->part = (struct etcd_txn){
		change->txn.compares + change->pos, count,
		change->txn.ops + change->pos, count,
	};
	change->pos += count;
	change->request = etcd_txn(change->owner->etcd, &change->part,
				   change_written, change);
}

static void change_go_on(struct cluster_change *change, int64_t revision)
{
	loop_timer_clear(&change->timer);
	if (change->pos < change->txn.op_count) {
		change_step(change);
		return;
	}
	change->awaited = revision;
	loop_timer_set(&change->timer, IN_FORCE_MS);
	change_look(change);
}

void cluster_node_change(struct cluster_node *node, const struct etcd_txn *txn,
			 struct arena *arena,
			 void (*fn)(void *arg, const char *error), void *arg)
{
	struct cluster_change *change = mem_new(struct cluster_change);

	change->owner = node;
	change->arena = arena;
	change->txn = *txn;
	change->fn = fn;
	change->arg = arg;
	loop_timer_open(&change->timer, node->loop, change_waited);
	list_append(&node->changes, &change->node);
	change_step(change);
}

static void end_changes(struct cluster_node *node, const char *error)
{
	struct list *pos, *tmp;

	list_each(&node->changes, pos, tmp) {
		struct cluster_change *change =
			container_of(pos, struct cluster_change, node);

		if (error != NULL)
			change_end(change, error);
		else
			change_look(change);
	}
}

/* --- servers of which it is not known who has users there --- */

static void look_at_doubted(struct cluster_node *node)
{
	bool in_step = cluster_node_in_step(node);
	unsigned doubted = in_step ? 0
				   : director_cluster_doubted(node->cluster);

	if (doubted > node->doubted)
		log_error(NULL, "cluster %s: %u servers were dead and are well "
			  "again, and etcd is lost: others may have sent their "
			  "users elsewhere. Mail to these is refused (451) until "
			  "etcd is back, unless they are more than "
			  "director_panic_threshold allows",
			  node->settings->cluster.name, doubted);
	node->doubted = doubted;
}

static void look_at_kept_lost(struct cluster_node *node)
{
	unsigned kept_lost = director_cluster_kept_lost(node->cluster);

	if (kept_lost > node->kept_lost)
		log_error(NULL, "cluster %s: %u servers are well again, and stay "
			  "lost while node %s is away: have it come back, or, if "
			  "it does not run, see waypostctl director ring remove",
			  node->settings->cluster.name, kept_lost,
			  director_cluster_away(node->cluster));
	node->kept_lost = kept_lost;
}

/* --- what this node says --- */

static void say_goodbye(struct cluster_node *node);

static void written(void *arg, const struct etcd_txn_answer *answer,
		    const char *error)
{
	struct cluster_node *node = arg;

	node->request = NULL;
	if (node->leaving) {
		say_goodbye(node);
	} else if (answer == NULL) {
		log_warning(NULL, "cluster: etcd: %s", error);
		loop_timer_set(&node->retry, RETRY_MS);
	} else if (!answer->succeeded) {
		loop_timer_set(&node->retry, CONFLICT_MS);
	} else if (answer->header.revision > node->revision) {
		node->awaited = answer->header.revision;
		loop_timer_set(&node->retry, RETRY_MS);
	} else {
		cluster_node_write(node);
	}
}

void cluster_node_write(struct cluster_node *node)
{
	struct arena *arena;
	struct etcd_txn txn;

	look_at_doubted(node);
	if (node->request != NULL || node->awaited > node->revision ||
	    !cluster_node_in_step(node) || node->leaving)
		return;
	arena = arena_new(4096);
	if (director_cluster_next(node->cluster, arena, &txn))
		node->request = etcd_txn(node->etcd, &txn, written, node);
	arena_free(&arena);
}

/* A deletion of what was gone already has no revision of its own. */
static void retry(struct loop_timer *timer)
{
	struct cluster_node *node =
		container_of(timer, struct cluster_node, retry);

	node->awaited = 0;
	cluster_node_write(node);
}

static void lease_granted(void *arg, int64_t id)
{
	struct cluster_node *node = arg;

	director_cluster_set_lease(node->cluster, id);
	cluster_node_write(node);
}

static void lease_lost(void *arg, const char *why)
{
	struct cluster_node *node = arg;

	log_warning(NULL, "cluster: the lease of this node is over: %s", why);
	director_cluster_set_lease(node->cluster, 0);
}

/* --- what etcd says --- */

static void mirror_begins(void *arg)
{
	struct cluster_node *node = arg;

	director_cluster_begin(node->cluster);
}

static void mirror_put(void *arg, const struct etcd_kv *kv)
{
	struct cluster_node *node = arg;

	director_cluster_put(node->cluster, kv);
}

static void mirror_gone(void *arg, struct etcd_bytes key, int64_t revision)
{
	struct cluster_node *node = arg;

	(void)revision;
	director_cluster_gone(node->cluster, key);
}

/* Says so once. */
static void look_at_config(struct cluster_node *node)
{
	bool yields = director_cluster_yields(node->cluster);

	if (yields && !node->yields)
		log_warning(NULL, "cluster %s: the servers of this node's "
			    "configuration are not the cluster's, which are "
			    "used: see waypostctl director ring adopt",
			    node->settings->cluster.name);
	node->yields = yields;
}

static void mirror_settled(void *arg, int64_t revision)
{
	struct cluster_node *node = arg;
	struct err err;

	if (node->lost_us != 0 || !node->knows)
		log_info(NULL, "cluster %s: in step with etcd (%s)",
			 node->settings->cluster.name, etcd_member(node->etcd));
	node->lost_us = 0;
	node->knows = true;
	node->revision = revision;
	if (director_cluster_settled(node->cluster, &err) < 0)
		log_error(NULL, "cluster %s: %s", node->settings->cluster.name,
			  err.text);
	look_at_config(node);
	look_at_kept_lost(node);
	node->events->changed(node->arg);
	end_changes(node, NULL);
	cluster_node_write(node);
}

static void mirror_lost(void *arg, const char *why)
{
	struct cluster_node *node = arg;

	log_error(NULL, "cluster %s: etcd is lost: %s; %s",
		  node->settings->cluster.name, why, node->knows
			? "routing goes on by the last view"
			: "waiting for it");
	node->lost_us = loop_now_us(node->loop);
	look_at_doubted(node);
	end_changes(node, "etcd is lost: whether it was done will show");
}

/* --- beginning --- */

/* As name_self() names it. */
static bool process_lives(void *arg, const char *process)
{
	(void)arg;
	return birth_lives(process);
}

static void name_self(struct cluster_node *node,
		      const struct settings *settings,
		      struct director_cluster_self *self)
{
	const struct director_settings *director = &settings->director_settings;
	struct str birth = STR_INIT;
	unsigned chance = 0;

	if (getrandom(&chance, sizeof(chance), 0) < 0)
		chance = (unsigned)loop_now_us(node->loop);
	birth_write(&birth);
	*self = (struct director_cluster_self){
		.prefix = arena_printf(node->arena, "/waypost/%s/",
				       settings->cluster.name),
		.node = settings->cluster.node,
		.process = arena_printf(node->arena, "%s%08x", str_c(&birth),
					chance),
		.hash = arena_printf(node->arena, "%s %s",
				     director_method_name(director),
				     director->username_hash),
		.version = PACKAGE_VERSION,
		.since = loop_now_us(node->loop),
	};
	str_free(&birth);
}

static void use_settings(struct cluster_node *node)
{
	const struct cluster_settings *settings = &node->settings->cluster;

	node->etcd_settings = (struct etcd_settings){
		.urls = settings->urls,
		.url_count = settings->url_count,
		.user = settings->user,
		.password = settings->password,
		.cert = *settings->cert != '\0' ? settings->cert : NULL,
		.key = *settings->key != '\0' ? settings->key : NULL,
		.verify = true,
		.trust = node->trust,
		.timeout_ms = settings->etcd_timeout,
	};
}

static int prepare(struct cluster_node *node, const struct settings *settings,
		   struct err *err)
{
	struct err why;

	node->dns = dns_new(node->loop, settings->dns_servers,
			    settings->dns_timeout, err);
	if (node->dns == NULL)
		return -1;
	if (*settings->cluster.ca == '\0')
		return 0;
	node->trust = tls_trust_new(settings->cluster.ca, NULL, &why);
	return node->trust != NULL
		       ? 0 : err_set(err, "cluster_etcd_ca: %.300s", why.text);
}

static void start(struct cluster_node *node, const struct settings *settings,
		  struct director_state *wanted)
{
	static const struct etcd_mirror_events mirror_events = {
		mirror_begins, mirror_put, mirror_gone, mirror_settled,
		mirror_lost,
	};
	static const struct etcd_lease_events lease_events = {
		lease_granted, lease_lost,
	};
	struct director_cluster_self self;

	use_settings(node);
	name_self(node, settings, &self);
	node->cluster = director_cluster_new(&self, wanted);
	director_cluster_set_lives(node->cluster, process_lives, NULL);
	node->etcd = etcd_new(node->loop, node->dns, &node->etcd_settings);
	node->mirror = etcd_mirror_new(node->etcd, self.prefix, &mirror_events,
				       node);
	node->lease = etcd_lease_new(node->etcd,
				     node->settings->cluster.lease_time / 1000,
				     &lease_events, node);
}

struct cluster_node *cluster_node_new(struct loop *loop,
				      struct settings *settings,
				      struct director_state *wanted,
				      const struct cluster_node_events *events,
				      void *arg, struct err *err)
{
	struct cluster_node *node = mem_new(struct cluster_node);

	node->loop = loop;
	node->settings = settings_ref(settings);
	node->events = events;
	node->arg = arg;
	node->arena = arena_new(512);
	list_init(&node->changes);
	loop_timer_open(&node->retry, loop, retry);
	if (prepare(node, settings, err) == 0)
		start(node, settings, wanted);
	else
		cluster_node_free(&node);
	return node;
}

/* --- other settings --- */

static bool is_same(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

int cluster_node_check(const struct cluster_node *node,
		       const struct settings *settings, struct err *err)
{
	const struct director_settings *is = &settings->director_settings;
	const struct director_settings *was =
		&node->settings->director_settings;
	const struct cluster_settings *cluster = &settings->cluster;
	const struct cluster_settings *old = &node->settings->cluster;

	if (is->hash != was->hash ||
	    !is_same(is->username_hash, was->username_hash))
		return err_set(err, "director_hash and director_username_hash "
			       "are those of the whole cluster: to change them "
			       "stop all nodes first");
	if (!is_same(cluster->etcd_urls, old->etcd_urls) ||
	    !is_same(cluster->name, old->name) ||
	    !is_same(cluster->node, old->node))
		return err_set(err, "cluster_etcd_urls, cluster_name and "
			       "cluster_node change with a restart");
	return 0;
}

/* How etcd is talked to, for as long as the process lives. */
static bool connects_alike(const struct cluster_settings *a,
			   const struct cluster_settings *b)
{
	return is_same(a->user, b->user) && is_same(a->password, b->password) &&
	       is_same(a->ca, b->ca) && is_same(a->cert, b->cert) &&
	       is_same(a->key, b->key) && a->lease_time == b->lease_time &&
	       a->etcd_timeout == b->etcd_timeout;
}

void cluster_node_use(struct cluster_node *node,
		      const struct settings *settings)
{
	struct err err;

	if (!connects_alike(&settings->cluster, &node->settings->cluster))
		log_warning(NULL, "cluster: cluster_etcd_user, its password, "
			    "certificates and times are as before until the "
			    "process is replaced (USR2, or a restart)");
	if (dns_set(node->dns, settings->dns_servers, settings->dns_timeout,
		    &err) < 0)
		log_error(NULL, "%s", err.text);
	director_cluster_configure(node->cluster,
				   director_configured(settings->director));
	cluster_node_write(node);
}

/* --- ending --- */

void cluster_node_end_changes(struct cluster_node *node)
{
	end_changes(node, "stopping: whether it was done will show");
}

void cluster_node_free(struct cluster_node **node_p)
{
	struct cluster_node *node = *node_p;

	if (node == NULL)
		return;
	cluster_node_end_changes(node);
	loop_timer_close(&node->retry);
	etcd_cancel(&node->request);
	etcd_lease_free(&node->lease);
	etcd_mirror_free(&node->mirror);
	etcd_free(&node->etcd);
	dns_free(&node->dns);
	tls_trust_free(&node->trust);
	director_cluster_free(&node->cluster);
	arena_free(&node->arena);
	settings_unref(&node->settings);
	mem_free(node_p);
}

static void left(void *arg)
{
	struct cluster_node *node = arg;

	node->events->left(node->arg);
}

static void said_goodbye(void *arg, const struct etcd_txn_answer *answer,
			 const char *error)
{
	struct cluster_node *node = arg;

	(void)answer;
	node->request = NULL;
	if (error != NULL)
		log_warning(NULL, "cluster: no goodbye: %s; the others take "
			    "this node for one that comes back", error);
	if (error != NULL)
		left(node);
	else
		etcd_lease_revoke(node->lease, left);
}

static void say_goodbye(struct cluster_node *node)
{
	struct arena *arena;
	struct etcd_txn txn;

	if (!cluster_node_in_step(node)) {
		said_goodbye(node, NULL, "etcd is lost");
		return;
	}
	arena = arena_new(1024);
	director_cluster_leave(node->cluster, node->for_good, arena, &txn);
	node->request = etcd_txn(node->etcd, &txn, said_goodbye, node);
	arena_free(&arena);
}

/* What is on its way to etcd must not come behind the goodbye. */
void cluster_node_leave(struct cluster_node *node, bool for_good)
{
	node->leaving = true;
	node->for_good = for_good;
	if (node->request == NULL)
		say_goodbye(node);
}

/* --- looking --- */

struct director_cluster *cluster_node_cluster(struct cluster_node *node)
{
	return node->cluster;
}

bool cluster_node_in_step(const struct cluster_node *node)
{
	return node->knows && node->lost_us == 0;
}

const char *cluster_node_problem(const struct cluster_node *node)
{
	const char *problem = director_cluster_problem(node->cluster);

	if (!node->knows)
		return "etcd was not reached yet";
	if (node->lost_us != 0)
		return "etcd is lost";
	if (problem == NULL && director_cluster_now(node->cluster) == NULL)
		return "the others do not know this process yet";
	return problem;
}

uint64_t cluster_node_lost_ms(const struct cluster_node *node)
{
	return node->lost_us == 0
		       ? 0 : (loop_now_us(node->loop) - node->lost_us) / 1000 +
				     1;
}

const char *cluster_node_member(const struct cluster_node *node)
{
	return etcd_member(node->etcd);
}
