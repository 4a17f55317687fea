/* The fields and the name of a lookup under way: what drivers and the chain do
 * to a struct passdb_request. */
#ifndef PASSDB_REQUEST_H
#define PASSDB_REQUEST_H

#include "lib/err.h"
#include "passdb/key.h"
#include "passdb/passdb.h"
#include "passdb/template.h"
#include "passdb/var/var.h"

/* Sets a field that a passdb gave, and does what special ones say (see
 * passdb/special.h). key and value are not copied: they live in the request's
 * arena, or as long as the passdb. Returns -1 when the value is broken: the
 * lookup has to fail. */
int passdb_request_put(struct passdb_request *request,
		       const struct passdb_key *key, const char *value,
		       struct err *err);

/* As passdb_request_put(), value having variables; it need not live on. */
int passdb_request_expand(struct passdb_request *request,
			  const struct passdb_key *key, const char *value,
			  struct err *err);

/* The same with variables of the driver's own: vars->next should be
 * passdb_request_vars(). */
int passdb_request_expand_vars(struct passdb_request *request,
			       const struct passdb_key *key, const char *value,
			       const struct var_source *vars, struct err *err);

/* Sets a template's fields. */
int passdb_request_put_template(struct passdb_request *request,
				const struct passdb_template *template,
				struct err *err);

/* At the end of a lookup: removes the fields that only the lookup itself was
 * concerned with, and puts those for userdbs into request->userdb. */
void passdb_request_split_fields(struct passdb_request *request);

/* What passdb_lookup() does, along one of the chains. */
void passdb_request_start(struct passdb *passdb,
			  struct passdb_request *request,
			  enum passdb_kind kind);

/* The variables of a lookup; without request only good for checking names. */
struct var_source passdb_request_vars(const struct passdb_request *request,
				      const char *hostname);

/* Appends the fields for a log line, without what may be secret. */
void passdb_request_describe(const struct passdb_request *request,
			     struct str *out);

/* A line of auth_debug, when that is on. */
void passdb_request_debug(const struct passdb_request *request,
			  const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* "passdb NAME: user USER: " (or userdb) and the text, for the log, or for the observer if
 * there is one. */
void passdb_request_error(const struct passdb_request *request,
			  const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void passdb_request_info(const struct passdb_request *request,
			 const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The same for what is not about one passdb: "passdb: user USER: ". */
void passdb_lookup_error(const struct passdb_request *request,
			 const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void passdb_lookup_info(const struct passdb_request *request,
			const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
