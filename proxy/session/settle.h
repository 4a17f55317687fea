/* Keeps a user on one server: a recipient whom the director routes goes where
 * other deliveries of the same user are, or waits until these are over. */
#ifndef PROXY_SESSION_SETTLE_H
#define PROXY_SESSION_SETTLE_H

struct recipient;
struct remote_failure;
struct worker;

/* Begins a delivery to the user of rcpt, whose route is the director's choice;
 * the route may become another. Goes on with recipient_follow(), now or later. */
void settle_begin(struct recipient *rcpt);

/* The backend gave no answer: its health is told of it, if the director chose
 * it. */
void settle_failed(const struct recipient *rcpt,
		   const struct remote_failure *failure);

/* The worker has another director: those who wait for the cluster try again. On
 * its thread. */
void settle_view_changed(struct worker *worker);

/* The delivery is over, or will not be. Idempotent; fine without a beginning. */
void settle_end(struct recipient *rcpt);

#endif
