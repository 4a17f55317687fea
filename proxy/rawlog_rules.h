/* Rawlogs that an administrator has asked for while waypost runs: for whom, where
 * to, and until when. The supervisor has them, for all worker processes; each worker
 * thread has its own copy. No I/O here. */
#ifndef PROXY_RAWLOG_RULES_H
#define PROXY_RAWLOG_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/list.h"
#include "lib/str.h"

#define RAWLOG_RULES_MAX 100
/* Of all of them, as bytes: they fit into one message. */
#define RAWLOG_RULES_MAX_SIZE 8000

struct rawlog_rule {
	struct list node;
	char *pattern; /* as in session_fits() */
	char *dir;
	uint64_t until_us; /* loop time, which all processes have in common */
};

struct rawlog_rules {
	struct list list;
	unsigned count;
	size_t size; /* as bytes */
};

void rawlog_rules_init(struct rawlog_rules *rules);
void rawlog_rules_free(struct rawlog_rules *rules);

/* Adds a rule, or replaces the one with that pattern. False: there are too many, or
 * they are too long. */
bool rawlog_rules_set(struct rawlog_rules *rules, const char *pattern,
		      const char *dir, uint64_t until_us);

/* Has rules be those of other. */
void rawlog_rules_copy(struct rawlog_rules *rules,
		       const struct rawlog_rules *other);

/* Drops the rule with that pattern, or, if it is NULL, all. */
void rawlog_rules_drop(struct rawlog_rules *rules, const char *pattern);

/* Drops what has expired by now_us. */
void rawlog_rules_expire(struct rawlog_rules *rules, uint64_t now_us);

/* The directory for who is called text (an address, of a host or of a user);
 * NULL: there is no rule for it. */
const char *rawlog_rules_find(struct rawlog_rules *rules, uint64_t now_us,
			      const char *text);

/* --- as bytes --- */

/* Appends the order to add or replace a rule; dir "": to drop it, and all, if
 * pattern is "", too. */
void rawlog_order_encode(struct str *out, const char *pattern, const char *dir,
			 uint64_t until_us);

/* Obeys an order. 0: there are too many rules for that; -1: it is none. */
int rawlog_rules_obey(struct rawlog_rules *rules, const void *data, size_t len);

/* Appends all rules. */
void rawlog_rules_encode(struct str *out, const struct rawlog_rules *rules);

/* Has rules be those that were encoded; -1 for any other bytes, and there are none
 * then. */
int rawlog_rules_decode(struct rawlog_rules *rules, const void *data,
			size_t len);

#endif
