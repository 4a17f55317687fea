#include "proxy/check.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "proxy/listener.h"
#include "proxy/privileges.h"
#include "proxy/settings/check.h"
#include "proxy/supervisor/crew_child.h"
#include "proxy/tls_set.h"

/* It belongs to the installation, not to a line of the configuration. */
static void check_program(const struct settings *settings,
			  struct conf_errors *errors)
{
	struct err err;
	int fd;

	if (!settings->local.enabled)
		return;
	fd = crew_child_program(&err);
	if (fd < 0)
		conf_error(errors, NULL, 0, "%s", err.text);
	else
		close(fd);
}

static void check_log(const char *name, const char *path,
		      const struct conf_node *root, struct conf_errors *errors)
{
	char *dir = mem_strdup(path), *slash = strrchr(dir, '/');
	struct stat st;
	struct err err;

	err_put(&err, "%s", "");
	if (slash != NULL)
		*slash = '\0';
	if (*path == '/' && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		err_put(&err, "%s: %s is a directory", name, path);
	else if (slash > dir && stat(dir, &st) < 0 && errno == ENOENT)
		err_put(&err, "%s: there is no directory %s", name, dir);
	if (err.text[0] != '\0')
		settings_error(errors, root, name, err.text);
	mem_free(&dir);
}

/* Most mail needs none, and it may come later: no reason not to start. */
static void check_temp_dir(const char *dir, const struct conf_node *root,
			   struct conf_errors *errors)
{
	struct stat st;
	struct err err;

	if (stat(dir, &st) == 0 ? S_ISDIR(st.st_mode)
				: errno != ENOENT && errno != ENOTDIR)
		return;
	err_put(&err, "mail_temp_dir: there is no directory %s: mail that does "
		"not fit in memory gets 452", dir);
	settings_warning(errors, root, "mail_temp_dir", err.text);
}

static void check_temp_dirs(const struct settings *settings,
			    const struct conf_node *root,
			    struct conf_errors *errors)
{
	unsigned i;

	for (i = 0; i < settings->variant_count; i++)
		check_temp_dir(settings_variant(settings, i)->mail_temp_dir,
			       root, errors);
}

void check_settings(const struct settings *settings,
		    const struct conf_node *root, struct conf_errors *errors)
{
	privileges_check(settings, root, errors);
	listener_check(settings, root, errors);
	tls_set_check(settings, root, errors);
	check_program(settings, errors);
	check_temp_dirs(settings, root, errors);
	check_log("log_path", settings->log_path, root, errors);
	check_log("info_log_path", settings->info_log_path, root, errors);
	check_log("debug_log_path", settings->debug_log_path, root, errors);
}
