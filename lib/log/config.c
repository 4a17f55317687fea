#include "lib/log/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "lib/log/json.h"
#include "lib/mem.h"

#define LOG_USECS "%{usecs}" /* Dovecot's extension of strftime */

const char *const log_level_names[] = {
	[LOG_LEVEL_DEBUG] = "Debug: ",	   [LOG_LEVEL_INFO] = "Info: ",
	[LOG_LEVEL_WARNING] = "Warning: ", [LOG_LEVEL_ERROR] = "Error: ",
	[LOG_LEVEL_FATAL] = "Fatal: ",
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

int log_config_open_file(const char *path, int *fd_r, struct err *err)
{
	int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY;
	int fd;

	/* Opening that again may be forbidden: to whom else a container's pipe
	 * belongs; or impossible: the journal's is a socket. */
	if (strcmp(path, "/dev/stdout") == 0)
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		fd = open(path, flags, 0600);
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

bool log_config_has_file(const struct log_config *config, int file)
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
		return log_config_open_file(path, &config->fds[file], err);
	else if (taken[file] < 0)
		return err_set(err, "log file %s was not handed over", path);
	else
		config->fds[file] = taken[file];
	return 0;
}

void log_config_close(struct log_config *config)
{
	int i;

	for (i = 0; i < LOG_FILES; i++) {
		if (log_config_has_file(config, i))
			close(config->fds[i]);
	}
}

void log_config_free(struct log_config **config)
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
	for (i = 0; i <= LOG_LEVEL_FATAL; i++) {
		str_free(&(*config)->heads[0][i]);
		str_free(&(*config)->heads[1][i]);
	}
	str_free(&(*config)->json_process);
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

static void log_config_heads(struct log_config *config)
{
	int bare, level;

	for (level = 0; level <= LOG_LEVEL_FATAL; level++) {
		for (bare = 0; bare < 2; bare++) {
			struct str *head = &config->heads[bare][level];

			str_puts(head, config->prefix);
			if (!bare || level != LOG_LEVEL_INFO)
				str_puts(head, log_level_names[level]);
		}
	}
}

static void put_json_text(struct str *out, const char *text, size_t len)
{
	size_t at = out->len;

	str_append(out, text, len);
	log_json_escape(out, at, LOG_FIELD_MAX);
}

static void log_config_json(struct log_config *config)
{
	struct str *out = &config->json_process;

	str_puts(out, "\",\"process\":\"");
	put_json_text(out, config->prefix, strcspn(config->prefix, "(:"));
	str_printf(out, "\",\"pid\":%ld,\"instance\":\"", (long)getpid());
	put_json_text(out, config->ident, strlen(config->ident));
}

bool log_config_stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream != NULL && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
	       st.st_ino == ino;
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
	config->json = settings->format == LOG_FORMAT_JSON;
	config->priorities = settings->priorities == LOG_PRIORITIES_AUTO
				     ? log_config_stderr_is_journal()
				     : settings->priorities ==
					       LOG_PRIORITIES_YES;
	log_config_heads(config);
	log_config_json(config);
	return config;
}

struct log_config *log_config_open(const struct log_settings *settings,
				   const int *taken, struct err *err)
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
	}
	return config;
}
