/* The cache of passdb answers. */
#include "passdb/cache.h"
#include "passdb/passdb.h"
#include "proxy/control/private.h"

void control_cache(struct control_call *call)
{
	struct json_writer *json = &call->json;
	struct passdb_cache_stats stats = { .size = 0 };
	bool there = passdb_shared_cache_stats(call->control->env.source->shared,
					       &stats);

	json_open_object(json, NULL);
	json_write_bool(json, "enabled", there);
	json_write_number(json, "entries", stats.entries);
	json_write_number(json, "bytes", stats.bytes);
	json_write_number(json, "size_bytes", stats.size);
	json_write_number(json, "hits", stats.hits);
	json_write_number(json, "stale_hits", stats.stale_hits);
	json_write_number(json, "misses", stats.misses);
	json_write_number(json, "evicted", stats.evicted);
	json_close_object(json);
	control_answer(&call);
}

void control_cache_flush(struct control_call *call)
{
	passdb_shared_cache_flush(call->control->env.source->shared);
	control_answer_ok(&call);
}
