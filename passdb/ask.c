#include "passdb/ask.h"

#include <string.h>

#include "lib/hash.h"
#include "passdb/cache.h"
#include "passdb/observer.h"
#include "passdb/shared.h"
#include "passdb/stats.h"

/* A lookup that may be cached; lives in the request's arena. */
struct passdb_ask {
	struct passdb_request *request;
	struct list node;      /* among those of its bucket that ask the driver,
				  or among the followers of one */
	struct list followers; /* who wait for the same answer */
	bool asking;	       /* the driver */
	const char *key;
	size_t key_len;
	/* What the driver has set. */
	struct passdb_cache_field *fields;
	unsigned count, size;
	/* The answer that is kept but has expired: the user was found. */
	bool has_stale;
	struct passdb_cache_answer stale;
	/* As it was before the driver was asked. */
	struct passdb_fields fields_before;
	const char *username_before;
};

static const struct passdb_entry *
ask_entry(const struct passdb_request *request)
{
	return &request->passdb->shared->entries[request->step];
}

static void *ask_state(const struct passdb_request *request)
{
	return request->passdb->states[request->step];
}

static struct list *ask_bucket(const struct passdb_ask *ask)
{
	struct passdb *passdb = ask->request->passdb;
	uint64_t hash = hash_bytes(passdb->asking_seed, ask->key,
				   ask->key_len);

	return &passdb->asking[hash % PASSDB_ASKING_BUCKETS];
}

/* The same passdb gives the same answer to lookups with the same key. Returns
 * false when there is none. */
static bool ask_make_key(struct passdb_ask *ask)
{
	struct passdb_request *request = ask->request;
	struct str *key = &request->passdb->key;

	str_clear(key);
	str_put_number(key, request->step);
	str_putc(key, '\t');
	if (!ask_entry(request)->driver->cache_key(ask_state(request), request,
						   key))
		return false;
	ask->key = arena_strndup(request->arena, str_c(key), key->len);
	ask->key_len = key->len;
	return true;
}

/* --- answers --- */

/* Sets the fields of an answer as if the driver did. */
static enum passdb_answer ask_replay(struct passdb_request *request,
				     const struct passdb_cache_answer *answer)
{
	struct passdb_key key;
	struct err err;
	unsigned i;

	for (i = 0; i < answer->count; i++) {
		key = passdb_key_parse(request->arena, answer->fields[i].key);
		if (passdb_request_put(request, &key, answer->fields[i].value,
				       &err) == 0)
			continue;
		passdb_request_error(request, "%s", err.text);
		return PASSDB_ANSWER_FAIL;
	}
	return answer->found ? PASSDB_ANSWER_FOUND : PASSDB_ANSWER_NOT_FOUND;
}

static enum passdb_answer ask_replay_stale(struct passdb_ask *ask)
{
	struct passdb_request *request = ask->request;

	passdb_request_info(request, "going on with an answer that has "
				     "expired");
	request->fields = ask->fields_before;
	request->username = ask->username_before;
	request->malformed = false;
	return ask_replay(request, &ask->stale);
}

/* What the driver said, for the cache and for followers. */
static struct passdb_cache_answer ask_recorded(const struct passdb_ask *ask,
					       enum passdb_answer answer)
{
	return (struct passdb_cache_answer){
		.found = answer == PASSDB_ANSWER_FOUND,
		.fields = ask->fields,
		.count = ask->count,
	};
}

static void ask_keep(const struct passdb_ask *ask, enum passdb_answer answer)
{
	struct passdb *passdb = ask->request->passdb;
	struct passdb_cache_answer recorded = ask_recorded(ask, answer);

	if (answer != PASSDB_ANSWER_FAIL)
		passdb_cache_put(passdb->shared->cache, ask->key, ask->key_len,
				 loop_now_us(passdb->loop), &recorded);
}

void passdb_ask_record(struct passdb_request *request, const char *key,
		       const char *value)
{
	struct passdb_ask *ask = request->ask;
	struct passdb_cache_field *fields;

	if (ask == NULL || !ask->asking)
		return;
	if (ask->count == ask->size) {
		ask->size = ask->size > 0 ? ask->size * 2 : 8;
		fields = arena_alloc(request->arena,
				     ask->size * sizeof(*fields));
		if (ask->count > 0)
			memcpy(fields, ask->fields,
			       ask->count * sizeof(*fields));
		ask->fields = fields;
	}
	ask->fields[ask->count++] = (struct passdb_cache_field){ key, value };
}

/* --- asking --- */

static void ask_count(const struct passdb_request *request,
		      enum passdb_answer answer)
{
	struct passdb *passdb = request->passdb;
	struct passdb_driver_stats *stats;
	uint64_t now_us;

	if (passdb->stats == NULL || answer == PASSDB_ANSWER_WAIT)
		return;
	stats = passdb_stats_find(passdb->stats,
				  ask_entry(request)->driver->name);
	stats->found += answer == PASSDB_ANSWER_FOUND;
	stats->not_found += answer == PASSDB_ANSWER_NOT_FOUND;
	stats->failed += answer == PASSDB_ANSWER_FAIL;
	now_us = loop_now_us(passdb->loop);
	histogram_add(&stats->seconds, now_us - request->asked_us);
	if (answer == PASSDB_ANSWER_FAIL)
		stats->failed_us = now_us;
	else
		stats->answered_us = now_us;
}

static enum passdb_answer ask_lookup(struct passdb_request *request)
{
	enum passdb_answer answer;

	request->asked_us = loop_now_us(request->passdb->loop);
	answer = ask_entry(request)->driver->lookup(ask_state(request),
						    request);
	ask_count(request, answer);
	return answer;
}

static enum passdb_answer ask_settle(struct passdb_ask *ask,
				     enum passdb_answer answer)
{
	ask->asking = false;
	ask_keep(ask, answer);
	if (answer == PASSDB_ANSWER_FAIL && ask->has_stale)
		return ask_replay_stale(ask);
	return answer;
}

static enum passdb_answer ask_driver(struct passdb_ask *ask)
{
	struct passdb_request *request = ask->request;
	enum passdb_answer answer;

	ask->asking = true;
	ask->fields_before = passdb_fields_copy(&request->fields,
						request->arena);
	ask->username_before = request->username;
	answer = ask_lookup(request);
	if (answer == PASSDB_ANSWER_WAIT)
		list_append(ask_bucket(ask), &ask->node);
	return answer;
}

static struct passdb_ask *ask_find_same(const struct passdb_ask *ask)
{
	struct list *bucket = ask_bucket(ask), *node, *tmp;

	list_each(bucket, node, tmp) {
		struct passdb_ask *other =
			container_of(node, struct passdb_ask, node);

		if (other->key_len == ask->key_len &&
		    memcmp(other->key, ask->key, ask->key_len) == 0)
			return other;
	}
	return NULL;
}

static struct passdb_ask *ask_new(struct passdb_request *request)
{
	struct passdb_ask *ask =
		arena_new_struct(request->arena, struct passdb_ask);

	ask->request = request;
	list_init(&ask->followers);
	return ask_make_key(ask) ? ask : NULL;
}

enum passdb_answer passdb_ask(struct passdb_request *request)
{
	const struct passdb_driver *driver = ask_entry(request)->driver;
	struct passdb *passdb = request->passdb;
	struct passdb_cache_answer kept;
	struct passdb_ask *ask, *same;
	enum passdb_answer answer;

	request->ask = NULL;
	ask = passdb->shared->cache != NULL && driver->cache_key != NULL
		      ? ask_new(request)
		      : NULL;
	if (ask == NULL)
		return ask_lookup(request);
	request->ask = ask;
	switch (passdb_cache_get(passdb->shared->cache, ask->key, ask->key_len,
				 loop_now_us(passdb->loop), request->arena,
				 &kept)) {
	case PASSDB_CACHE_FRESH:
		passdb_request_debug(request, "answered by the cache");
		passdb_observe(request, PASSDB_EVENT_SOURCE, NULL, "the cache");
		return ask_replay(request, &kept);
	case PASSDB_CACHE_STALE:
		/* That a user did not exist is no reason to bounce now. */
		ask->has_stale = kept.found;
		ask->stale = kept;
		break;
	case PASSDB_CACHE_NONE:
		break;
	}
	same = ask_find_same(ask);
	if (same != NULL) {
		list_append(&same->followers, &ask->node);
		return PASSDB_ANSWER_WAIT;
	}
	answer = ask_driver(ask);
	return answer == PASSDB_ANSWER_WAIT ? answer : ask_settle(ask, answer);
}

bool passdb_ask_has_stale(const struct passdb_request *request)
{
	return request->ask != NULL && request->ask->has_stale;
}

/* --- followers --- */

static void ask_tell(struct passdb_ask *follower,
		     const struct passdb_cache_answer *said, bool failed)
{
	struct passdb_request *request = follower->request;
	struct passdb_cache_answer own = *said;
	unsigned i;

	list_remove(&follower->node);
	if (failed) {
		follower->fields_before = request->fields;
		follower->username_before = request->username;
		passdb_answer(request, follower->has_stale
					       ? ask_replay_stale(follower)
					       : PASSDB_ANSWER_FAIL);
		return;
	}
	own.fields = arena_alloc(request->arena,
				 said->count * sizeof(*own.fields));
	for (i = 0; i < said->count; i++) {
		own.fields[i].key =
			arena_strdup(request->arena, said->fields[i].key);
		own.fields[i].value =
			arena_strdup(request->arena, said->fields[i].value);
	}
	passdb_answer(request, ask_replay(request, &own));
}

enum passdb_answer passdb_ask_answered(struct passdb_request *request,
				       enum passdb_answer answer)
{
	struct passdb_ask *ask = request->ask;
	struct passdb_cache_answer said;
	struct list *node, *tmp;

	if (ask == NULL || ask->asking)
		ask_count(request, answer);
	if (ask == NULL || !ask->asking)
		return answer;
	list_remove(&ask->node);
	said = ask_recorded(ask, answer);
	list_each(&ask->followers, node, tmp)
		ask_tell(container_of(node, struct passdb_ask, node), &said,
			 answer == PASSDB_ANSWER_FAIL);
	return ask_settle(ask, answer);
}

/* Who waited for the answer to a lookup that is given up asks by itself, for
 * the others too. */
static void ask_succeed(struct passdb_ask *ask)
{
	struct passdb_ask *next =
		list_first(&ask->followers, struct passdb_ask, node);
	enum passdb_answer answer;
	struct list *node, *tmp;

	if (next == NULL)
		return;
	list_remove(&next->node);
	list_each(&ask->followers, node, tmp) {
		list_remove(node);
		list_append(&next->followers, node);
	}
	answer = ask_driver(next);
	if (answer != PASSDB_ANSWER_WAIT)
		passdb_answer(next->request, answer);
}

static void ask_stop(struct passdb_request *request)
{
	struct passdb_ask *ask = request->ask;
	bool asking = ask == NULL || ask->asking;

	if (asking)
		ask_entry(request)->driver->cancel(request);
	if (ask == NULL)
		return;
	list_remove(&ask->node);
	ask->asking = false;
	if (asking)
		ask_succeed(ask);
}

void passdb_ask_cancel(struct passdb_request *request)
{
	ask_stop(request);
	request->ask = NULL;
}

void passdb_ask_give_up(struct passdb_request *request)
{
	struct passdb_ask *ask = request->ask;

	if (!ask->asking) {
		ask->fields_before = request->fields;
		ask->username_before = request->username;
	}
	ask_stop(request);
	passdb_answer(request, ask_replay_stale(ask));
}
