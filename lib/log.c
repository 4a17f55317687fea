#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/panic.h"
#include "lib/plain.h"
#include "lib/str.h"

#define LOG_LINE_MAX 8192
#define LOG_BUF_SIZE (4 * LOG_LINE_MAX)
#define LOG_CUT " [...]"
#define LOG_LAZY_BYTES 16384
#define LOG_LAZY_MS 50
#define LOG_USECS "%{usecs}" /* Dovecot's extension of strftime */
#define LOG_FD_SYSLOG (-1)

/* One reading of the settings with its open destinations. Two levels that go
 * to the same file share its descriptor, which keeps their order. */
struct log_config {
	char *paths[LOG_FILES];
	int fds[LOG_FILES]; /* LOG_FD_SYSLOG, STDERR_FILENO, or our own */
	char *stamp_left, *stamp_right; /* around the microseconds */
	bool stamp_usecs;
	char *prefix, *ident;
	int facility;
	unsigned generation;
};

/* The timestamp of this second, as text. */
struct log_stamp {
	time_t sec;
	unsigned generation;
	char left[64], right[64];
};

/* The state of the process: what the whole process logs to is one thing. Lines
 * are formatted and written under the read lock. */
static pthread_rwlock_t log_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct log_config *log_config; /* NULL: everything to stderr */
static unsigned log_generation;
static atomic_bool log_debug_on;

/* Lines of this thread that are not written yet, all for the same place, and
 * the line that is being made at their end. */
static _Thread_local struct {
	enum log_file file;
	bool lazy;	   /* they can wait a little */
	uint64_t since_ms; /* when the first of them came */
	struct str lines;  /* without memory when there are none */
	bool open;	   /* between log_begin() and log_end() */
	enum log_level level;
	size_t line_at, text_at; /* where the open line and its text begin */
} log_pending;
static _Thread_local struct log_stamp log_stamp;

static const char *const level_names[] = {
	[LOG_LEVEL_DEBUG] = "Debug: ",	   [LOG_LEVEL_INFO] = "Info: ",
	[LOG_LEVEL_WARNING] = "Warning: ", [LOG_LEVEL_ERROR] = "Error: ",
	[LOG_LEVEL_FATAL] = "Fatal: ",
};

static const int level_priorities[] = {
	[LOG_LEVEL_DEBUG] = LOG_DEBUG,	   [LOG_LEVEL_INFO] = LOG_INFO,
	[LOG_LEVEL_WARNING] = LOG_WARNING, [LOG_LEVEL_ERROR] = LOG_ERR,
	[LOG_LEVEL_FATAL] = LOG_CRIT,
};

static const struct {
	const char *name;
	int facility;
} facilities[] = {
	{ "auth", LOG_AUTH },	  { "authpriv", LOG_AUTHPRIV },
	{ "cron", LOG_CRON },	  { "daemon", LOG_DAEMON },
	{ "ftp", LOG_FTP },	  { "kern", LOG_KERN },
	{ "lpr", LOG_LPR },	  { "mail", LOG_MAIL },
	{ "news", LOG_NEWS },	  { "syslog", LOG_SYSLOG },
	{ "user", LOG_USER },	  { "uucp", LOG_UUCP },
	{ "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 },
	{ "local2", LOG_LOCAL2 }, { "local3", LOG_LOCAL3 },
	{ "local4", LOG_LOCAL4 }, { "local5", LOG_LOCAL5 },
	{ "local6", LOG_LOCAL6 }, { "local7", LOG_LOCAL7 },
};

static int log_facility(const char *name, int *facility_r, struct err *err)
{
	size_t i;

	for (i = 0; i < sizeof(facilities) / sizeof(facilities[0]); i++) {
		if (strcmp(facilities[i].name, name) == 0) {
			*facility_r = facilities[i].facility;
			return 0;
		}
	}
	return err_set(err, "syslog_facility: unknown facility '%s'", name);
}

int log_check_facility(const char *name, struct err *err)
{
	int facility;

	return log_facility(name, &facility, err);
}

/* --- destinations --- */

static int log_open_file(const char *path, int *fd_r, struct err *err)
{
	int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY;
	int fd = open(path, flags, 0600);

	if (fd < 0)
		return err_set(err, "cannot open log file %s: %s", path,
			       strerror(errno));
	*fd_r = fd;
	return 0;
}

/* The earlier file with the same path, or -1. */
static int log_same_path(const struct log_config *config, int file)
{
	int i;

	for (i = 0; i < file; i++) {
		if (strcmp(config->paths[i], config->paths[file]) == 0)
			return i;
	}
	return -1;
}

/* Whether a level has a file of its own, opened by its path. */
static bool log_has_file(const struct log_config *config, int file)
{
	return config->fds[file] > STDERR_FILENO &&
	       log_same_path(config, file) < 0;
}

/* Opens file, or takes what another process opened. */
static int log_open_dest(struct log_config *config, int file, const int *taken,
			 struct err *err)
{
	const char *path = config->paths[file];
	int same = log_same_path(config, file);

	if (same >= 0)
		config->fds[file] = config->fds[same];
	else if (strcmp(path, "syslog") == 0)
		config->fds[file] = LOG_FD_SYSLOG;
	else if (strcmp(path, "/dev/stderr") == 0)
		config->fds[file] = STDERR_FILENO;
	else if (taken == NULL)
		return log_open_file(path, &config->fds[file], err);
	else if (taken[file] < 0)
		return err_set(err, "log file %s was not handed over", path);
	else
		config->fds[file] = taken[file];
	return 0;
}

static void log_config_close(struct log_config *config)
{
	int i;

	for (i = 0; i < LOG_FILES; i++) {
		if (log_has_file(config, i))
			close(config->fds[i]);
	}
}

static void log_config_free(struct log_config **config)
{
	int i;

	if (*config == NULL)
		return;
	for (i = 0; i < LOG_FILES; i++)
		mem_free(&(*config)->paths[i]);
	mem_free(&(*config)->stamp_left);
	mem_free(&(*config)->stamp_right);
	mem_free(&(*config)->prefix);
	mem_free(&(*config)->ident);
	mem_free(config);
}

static const char *log_or(const char *path, const char *otherwise)
{
	return path != NULL && path[0] != '\0' ? path : otherwise;
}

static void log_config_stamp(struct log_config *config, const char *format)
{
	const char *usecs = strstr(format, LOG_USECS);

	if (usecs == NULL)
		usecs = format + strlen(format);
	else
		config->stamp_usecs = true;
	config->stamp_left = mem_strndup(format, (size_t)(usecs - format));
	config->stamp_right = mem_strdup(
		config->stamp_usecs ? usecs + strlen(LOG_USECS) : usecs);
}

static struct log_config *log_config_new(const struct log_settings *settings)
{
	struct log_config *config = mem_new(struct log_config);
	const char *path = settings->path;
	int i;

	config->paths[LOG_FILE_ERROR] = mem_strdup(path);
	path = log_or(settings->info_path, path);
	config->paths[LOG_FILE_INFO] = mem_strdup(path);
	path = log_or(settings->debug_path, path);
	config->paths[LOG_FILE_DEBUG] = mem_strdup(path);
	for (i = 0; i < LOG_FILES; i++)
		config->fds[i] = -1;
	log_config_stamp(config, settings->timestamp);
	config->prefix = mem_strdup(settings->prefix);
	config->ident = mem_strdup(log_or(settings->ident, "waypost"));
	return config;
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
	closelog();
	openlog(config->ident, 0, config->facility);
	pthread_rwlock_unlock(&log_lock);
	if (old != NULL)
		log_config_close(old);
	log_config_free(&old);
}

static int log_start(const struct log_settings *settings, const int *taken,
		     struct err *err)
{
	struct log_config *config = log_config_new(settings);
	int i, status;

	status = log_facility(settings->syslog_facility, &config->facility,
			      err);
	for (i = 0; i < LOG_FILES && status == 0; i++)
		status = log_open_dest(config, i, taken, err);
	if (status < 0) {
		if (taken == NULL)
			log_config_close(config);
		log_config_free(&config);
		return -1;
	}
	atomic_store(&log_debug_on, settings->debug);
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
		if (log_config != NULL && log_has_file(log_config, i))
			fds_r[i] = log_config->fds[i];
	}
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
		if (!log_has_file(log_config, i))
			continue;
		if (log_open_file(log_config->paths[i], &fd, &err) < 0) {
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
	closelog();
	pthread_rwlock_unlock(&log_lock);
	if (old != NULL)
		log_config_close(old);
	log_config_free(&old);
}

/* --- lines --- */

/* A log that cannot be written must not stop the mail: what does not go out is
 * lost. */
static void log_write(int fd, const char *data, size_t len)
{
	ssize_t sent;

	while (len > 0) {
		sent = write(fd, data, len);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return;
		data += sent;
		len -= (size_t)sent;
	}
}

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
	log_write(fd != LOG_FD_SYSLOG ? fd : STDERR_FILENO,
		  log_pending.lines.data, log_pending.lines.len);
	str_free(&log_pending.lines);
}

void log_flush(void)
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

unsigned log_flush_lazily(void)
{
	if (log_pending.lines.len == 0)
		return 0;
	if (!log_pending.lazy || log_pending.lines.len >= LOG_LAZY_BYTES ||
	    log_now_ms() - log_pending.since_ms >= LOG_LAZY_MS) {
		log_flush();
		return 0;
	}
	return LOG_LAZY_MS;
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
	if (strftime(log_stamp.left, sizeof(log_stamp.left),
		     config->stamp_left, &tm) == 0)
		log_stamp.left[0] = '\0';
	if (strftime(log_stamp.right, sizeof(log_stamp.right),
		     config->stamp_right, &tm) == 0)
		log_stamp.right[0] = '\0';
}

static void log_put_stamp(struct str *line, const struct log_config *config)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	log_stamp_update(config, now.tv_sec);
	str_puts(line, log_stamp.left);
	if (config->stamp_usecs)
		str_printf(line, "%06ld", now.tv_nsec / 1000);
	str_puts(line, log_stamp.right);
}

static void log_put_context(struct str *line, const struct log_ctx *ctx)
{
	if (ctx == NULL)
		return;
	log_put_context(line, ctx->parent);
	if (ctx->text == NULL)
		return;
	str_put_escaped(line, ctx->text, strlen(ctx->text));
	str_puts(line, ": ");
}

/* Makes the text of the line, all behind text_at, fit for the log. */
static void log_escape(struct str *line, size_t text_at)
{
	size_t len = line->len > text_at ? line->len - text_at : 0;
	char *raw;

	if (plain_len(line->data + text_at, len) == len)
		return;
	raw = memcpy(mem_alloc(len), line->data + text_at, len);
	str_truncate(line, text_at);
	str_put_escaped(line, raw, len);
	mem_free(&raw);
}

static void log_cut(struct str *line, size_t line_at)
{
	size_t cut = line_at + LOG_LINE_MAX - sizeof(LOG_CUT);

	/* Not in the middle of a character. */
	while (cut > line_at &&
	       ((unsigned char)line->data[cut] & 0xc0) == 0x80)
		cut--;
	str_truncate(line, cut);
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

struct str *log_begin(enum log_level level, const struct log_ctx *ctx)
{
	enum log_file file = log_level_file(level);
	struct str *line;
	bool to_syslog;

	if (!log_enabled(level))
		return NULL;
	ASSERT(!log_pending.open);
	pthread_rwlock_rdlock(&log_lock);
	to_syslog = log_fd(file) == LOG_FD_SYSLOG;
	line = log_make_room(file);
	log_pending.open = true;
	log_pending.level = level;
	log_pending.line_at = line->len;
	if (log_config != NULL && !to_syslog)
		log_put_stamp(line, log_config);
	str_puts(line, log_config != NULL ? log_config->prefix : "waypost: ");
	if (!to_syslog || level != LOG_LEVEL_INFO)
		str_puts(line, level_names[level]);
	log_put_context(line, ctx);
	log_pending.text_at = line->len;
	return line;
}

void log_end(void)
{
	struct str *line = &log_pending.lines;
	size_t line_at = log_pending.line_at;

	if (line->len - line_at > LOG_LINE_MAX)
		log_cut(line, line_at);
	log_escape(line, log_pending.text_at);
	if (line->len - line_at > LOG_LINE_MAX)
		log_cut(line, line_at);
	if (log_fd(log_pending.file) == LOG_FD_SYSLOG) {
		syslog(level_priorities[log_pending.level], "%s",
		       line->data + line_at);
		str_free(line);
	} else {
		str_putc(line, '\n');
		if (log_pending.level >= LOG_LEVEL_ERROR)
			log_flush_locked();
	}
	log_pending.open = false;
	pthread_rwlock_unlock(&log_lock);
}

void log_text(enum log_level level, const struct log_ctx *ctx,
	      const char *text)
{
	struct str *line = log_begin(level, ctx);

	if (line == NULL)
		return;
	str_puts(line, text);
	log_end();
}

static void log_line(enum log_level level, const struct log_ctx *ctx,
		     const char *fmt, va_list ap)
{
	struct str *line = log_begin(level, ctx);

	if (line == NULL)
		return;
	str_vprintf(line, fmt, ap);
	log_end();
}

bool log_enabled(enum log_level level)
{
	return level != LOG_LEVEL_DEBUG ||
	       atomic_load_explicit(&log_debug_on, memory_order_relaxed);
}

void log_debug(const struct log_ctx *ctx, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(LOG_LEVEL_DEBUG, ctx, fmt, ap);
	va_end(ap);
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

LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING)
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_fatal, LOG_LEVEL_FATAL)
