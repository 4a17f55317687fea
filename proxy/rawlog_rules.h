/* Rawlogs that an administrator has asked for while waypost runs: for whom, where
 * to, and until when. Each worker thread has its own copy. */
#ifndef PROXY_RAWLOG_RULES_H
#define PROXY_RAWLOG_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/list.h"

#define RAWLOG_RULES_MAX 100

struct rawlog_rule {
	struct list node;
	char *pattern; /* as in session_fits() */
	char *dir;
	uint64_t until_us; /* loop time */
};

struct rawlog_rules {
	struct list list;
	unsigned count;
};

void rawlog_rules_init(struct rawlog_rules *rules);
void rawlog_rules_free(struct rawlog_rules *rules);

/* Adds a rule, or replaces the one with that pattern. False: there are too
 * many. */
bool rawlog_rules_set(struct rawlog_rules *rules, const char *pattern,
		      const char *dir, uint64_t until_us);

/* Drops the rule with that pattern, or, if it is NULL, all. */
void rawlog_rules_drop(struct rawlog_rules *rules, const char *pattern);

/* Drops what has expired by now_us. */
void rawlog_rules_expire(struct rawlog_rules *rules, uint64_t now_us);

/* The directory for who is called text (an address, of a host or of a user);
 * NULL: there is no rule for it. */
const char *rawlog_rules_find(struct rawlog_rules *rules, uint64_t now_us,
			      const char *text);

#endif
