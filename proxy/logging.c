#include "proxy/logging.h"

#include <string.h>

#include "lib/mem.h"

static bool is_set(const struct settings *settings, const char *key)
{
	const struct conf_node *node;

	for (node = settings->tree->root->children; node != NULL;
	     node = node->next) {
		if (!node->section && strcmp(node->key, key) == 0)
			return true;
	}
	return false;
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
		.prefix = prefix,
		.debug = settings->mail_debug || settings->auth_debug,
	};
	if (foreground && !is_set(settings, "log_path"))
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
	char *copy = mem_strdup(str_c(&errors->text)), *rest = copy, *line;

	while ((line = strsep(&rest, "\n")) != NULL) {
		if (line[0] == '\0')
			continue;
		if (errors->errors > 0)
			log_error(NULL, "%s", line);
		else
			log_warning(NULL, "%s", line);
	}
	mem_free(&copy);
}
