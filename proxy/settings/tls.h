/* The ssl_ settings of sessions: what can be told without OpenSSL. */
#ifndef PROXY_SETTINGS_TLS_H
#define PROXY_SETTINGS_TLS_H

#include <stdbool.h>

#include "proxy/settings/settings.h"

/* Whether clients can have TLS: ssl is not no, and there is a certificate. */
bool settings_tls_offered(const struct lmtp_settings *lmtp);

/* Reports text once for each place in the tree below root that sets name to
 * value (a string of some variant). For a problem with a certificate, say. */
void settings_tls_error(struct conf_errors *errors,
			const struct conf_node *root, const char *name,
			const char *value, const char *text);

/* Reports what is wrong with the ssl_ settings of any variant, where it stands:
 * a settings_check_fn. */
void settings_tls_check(const struct settings *settings,
			const struct conf_node *root,
			struct conf_errors *errors);

#endif
