/* What is said to etcd v3 through its JSON gateway, and what it answers: texts
 * only, no I/O. In its JSON keys and values are base64, 64-bit integers are
 * strings, and what is zero, false or empty is left out. */
#ifndef LIB_ETCD_WIRE_H
#define LIB_ETCD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"

#define ETCD_MAX_OPS 128 /* in one transaction: the default of etcd */

/* Any bytes, of which none may be a NULL pointer; those that were read are
 * followed by a NUL. */
struct etcd_bytes {
	const char *data;
	size_t len;
};

/* Of an answer. revision is 0 in that of a watch that was canceled. */
struct etcd_header {
	uint64_t cluster_id, member_id, raft_term;
	int64_t revision;
};

struct etcd_kv {
	struct etcd_bytes key, value;
	int64_t create_revision, mod_revision, version;
	int64_t lease; /* 0: none */
};

/* --- what is asked; each appends a body --- */

/* Keys that begin with prefix (""; all), in their order, from key after on (not
 * included; len 0: from the first), limit at most (0: no limit), as they were
 * at revision (0: now). */
void etcd_wire_put_range(struct str *out, struct etcd_bytes prefix,
			 struct etcd_bytes after, int64_t limit,
			 int64_t revision);

/* One of the keys that begin with prefix and were put after revision, without its
 * value; the answer's total is that of all. */
void etcd_wire_put_newer(struct str *out, struct etcd_bytes prefix,
			 int64_t revision);

/* The changes of keys that begin with prefix, from revision start on. */
void etcd_wire_put_watch(struct str *out, struct etcd_bytes prefix,
			 int64_t start);

enum etcd_compare_target {
	ETCD_COMPARE_VERSION, /* 0: there is no such key */
	ETCD_COMPARE_CREATE,
	ETCD_COMPARE_MOD,
};

/* That the key's number equals that one. */
struct etcd_compare {
	enum etcd_compare_target target;
	struct etcd_bytes key;
	int64_t number;
};

struct etcd_op {
	bool delete; /* else a put */
	struct etcd_bytes key, value;
	int64_t lease; /* 0: none */
};

struct etcd_txn {
	const struct etcd_compare *compares; /* all have to hold */
	size_t compare_count;
	const struct etcd_op *ops;
	size_t op_count;
};

/* -1, with nothing appended, when etcd would refuse it: more than ETCD_MAX_OPS
 * of a kind, or an empty key. */
int etcd_wire_put_txn(struct str *out, const struct etcd_txn *txn,
		      struct err *err);

void etcd_wire_put_grant(struct str *out, unsigned ttl_s);

/* For keepalive and revoke. */
void etcd_wire_put_lease(struct str *out, int64_t lease);

/* The text has a secret. */
void etcd_wire_put_login(struct str *out, const char *user,
			 const char *password);

/* --- what is answered; -1 and why for what is no such answer. Everything that
 * is read lives in arena. --- */

struct etcd_range {
	struct etcd_header header;
	struct etcd_kv *kvs;
	size_t count;
	bool more;     /* than the limit */
	int64_t total; /* of all keys that begin with the prefix, whatever limit
			  or revision they were asked by */
};
int etcd_wire_read_range(struct etcd_range *range, struct arena *arena,
			 const char *body, size_t len, struct err *err);

struct etcd_txn_answer {
	struct etcd_header header;
	bool succeeded; /* all compares held, and the ops were done */
};
int etcd_wire_read_txn(struct etcd_txn_answer *answer, const char *body,
		       size_t len, struct err *err);

/* Of grant and keepalive. ttl 0: there is no such lease any more. */
struct etcd_lease_answer {
	struct etcd_header header;
	int64_t id, ttl;
};
int etcd_wire_read_lease(struct etcd_lease_answer *answer, const char *body,
			 size_t len, struct err *err);

/* NULL when there is none; a secret. */
const char *etcd_wire_read_token(struct arena *arena, const char *body,
				 size_t len, struct err *err);

struct etcd_event {
	bool delete; /* then only key and mod_revision of kv are set */
	struct etcd_kv kv;
};

struct etcd_watch_line {
	struct etcd_header header;
	bool created;
	bool canceled; /* nothing comes any more, though the stream stays */
	int64_t compact_revision; /* canceled: the first that is left; 0: not
				     because of that */
	const char *reason; /* canceled: why, "" when it does not say */
	struct etcd_event *events;
	size_t count;
	int64_t error_code; /* of gRPC: the stream ends; 0: no error */
	const char *error;  /* "" when there is none */
};
int etcd_wire_read_watch(struct etcd_watch_line *line, struct arena *arena,
			 const char *text, size_t len, struct err *err);

/* What was answered with a status other than 200. A body that is no JSON gives
 * code 0 and no text. */
struct etcd_failure {
	int64_t code; /* of gRPC */
	const char *text;
};
void etcd_wire_read_failure(struct etcd_failure *failure, struct arena *arena,
			    const char *body, size_t len);

/* Whether now may follow what was seen of the cluster, which is kept in *seen
 * (zeroed at first): NULL, and *seen goes on; else why a member is not to be
 * trusted (of another cluster, or cut off from it). */
const char *etcd_wire_distrust(struct etcd_header *seen,
			       const struct etcd_header *now);

#endif
