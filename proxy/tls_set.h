/* The TLS contexts of one reading of the configuration: one for each of its
 * variants, and side, but the same for those whose ssl_ settings are the same.
 * Immutable; reference-counted across threads. */
#ifndef PROXY_TLS_SET_H
#define PROXY_TLS_SET_H

#include "backends/remote/target.h"
#include "lib/err.h"
#include "lib/tls/context.h"
#include "proxy/settings/settings.h"

struct tls_set;

/* Makes them all. NULL, and which setting is wrong, when one cannot be made.
 * settings need not live on. */
struct tls_set *tls_set_new(const struct settings *settings, struct err *err);

struct tls_set *tls_set_ref(struct tls_set *set);

/* Gives up a reference and clears the pointer; NULL is fine. */
void tls_set_unref(struct tls_set **set);

/* For the clients of a session with the settings lmtp, which are a variant of
 * those that the set was made from. NULL: they are not offered TLS. */
struct tls_context *tls_set_server(const struct tls_set *set,
				   const struct lmtp_settings *lmtp);

/* The same for the backends of such a session; never NULL. */
struct tls_context *tls_set_client(const struct tls_set *set,
				   const struct lmtp_settings *lmtp);

/* Completes the target of a route, if it is to be reached by TLS, with what
 * these settings say of that. */
void tls_set_target(const struct tls_set *set,
		    const struct lmtp_settings *lmtp,
		    struct remote_target *target);

/* Reports certificates, keys, and lists of algorithms that cannot be used,
 * where they stand, unless there are errors already, of which these may be
 * consequences: a settings_check_fn. */
void tls_set_check(const struct settings *settings,
		   const struct conf_node *root, struct conf_errors *errors);

#endif
