#include "proxy/logging.h"

#include <string.h>

#include "lib/mem.h"

/* The default is syslog, which means that only in the background. */
static bool is_left_open(const struct settings *settings)
{
	return strcmp(settings->log_path, "syslog") == 0 &&
	       conf_node_setting(settings->tree->root, "log_path") == NULL;
}

void logging_settings(struct log_settings *out, const struct settings *settings,
		      bool foreground, const char *prefix)
{
	*out = (struct log_settings){
		.path = settings->log_path,
		.info_path = settings->info_log_path,
		.debug_path = settings->debug_log_path,
		.timestamp = settings->log_timestamp,
		.syslog_facility = settings->syslog_facility,
		.ident = settings->instance_name,
		.prefix = prefix,
		.format = (enum log_format)settings->log_format,
		.priorities =
			(enum log_priorities)settings->log_stderr_priorities,
		.debug = settings->mail_debug || settings->auth_debug,
	};
	/* What the supervisor has to say is never much, and worth reading. */
	if (strncmp(prefix, "lmtp(", 5) == 0)
		out->error_burst = settings->log_error_burst;
	if (foreground && is_left_open(settings))
		out->path = "/dev/stderr";
}

bool logging_to_stderr(const struct settings *settings)
{
	return strcmp(settings->log_path, "/dev/stderr") == 0 ||
	       strcmp(settings->info_log_path, "/dev/stderr") == 0 ||
	       strcmp(settings->debug_log_path, "/dev/stderr") == 0;
}

void logging_conf_errors(const struct conf_errors *errors)
{
	static const char warning[] = "warning: "; /* of no place */
	char *copy = mem_strdup(str_c(&errors->text)), *rest = copy, *line;

	while ((line = strsep(&rest, "\n")) != NULL) {
		if (line[0] == '\0')
			continue;
		if (strncmp(line, warning, strlen(warning)) == 0)
			log_warning(NULL, "%s", line + strlen(warning));
		else if (errors->errors > 0)
			log_error(NULL, "%s", line);
		else
			log_warning(NULL, "%s", line);
	}
	mem_free(&copy);
}
