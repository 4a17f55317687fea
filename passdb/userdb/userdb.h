/* Who a user is on this machine, for local delivery: the chain of userdbs, which
 * is that of passdbs with other drivers and fields (Dovecot's "USER" lookup). */
#ifndef PASSDB_USERDB_USERDB_H
#define PASSDB_USERDB_USERDB_H

#include <stdbool.h>
#include <sys/types.h>

#include "passdb/passdb.h"

/* What userdbs say of a user. Strings are NULL when they say nothing; variables
 * in them are expanded. Paths are absolute, and hold no "..". */
struct userdb_user {
	const char *name; /* after normalization and "user" fields; not empty */
	bool has_uid, has_gid; /* false: mail_uid, mail_gid */
	uid_t uid; /* may be one that first_valid_uid forbids, such as 0 */
	gid_t gid;
	const char *home;   /* may hold "/./" (see valid_chroot_dirs) */
	const char *chroot;
	const char *mail;   /* as mail_location: "maildir:~/Maildir" */
	const char *system_groups_user; /* whose supplementary groups */
	const char *mail_access_groups; /* names, separated by commas */
	/* quota_rule, quota_rule2, ..., as they were given. */
	struct passdb_fields quota_rules;
	/* All else, in order: settings that are other ones for this user. */
	struct passdb_fields others;
};

/* A lookup under way; lives in the caller's object. */
struct userdb_request {
	/* set by the caller: */
	struct arena *arena; /* results live here */
	const char *user;    /* address without detail: user@domain */
	const struct passdb_client *client;
	const struct log_ctx *log;
	/* The lookup of the same user in passdbs, which is over, and may have
	 * found nobody; outlives this one. Drivers prefetch and static are
	 * about it. NULL: there was none. */
	const struct passdb_request *pass;
	struct passdb_observer *observer; /* NULL: nobody watches */
	void (*done)(struct userdb_request *request);

	/* valid in done(): */
	enum passdb_result result;
	struct userdb_user found; /* PASSDB_OK; strings live in arena, or as
				     long as the passdb and pass */
	const char *reason; /* PASSDB_FAIL: text for the reply, or NULL; the
			       log says what went wrong */
	bool malformed;	    /* PASSDB_FAIL: a field could not be read */
	bool timed_out;	    /* PASSDB_FAIL: there was no answer in time */
	const char *asked;  /* as in struct passdb_request */

	/* the module's own: */
	struct passdb_request chain;
	struct passdb *passdb;	  /* NULL: not under way */
	struct nss_job *job;	  /* whose number is asked for; NULL: nobody's */
	unsigned naming;	  /* which of uid and gid that is */
	struct loop_timer timer; /* for these */
};

/* Starts a lookup in passdb's userdbs; request->done is called once, from the
 * loop and not inside this call. PASSDB_NOT_FOUND: all userdbs that could have
 * the user say that they have not. PASSDB_FAIL: one of them could not say, or
 * said what cannot be (a uid that is no number and nobody's name, a home that is
 * not absolute), or the time of auth_lookup_timeout is over. The request is
 * zeroed, or was used before, when the caller sets its part. done() may free the
 * request. */
void userdb_lookup(struct passdb *passdb, struct userdb_request *request);

/* Forgets a lookup; fine when none is under way. */
void userdb_cancel(struct userdb_request *request);

/* The names of the fields that have a meaning of their own, by number from 0;
 * NULL behind the last. */
const char *userdb_field_name(unsigned number);

#endif
