/* Keeps what is known of the director's servers, on the control loop: has all
 * workers route by it, and keeps it in a file over a restart. */
#ifndef PROXY_DIRECTOR_KEEPER_H
#define PROXY_DIRECTOR_KEEPER_H

#include "backends/director/state.h"
#include "proxy/director/care.h"
#include "proxy/director/director.h"
#include "proxy/settings/settings.h"
#include "proxy/worker/worker.h"

struct cluster_node;
struct director_keeper;

struct director_keeper_events {
	/* The director is ready for use, or there is none: once. */
	void (*ready)(void *arg);
	/* director_keeper_leave() is over. */
	void (*left)(void *arg);
};

/* A keeper for the workers of set, which it gives a table of users. Set and events
 * outlive it. */
struct director_keeper *
director_keeper_new(struct loop *loop, struct worker_set *set,
		    const struct director_keeper_events *events, void *arg);

/* A worker process beside this one may have come or gone. */
void director_keeper_stand(struct director_keeper *keeper);

/* The file is another process's from now on: it is not written any more. */
void director_keeper_retire(struct director_keeper *keeper);

/* All sessions have ended. Says goodbye to the cluster, if there is one; for_good:
 * no other process of this node goes on. Then events->left(). */
void director_keeper_leave(struct director_keeper *keeper, bool for_good);

/* The workers have ended. Frees what needs one more pass of the loop;
 * NULL is fine. */
void director_keeper_close(struct director_keeper *keeper);

/* After that pass. Clears the pointer; NULL is fine. */
void director_keeper_free(struct director_keeper **keeper);

/* Works by settings from now on, which last until the next call, as tls does. The
 * first time that there is a director, its state is read from the file, or the
 * cluster joined. -1 when it cannot work by them: all stays as it was. */
int director_keeper_use(struct director_keeper *keeper,
			struct settings *settings, struct tls_set *tls,
			struct err *err);

/* A delivery failed at the server with that id; text says why. From any thread,
 * while workers run. */
void director_keeper_signal(struct director_keeper *keeper, uint32_t id,
			    enum director_signal signal, const char *text);

/* What is wanted of the servers, to be seen; NULL: there is no director. */
const struct director_state *
director_keeper_state(struct director_keeper *keeper);

/* What follows from it; NULL: there is no director. */
struct director *director_keeper_view(const struct director_keeper *keeper);

/* The cluster; NULL: there is none. */
struct cluster_node *director_keeper_cluster(struct director_keeper *keeper);

/* --- changes: begin, change the draft, and then either of both others --- */

/* The state, or a copy, for changes. There is a director. */
struct director_state *director_keeper_begin(struct director_keeper *keeper);

/* Nothing is to be changed. */
void director_keeper_drop(struct director_keeper *keeper);

/* Has it take effect, and kept. fn is called once: inside this call, or, in a
 * cluster, from the loop. error says why it is not so, or not to last; NULL: it
 * is. */
void director_keeper_commit(struct director_keeper *keeper,
			    void (*fn)(void *arg, const char *error),
			    void *arg);

/* Ends the changes that are under way: their fn are called. */
void director_keeper_end_changes(struct director_keeper *keeper);

#endif
