/* The users who have deliveries under way, or had some lately, and the server of
 * each: what keeps one user on one server while the view of the servers changes.
 * One table for all threads; its locks are never held across I/O. */
#ifndef BACKENDS_DIRECTOR_USERS_H
#define BACKENDS_DIRECTOR_USERS_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/director/claims.h"
#include "lib/list.h"
#include "lib/loop.h"

struct director_users;

/* What holds for a server when users of its own ask for another. */
enum director_hold {
	DIRECTOR_KEEPS,	  /* they stay until they have been idle long enough */
	DIRECTOR_LETS_GO, /* they leave once no delivery is under way */
	DIRECTOR_LOST,	  /* it is dead: nothing of it is waited for */
	DIRECTOR_UNKNOWN, /* to this view; a newer one, which is on its way, has
			     it: as the second, and nobody joins them there */
};

/* How a delivery comes to a user who is elsewhere. */
enum director_manner {
	DIRECTOR_MAY_STAY, /* he stays there, if the rules say so */
	DIRECTOR_MOVED,	   /* he does not: an administrator has moved him */
	DIRECTOR_JOINS,	   /* he does as long as he has deliveries there */
};

/* Of one server. id: see director_server. */
typedef enum director_hold director_hold_fn(const void *arg, uint32_t id);

/* The rules of one view. */
struct director_rules {
	director_hold_fn *hold;
	/* Users who came to that server at this time (us, as loop_now_us()) or
	 * before do not stay there, as if it let them go; 0: all stay. */
	uint64_t (*flushed_us)(const void *arg, uint32_t id);
	const void *arg;
	uint64_t generation; /* of the view */
	/* Of use with director_users_share() only: a number of the server that is the
	 * same in all processes, and which id has it; DIRECTOR_NO_SERVER: none. */
	uint64_t (*number)(const void *arg, uint32_t id);
	uint32_t (*find)(const void *arg, uint64_t number);
};
#define DIRECTOR_NO_SERVER UINT32_MAX

/* One delivery of a user: a member of what delivers. Zeroed: none. */
struct director_visit {
	struct list node; /* among those who wait, or those inside */
	struct director_users *users; /* NULL: away */
	struct loop *loop;
	/* On loop: the server that the user was on is free of him, or may be;
	 * director_users_enter() is to be called again. */
	void (*again)(struct director_visit *visit);
	uint64_t hash; /* by which the user is spread, and among whom: see */
	const char *tag; /* director_users_lingering(); outlives the visit */
	uint64_t key, stay;
	enum { DIRECTOR_AWAY, DIRECTOR_WAITS, DIRECTOR_WOKEN,
	       DIRECTOR_INSIDE } state; /* any thread may have it woken */
	bool repeats; /* see director_users_enter() */
	bool unseen;  /* the same */
	struct director_wake *wake; /* on its way to loop */
};

/* A table. expire_us: how long a user stays after the last delivery
 * (director_user_expire). */
struct director_users *director_users_new(uint64_t expire_us);

/* No visit is left. Clears the pointer; NULL is fine. */
void director_users_free(struct director_users **users);

void director_users_set_expire(struct director_users *users,
			       uint64_t expire_us);

/* Other processes of this node have tables of their own: a user is at one server for all
 * of them. While another one has deliveries of a user, those that come here go where he is
 * there, or wait. The claims outlive the table; to be called before anybody comes. */
void director_users_share(struct director_users *users,
			  struct director_claims *claims);

/* A delivery of the user with that key begins at now_us, whom the view would
 * send to server. Returns true with the server to take in *server_r, which is
 * another one while the user stays there; false when the visit has to wait for
 * deliveries of his elsewhere: visit->again is called later, unless it repeats: they
 * are another process's, which says nothing when they are over, and so it is to
 * leave, and to come again in a while. visit->unseen: other processes cannot know of
 * the user, as there are too many. visit->loop, again, hash and tag are set; the
 * visit is away. */
bool director_users_enter(struct director_users *users,
			  struct director_visit *visit, uint64_t now_us,
			  uint64_t key, uint32_t server,
			  enum director_manner manner,
			  const struct director_rules *rules,
			  uint32_t *server_r);

/* Whether another process of this node has deliveries of the user; and at which server:
 * DIRECTOR_NO_SERVER is one that the rules do not know. */
bool director_users_shared(struct director_users *users, uint64_t key,
			   const struct director_rules *rules,
			   uint32_t *server_r);

/* Where director_users_enter() would let the delivery in, now or later. */
uint32_t director_users_peek(struct director_users *users, uint64_t now_us,
			     uint64_t key, uint32_t server,
			  enum director_manner manner,
			     const struct director_rules *rules);

/* The delivery is over, or is not waited for any more: visit->again is not
 * called after this. Idempotent; a zeroed visit is fine. */
void director_users_leave(struct director_visit *visit, uint64_t now_us);

/* Where a user is. */
struct director_whereabouts {
	uint32_t server;
	unsigned deliveries; /* under way */
	uint64_t expires_us; /* without a further delivery; loop time */
};

/* Whether the user is in the table and has not expired. */
bool director_users_find(struct director_users *users, uint64_t key,
			 uint64_t now_us,
			 struct director_whereabouts *whereabouts_r);

/* How many users the table has, expired ones included, and how many of these have
 * deliveries under way. */
void director_users_count(struct director_users *users, uint64_t *users_r,
			  uint64_t *busy_r);

/* What became of director_users_share(): how many users have deliveries under way in any
 * process, how often those that came to one followed others of another process, and how
 * often there was no room for one more user. All 0 without it. */
struct director_shares {
	uint64_t users, followed, unseen;
};
void director_users_shares(struct director_users *users,
			   struct director_shares *shares_r);

/* Calls fn for each user in the table, expired or not yet, with one of its
 * locks held: fn only takes notes. */
void director_users_each(struct director_users *users,
			 void (*fn)(void *arg, uint64_t key,
				    const struct director_whereabouts *where),
			 void *arg);

/* The same for one part of the table, from 0 to DIRECTOR_USER_PARTS - 1; all have
 * about as many users. */
enum { DIRECTOR_USER_PARTS = 64 };
void director_users_each_in(struct director_users *users, unsigned part,
			    void (*fn)(void *arg, uint64_t key,
				       const struct director_whereabouts *where),
			    void *arg);

/* How many users have deliveries under way where they should not be: for whom
 * elsewhere() says so. It is called with locks held, and so only looks. One more when a
 * delivery has come with DIRECTOR_JOINS meanwhile: it may not have been seen. */
typedef bool director_elsewhere_fn(const void *arg, uint64_t key, uint64_t hash,
				   const char *tag, uint32_t server);
unsigned director_users_lingering(struct director_users *users,
				  director_elsewhere_fn *elsewhere,
				  const void *arg);

/* Wakes all who wait, so that they ask again by the rules of a new view, which
 * was posted to their loops before. Who comes to wait by the rules of an earlier
 * generation is woken, too. */
void director_users_wake(struct director_users *users, uint64_t generation);

#endif
