/* Whether the process has slept: was stopped, or its machine was. In a cluster it then
 * knows less than it believes: a server may have died meanwhile, lost its users to others,
 * and be back. So nobody is let in (director_notes_holds()) until it has heard from etcd
 * what became of the cluster; or etcd is lost, or does not answer for a while: routing
 * goes on then. */
#ifndef PROXY_DIRECTOR_SLEEP_H
#define PROXY_DIRECTOR_SLEEP_H

#include "backends/director/notes.h"
#include "lib/loop.h"
#include "proxy/director/cluster.h"

struct director_sleep;

/* over(arg): those who wait may come again. Called from the loop. All outlive it. */
struct director_sleep *director_sleep_new(struct loop *loop,
					  struct director_notes *notes,
					  struct cluster_node *cluster,
					  void (*over)(void *arg), void *arg);

/* Nobody is held any more. Clears the pointer; NULL is fine. */
void director_sleep_free(struct director_sleep **sleep);

/* The cluster has said something. */
void director_sleep_look(struct director_sleep *sleep);

#endif
