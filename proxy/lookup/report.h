/* What waypost -l prints: one fact a line, indented below what it belongs to.
 * Text from outside is escaped as in log lines, and so is what no terminal should
 * see; secrets are hidden, also where they have become part of something else. */
#ifndef PROXY_LOOKUP_REPORT_H
#define PROXY_LOOKUP_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "lib/arena.h"
#include "lib/dns.h"
#include "lib/smtp/reply.h"
#include "passdb/observer.h"
#include "passdb/userdb/userdb.h"
#include "proxy/route.h"

struct lookup_report {
	struct passdb_observer observer; /* prints the chain */
	FILE *to;
	struct arena *arena;
	uint64_t start_us, step_us;
	const char *source; /* whose fields are coming */
	const char *name;   /* the user's, as it was printed last */
	const char **secrets;
	unsigned secret_count, secret_size;
};

/* Begins the report on address (as it was given). arena is for what has to be
 * remembered. */
void lookup_report_start(struct lookup_report *report, FILE *to,
			 struct arena *arena, const char *address);

/* The circumstances: client, and as which user of the system the lookup runs. */
void lookup_report_client(struct lookup_report *report,
			  const struct passdb_client *client, const char *user);

/* What the lookup starts with. */
void lookup_report_given(struct lookup_report *report,
			 const struct passdb_fields *fields);

/* The merged fields. */
void lookup_report_fields(struct lookup_report *report,
			  const struct passdb_fields *fields);

/* What userdbs say of a recipient who is not passed on; that they have no such
 * user (PASSDB_NOT_FOUND), or cannot say. */
void lookup_report_user(struct lookup_report *report,
			const struct userdb_user *user);
void lookup_report_no_user(struct lookup_report *report,
			   enum passdb_result result);

/* What DNS says of host, since since_us (of lookup_report_now_us()). */
void lookup_report_dns(struct lookup_report *report, const char *host,
		       const struct dns_answer *answer, uint64_t since_us);
uint64_t lookup_report_now_us(void);

/* Where the recipient is passed on to. */
void lookup_report_route(struct lookup_report *report,
			 const struct route *route);

/* A user who was found, and is passed on to nobody; why: NULL, if that is clear
 * from the fields. */
void lookup_report_no_route(struct lookup_report *report, const char *why);

/* Whose mail is saved here. */
void lookup_report_here(struct lookup_report *report);

/* What the recipient is answered, being passed on to nobody. path: see
 * smtp_reply_write(). */
void lookup_report_reply(struct lookup_report *report,
			 const struct smtp_reply *reply, const char *path);

/* "time: ... ms", of all. */
void lookup_report_end(struct lookup_report *report);

#endif
