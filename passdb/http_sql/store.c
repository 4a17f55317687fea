#include "passdb/http_sql/store.h"

#include "lib/log/log.h"
#include "lib/mem.h"
#include "passdb/http_sql/answer.h"
#include "passdb/http_sql/dialect.h"

#define MAX_FAILURES 3
#define FIRST_PAUSE_MS 1000
#define MAX_PAUSE_MS 30000

struct http_sql_store {
	struct http_sql_stores *stores;
	const struct http_url *url;
	struct http_server *server;
	unsigned failures; /* in a row */
	bool down;
	unsigned pause_ms; /* until the last probe; 0: it has worked since */
	struct loop_timer timer;
	struct http_request *probe; /* NULL: none is under way */
};

struct http_sql_stores {
	const struct http_sql_settings *settings;
	struct http_client *client;
	unsigned count;
	struct http_sql_store list[];
};

static void schedule_probe(struct http_sql_store *store)
{
	store->pause_ms = store->pause_ms == 0 ? FIRST_PAUSE_MS :
			  store->pause_ms < MAX_PAUSE_MS / 2 ?
			  store->pause_ms * 2 : MAX_PAUSE_MS;
	loop_timer_set(&store->timer, store->pause_ms);
}

static void probe_done(void *arg, const struct http_answer *answer)
{
	struct http_sql_store *store = arg;

	store->probe = NULL;
	if (answer->status > 0 && answer->status < 500) {
		log_info(NULL, "passdb http-sql: %s is up again",
			 store->url->text);
		store->down = false;
		store->failures = 0;
		return;
	}
	schedule_probe(store);
}

static void probe_start(struct loop_timer *timer)
{
	struct http_sql_store *store =
		container_of(timer, struct http_sql_store, timer);
	const struct http_call call = {
		.path = store->stores->settings->probe,
	};

	store->probe = http_start(store->server, &call, probe_done, store);
}

struct http_sql_stores *
http_sql_stores_new(const struct passdb_env *env,
		    const struct http_sql_settings *settings)
{
	struct http_sql_stores *stores =
		mem_alloc(sizeof(*stores) +
			  settings->url_count * sizeof(*stores->list));
	unsigned i;

	stores->settings = settings;
	stores->client = http_client_new(env->loop, env->dns, &settings->http);
	stores->count = settings->url_count;
	for (i = 0; i < stores->count; i++) {
		struct http_sql_store *store = &stores->list[i];

		store->stores = stores;
		store->url = &settings->urls[i];
		store->server = http_server_new(stores->client, store->url);
		loop_timer_open(&store->timer, env->loop, probe_start);
	}
	return stores;
}

void http_sql_stores_free(struct http_sql_stores **stores_p)
{
	struct http_sql_stores *stores = *stores_p;
	unsigned i;

	if (stores == NULL)
		return;
	for (i = 0; i < stores->count; i++) {
		loop_timer_close(&stores->list[i].timer);
		http_cancel(&stores->list[i].probe);
		http_server_free(&stores->list[i].server);
	}
	http_client_free(&stores->client);
	mem_free(stores_p);
}

unsigned http_sql_stores_waiting(const struct http_sql_stores *stores)
{
	unsigned i, count = 0;

	for (i = 0; i < stores->count; i++)
		count += http_server_waiting(stores->list[i].server);
	return count;
}

struct http_sql_store *http_sql_stores_pick(struct http_sql_stores *stores,
					    unsigned *tried)
{
	unsigned i;

	for (i = 0; i < stores->count; i++) {
		if (stores->list[i].down || (*tried & 1u << i) != 0)
			continue;
		*tried |= 1u << i;
		return &stores->list[i];
	}
	return NULL;
}

struct http_server *http_sql_store_server(const struct http_sql_store *store)
{
	return store->server;
}

const char *http_sql_store_url(const struct http_sql_store *store)
{
	return store->url->text;
}

void http_sql_store_worked(struct http_sql_store *store)
{
	store->failures = 0;
	store->pause_ms = 0;
}

void http_sql_store_failed(struct http_sql_store *store, const char *why)
{
	unsigned others = 1u << (store - store->stores->list);

	if (store->down)
		return;
	store->failures++;
	if (store->failures < MAX_FAILURES &&
	    http_sql_stores_pick(store->stores, &others) == NULL)
		return;
	log_error(NULL, "passdb http-sql: %s is down: %s", store->url->text,
		  why);
	store->down = true;
	http_server_give_up(store->server, "it is down");
	schedule_probe(store);
}
