/* A client of etcd v3 through its JSON gateway (etcd/wire.h has the texts),
 * without blocking. Not for the gateway of etcd's own grpc-proxy, whose watches
 * miss changes.
 *
 * Of several members one is in use. A member that cannot be reached, does not
 * answer in time or not as etcd does, has no quorum, or is not to be trusted
 * (etcd_wire_distrust()) is left for the next one, together with the watches
 * there; after a round in which all were left there is a pause of 100 ms to 5 s.
 * When all members of a round were distrusted, the cluster is a new one
 * (restored from a backup): what was seen of the old one counts no more.
 *
 * With a user it logs in when it has to, and again when the token is refused
 * (etcd forgets tokens when it is restarted); where authentication is not
 * enabled it goes on without. */
#ifndef LIB_ETCD_ETCD_H
#define LIB_ETCD_ETCD_H

#include "lib/dns.h"
#include "lib/etcd/wire.h"
#include "lib/http/url.h"
#include "lib/loop.h"
#include "lib/tls/trust.h"

struct etcd_settings {
	const struct http_url *const *urls; /* of the members */
	unsigned url_count; /* at least 1 */
	const char *user, *password; /* secrets; user NULL or "": no
					authentication. A client certificate
					does not name a user to the gateway. */
	const char *cert, *key; /* of the client, PEM; NULL: none. It must not
				   have a common name when users log in. */
	bool verify; /* the servers' certificates */
	struct tls_trust *trust; /* NULL: nobody is trusted */
	unsigned timeout_ms; /* of one call, all members tried */
};

/* settings outlive it, and so do loop and dns (which may be NULL when all URLs
 * have addresses). */
struct etcd;
struct etcd *etcd_new(struct loop *loop, struct dns *dns,
		      const struct etcd_settings *settings);

/* Clears the pointer; NULL is fine. No request, watch, mirror or lease is left
 * by then. Not from inside a function that is told an answer or an event, but
 * from that of etcd_lease_revoke(). */
void etcd_free(struct etcd **etcd);

/* The URL of the member in use, for logs and metrics. */
const char *etcd_member(const struct etcd *etcd);

/* --- calls --- */

struct etcd_request;

/* fn is called once, from the loop and not inside this call: with the answer,
 * or NULL and why there is none. When an answer is lost, the transaction is
 * repeated at the next member, where its compares may fail because it was done
 * already. Nothing of txn is needed any more after the call. */
struct etcd_request *etcd_txn(struct etcd *etcd, const struct etcd_txn *txn,
			      void (*fn)(void *arg,
					 const struct etcd_txn_answer *answer,
					 const char *error),
			      void *arg);

/* Forgets the request (before fn was called); clears the pointer, NULL is
 * fine. */
void etcd_cancel(struct etcd_request **request);

/* --- for etcd/mirror.h and etcd/lease.h --- */

enum etcd_method {
	ETCD_RANGE,
	ETCD_TXN,
	ETCD_GRANT,
	ETCD_KEEPALIVE,
	ETCD_REVOKE,
};

/* Codes of gRPC that say something to who asked. */
enum {
	ETCD_NOT_FOUND = 5, /* no such lease */
	ETCD_TOO_LARGE = 8, /* the answer, for us too */
	ETCD_OUT_OF_RANGE = 11, /* the revision was compacted */
};

struct etcd_answer {
	const char *error; /* NULL: there is an answer, all else is of use */
	int64_t code;      /* error: of gRPC; 0: not from etcd */
	struct etcd_header header;
	struct etcd_range range;        /* of ETCD_RANGE */
	struct etcd_txn_answer txn;     /* of ETCD_TXN */
	struct etcd_lease_answer lease; /* of ETCD_GRANT and ETCD_KEEPALIVE */
};

/* Asks with a body of etcd/wire.h, which is taken over and left empty. fn as
 * above; the answer is valid until it returns. */
struct etcd_request *etcd_call(struct etcd *etcd, enum etcd_method method,
			       struct str *body,
			       void (*fn)(void *arg,
					  const struct etcd_answer *answer),
			       void *arg);

enum etcd_watch_end {
	ETCD_WATCH_BROKEN,   /* go on with another watch */
	ETCD_WATCH_REFUSED,  /* by etcd, or nobody took it in time */
	ETCD_WATCH_HOPELESS, /* these changes cannot be had: compacted, or of
				another cluster, or more than ETCD_MAX_LINE at
				once */
};

struct etcd_watch_events {
	/* The first one says created; it comes within the timeout of a call. */
	void (*line)(void *arg, const struct etcd_watch_line *line);
	/* The watch is gone. Not called from inside any function here. */
	void (*end)(void *arg, enum etcd_watch_end how, const char *why);
};

/* Has the changes of keys that begin with prefix told, from the next revision
 * after that of the answer with that header on, by the member in use. A client
 * has at most 8 watches. */
#define ETCD_MAX_LINE (8 * 1024 * 1024)
struct etcd_watch;
struct etcd_watch *etcd_watch(struct etcd *etcd, struct etcd_bytes prefix,
			      const struct etcd_header *since,
			      const struct etcd_watch_events *events,
			      void *arg);

/* Forgets the watch (before its end was told), not from inside its line();
 * clears the pointer, NULL is fine. */
void etcd_watch_cancel(struct etcd_watch **watch);

/* Leaves the member in use: what it does is not right. */
void etcd_leave(struct etcd *etcd, const char *why);

/* The time of a call. */
unsigned etcd_timeout_ms(const struct etcd *etcd);
struct loop *etcd_loop(const struct etcd *etcd);

/* How long to pause, up to 5 s: twice as long as before. *ms is 0 at first;
 * about a third of it is left to chance, lest all come back at once. */
unsigned etcd_backoff(unsigned *ms);

#endif
