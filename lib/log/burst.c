#include "lib/log/burst.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/utf8.h"

struct burst_kind {
	uint64_t kind;
	uint64_t start_ms; /* of its ten seconds */
	unsigned written, held;
	enum log_level level;
	char context[sizeof(((struct log_burst *)NULL)->context)];
	char message[sizeof(((struct log_burst *)NULL)->message)];
};

static pthread_mutex_t burst_lock = PTHREAD_MUTEX_INITIALIZER;
/* Those in use have written > 0; the last one is for all other kinds. */
static struct burst_kind burst_kinds[LOG_BURST_KINDS + 1];
#define BURST_OTHERS (&burst_kinds[LOG_BURST_KINDS])
static atomic_uint burst_limit;
static atomic_uint burst_held; /* lines, of all kinds */

void log_burst_limit(unsigned lines)
{
	atomic_store_explicit(&burst_limit, lines, memory_order_relaxed);
}

bool log_burst_pending(void)
{
	return atomic_load_explicit(&burst_held, memory_order_relaxed) > 0;
}

static bool burst_over(const struct burst_kind *entry, uint64_t now_ms)
{
	return now_ms - entry->start_ms >= LOG_BURST_MS;
}

/* Its entry, or NULL. */
static struct burst_kind *burst_find(uint64_t kind)
{
	size_t i;

	for (i = 0; i < LOG_BURST_KINDS; i++) {
		if (burst_kinds[i].written > 0 && burst_kinds[i].kind == kind)
			return &burst_kinds[i];
	}
	return NULL;
}

/* One that is free, or has nothing left to say. */
static struct burst_kind *burst_find_room(uint64_t now_ms)
{
	size_t i;

	for (i = 0; i < LOG_BURST_KINDS; i++) {
		struct burst_kind *entry = &burst_kinds[i];

		if (entry->written == 0 ||
		    (entry->held == 0 && burst_over(entry, now_ms))) {
			entry->written = 0;
			entry->kind = 0;
			return entry;
		}
	}
	return BURST_OTHERS;
}

static void burst_begin(struct burst_kind *entry, uint64_t kind,
			enum log_level level, uint64_t now_ms)
{
	entry->kind = kind;
	entry->level = level;
	entry->start_ms = now_ms;
	entry->written = 0;
}

static bool burst_count(struct burst_kind *entry, unsigned limit)
{
	if (entry->written < limit) {
		entry->written++;
		return true;
	}
	entry->held++;
	atomic_fetch_add_explicit(&burst_held, 1, memory_order_relaxed);
	return false;
}

bool log_burst_admits(enum log_level level, uint64_t kind, uint64_t now_ms)
{
	unsigned limit =
		atomic_load_explicit(&burst_limit, memory_order_relaxed);
	struct burst_kind *entry;
	bool admitted;

	if (limit == 0)
		return true;
	pthread_mutex_lock(&burst_lock);
	entry = burst_find(kind);
	if (entry == NULL)
		entry = burst_find_room(now_ms);
	if (entry->written == 0 ||
	    (entry->held == 0 && burst_over(entry, now_ms)))
		burst_begin(entry, kind, level, now_ms);
	if (level > entry->level)
		entry->level = level;
	admitted = burst_count(entry, limit);
	pthread_mutex_unlock(&burst_lock);
	return admitted;
}

static void burst_copy(char *copy, size_t size, const char *text, size_t len)
{
	len = utf8_cut(text, len, size - 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
}

/* The innermost: it tells most. */
static const char *burst_context(const struct log_ctx *ctx)
{
	while (ctx != NULL && ctx->text == NULL)
		ctx = ctx->parent;
	return ctx != NULL ? ctx->text : "";
}

void log_burst_example(uint64_t kind, const struct log_ctx *ctx,
		       const char *message, size_t len)
{
	const char *context = burst_context(ctx);
	struct burst_kind *entry;

	if (atomic_load_explicit(&burst_limit, memory_order_relaxed) == 0)
		return;
	pthread_mutex_lock(&burst_lock);
	entry = burst_find(kind);
	if (entry == NULL)
		entry = BURST_OTHERS;
	burst_copy(entry->message, sizeof(entry->message), message, len);
	burst_copy(entry->context, sizeof(entry->context), context,
		   strlen(context));
	pthread_mutex_unlock(&burst_lock);
}

static struct burst_kind *burst_find_due(uint64_t now_ms, bool all)
{
	size_t i;

	for (i = 0; i <= LOG_BURST_KINDS; i++) {
		if (burst_kinds[i].held > 0 &&
		    (all || burst_over(&burst_kinds[i], now_ms)))
			return &burst_kinds[i];
	}
	return NULL;
}

static void burst_tell(const struct burst_kind *entry, uint64_t now_ms,
		       struct log_burst *burst_r)
{
	uint64_t ms = now_ms - entry->start_ms;

	burst_r->level = entry->level;
	burst_r->count = entry->held;
	burst_r->seconds = ms > 1000 ? (unsigned)((ms + 500) / 1000) : 1;
	memcpy(burst_r->context, entry->context, sizeof(entry->context));
	memcpy(burst_r->message, entry->message, sizeof(entry->message));
}

/* The kind starts anew: what comes now is written again. */
bool log_burst_take(struct log_burst *burst_r, uint64_t now_ms, bool all)
{
	struct burst_kind *entry;

	if (!log_burst_pending())
		return false;
	pthread_mutex_lock(&burst_lock);
	entry = burst_find_due(now_ms, all);
	if (entry != NULL) {
		burst_tell(entry, now_ms, burst_r);
		atomic_fetch_sub_explicit(&burst_held, entry->held,
					  memory_order_relaxed);
		entry->held = entry->written = 0;
	}
	pthread_mutex_unlock(&burst_lock);
	return entry != NULL;
}
