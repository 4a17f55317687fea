/* The system's databases of users and groups (NSS). Asking them takes as long as
 * it takes: a file is read, or a server far away is down. So loops have threads
 * ask. */
#ifndef LIB_NSS_H
#define LIB_NSS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/loop.h"

enum nss_what { NSS_USER, NSS_GROUP };

/* What is known of a name. */
struct nss_entry {
	bool found;
	uint32_t uid; /* of a user; else 0 */
	uint32_t gid;
	char *name; /* as the system has it */
	char *home; /* of a user; else NULL */
};

/* Looks name up, in the calling thread. Returns 0, also when there is no such
 * name, or an errno: then nobody knows. To be released by nss_entry_free()
 * either way. */
int nss_find(enum nss_what what, const char *name, struct nss_entry *entry_r);

void nss_entry_free(struct nss_entry *entry);

/* Who asks for loops. There is no thread before the first question, and there
 * are never more than NSS_THREADS. */
#define NSS_THREADS 4
struct nss;
struct nss *nss_new(void);

/* Ends it, when no question is left; clears the pointer, NULL is fine. Threads
 * that still wait for an answer that nobody wants end when they have it. */
void nss_free(struct nss **nss);

/* One question; status is what nss_find() returns. */
struct nss_job;
typedef void nss_done_fn(void *arg, int status, const struct nss_entry *entry);

/* Has a thread look name up; done(arg) is called once, on loop and not inside
 * this call. The job is over by then. From any thread, which is loop's. */
struct nss_job *nss_start(struct nss *nss, struct loop *loop,
			  enum nss_what what, const char *name,
			  nss_done_fn *done, void *arg);

/* Forgets a question; on loop's thread. Clears the pointer; NULL is fine. */
void nss_cancel(struct nss_job **job);

#endif
