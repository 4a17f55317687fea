#include "lib/etcd/lease.h"

#include <stdio.h>

#define MAX_TTL_S (24 * 60 * 60) /* of which an answer is believed */

struct etcd_lease {
	struct etcd *etcd;
	unsigned ttl_s;
	const struct etcd_lease_events *events;
	void *arg;
	int64_t id; /* 0: there is none */
	uint64_t asked_us; /* when the request was made: from then on its time
			      counts, not from when it is answered */
	uint64_t good_us; /* for so long since then */
	struct etcd_request *request;
	struct loop_timer timer; /* for the next request */
	struct loop_timer expiry;
	unsigned backoff_ms;
	void (*done)(void *arg); /* it is being revoked; told by timer */
};

/* Another one is asked for in the next pass. */
static void lease_lose(struct etcd_lease *lease, const char *why)
{
	lease->id = 0;
	etcd_cancel(&lease->request);
	loop_timer_clear(&lease->expiry);
	loop_timer_set(&lease->timer, 0);
	lease->backoff_ms = 0;
	lease->events->lost(lease->arg, why);
}

static void set_timer(struct etcd_lease *lease, struct loop_timer *timer,
		      uint64_t due_us)
{
	uint64_t now = loop_now_us(etcd_loop(lease->etcd));

	loop_timer_set(timer, due_us > now ? (due_us - now + 999) / 1000 : 0);
}

static void lease_renewed(struct etcd_lease *lease, int64_t ttl_s)
{
	if (ttl_s > MAX_TTL_S)
		ttl_s = MAX_TTL_S;
	lease->good_us = (uint64_t)ttl_s * 1000000;
	lease->backoff_ms = 0;
	set_timer(lease, &lease->timer, lease->asked_us + lease->good_us / 3);
	set_timer(lease, &lease->expiry, lease->asked_us + lease->good_us);
}

static void lease_answered(void *arg, const struct etcd_answer *answer)
{
	struct etcd_lease *lease = arg;

	lease->request = NULL;
	if (lease->id != 0 && answer->code == ETCD_NOT_FOUND) {
		lease_lose(lease, answer->error);
	} else if (answer->error != NULL) {
		loop_timer_set(&lease->timer, etcd_backoff(&lease->backoff_ms));
	} else if (lease->id != 0 && answer->lease.ttl == 0) {
		lease_lose(lease, "it has run out");
	} else if (answer->lease.ttl == 0) {
		loop_timer_set(&lease->timer, etcd_backoff(&lease->backoff_ms));
	} else {
		lease_renewed(lease, answer->lease.ttl);
		if (lease->id != 0)
			return;
		lease->id = answer->lease.id;
		lease->events->granted(lease->arg, lease->id);
	}
}

static void lease_ask(struct etcd_lease *lease)
{
	struct str body = STR_INIT;

	lease->asked_us = loop_now_us(etcd_loop(lease->etcd));
	if (lease->id != 0)
		etcd_wire_put_lease(&body, lease->id);
	else
		etcd_wire_put_grant(&body, lease->ttl_s);
	lease->request = etcd_call(lease->etcd, lease->id != 0 ?
				   ETCD_KEEPALIVE : ETCD_GRANT, &body,
				   lease_answered, lease);
}

static void timer_event(struct loop_timer *timer)
{
	struct etcd_lease *lease =
		container_of(timer, struct etcd_lease, timer);

	if (lease->done != NULL)
		lease->done(lease->arg);
	else
		lease_ask(lease);
}

static void expiry_event(struct loop_timer *timer)
{
	struct etcd_lease *lease =
		container_of(timer, struct etcd_lease, expiry);
	char why[80];

	snprintf(why, sizeof(why), "it could not be renewed for %u s",
		 (unsigned)(lease->good_us / 1000000));
	lease_lose(lease, why);
}

struct etcd_lease *etcd_lease_new(struct etcd *etcd, unsigned ttl_s,
				  const struct etcd_lease_events *events,
				  void *arg)
{
	struct etcd_lease *lease = mem_new(struct etcd_lease);

	lease->etcd = etcd;
	lease->ttl_s = ttl_s;
	lease->events = events;
	lease->arg = arg;
	loop_timer_open(&lease->timer, etcd_loop(etcd), timer_event);
	loop_timer_open(&lease->expiry, etcd_loop(etcd), expiry_event);
	lease_ask(lease);
	return lease;
}

static void revoke_answered(void *arg, const struct etcd_answer *answer)
{
	struct etcd_lease *lease = arg;

	(void)answer;
	lease->request = NULL;
	loop_timer_set(&lease->timer, 0);
}

void etcd_lease_revoke(struct etcd_lease *lease, void (*done)(void *arg))
{
	struct str body = STR_INIT;

	lease->done = done;
	etcd_cancel(&lease->request);
	loop_timer_clear(&lease->timer);
	loop_timer_clear(&lease->expiry);
	if (lease->id == 0) {
		loop_timer_set(&lease->timer, 0);
		return;
	}
	etcd_wire_put_lease(&body, lease->id);
	lease->request = etcd_call(lease->etcd, ETCD_REVOKE, &body,
				   revoke_answered, lease);
}

void etcd_lease_free(struct etcd_lease **lease_p)
{
	struct etcd_lease *lease = *lease_p;

	if (lease == NULL)
		return;
	etcd_cancel(&lease->request);
	loop_timer_close(&lease->timer);
	loop_timer_close(&lease->expiry);
	mem_free(lease_p);
}
