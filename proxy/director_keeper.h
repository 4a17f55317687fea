/* Keeps what is known of the director's servers, on the control loop: has all
 * workers route by it, and keeps it in a file over a restart. */
#ifndef PROXY_DIRECTOR_KEEPER_H
#define PROXY_DIRECTOR_KEEPER_H

#include "backends/director/state.h"
#include "proxy/director.h"
#include "proxy/director_care.h"
#include "proxy/settings.h"
#include "proxy/worker.h"

struct director_keeper;

/* A keeper for the workers of set, which it gives a table of users. Both outlive
 * it. */
struct director_keeper *director_keeper_new(struct loop *loop,
					    struct worker_set *set);

/* The file is another process's from now on: it is not written any more. */
void director_keeper_retire(struct director_keeper *keeper);

/* The workers have ended. Frees what needs one more pass of the loop;
 * NULL is fine. */
void director_keeper_close(struct director_keeper *keeper);

/* After that pass. Clears the pointer; NULL is fine. */
void director_keeper_free(struct director_keeper **keeper);

/* Works by settings from now on, which last until the next call, as tls does. The first time
 * that there is a director, its state is read from the file. */
void director_keeper_use(struct director_keeper *keeper,
			 const struct settings *settings, struct tls_set *tls);

/* A delivery failed at the server with that id; text says why. From any thread,
 * while workers run. */
void director_keeper_signal(struct director_keeper *keeper, uint32_t id,
			    enum director_signal signal, const char *text);

/* The state, for changes; NULL: there is no director. */
struct director_state *director_keeper_state(struct director_keeper *keeper);

/* What follows from it; NULL: there is no director. */
struct director *director_keeper_view(const struct director_keeper *keeper);

/* The state was changed: has it take effect, and kept. -1 when it has taken
 * effect, but could not be written. */
int director_keeper_changed(struct director_keeper *keeper, struct err *err);

#endif
