/* Who is this recipient: the chain of passdbs, asked for one user at a time
 * (Dovecot's "PASS" lookup: no password is checked). */
#ifndef PASSDB_PASSDB_H
#define PASSDB_PASSDB_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/arena.h"
#include "lib/conf/tree.h"
#include "lib/dns.h"
#include "lib/err.h"
#include "lib/log/log.h"
#include "lib/loop.h"
#include "lib/networks.h"

#include "passdb/fields.h"
#include "passdb/passdb_settings.h"

/* The data behind the configured passdbs that does not belong to a thread
 * (files read into memory), shared by the chains of all workers. Thread-safe,
 * reference-counted. */
struct passdb_shared;

/* "passdb" or "userdb". */
const char *passdb_kind_name(enum passdb_kind kind);

/* Prepares the process. Before there is a second thread. */
void passdb_setup(void);

/* Reports everything that is wrong with the blocks, and what to know about
 * them, where they stand. Reads files that are configuration, but no data. */
void passdb_check(const struct passdb_settings *settings,
		  struct conf_errors *errors);

/* Whether auth_username_format can be expanded: 0, or -1. */
int passdb_check_format(const char *format, struct err *err);

/* Opens what settings name. loop is the control loop: files are watched and
 * re-read there; call it on that loop's thread. Returns NULL and says why when
 * the configuration cannot work (what passdb_check() would find first).
 * A file that cannot be read now is logged, and its lookups fail internally
 * until it can. settings outlives the result. */
struct passdb_shared *passdb_shared_new(struct loop *loop,
					const struct passdb_settings *settings,
					struct err *err);

/* As passdb_shared_new(), for settings that take the place of earlier's, on the
 * same loop. Files that both name are not read again unless they have changed:
 * they stay in memory once, however long sessions go on with earlier, and a
 * file that has vanished keeps its contents. */
struct passdb_shared *passdb_shared_renew(const struct passdb_shared *earlier,
					  const struct passdb_settings *settings,
					  struct err *err);
struct passdb_shared *passdb_shared_ref(struct passdb_shared *shared);

/* Clears the pointer; NULL is fine. From any thread: what stands on the control
 * loop is released there, by a posted call if this is another thread. */
void passdb_shared_unref(struct passdb_shared **shared);

/* What its cache holds and how it served. False: it has none. From any
 * thread. */
struct passdb_cache_stats;
bool passdb_shared_cache_stats(struct passdb_shared *shared,
			       struct passdb_cache_stats *stats_r);

/* Forgets all that the cache holds. From any thread. */
void passdb_shared_cache_flush(struct passdb_shared *shared);

/* The chain of one worker. Holds a reference to shared; dns is for the servers
 * of passdbs. */
struct passdb;
struct passdb_stats;
struct passdb *passdb_new(struct loop *loop, struct dns *dns,
			  struct passdb_shared *shared);

/* Has the drivers' answers counted in stats, one for each kind, which outlive the
 * chain. */
void passdb_count(struct passdb *passdb, struct passdb_stats *stats);

/* Adds to stats, one for each kind, how many of its lookups wait for a
 * connection. */
void passdb_count_waiting(struct passdb *passdb, struct passdb_stats *stats);

/* Clears the pointer; NULL is fine. No request may be under way. */
void passdb_free(struct passdb **passdb);

/* What is known about the client of a lookup; shared by its requests. */
struct passdb_client {
	struct addr local, remote;
	/* The same of the connection, whatever XCLIENT said: real_lip, ... */
	struct addr real_local, real_remote;
	const char *session; /* session id */
	bool secured;	     /* by TLS, or on this host */
	bool cert_valid;     /* it showed a certificate that verified */
	const char *local_name; /* what it asked for with SNI; NULL: nothing */
	/* Addresses that are ours although nobody listens on them here, for
	 * proxy_maybe (auth_proxy_self); NULL: none. */
	const struct networks *self;
};

enum passdb_result {
	PASSDB_OK,
	PASSDB_NOT_FOUND,
	PASSDB_FAIL, /* our own trouble, or the passdb's: 4xx */
};

/* Who is told each step of a lookup: see passdb/observer.h. */
struct passdb_observer;

/* A lookup under way; lives in the caller's object. */
struct passdb_request {
	/* set by the caller: */
	struct arena *arena; /* results live here */
	const char *user;    /* address without detail: user@domain */
	const struct passdb_client *client;
	const struct log_ctx *log;
	struct passdb_fields given; /* what it starts with: forward_* */
	struct passdb_observer *observer; /* NULL: nobody watches */
	void (*done)(struct passdb_request *request);

	/* valid in done(): */
	enum passdb_result result;
	const char *reason; /* PASSDB_FAIL: text for the reply, or NULL */
	bool malformed;	    /* PASSDB_FAIL: a field could not be read */
	bool timed_out;	    /* PASSDB_FAIL: there was no answer in time */
	const char *username; /* after normalization, translation and the
				 passdbs' "user" fields; with PASSDB_OK never
				 empty. Lives as the fields do */
	const char *asked; /* the name of the passdb that was asked last, which
			      lives as long as the passdb; NULL: none was */
	struct passdb_fields fields; /* PASSDB_OK: the merged extra fields,
					without those that only the lookup was
					concerned with (user, allow_nets,
					userdb_*, passwords, ...); keys and
					values live in arena, or as long as
					the passdb */
	struct passdb_fields userdb; /* PASSDB_OK: the fields userdb_NAME, each
					as NAME; they live in the same way */

	/* the module's own: */
	struct passdb *passdb; /* NULL: not under way */
	enum passdb_kind kind; /* who is asked */
	const struct passdb_request *pass; /* of a lookup in userdbs: what
					      passdbs said, or NULL */
	struct loop_task task;
	struct loop_timer timer; /* only while a driver waits */
	unsigned step;		 /* which passdb of the chain */
	struct passdb_fields before; /* the fields before that step */
	const char *vars_user;	     /* %u: the name when the step began */
	bool internal_failure; /* an earlier step could not say */
	bool found;	       /* an earlier step says that the user exists */
	bool authenticated;    /* for "skip": a step has succeeded */
	bool refused;	       /* by the step's fields: allow_nets, fail */
	void *driver_state;    /* of a driver that waits */
	struct passdb_ask *ask; /* of a step that may be cached; NULL */
	uint64_t asked_us; /* when the driver was asked */
};

/* Starts a lookup; request->done is called once, from the loop and not inside
 * this call. Takes at most auth_lookup_timeout: then it fails. The request is
 * zeroed, or was used before, when the caller sets its part. done() may free
 * the request. */
void passdb_lookup(struct passdb *passdb, struct passdb_request *request);

/* Forgets a lookup; fine when none is under way. */
void passdb_cancel(struct passdb_request *request);

#endif
