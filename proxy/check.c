#include "proxy/check.h"

#include "proxy/listener.h"
#include "proxy/privileges.h"
#include "proxy/tls_set.h"

void check_settings(const struct settings *settings,
		    const struct conf_node *root, struct conf_errors *errors)
{
	privileges_check(settings, root, errors);
	listener_check(settings, root, errors);
	tls_set_check(settings, root, errors);
}
