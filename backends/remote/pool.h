/* The pool of upstream connections of one worker. */
#ifndef BACKENDS_REMOTE_POOL_H
#define BACKENDS_REMOTE_POOL_H

#include "lib/dns.h"
#include "lib/loop.h"

/* Counts connections per backend over all workers; one for the process.
 * Thread-safe. */
struct remote_limits;
struct remote_limits *remote_limits_new(void);
void remote_limits_free(struct remote_limits **limits);

struct remote_pool;

/* limits and dns outlive the pool. */
struct remote_pool *remote_pool_new(struct loop *loop, struct dns *dns,
				    struct remote_limits *limits);

/* Closes every idle connection (with QUIT) and frees the pool. No transaction
 * may be under way. Clears the pointer; NULL is fine. */
void remote_pool_free(struct remote_pool **pool);

/* What it counts of each backend; for its own thread. */
struct remote_stats_table;
const struct remote_stats_table *
remote_pool_stats(const struct remote_pool *pool);

#endif
