/* One LDAP connection as bytes in and bytes out, by OpenLDAP's libldap and
 * liblber, which only code and decode here: they never see a socket, a host
 * name, a certificate or a configuration file. How bytes travel is
 * ldap_link's business.
 *
 * libldap is given whole messages only, so that nothing of a half one, or of
 * one without end, is ever in its hands. */
#ifndef PASSDB_LDAP_CONN_H
#define PASSDB_LDAP_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"
#include "passdb/ldap/entry.h"
#include "passdb/ldap/settings.h"

/* The longest message that is taken. */
#define LDAP_CONN_MAX_MESSAGE (4 * 1024 * 1024)

struct ldap_conn;

/* How a request ended (RFC 4511 4.1.9). Texts are never NULL. */
enum ldap_verdict {
	LDAP_VERDICT_OK,
	LDAP_VERDICT_NO_OBJECT,	 /* the base is not there */
	LDAP_VERDICT_SIZE_LIMIT, /* there is more */
	LDAP_VERDICT_BUSY,	 /* cannot now: another server may */
	LDAP_VERDICT_FAILED,
};

struct ldap_outcome {
	enum ldap_verdict verdict;
	const char *text;    /* "No such object (32): what the server says" */
	const char *matched; /* the longest part of the base that is there */
};

/* What comes in. Any of them may close the connection. */
struct ldap_conn_events {
	/* The arena in which to build an entry for request id; NULL: nobody
	 * wants it. */
	struct arena *(*wants)(void *owner, int id);
	void (*entry)(void *owner, int id, const struct ldap_entry *entry);
	/* The last that comes for a request. */
	void (*done)(void *owner, int id, const struct ldap_outcome *outcome);
};

struct ldap_search_params {
	const char *base, *filter;
	const char *const *attributes; /* NULL at the end */
	enum ldap_scope scope;
	enum ldap_deref deref;
	unsigned size_limit; /* entries */
	unsigned time_limit_ms; /* the server's, in whole seconds; 0: none */
};

/* Has libldap ignore configuration files and environment, and the C library,
 * for the whole process, know hosts from /etc/hosts only. Before there is a
 * second thread. */
void ldap_conn_setup(void);

/* What is sent is appended to out. fd: some descriptor, of which nothing
 * becomes. */
struct ldap_conn *ldap_conn_new(int fd, struct str *out,
				const struct ldap_conn_events *events,
				void *owner);

/* Appends the message that says good-bye, if that makes sense; no events
 * afterwards, and out is not touched any more. */
void ldap_conn_close(struct ldap_conn *conn);

/* Closes and frees; clears the pointer, NULL is fine. Not from within an
 * event. */
void ldap_conn_free(struct ldap_conn **conn);

/* Bytes from the server, and the events that they mean. -1: what came is no
 * LDAP, or the server ends the connection; only closing is left then. */
int ldap_conn_input(struct ldap_conn *conn, const void *data, size_t len,
		    struct err *err);

/* Whether all that came is dealt with, as it has to be for StartTLS. */
bool ldap_conn_is_drained(const struct ldap_conn *conn);

/* Each sends a request and returns its id (above 0), or -1. The first three:
 * not while one of them is unanswered. */
int ldap_conn_start_tls(struct ldap_conn *conn, struct err *err);
/* dn "": anonymous. A dn needs a password. */
int ldap_conn_bind(struct ldap_conn *conn, const char *dn,
		   const char *password, struct err *err);
/* SASL EXTERNAL; authz_id "": who the certificate or the socket says. */
int ldap_conn_bind_external(struct ldap_conn *conn, const char *authz_id,
			    struct err *err);
int ldap_conn_search(struct ldap_conn *conn,
		     const struct ldap_search_params *params, struct err *err);

/* Whether filter is one: 0, or -1. */
int ldap_conn_check_filter(const char *filter, struct err *err);

/* Whether dn is one: 0, or -1. */
int ldap_conn_check_dn(const char *dn, struct err *err);

#endif
