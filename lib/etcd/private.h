/* What the files of lib/etcd/ share. */
#ifndef LIB_ETCD_PRIVATE_H
#define LIB_ETCD_PRIVATE_H

#include "lib/etcd/etcd.h"
#include "lib/http/http.h"

/* What goes to the member in use as soon as that is possible. */
struct etcd_waiter {
	struct list node; /* of etcd->waiting */
	void (*run)(struct etcd_waiter *waiter);
	/* It need not wait any more; calls nobody back. */
	void (*fail)(struct etcd_waiter *waiter, const char *why);
};

struct etcd_member {
	const struct http_url *url;
	struct http_server *server;
	char *problem; /* why it was left; NULL: it has worked since */
};

struct etcd {
	struct loop *loop;
	const struct etcd_settings *settings;
	struct http_settings http;
	struct http_client *client;
	struct etcd_member *members;
	unsigned current; /* the member in use */
	unsigned turn;	  /* another one each time a member is left */
	unsigned left;	  /* members in a row, by whom nothing was answered */
	unsigned distrusted; /* of those */
	unsigned backoff_ms;
	const struct etcd_member *troubled; /* the last one; NULL: none yet */
	struct loop_timer rest; /* set: all members were left */
	struct etcd_header seen;
	struct list waiting; /* struct etcd_waiter */
	struct list watches; /* struct etcd_watch that are under way */
	unsigned users;	     /* requests and watches */
	bool answering;	     /* libcurl is below us on the stack */
	struct {
		struct http_request *http;
		struct str body;   /* a secret */
		struct str header; /* of all calls, a secret; empty: none */
		unsigned number;   /* another one each time it is forgotten */
		bool needless;	   /* authentication is not enabled */
	} login;
};

enum etcd_verdict {
	ETCD_TAKE,
	ETCD_LEAVE, /* the member */
	ETCD_LOGIN, /* again */
	ETCD_REFUSE,
};

/* What is to be done about a failure that etcd reports. */
enum etcd_verdict etcd_verdict(int64_t code, const char *text);
enum etcd_verdict etcd_verdict_of_text(const char *text);

/* The same for an answer; if it is not ETCD_TAKE, *failure says why. Its text
 * lives in arena, or as long as the answer. */
enum etcd_verdict etcd_judge(const struct http_answer *answer,
			     struct arena *arena,
			     struct etcd_failure *failure);

/* What etcd says, up to where nobody reads on. */
const char *etcd_clip(struct arena *arena, const char *text);

/* Puts it in the queue, in which etcd_run() looks. */
void etcd_wait(struct etcd *etcd, struct etcd_waiter *waiter);

/* Runs those that wait, if the time has come; else sees to it that it comes. */
void etcd_run(struct etcd *etcd);

/* Starts a request to the member in use. call has path, body and data; header,
 * which stays with the caller until the request is over, is filled. */
struct http_request *
etcd_start(struct etcd *etcd, struct http_call *call, struct str *header,
	   void (*fn)(void *arg, const struct http_answer *answer), void *arg);

/* Leaves the member of that turn, if that is not over yet. */
void etcd_leave_turn(struct etcd *etcd, unsigned turn, const char *why);

/* The same, because of the header of an answer that may be old (proven false),
 * or is not (true): then it counts from now on. True: the member was left. */
bool etcd_distrust_turn(struct etcd *etcd, unsigned turn,
			const struct etcd_header *header, bool proven);

/* The member of that turn has answered what takes a quorum. */
void etcd_works(struct etcd *etcd, unsigned turn);

/* The text of a call that ran out of time, in arena. */
const char *etcd_describe_timeout(const struct etcd *etcd, struct arena *arena);

/* --- etcd/login.c --- */

/* Whether calls may be made. */
bool etcd_is_logged_in(const struct etcd *etcd);

/* Unless it is under way; etcd_run() follows. */
void etcd_login(struct etcd *etcd);
void etcd_login_cancel(struct etcd *etcd);

/* The login of that number was refused. False: there is nothing to log in
 * with. */
bool etcd_login_again(struct etcd *etcd, unsigned number);

/* --- etcd/watch.c --- */

/* The member of a watch under way was left. */
void etcd_watch_left(struct list *node, const char *why);

#endif
