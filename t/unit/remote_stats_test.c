/* What is counted of connections is what the backend sees, whatever clients and
 * backends do. */
#include "session_helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/remote/stats.h"
#include "proxy/session/session.h"

#define CLIENTS 4
#define SEEDS 500
#define STEPS 40

static int clients[CLIENTS];
static unsigned seed;

static unsigned any(unsigned below)
{
	return (unsigned)rand_r(&seed) % below;
}

static void client_connect(int *fd)
{
	struct addr local, remote;
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
		     0);
	addr_parse_ip(&local, "192.0.2.1", 24);
	addr_parse_ip(&remote, "192.0.2.99", 50000);
	session_start(world.worker, fds[1], &local, &remote, 0);
	*fd = fds[0];
}

static void client_leave(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void client_goes_on(int *fd)
{
	static const char *const texts[] = {
		"LHLO c\r\n" ENVELOPE, ENVELOPE, ENVELOPE, "DATA\r\n",
		"LHLO c\r\n" ENVELOPE "DATA\r\n", MESSAGE, MESSAGE,
		"RCPT TO:<ann@x>\r\n", "RSET\r\n", "QUIT\r\n",
	};
	const char *text = texts[any(sizeof(texts) / sizeof(texts[0]))];

	if (*fd < 0)
		client_connect(fd);
	else if (any(8) == 0)
		client_leave(fd);
	else if (send(*fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		client_leave(fd);
}

static const char *answer_anything(struct world *w, enum world_stage stage)
{
	switch (any(40)) {
	case 0:
		return NULL;
	case 1:
		return "";
	case 2:
		return "421 4.3.2 bye\r\n";
	case 3:
		return "450 4.2.0 not now\r\n";
	case 4:
		return "what?\r\n";
	default:
		return world_good_answer(w, stage);
	}
}

static void backend_goes_on(void)
{
	static const char *const texts[] = {
		"250 2.0.0 fine\r\n", "354 go on\r\n", "450 4.2.0 no\r\n",
		"421 4.3.2 bye\r\n",
	};

	if (!list_empty(&world.conns))
		world_backend_says(&world, world.conns.next,
				   texts[any(sizeof(texts) / sizeof(texts[0]))]);
}

static unsigned count_conns(void)
{
	struct list *node, *tmp;
	unsigned number = 0;

	list_each(&world.conns, node, tmp)
		number++;
	return number;
}

/* All there is goes to one backend. */
static struct remote_stats sum(void)
{
	const struct remote_stats_table *table =
		remote_pool_stats(world.worker->pool);
	struct remote_stats all = { .open = 0 };
	struct list *node, *tmp;

	list_each(&table->list, node, tmp)
		remote_stats_merge(&all, container_of(node,
						struct remote_stats, node));
	return all;
}

static void check(unsigned which, unsigned limit)
{
	struct remote_stats now = sum();

	cr_assert_eq(now.open, count_conns(), "seed %u: %u open, and not %u",
		     which, now.open, count_conns());
	cr_assert_leq(now.idle, now.open, "seed %u", which);
	cr_assert_leq(now.waiting, CLIENTS, "seed %u", which);
	cr_assert(limit == 0 || now.open <= limit, "seed %u", which);
	cr_assert_leq(now.reused, now.transactions, "seed %u", which);
	cr_assert_leq(now.failed_connections, now.connections, "seed %u",
		      which);
}

/* With nobody there, nothing is busy, and nothing waits. */
static void end_all(unsigned which)
{
	struct remote_stats now;
	unsigned i;

	for (i = 0; i < CLIENTS; i++)
		client_leave(&clients[i]);
	world_settle(&world);
	while (!list_empty(&world.conns)) {
		world_backend_says(&world, world.conns.next,
				   "421 4.3.2 bye\r\n");
		world_settle(&world);
	}
	now = sum();
	cr_assert_eq(now.open, 0, "seed %u: %u open", which, now.open);
	cr_assert_eq(now.idle, 0, "seed %u: %u idle", which, now.idle);
	cr_assert_eq(now.waiting, 0, "seed %u: %u wait", which, now.waiting);
}

static void any_order(unsigned which)
{
	unsigned i, limit = which % 3;

	seed = which;
	world.settings->lmtp.lmtp_proxy_pool_max_connections = limit;
	for (i = 0; i < CLIENTS; i++)
		clients[i] = -1;
	world.answer = answer_anything;
	for (i = 0; i < STEPS; i++) {
		if (any(5) == 0)
			backend_goes_on();
		else
			client_goes_on(&clients[any(CLIENTS)]);
		if (any(3) == 0)
			continue;
		world_settle(&world);
		check(which, limit);
	}
	end_all(which);
}

Test(remote_stats, are_what_the_backend_sees, .timeout = 120)
{
	unsigned i;

	world_open(&world);
	for (i = 0; i < SEEDS; i++)
		any_order(i);
	/* It was worth it. */
	cr_expect_gt(sum().reused, 20);
	cr_expect_gt(sum().failed_connections, 20);
	cr_expect_gt(world.delivered, 20);
	world_close(&world);
}

Test(remote_stats, an_idle_connection_is_open_and_idle)
{
	struct remote_stats now;

	setup();
	say("LHLO c\r\n" ENVELOPE);
	expect("250 2.1.5 recipient ok\r\n");
	now = sum();
	cr_expect_eq(now.open, 1);
	cr_expect_eq(now.idle, 0);
	say("RSET\r\n");
	world_settle(&world);
	now = sum();
	cr_expect_eq(now.open, 1);
	cr_expect_eq(now.idle, 1);
	world_backend_says(&world, world.conns.next, "421 4.3.2 bye\r\n");
	world_settle(&world);
	now = sum();
	cr_expect_eq(now.open, 0);
	cr_expect_eq(now.idle, 0);
	cr_expect_eq(now.connections, 1);
	cr_expect_eq(now.failed_connections, 0);
	teardown();
}
