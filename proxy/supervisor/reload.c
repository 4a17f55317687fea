/* HUP, and what a successor starts with: another configuration. */
#include <string.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "proxy/daemon.h"
#include "proxy/logging.h"
#include "proxy/supervisor/private.h"

/* Those who asked for it through the control socket before it began. */
static void tell(struct supervisor *supervisor, bool ok, const char *text)
{
	struct worker_child *child = supervisor->child;
	struct err err;

	if (child != NULL && child->ready &&
	    worker_child_reloaded(child, ok, text, &err) < 0)
		log_error(NULL, "cannot tell of the reload: %s", err.text);
}

void supervisor_use_next(struct supervisor *supervisor)
{
	settings_unref(&supervisor->settings);
	listener_set_close(&supervisor->listeners);
	supervisor->settings = supervisor->next_settings;
	supervisor->listeners = supervisor->next_listeners;
	supervisor->next_settings = NULL;
	supervisor->next_listeners = NULL;
	supervisor_send_logs(supervisor);
	supervisor_deliver_man_all(supervisor);
}

void supervisor_drop_next(struct supervisor *supervisor, const char *what,
			  const char *reason)
{
	struct err err;

	log_error(NULL, "%s failed, going on with the old configuration: %s",
		  what, reason);
	settings_unref(&supervisor->next_settings);
	listener_set_close(&supervisor->next_listeners);
	if (supervisor_open_logs(supervisor, supervisor->settings, &err) < 0)
		log_error(NULL, "%s", err.text);
}

static bool same_user(const struct settings *a, const struct settings *b)
{
	return strcmp(a->service.user, b->service.user) == 0 &&
	       strcmp(a->service.group, b->service.group) == 0 &&
	       strcmp(a->service.extra_groups, b->service.extra_groups) == 0 &&
	       strcmp(a->default_internal_user, b->default_internal_user) == 0 &&
	       strcmp(a->default_internal_group,
		      b->default_internal_group) == 0;
}

int supervisor_prepare_next(struct supervisor *supervisor,
			    struct settings *settings, struct err *err)
{
	supervisor->next_settings = settings;
	/* It may have been cleaned away. */
	if (daemon_make_dir(settings->base_dir, err) < 0)
		return -1;
	supervisor->next_listeners =
		listener_set_open(settings, supervisor->listeners, err);
	if (supervisor->next_listeners == NULL)
		return -1;
	if (supervisor_deliver_open(supervisor, settings, err) < 0 ||
	    supervisor_open_logs(supervisor, settings, err) < 0)
		return -1;
	return 0;
}

/* Lines, without the end of the last. */
static void tell_errors(struct supervisor *supervisor, const struct str *text)
{
	char *copy = mem_strndup(str_c(text), text->len > 0 ? text->len - 1 : 0);

	tell(supervisor, false, copy);
	mem_free(&copy);
}

struct settings *supervisor_read_again(struct supervisor *supervisor)
{
	struct conf_errors errors = { .text = STR_INIT };
	struct settings *settings;

	if (supervisor->child != NULL)
		supervisor->child->reload_wish = supervisor->child->wish;
	settings = supervisor_read_settings(supervisor->options->config_path,
					    true, &errors);
	logging_conf_errors(&errors);
	if (settings == NULL) {
		log_error(NULL, "going on with the old configuration");
		tell_errors(supervisor, &errors.text);
	}
	conf_errors_free(&errors);
	return settings;
}

/* -1: it has failed; 1: the worker process has to answer. */
static int try_reload(struct supervisor *supervisor, struct settings *settings,
		      struct err *err)
{
	if (supervisor_prepare_next(supervisor, settings, err) < 0)
		return -1;
	if (!same_user(settings, supervisor->settings) ||
	    strcmp(settings->base_dir, supervisor->settings->base_dir) != 0)
		log_warning(NULL, "base_dir and the worker's user and groups "
			    "take effect after a restart");
	if (supervisor->child == NULL)
		return 0;
	if (worker_child_reload(supervisor->child, settings->tree,
				supervisor->next_listeners,
				supervisor->listeners, err) < 0)
		return -1;
	return 1;
}

void supervisor_reload_done(struct supervisor *supervisor)
{
	supervisor_use_next(supervisor);
	log_info(NULL, "configuration reloaded");
	tell(supervisor, true, "");
	supervisor_say_ready(supervisor);
}

void supervisor_reload_failed(struct supervisor *supervisor, const char *reason)
{
	supervisor_drop_next(supervisor, "reload", reason);
	tell(supervisor, false, reason);
	supervisor_say_ready(supervisor);
}

static void reload(struct supervisor *supervisor)
{
	struct settings *settings;
	struct err err;
	int status;

	log_info(NULL, "reloading %s", supervisor->options->config_path);
	service_manager_reloading("Reloading the configuration");
	settings = supervisor_read_again(supervisor);
	if (settings == NULL) {
		supervisor_say_ready(supervisor);
		return;
	}
	status = try_reload(supervisor, settings, &err);
	if (status < 0)
		supervisor_reload_failed(supervisor, err.text);
	else if (status == 0)
		supervisor_reload_done(supervisor);
}

/* One at a time, and only with a worker process that can answer; not while
 * another program is about to read the configuration anyway. */
void supervisor_reload(struct supervisor *supervisor)
{
	const struct worker_child *child = supervisor->child;

	supervisor->reload_again = supervisor->next_settings != NULL ||
				   supervisor->leaving ||
				   (child != NULL && !child->ready);
	if (!supervisor->reload_again && !supervisor->stopping)
		reload(supervisor);
}
