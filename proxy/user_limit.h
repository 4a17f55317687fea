/* lmtp_user_concurrency_limit: how many recipients of one user are under way at a
 * time, counted over all threads of the process. */
#ifndef PROXY_USER_LIMIT_H
#define PROXY_USER_LIMIT_H

#include <stdbool.h>

struct user_limit;

struct user_limit *user_limit_new(void);

/* Nobody may be counted. Clears the pointer; NULL is fine. */
void user_limit_free(struct user_limit **limit);

/* One that is counted; NULL: it is not. */
struct user_count;

/* Counts one more recipient of the user, if there are less than max of them; NULL:
 * there are not. From any thread. */
struct user_count *user_limit_enter(struct user_limit *limit, const char *user,
				    unsigned max);

/* It is over. Clears the pointer; NULL is fine. From any thread. */
void user_limit_leave(struct user_limit *limit, struct user_count **count);

#endif
