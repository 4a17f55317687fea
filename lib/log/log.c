#include "lib/log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "lib/log/burst.h"
#include "lib/log/config.h"
#include "lib/log/json.h"
#include "lib/log/out.h"
#include "lib/log/recent.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "lib/plain.h"
#include "lib/str.h"
#include "lib/utf8.h"

#define LOG_LINE_MAX 8192
#define LOG_MESSAGE_MAX 4096
#define LOG_BUF_SIZE (4 * LOG_LINE_MAX)
#define LOG_CUT " [...]"
#define LOG_LAZY_BYTES 16384
#define LOG_LAZY_MS 50

/* The timestamp of this second, as text. */
struct log_stamp {
	time_t sec;
	unsigned generation;
	char left[64], right[64];
	size_t left_len, right_len;
};

/* The state of the process: what the whole process logs to is one thing. Lines
 * are formatted and written under the read lock. */
static pthread_rwlock_t log_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct log_config *log_config; /* NULL: everything to stderr */
static unsigned log_generation;
static atomic_bool log_debug_on, log_debug_wanted, log_fields_on;

/* Lines of this thread that are not written yet, all for the same place, and
 * the line that is being made at their end. */
static _Thread_local struct {
	enum log_file file;
	bool lazy;	   /* they can wait a little */
	uint64_t since_ms; /* when the first of them came */
	struct str lines;  /* without memory when there are none */
	bool open;	   /* between log_begin() and log_end() */
	enum log_level level;
	const struct log_ctx *ctx;
	uint64_t kind; /* 0: of none */
	bool json, in_fields;
	size_t line_at, text_at; /* where the open line and its text, or that
				    of its last field, begin */
	size_t context_at; /* where its context does, if that is no JSON */
} log_pending;
static _Thread_local struct log_stamp log_stamp;

static const char *const json_levels[] = {
	[LOG_LEVEL_DEBUG] = "debug",	 [LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_FATAL] = "fatal",
};

static const int level_priorities[] = {
	[LOG_LEVEL_DEBUG] = LOG_DEBUG,	   [LOG_LEVEL_INFO] = LOG_INFO,
	[LOG_LEVEL_WARNING] = LOG_WARNING, [LOG_LEVEL_ERROR] = LOG_ERR,
	[LOG_LEVEL_FATAL] = LOG_CRIT,
};

/* --- destinations --- */

static bool uses_syslog(const struct log_config *config)
{
	int i;

	for (i = 0; i < LOG_FILES; i++) {
		if (config->fds[i] == LOG_FD_SYSLOG)
			return true;
	}
	return false;
}

/* The C library connects with the next line that goes there. */
static void syslog_anew(const struct log_config *config)
{
	closelog();
	openlog(config->ident, 0, config->facility);
}

/* Puts config in the place of the current one. */
static void log_install(struct log_config *config)
{
	struct log_config *old;

	log_flush();
	pthread_rwlock_wrlock(&log_lock);
	old = log_config;
	config->generation = ++log_generation;
	log_config = config;
	syslog_anew(config);
	pthread_rwlock_unlock(&log_lock);
	if (old != NULL)
		log_config_close(old);
	log_config_free(&old);
}

static int log_start(const struct log_settings *settings, const int *taken,
		     struct err *err)
{
	struct log_config *config = log_config_open(settings, taken, err);

	if (config == NULL)
		return -1;
	/* Who ends the process need not think of what is pending. */
	if (log_generation == 0)
		atexit(log_flush);
	atomic_store(&log_debug_on, settings->debug);
	atomic_store(&log_fields_on, config->json);
	log_burst_limit(settings->error_burst);
	log_install(config);
	return 0;
}

int log_open(const struct log_settings *settings, struct err *err)
{
	return log_start(settings, NULL, err);
}

int log_adopt(const struct log_settings *settings, const int fds[LOG_FILES],
	      struct err *err)
{
	return log_start(settings, fds, err);
}

void log_files(int fds_r[LOG_FILES])
{
	int i;

	pthread_rwlock_rdlock(&log_lock);
	for (i = 0; i < LOG_FILES; i++) {
		fds_r[i] = -1;
		if (log_config != NULL && log_config_has_file(log_config, i))
			fds_r[i] = log_config->fds[i];
	}
	pthread_rwlock_unlock(&log_lock);
}

void log_disconnect(void)
{
	pthread_rwlock_rdlock(&log_lock);
	if (log_config != NULL && uses_syslog(log_config))
		syslog_anew(log_config);
	pthread_rwlock_unlock(&log_lock);
}

/* The descriptor keeps its number, so that nobody has to be told. */
void log_reopen(void)
{
	struct err err = { "" };
	int i, fd = -1, failed = 0;

	log_flush();
	pthread_rwlock_rdlock(&log_lock);
	for (i = 0; log_config != NULL && i < LOG_FILES; i++) {
		if (!log_config_has_file(log_config, i))
			continue;
		if (log_config_open_file(log_config->paths[i], &fd, &err) < 0) {
			failed++;
			continue;
		}
		dup3(fd, log_config->fds[i], O_CLOEXEC);
		close(fd);
	}
	pthread_rwlock_unlock(&log_lock);
	if (failed > 0)
		log_error(NULL, "reopening logs: %s", err.text);
}

void log_close(void)
{
	struct log_config *old;

	log_flush();
	pthread_rwlock_wrlock(&log_lock);
	old = log_config;
	log_config = NULL;
	if (old != NULL && uses_syslog(old))
		closelog();
	pthread_rwlock_unlock(&log_lock);
	if (old != NULL)
		log_config_close(old);
	log_config_free(&old);
}

/* --- lines --- */

/* Under the lock. */
static int log_fd(enum log_file file)
{
	return log_config != NULL ? log_config->fds[file] : STDERR_FILENO;
}

bool log_is_stderr(void)
{
	int fd;

	pthread_rwlock_rdlock(&log_lock);
	fd = log_fd(LOG_FILE_ERROR);
	pthread_rwlock_unlock(&log_lock);
	return fd == STDERR_FILENO;
}

static void log_flush_locked(void)
{
	int fd = log_fd(log_pending.file);

	/* After a switch to syslog the last lines have nowhere to go. */
	log_out_write(log_pending.file, fd != LOG_FD_SYSLOG ? fd : STDERR_FILENO,
		      log_pending.lines.data, log_pending.lines.len);
	str_free(&log_pending.lines);
}

static void log_flush_lines(void)
{
	if (log_pending.lines.len == 0)
		return;
	pthread_rwlock_rdlock(&log_lock);
	log_flush_locked();
	pthread_rwlock_unlock(&log_lock);
}

static uint64_t log_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Says what was held back, or at least what is due. */
static void log_say_bursts(bool all)
{
	struct log_burst burst;

	while (log_burst_take(&burst, log_now_ms(), all)) {
		const struct log_ctx ctx = { NULL, burst.context };
		struct str *line = log_begin(
			burst.level, burst.context[0] != '\0' ? &ctx : NULL);

		str_printf(line, "%u more like this in the last %u s: %s",
			   burst.count, burst.seconds, burst.message);
		if (log_begin_fields("burst")) {
			log_field_number("repeated", burst.count);
			log_field_number("seconds", burst.seconds);
		}
		log_end();
	}
}

/* A log that cannot be written must not stop the mail; but it says what it lacks. */
static void log_say_lost(void)
{
	int reason;
	unsigned count = log_out_lost(&reason);

	if (count > 0)
		log_warning(NULL, "%u lines could not be written to the log: %s",
			    count, strerror(reason));
}

void log_flush(void)
{
	log_say_bursts(true);
	log_say_lost();
	log_flush_lines();
}

unsigned log_flush_lazily(void)
{
	bool held = log_burst_pending();

	if (held)
		log_say_bursts(false);
	log_say_lost();
	if (log_pending.lines.len == 0)
		return held ? LOG_LAZY_MS : 0;
	if (log_pending.lazy && log_pending.lines.len < LOG_LAZY_BYTES &&
	    log_now_ms() - log_pending.since_ms < LOG_LAZY_MS)
		return LOG_LAZY_MS;
	log_flush_lines();
	return held ? LOG_LAZY_MS : 0;
}

static void log_stamp_update(const struct log_config *config, time_t sec)
{
	struct tm tm;

	if (log_stamp.sec == sec &&
	    log_stamp.generation == config->generation)
		return;
	log_stamp.sec = sec;
	log_stamp.generation = config->generation;
	localtime_r(&sec, &tm);
	log_stamp.left_len = strftime(log_stamp.left, sizeof(log_stamp.left),
				      config->stamp_left, &tm);
	log_stamp.right_len = strftime(log_stamp.right,
				       sizeof(log_stamp.right),
				       config->stamp_right, &tm);
}

static void log_put_stamp(struct str *line, const struct log_config *config)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	log_stamp_update(config, now.tv_sec);
	str_append(line, log_stamp.left, log_stamp.left_len);
	if (config->stamp_usecs)
		str_printf(line, "%06ld", now.tv_nsec / 1000);
	str_append(line, log_stamp.right, log_stamp.right_len);
}

static void log_put_context(struct str *line, const struct log_ctx *ctx)
{
	if (ctx == NULL)
		return;
	log_put_context(line, ctx->parent);
	if (ctx->text == NULL)
		return;
	str_puts(line, ctx->text);
	str_puts(line, ": ");
}

/* The same behind at, without what goes on. */
static void log_join_contexts(struct str *line, size_t at,
			      const struct log_ctx *ctx)
{
	if (ctx == NULL)
		return;
	log_join_contexts(line, at, ctx->parent);
	if (ctx->text == NULL)
		return;
	if (line->len > at)
		str_puts(line, ": ");
	str_puts(line, ctx->text);
}

/* Makes all behind at fit for the log. */
static void log_escape(struct str *line, size_t at)
{
	size_t len = line->len > at ? line->len - at : 0;
	char *raw;

	if (plain_len(line->data + at, len) == len)
		return;
	raw = memcpy(mem_alloc(len), line->data + at, len);
	str_truncate(line, at);
	str_put_escaped(line, raw, len);
	mem_free(&raw);
}

static void log_cut(struct str *line, size_t line_at)
{
	str_truncate(line,
		     line_at + utf8_cut(line->data + line_at,
					line->len - line_at,
					LOG_LINE_MAX - sizeof(LOG_CUT)));
	str_puts(line, LOG_CUT);
}

static enum log_file log_level_file(enum log_level level)
{
	if (level == LOG_LEVEL_DEBUG)
		return LOG_FILE_DEBUG;
	return level == LOG_LEVEL_INFO ? LOG_FILE_INFO : LOG_FILE_ERROR;
}

/* Makes room for another line; lines for another file leave first. */
static struct str *log_make_room(enum log_file file)
{
	struct str *lines = &log_pending.lines;

	if (lines->len > 0 && (log_fd(file) != log_fd(log_pending.file) ||
			       lines->len + LOG_LINE_MAX > LOG_BUF_SIZE))
		log_flush_locked();
	if (lines->len == 0) {
		log_pending.lazy = log_fd(file) != STDERR_FILENO;
		log_pending.since_ms = log_now_ms();
		str_reserve(lines, LOG_BUF_SIZE);
	}
	log_pending.file = file;
	return lines;
}

/* Whether lines on stderr begin with their priority. */
static bool log_shows_priorities(void)
{
	return log_config != NULL ? log_config->priorities
				  : log_config_stderr_is_journal();
}

/* What stands in front of the text of a line that is no JSON. */
static void log_put_head(struct str *line, enum log_level level, bool bare)
{
	if (log_config == NULL) {
		str_puts(line, "waypost: ");
		str_puts(line, log_level_names[level]);
	} else {
		const struct str *head = &log_config->heads[bare][level];

		if (!bare)
			log_put_stamp(line, log_config);
		str_append(line, head->data, head->len);
	}
	log_pending.context_at = line->len;
	log_put_context(line, log_pending.ctx);
}

static void log_put_json_context(struct str *line, const struct log_ctx *ctx)
{
	size_t name_at = line->len, at;

	str_puts(line, "\",\"context\":\"");
	at = line->len;
	log_join_contexts(line, at, ctx);
	log_json_escape(line, at, LOG_FIELD_MAX);
	if (line->len == at)
		str_truncate(line, name_at);
}

static void log_put_json_head(struct str *line, enum log_level level)
{
	str_puts(line, "{\"time\":\"");
	log_json_put_time(line, log_json_now_ms());
	str_puts(line, "\",\"level\":\"");
	str_puts(line, json_levels[level]);
	str_append(line, log_config->json_process.data,
		   log_config->json_process.len);
	log_put_json_context(line, log_pending.ctx);
	str_puts(line, "\",\"message\":\"");
}

/* Under the lock. */
static struct str *log_open_line(enum log_level level, enum log_file file)
{
	struct str *line = log_make_room(file);
	int fd = log_fd(file);
	bool bare = fd == LOG_FD_SYSLOG;

	log_pending.line_at = line->len;
	if (fd == STDERR_FILENO && log_shows_priorities()) {
		str_printf(line, "<%d>", level_priorities[level]);
		bare = true;
	}
	log_pending.json = log_config != NULL && log_config->json;
	if (log_pending.json)
		log_put_json_head(line, level);
	else
		log_put_head(line, level, bare);
	log_pending.text_at = line->len;
	return line;
}

struct str *log_begin(enum log_level level, const struct log_ctx *ctx)
{
	if (!log_enabled(level))
		return NULL;
	ASSERT(!log_pending.open);
	pthread_rwlock_rdlock(&log_lock);
	log_pending.open = true;
	log_pending.level = level;
	log_pending.ctx = ctx;
	return log_open_line(level, log_level_file(level));
}

struct str *log_begin_kind(enum log_level level, const struct log_ctx *ctx,
			   uint64_t kind)
{
	struct str *line;

	log_say_bursts(false);
	if (!log_burst_admits(level, kind, log_now_ms()))
		return NULL;
	line = log_begin(level, ctx);
	log_pending.kind = kind;
	return line;
}

/* The text of a warning or worse is complete. */
static void log_note_trouble(const struct str *line)
{
	const char *text = line->data + log_pending.text_at;
	size_t len = line->len - log_pending.text_at;

	log_recent_add(log_pending.level, log_pending.ctx, text, len);
	if (log_pending.kind == 0)
		return;
	log_burst_example(log_pending.kind, log_pending.ctx, text, len);
	log_pending.kind = 0;
}

static void log_end_text(struct str *line)
{
	size_t line_at = log_pending.line_at;

	if (line->len - line_at > LOG_LINE_MAX)
		log_cut(line, line_at);
	log_escape(line, log_pending.context_at);
	if (line->len - line_at > LOG_LINE_MAX)
		log_cut(line, line_at);
}

static void log_end_message(struct str *line)
{
	if (log_pending.level >= LOG_LEVEL_WARNING)
		log_note_trouble(line);
	if (!log_pending.json) {
		log_end_text(line);
		return;
	}
	log_json_escape(line, log_pending.text_at, LOG_MESSAGE_MAX);
	str_putc(line, '"');
}

void log_end(void)
{
	struct str *line = &log_pending.lines;

	if (!log_pending.in_fields)
		log_end_message(line);
	if (log_pending.json)
		str_putc(line, '}');
	if (log_fd(log_pending.file) == LOG_FD_SYSLOG) {
		syslog(level_priorities[log_pending.level], "%s",
		       line->data + log_pending.line_at);
		str_free(line);
	} else {
		str_putc(line, '\n');
		if (log_pending.level >= LOG_LEVEL_ERROR)
			log_flush_locked();
	}
	log_pending.open = log_pending.in_fields = false;
	pthread_rwlock_unlock(&log_lock);
}

/* --- fields --- */

bool log_has_fields(void)
{
	return atomic_load_explicit(&log_fields_on, memory_order_relaxed);
}

bool log_begin_fields(const char *event)
{
	if (!log_pending.json)
		return false;
	log_end_message(&log_pending.lines);
	log_pending.in_fields = true;
	log_field("event", event);
	return true;
}

static struct str *log_put_name(const char *name)
{
	struct str *line = &log_pending.lines;

	ASSERT(log_pending.in_fields);
	str_puts(line, ",\"");
	str_puts(line, name);
	str_puts(line, "\":");
	return line;
}

struct str *log_begin_field(const char *name)
{
	struct str *line = log_put_name(name);

	str_putc(line, '"');
	log_pending.text_at = line->len;
	return line;
}

void log_end_field(void)
{
	log_json_escape(&log_pending.lines, log_pending.text_at, LOG_FIELD_MAX);
	str_putc(&log_pending.lines, '"');
}

void log_field(const char *name, const char *value)
{
	if (value == NULL)
		return;
	str_puts(log_begin_field(name), value);
	log_end_field();
}

void log_field_number(const char *name, uint64_t value)
{
	str_put_number(log_put_name(name), value);
}

void log_field_bool(const char *name, bool value)
{
	str_puts(log_put_name(name), value ? "true" : "false");
}

/* --- whole lines --- */

static bool log_may_repeat(enum log_level level)
{
	return level == LOG_LEVEL_WARNING || level == LOG_LEVEL_ERROR;
}

static void log_line(enum log_level level, const struct log_ctx *ctx,
		     const char *fmt, va_list ap)
{
	struct str *line =
		log_may_repeat(level)
			? log_begin_kind(level, ctx, (uintptr_t)fmt)
			: log_begin(level, ctx);

	if (line == NULL)
		return;
	str_vprintf(line, fmt, ap);
	log_end();
}

void log_want_debug(bool on)
{
	atomic_store(&log_debug_wanted, on);
}

bool log_debug_is_wanted(void)
{
	return atomic_load_explicit(&log_debug_wanted, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return level != LOG_LEVEL_DEBUG ||
	       atomic_load_explicit(&log_debug_on, memory_order_relaxed) ||
	       log_debug_is_wanted();
}

#define LOG_FUNCTION(name, level) \
	void name(const struct log_ctx *ctx, const char *fmt, ...) \
	{ \
		va_list ap; \
\
		va_start(ap, fmt); \
		log_line(level, ctx, fmt, ap); \
		va_end(ap); \
	}

LOG_FUNCTION(log_debug_line, LOG_LEVEL_DEBUG)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING)
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_fatal, LOG_LEVEL_FATAL)

void log_say(enum log_level level, const char *text)
{
	bool journal = log_config_stderr_is_journal();
	size_t len;

	for (; *text != '\0'; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		if (journal)
			fprintf(stderr, "<%d>", level_priorities[level]);
		fprintf(stderr, "%.*s\n", (int)len, text);
	}
}
