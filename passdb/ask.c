#include "passdb/ask.h"

#include <string.h>

#include "passdb/cache.h"
#include "passdb/flight.h"
#include "passdb/observer.h"
#include "passdb/shared.h"
#include "passdb/stats.h"

/* A lookup that may be cached; lives in the request's arena. */
struct passdb_ask {
	struct passdb_request *request;
	struct list node;      /* among those of its bucket that ask the driver
				  or wait for another thread's answer, or
				  among the followers of one */
	struct list followers; /* who wait for the same answer */
	bool asking;	       /* the driver */
	struct passdb_flight flight; /* not of followers; has the key */
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

static struct list *ask_bucket(const struct passdb_ask *ask)
{
	struct passdb *passdb = ask->request->passdb;

	return &passdb->asking[ask->flight.hash % PASSDB_ASKING_BUCKETS];
}

/* The same passdb gives the same answer to lookups with the same key. Returns
 * false when there is none. */
static bool ask_make_key(struct passdb_ask *ask)
{
	struct passdb_request *request = ask->request;
	const struct passdb_driver *driver =
		passdb_request_entry(request)->driver;
	struct str *key = &request->passdb->key;

	str_clear(key);
	if (request->kind == PASSDB_KIND_USER)
		str_putc(key, 'u');
	str_put_number(key, request->step);
	str_putc(key, '\t');
	str_put_number(key, passdb_cache_flushes(
				    request->passdb->shared->cache));
	str_putc(key, '\t');
	if (!driver->cache_key(passdb_request_state(request), request, key))
		return false;
	ask->flight.key = arena_strndup(request->arena, str_c(key), key->len);
	ask->flight.key_len = key->len;
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

static void ask_publish(struct passdb_ask *ask, enum passdb_answer answer)
{
	struct passdb *passdb = ask->request->passdb;
	struct passdb_cache_answer recorded = ask_recorded(ask, answer);

	if (answer != PASSDB_ANSWER_FAIL)
		passdb_cache_put(passdb->shared->cache, ask->flight.key,
				 ask->flight.key_len,
				 loop_now_us(passdb->loop), &recorded);
	passdb_flight_land(&ask->flight, answer != PASSDB_ANSWER_FAIL
						 ? &recorded : NULL);
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
	stats = passdb_stats_find(&passdb->stats[request->kind],
				  passdb_request_entry(request)->driver->name);
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
	answer = passdb_request_entry(request)->driver->lookup(passdb_request_state(request),
						    request);
	ask_count(request, answer);
	return answer;
}

static enum passdb_answer ask_settle(struct passdb_ask *ask,
				     enum passdb_answer answer)
{
	ask->asking = false;
	ask_publish(ask, answer);
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

		if (passdb_flight_is_equal(&other->flight, &ask->flight))
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

/* Whether an answer is kept that has not expired. */
static bool ask_is_kept(struct passdb_ask *ask,
			struct passdb_cache_answer *kept)
{
	struct passdb *passdb = ask->request->passdb;

	switch (passdb_cache_get(passdb->shared->cache, ask->flight.key,
				 ask->flight.key_len,
				 loop_now_us(passdb->loop),
				 ask->request->arena, kept)) {
	case PASSDB_CACHE_FRESH:
		return true;
	case PASSDB_CACHE_STALE:
		/* That a user did not exist is no reason to bounce now. */
		ask->has_stale = kept->found;
		ask->stale = *kept;
		break;
	case PASSDB_CACHE_NONE:
		break;
	}
	return false;
}

/* Follows an equal lookup if there is one, first of all on this thread. */
static enum passdb_flight_role ask_take_part(struct passdb_ask *ask,
					     uint64_t landed)
{
	struct passdb *passdb = ask->request->passdb;
	struct passdb_flight *flight = &ask->flight;
	enum passdb_flight_role role;
	struct passdb_ask *same;

	flight->hash = passdb_flights_hash(passdb->shared->flights,
					   flight->key, flight->key_len);
	same = ask_find_same(ask);
	if (same != NULL) {
		list_append(&same->followers, &ask->node);
		return PASSDB_FLIGHT_FOLLOWS;
	}
	role = passdb_flight_start(flight, &passdb->inbox, landed);
	if (role == PASSDB_FLIGHT_FOLLOWS)
		list_append(ask_bucket(ask), &ask->node);
	return role;
}

enum passdb_answer passdb_ask(struct passdb_request *request)
{
	const struct passdb_driver *driver =
		passdb_request_entry(request)->driver;
	struct passdb_shared *shared = request->passdb->shared;
	struct passdb_cache_answer kept;
	enum passdb_flight_role role;
	enum passdb_answer answer;
	struct passdb_ask *ask;
	uint64_t landed;

	request->ask = NULL;
	ask = shared->cache != NULL && driver->cache_key != NULL
		      ? ask_new(request)
		      : NULL;
	if (ask == NULL)
		return ask_lookup(request);
	request->ask = ask;
	do {
		landed = passdb_flights_landed(shared->flights);
		if (ask_is_kept(ask, &kept)) {
			passdb_request_debug(request, "answered by the cache");
			passdb_observe(request, PASSDB_EVENT_SOURCE, NULL,
				       "the cache");
			return ask_replay(request, &kept);
		}
		role = ask_take_part(ask, landed);
	} while (role == PASSDB_FLIGHT_LATE);
	if (role == PASSDB_FLIGHT_FOLLOWS)
		return PASSDB_ANSWER_WAIT;
	answer = ask_driver(ask);
	return answer == PASSDB_ANSWER_WAIT ? answer : ask_settle(ask, answer);
}

bool passdb_ask_has_stale(const struct passdb_request *request)
{
	return request->ask != NULL && request->ask->has_stale;
}

/* --- followers --- */

/* said: NULL if the passdb could not say. */
static void ask_tell(struct passdb_ask *follower,
		     const struct passdb_cache_answer *said)
{
	struct passdb_request *request = follower->request;
	struct passdb_cache_answer own;

	list_remove(&follower->node);
	passdb_observe(request, PASSDB_EVENT_SOURCE, NULL,
		       "an equal lookup at the same time");
	if (said == NULL) {
		follower->fields_before = request->fields;
		follower->username_before = request->username;
		passdb_answer(request, follower->has_stale
					       ? ask_replay_stale(follower)
					       : PASSDB_ANSWER_FAIL);
		return;
	}
	own = passdb_cache_answer_copy(said, request->arena);
	passdb_answer(request, ask_replay(request, &own));
}

static void ask_tell_followers(struct passdb_ask *ask,
			       const struct passdb_cache_answer *said)
{
	struct list *node, *tmp;

	list_each(&ask->followers, node, tmp)
		ask_tell(container_of(node, struct passdb_ask, node), said);
}

enum passdb_answer passdb_ask_answered(struct passdb_request *request,
				       enum passdb_answer answer)
{
	struct passdb_ask *ask = request->ask;
	struct passdb_cache_answer said;
	enum passdb_answer settled;

	if (ask == NULL || ask->asking)
		ask_count(request, answer);
	if (ask == NULL || !ask->asking)
		return answer;
	list_remove(&ask->node);
	said = ask_recorded(ask, answer);
	settled = ask_settle(ask, answer);
	ask_tell_followers(ask, answer != PASSDB_ANSWER_FAIL ? &said : NULL);
	return settled;
}

/* --- of other threads --- */

static void ask_flight_answered(struct passdb_flight *flight,
				const struct passdb_cache_answer *said)
{
	struct passdb_ask *ask =
		container_of(flight, struct passdb_ask, flight);

	ask_tell_followers(ask, said);
	ask_tell(ask, said);
}

/* For who waited for the answer to a lookup that was given up. */
static void ask_lead(struct passdb_ask *ask)
{
	enum passdb_answer answer;

	list_remove(&ask->node);
	answer = ask_driver(ask);
	if (answer != PASSDB_ANSWER_WAIT)
		passdb_answer(ask->request, answer);
}

static void ask_flight_leads(struct passdb_flight *flight)
{
	ask_lead(container_of(flight, struct passdb_ask, flight));
}

void passdb_ask_open(struct passdb *passdb)
{
	static const struct passdb_flight_events events = {
		ask_flight_answered, ask_flight_leads,
	};
	unsigned i;

	for (i = 0; i < PASSDB_ASKING_BUCKETS; i++)
		list_init(&passdb->asking[i]);
	if (passdb->shared->flights != NULL)
		passdb_inbox_open(&passdb->inbox, passdb->shared->flights,
				  passdb->loop, &events);
}

void passdb_ask_close(struct passdb *passdb)
{
	if (passdb->shared->flights != NULL)
		passdb_inbox_close(&passdb->inbox);
}

/* --- giving up --- */

/* Who follows takes the place of one that is given up, for the others too. */
static void ask_succeed(struct passdb_ask *ask)
{
	struct passdb_ask *next =
		list_first(&ask->followers, struct passdb_ask, node);
	struct list *node, *tmp;

	if (next == NULL) {
		passdb_flight_leave(&ask->flight);
		return;
	}
	list_remove(&next->node);
	list_each(&ask->followers, node, tmp) {
		list_remove(node);
		list_append(&next->followers, node);
	}
	if (passdb_flight_pass_on(&ask->flight, &next->flight))
		ask_lead(next);
	else
		list_append(ask_bucket(next), &next->node);
}

static void ask_stop(struct passdb_request *request)
{
	struct passdb_ask *ask = request->ask;

	if (ask == NULL || ask->asking)
		passdb_request_entry(request)->driver->cancel(request);
	if (ask == NULL)
		return;
	list_remove(&ask->node);
	ask->asking = false;
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
