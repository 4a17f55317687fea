#include "proxy/check.h"

#include <unistd.h>

#include "proxy/listener.h"
#include "proxy/privileges.h"
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

void check_settings(const struct settings *settings,
		    const struct conf_node *root, struct conf_errors *errors)
{
	privileges_check(settings, root, errors);
	listener_check(settings, root, errors);
	tls_set_check(settings, root, errors);
	check_program(settings, errors);
}
