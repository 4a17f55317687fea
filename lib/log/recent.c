#include "lib/log/recent.h"

#include <pthread.h>

#include "lib/log/json.h"
#include "lib/mem.h"
#include "lib/str.h"
#include "lib/utf8.h"

#define TEXT_MAX 2048 /* of one line */

static pthread_mutex_t recent_lock = PTHREAD_MUTEX_INITIALIZER;
static struct log_recent_line recent_ring[LOG_RECENT_LINES];
static size_t recent_first, recent_count, recent_bytes;

static struct log_recent_line *recent_at(size_t index)
{
	return &recent_ring[(recent_first + index) % LOG_RECENT_LINES];
}

static size_t recent_size(const struct log_recent_line *line)
{
	return strlen(line->text) + 1;
}

static void recent_drop_first(void)
{
	struct log_recent_line *line = recent_at(0);

	recent_bytes -= recent_size(line);
	mem_free(&line->text);
	recent_first = (recent_first + 1) % LOG_RECENT_LINES;
	recent_count--;
}

static void recent_put_context(struct str *out, const struct log_ctx *ctx)
{
	if (ctx == NULL)
		return;
	recent_put_context(out, ctx->parent);
	if (ctx->text == NULL)
		return;
	str_put_escaped(out, ctx->text, strlen(ctx->text));
	str_puts(out, ": ");
}

static char *recent_text(const struct log_ctx *ctx, const char *message,
			 size_t len)
{
	struct str text = STR_INIT;
	char *copy;

	recent_put_context(&text, ctx);
	str_put_escaped(&text, message, utf8_cut(message, len, TEXT_MAX));
	copy = mem_strndup(str_c(&text), utf8_cut(str_c(&text), text.len,
						  TEXT_MAX));
	str_free(&text);
	return copy;
}

/* A panic may have come out of here. */
static bool recent_enter(enum log_level level)
{
	if (level == LOG_LEVEL_FATAL)
		return pthread_mutex_trylock(&recent_lock) == 0;
	pthread_mutex_lock(&recent_lock);
	return true;
}

void log_recent_add(enum log_level level, const struct log_ctx *ctx,
		    const char *message, size_t len)
{
	struct log_recent_line line = {
		.level = level,
		.text = recent_text(ctx, message, len),
	};

	if (!recent_enter(level)) {
		mem_free(&line.text);
		return;
	}
	line.time_ms = log_json_now_ms();
	while (recent_count == LOG_RECENT_LINES ||
	       (recent_count > 0 &&
		recent_bytes + recent_size(&line) > LOG_RECENT_BYTES))
		recent_drop_first();
	*recent_at(recent_count++) = line;
	recent_bytes += recent_size(&line);
	pthread_mutex_unlock(&recent_lock);
}

void log_recent_each(void (*fn)(void *arg, const struct log_recent_line *line),
		     void *arg)
{
	size_t i;

	pthread_mutex_lock(&recent_lock);
	for (i = 0; i < recent_count; i++)
		fn(arg, recent_at(i));
	pthread_mutex_unlock(&recent_lock);
}
