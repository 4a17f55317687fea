/* etcd's JSON gateway as tests want it: scripted, on the loop of the test. */
#ifndef T_ETCD_GATEWAY_H
#define T_ETCD_GATEWAY_H

#include "lib/etcd/etcd.h"

enum gateway_how {
	GATEWAY_ANSWER,	 /* with a length; the connection is kept */
	GATEWAY_TRAILER, /* in chunks with a trailer: so etcd sends errors */
	GATEWAY_STREAM,	 /* in chunks, and it stays open */
	GATEWAY_BREAK,	 /* the connection is closed instead */
	GATEWAY_SILENT,
};

struct gateway_reply {
	const char *path; /* behind "/v3/" */
	const char *body;
	enum gateway_how how;
	unsigned status; /* 0: 200 */
};

#define GATEWAY_MAX_REPLIES 32

struct gateway {
	struct loop *loop;
	struct loop_io io;
	int fd, kept; /* kept: the port is ours, also when it is down */
	unsigned port;
	struct list connections;
	unsigned accepted, open, streams;
	/* To each path in turn, the last one for ever; without one: silent. */
	struct gateway_reply replies[GATEWAY_MAX_REPLIES];
	bool used[GATEWAY_MAX_REPLIES];
	struct str seen; /* lines "path token body" */
};

void gateway_open(struct gateway *gateway, struct loop *loop);

/* Nobody listens any more, and all connections are closed; idempotent. */
void gateway_down(struct gateway *gateway);
void gateway_free(struct gateway *gateway);

/* One more. */
void gateway_reply(struct gateway *gateway, struct gateway_reply reply);

/* Forgets what it was told to answer. */
void gateway_reset(struct gateway *gateway);

/* Down the open streams, as it is. */
void gateway_say(struct gateway *gateway, const char *text);

/* Ends the streams properly. */
void gateway_end_streams(struct gateway *gateway);

/* How many requests for that path have come. */
unsigned gateway_count(const struct gateway *gateway, const char *path);

/* Whether text is in what has come. */
bool gateway_saw(const struct gateway *gateway, const char *text);

/* --- a client among gateways --- */

#define WORLD_GATEWAYS 3

struct etcd_world {
	struct loop *loop;
	struct arena *arena;
	struct gateway gateways[WORLD_GATEWAYS];
	struct http_url urls[WORLD_GATEWAYS];
	const struct http_url *url_list[WORLD_GATEWAYS];
	struct etcd_settings settings; /* to be changed before the start */
	struct etcd *etcd;
	struct loop_timer tick;
	uint64_t end_us;
};

/* With so many members. */
void etcd_world_init(struct etcd_world *world, unsigned members);
void etcd_world_start(struct etcd_world *world);
void etcd_world_free(struct etcd_world *world);

/* Runs the loop for a millisecond. Dies when that went on for 20 seconds, with
 * what it waits for. */
void etcd_world_turn(struct etcd_world *world, const char *what);

#define WAIT(world, condition) \
	do { \
		while (!(condition)) \
			etcd_world_turn((world), #condition); \
	} while (0)

/* Runs the loop for so long. */
void etcd_world_run(struct etcd_world *world, unsigned ms);

/* --- answers as etcd 3.4.23 gives them --- */

#define ETCD_HEADER(cluster, revision, term) \
	"\"header\":{\"cluster_id\":\"" cluster "\",\"member_id\":\"36\"," \
	"\"revision\":\"" revision "\",\"raft_term\":\"" term "\"}"
#define ETCD_AT(revision) ETCD_HEADER("16480892258270070991", revision, "2")
#define ETCD_ERROR(text, code) \
	"{\"error\":\"" text "\",\"message\":\"" text "\",\"code\":" code "}"
#define ETCD_LINE(inside) "{\"result\":{" inside "}}\n"
#define ETCD_CREATED(revision) ETCD_LINE(ETCD_AT(revision) ",\"created\":true")

#endif
