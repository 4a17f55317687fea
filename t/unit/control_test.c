/* The control interface with workers that answer when they are told to. */
#include "settings_helper.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/remote/stats.h"
#include "lib/mem.h"
#include "passdb/passdb.h"
#include "proxy/control/private.h"
#include "proxy/director/keeper.h"
#include "proxy/listener.h"
#include "proxy/worker/worker.h"
#include "t/unit/loop_helper.h"

#define WORKERS 2
#define NAME 5

static struct worker workers[WORKERS], *worker_list[WORKERS];
static struct worker_set set;
static struct worker_source source;
static struct control *control;
static struct director_keeper *keeper;
static struct addr addr;
static unsigned wishes;
static bool gone; /* the supervisor */
/* What it wants, and its answer to the last order. */
static struct rawlog_rules wanted;
static bool obeyed;
static struct str answer;

static int wish(void *arg, enum control_wish what, uint32_t number)
{
	(void)arg;
	(void)what;
	cr_expect_eq(number, ++wishes);
	return gone ? -1 : 0;
}

static int wish_rawlog(void *arg, const struct str *order, uint32_t number)
{
	int status;

	(void)arg;
	cr_expect_eq(number, ++wishes);
	if (gone)
		return -1;
	rawlog_rules_expire(&wanted, loop_now_us(set.control));
	status = rawlog_rules_obey(&wanted, order->data, order->len);
	cr_expect_geq(status, 0);
	obeyed = status > 0;
	return 0;
}

static void say_rawlogs(uint32_t number, bool ok)
{
	struct str bytes = STR_INIT;
	struct err err;

	rawlog_rules_encode(&bytes, &wanted);
	cr_expect_eq(control_rawlogs(control, str_c(&bytes), bytes.len, number,
				     ok, &err), 0);
	str_free(&bytes);
}

static void run(struct loop *loop)
{
	passes(loop, 20);
}

/* Answers what it was asked. */
static void run_worker(unsigned i)
{
	run(workers[i].loop);
	run(set.control);
}

static void make_workers(void)
{
	unsigned i;

	set.limits = remote_limits_new();
	set.counts = -1;
	for (i = 0; i < WORKERS; i++) {
		struct worker *worker = &workers[i];

		worker->loop = loop_new();
		worker->set = &set;
		worker->pool = remote_pool_new(worker->loop, NULL, set.limits);
		worker->deliveries = local_queue_new(worker->loop, -1);
		list_init(&worker->sessions);
		list_init(&worker->views);
		rawlog_rules_init(&worker->rawlog_rules);
		worker_list[i] = worker;
	}
	set.workers = worker_list;
	set.count = WORKERS;
}

/* On any address of the family. */
static void listen_at(sa_family_t family, socklen_t len, unsigned flags)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	memset(&addr, 0, sizeof(addr));
	addr.sa.sa_family = family;
	cr_assert_eq(bind(fd, &addr.sa, len), 0);
	cr_assert_eq(listen(fd, 8), 0);
	addr.len = sizeof(addr.un);
	cr_assert_eq(getsockname(fd, &addr.sa, &addr.len), 0);
	control_listen(control, NAME, fd, flags);
}

static void keeper_told(void *arg)
{
	(void)arg;
}

static const struct director_keeper_events keeper_events = {
	keeper_told, keeper_told,
};

static void setup(void)
{
	struct control_env env = { .set = &set, .source = &source,
				   .account = "nobody",
				   .wish = wish,
				   .rawlogs = &wanted,
				   .wish_rawlog = wish_rawlog };
	struct err err;

	rawlog_rules_init(&wanted);
	set.control = env.loop = loop_new();
	make_workers();
	source.settings = load(BASE PASSDB);
	source.tls = tls_set_new(source.settings, &err);
	cr_assert_not_null(source.tls, "%s", err.text);
	source.shared = passdb_shared_new(set.control,
					  &source.settings->passdb, &err);
	cr_assert_not_null(source.shared, "%s", err.text);
	keeper = director_keeper_new(set.control, &set, &keeper_events, NULL);
	env.keeper = keeper;
	control = control_new(&env);
	listen_at(AF_UNIX, sizeof(sa_family_t), 0);
}

static void teardown(void)
{
	unsigned i;

	control_free(&control);
	for (i = 0; i < WORKERS; i++) {
		run(workers[i].loop);
		remote_pool_free(&workers[i].pool);
		local_queue_free(&workers[i].deliveries);
		rawlog_rules_free(&workers[i].rawlog_rules);
		loop_free(&workers[i].loop);
		worker_list[i] = NULL;
	}
	rawlog_rules_free(&wanted);
	director_keeper_close(keeper);
	run(set.control);
	director_keeper_free(&keeper);
	passdb_shared_unref(&source.shared);
	tls_set_unref(&source.tls);
	settings_unref(&source.settings);
	remote_limits_free(&set.limits);
	loop_free(&set.control);
	str_free(&answer);
}

TestSuite(control, .init = setup, .fini = teardown, .timeout = 20);

static int connect_client(void)
{
	int fd = socket(addr.sa.sa_family, SOCK_STREAM, 0);

	cr_assert_eq(connect(fd, &addr.sa, addr.len), 0);
	cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void client_send(int fd, const char *method, const char *path)
{
	struct str text = STR_INIT;

	str_printf(&text, "%s %s HTTP/1.1\r\nHost: a\r\n\r\n", method, path);
	cr_assert_eq(send(fd, text.data, text.len, MSG_NOSIGNAL),
		     (ssize_t)text.len);
	str_free(&text);
	run(set.control);
}

/* All that came, into answer; whether the server has closed. */
static bool client_read(int fd)
{
	char buf[4096];
	ssize_t got;

	str_clear(&answer);
	while ((got = recv(fd, buf, sizeof(buf), 0)) > 0)
		str_append(&answer, buf, (size_t)got);
	return got == 0;
}

static void expect(const char *text)
{
	cr_expect_not_null(strstr(str_c(&answer), text), "no %s in %s", text,
			   str_c(&answer));
}

static const char *const asking[] = {
	"/metrics", "/readyz", "/v1/stats", "/v1/pool", "/v1/sessions",
};
#define ASKING (sizeof(asking) / sizeof(asking[0]))

/* As at the end of a worker process. */
Test(control, it_may_end_before_workers_have_answered)
{
	int fds[ASKING];
	size_t i;

	for (i = 0; i < ASKING; i++) {
		fds[i] = connect_client();
		client_send(fds[i], "GET", asking[i]);
		cr_expect_not(client_read(fds[i]));
		cr_expect_eq(answer.len, 0);
	}
	run_worker(0);
	control_free(&control);
	for (i = 0; i < WORKERS; i++) {
		run(workers[i].loop);
		worker_list[i] = NULL;
	}
	run(set.control);
	for (i = 0; i < ASKING; i++) {
		cr_expect(client_read(fds[i]));
		close(fds[i]);
	}
}

static struct loop_io client_io;

static void client_readable(struct loop_io *io, unsigned events)
{
	(void)io;
	(void)events;
	loop_stop(set.control);
}

static void client_wait(int fd)
{
	loop_io_open(&client_io, set.control, fd, client_readable);
	loop_io_want(&client_io, LOOP_READ);
	loop_run(set.control);
	loop_io_close(&client_io);
	run(set.control);
}

static uint64_t metric(const char *name)
{
	const char *at = strstr(str_c(&answer), name);

	cr_assert_not_null(at, "no %s in %s", name, str_c(&answer));
	return strtoull(at + strlen(name), NULL, 10);
}

/* Counters never fall, and Prometheus would take it for a restart. */
Test(control, a_worker_that_is_stuck_keeps_its_counts)
{
	int fd = connect_client();

	workers[0].stats.sessions = 3;
	workers[1].stats.sessions = 4;
	remote_stats_find((struct remote_stats_table *)
				  remote_pool_stats(workers[1].pool),
			  "a:24")->transactions = 6;
	client_send(fd, "GET", "/metrics");
	run_worker(0);
	run_worker(1);
	cr_expect_not(client_read(fd));
	cr_expect_eq(metric("\nwaypost_sessions_total "), 7);
	cr_expect_eq(metric("\nwaypost_worker_threads_stuck "), 0);
	workers[0].stats.sessions = 5;
	client_send(fd, "GET", "/metrics");
	run_worker(0);
	client_wait(fd);
	cr_expect_not(client_read(fd));
	cr_expect_eq(metric("\nwaypost_sessions_total "), 9);
	cr_expect_eq(metric("\nwaypost_worker_threads_stuck "), 1);
	cr_expect_eq(metric("waypost_backend_transactions_total"
			    "{backend=\"a:24\"} "), 6);
	cr_expect_geq(metric("\nwaypost_event_loop_lag_seconds "), 1);
	/* It comes back. */
	workers[1].stats.sessions = 8;
	client_send(fd, "GET", "/metrics");
	run_worker(0);
	run_worker(1);
	cr_expect_not(client_read(fd));
	cr_expect_eq(metric("\nwaypost_sessions_total "), 13);
	cr_expect_eq(metric("\nwaypost_worker_threads_stuck "), 0);
	close(fd);
}

static void rawlog_on(int fd, const char *query, const char *status)
{
	struct str path = STR_INIT;

	str_printf(&path, "/v1/rawlog/on?dir=/tmp&%s", query);
	client_send(fd, "POST", str_c(&path));
	say_rawlogs(wishes, obeyed);
	run_worker(0);
	run_worker(1);
	cr_expect_not(client_read(fd));
	expect(status);
	str_free(&path);
}

Test(control, rawlogs_that_are_over_make_room_for_others)
{
	int fd = connect_client();
	char query[32];
	unsigned i;

	for (i = 0; i < RAWLOG_RULES_MAX; i++) {
		snprintf(query, sizeof(query), "pattern=%u&seconds=0", i);
		rawlog_on(fd, query, "HTTP/1.1 200 ");
	}
	rawlog_on(fd, "pattern=Ann", "HTTP/1.1 200 ");
	for (i = 0; i < WORKERS; i++)
		cr_expect_str_eq(rawlog_rules_find(&workers[i].rawlog_rules, 0,
						   "ann"), "/tmp");
	close(fd);
}

/* One that is there can go on. */
Test(control, as_many_rawlogs_as_there_may_be)
{
	int fd = connect_client();
	char query[32];
	unsigned i;

	for (i = 0; i < RAWLOG_RULES_MAX; i++) {
		snprintf(query, sizeof(query), "pattern=a%u", i);
		rawlog_on(fd, query, "HTTP/1.1 200 ");
	}
	rawlog_on(fd, "pattern=A7&seconds=9", "HTTP/1.1 200 ");
	rawlog_on(fd, "pattern=more", "HTTP/1.1 503 ");
	for (i = 0; i < WORKERS; i++)
		cr_expect_eq(workers[i].rawlog_rules.count, RAWLOG_RULES_MAX);
	close(fd);
}

/* Nobody is told that it is done before it is. */
Test(control, rawlogs_are_the_supervisors_and_all_threads_to_tell)
{
	int fd = connect_client();

	client_send(fd, "POST", "/v1/rawlog/on?dir=/tmp&pattern=ann");
	cr_expect_not(client_read(fd));
	cr_expect_eq(answer.len, 0);
	/* Somebody else's order. */
	say_rawlogs(0, true);
	run_worker(0);
	run_worker(1);
	cr_expect_not(client_read(fd));
	cr_expect_eq(answer.len, 0);
	cr_expect_eq(workers[1].rawlog_rules.count, 1);
	say_rawlogs(wishes, true);
	run_worker(0);
	cr_expect_not(client_read(fd));
	cr_expect_eq(answer.len, 0);
	run_worker(1);
	cr_expect_not(client_read(fd));
	expect("HTTP/1.1 200 ");
	close(fd);
}

Test(control, rawlogs_that_are_none)
{
	struct err err;

	cr_expect_eq(control_rawlogs(control, "x", 1, 0, true, &err), -1);
	cr_expect_str_eq(err.text, "malformed rawlogs");
}

Test(control, a_rawlog_without_a_supervisor)
{
	int fd = connect_client();

	gone = true;
	client_send(fd, "POST", "/v1/rawlog/on?dir=/tmp&pattern=ann");
	cr_expect_not(client_read(fd));
	expect("HTTP/1.1 503 ");
	gone = false;
	client_send(fd, "POST", "/v1/rawlog/on?dir=/tmp&pattern=");
	cr_expect_not(client_read(fd));
	expect("HTTP/1.1 400 ");
	client_send(fd, "POST", "/v1/rawlog/off?pattern=");
	cr_expect_not(client_read(fd));
	expect("HTTP/1.1 400 ");
	close(fd);
}

static void look_at_nothing(struct gather_part *part)
{
	(void)part;
}

static void tell_nobody(struct gather *gather)
{
	(void)gather;
}

static void ask_nothing(void)
{
	struct gather *gather = gather_new(&set, &control->gathers);

	gather->visit = look_at_nothing;
	gather->done = tell_nobody;
	gather_start(gather);
}

/* Monitoring goes on asking, and nothing must pile up. */
Test(control, a_worker_that_is_stuck_is_not_asked_for_ever)
{
	int fd = connect_client(), i;
	size_t path;

	for (i = 0; i < 256; i++)
		ask_nothing();
	run_worker(0);
	for (path = 0; path < ASKING; path++) {
		client_send(fd, "GET", asking[path]);
		cr_expect_not(client_read(fd));
		expect("HTTP/1.1 503 ");
		expect("do not answer");
	}
	run_worker(1);
	client_send(fd, "GET", "/readyz");
	run_worker(0);
	run_worker(1);
	cr_expect_not(client_read(fd));
	expect("HTTP/1.1 200 ");
	close(fd);
}

static unsigned length(const struct list *list)
{
	const struct list *node;
	unsigned count = 0;

	for (node = list->next; node != list; node = node->next)
		count++;
	return count;
}

static unsigned questions(void)
{
	return length(&control->gathers);
}

/* Anybody may ask: the workers are asked once for all who ask meanwhile. */
Test(control, health_is_asked_of_the_workers_once_for_all)
{
	int fds[16], late;
	unsigned i;

	for (i = 0; i < 16; i++) {
		fds[i] = connect_client();
		client_send(fds[i], "GET", i % 2 == 0 ? "/healthz" : "/readyz");
	}
	cr_expect_eq(questions(), 1);
	run_worker(0);
	for (i = 0; i < 16; i++)
		cr_expect(!client_read(fds[i]) && answer.len == 0);
	run_worker(1);
	for (i = 0; i < 16; i++) {
		cr_expect_not(client_read(fds[i]));
		expect("HTTP/1.1 200 ");
		expect("\r\n\r\nok\n");
		close(fds[i]);
	}
	cr_expect_eq(questions(), 0);
	late = connect_client();
	client_send(late, "GET", "/healthz");
	cr_expect_eq(questions(), 1);
	run_worker(0);
	run_worker(1);
	cr_expect_not(client_read(late));
	expect("HTTP/1.1 200 ");
	close(late);
}

/* Anybody may come, ask and go, as long as a worker is stuck. */
Test(control, who_has_asked_for_health_and_is_gone_does_not_pile_up)
{
	unsigned i;

	listen_at(AF_INET, sizeof(struct sockaddr_in), 0);
	for (i = 0; i < 1000; i++) {
		int fd = connect_client();

		client_send(fd, "GET", "/readyz");
		close(fd);
	}
	cr_expect_eq(questions(), 1);
	cr_expect_lt(length(&control->health_calls), 300);
	run_worker(0);
	run_worker(1);
	cr_expect_eq(length(&control->health_calls), 0);
}

/* Whoever scrapes over one connection would see the old process for as long as
 * it has sessions. */
Test(control, connections_end_when_another_process_goes_on)
{
	int used = connect_client(), asking_fd = connect_client();
	int fresh = connect_client();

	client_send(used, "GET", "/healthz");
	run_worker(0);
	run_worker(1);
	cr_expect_not(client_read(used));
	expect("\r\n\r\nok\n");
	client_send(asking_fd, "GET", "/v1/pool");
	control_close(control);
	run(set.control);
	cr_expect(client_read(used));
	run_worker(0);
	run_worker(1);
	cr_expect(client_read(asking_fd));
	expect("HTTP/1.1 200 OK\r\n");
	expect("\r\nConnection: close\r\n");
	/* What was let in is answered. */
	client_send(fresh, "GET", "/healthz");
	run_worker(0);
	run_worker(1);
	cr_expect(client_read(fresh));
	expect("\r\n\r\nok\n");
	close(used);
	close(asking_fd);
	close(fresh);
}

/* Not with the end of one that has read the configuration before. */
Test(control, a_reload_is_waited_for_by_who_came_before_it_began)
{
	int one = connect_client(), two = connect_client();

	client_send(one, "POST", "/v1/reload");
	client_send(two, "POST", "/v1/reload");
	control_reloaded(control, 0, true, "");
	run(set.control);
	cr_expect_not(client_read(one));
	cr_expect_eq(answer.len, 0);
	control_reloaded(control, 1, true, "");
	run(set.control);
	client_read(one);
	expect("HTTP/1.1 200 ");
	client_read(two);
	cr_expect_eq(answer.len, 0);
	control_reloaded(control, 2, false, "no");
	run(set.control);
	client_read(two);
	expect("HTTP/1.1 409 ");
	close(one);
	close(two);
}

/* Nobody would tell of its end any more. */
Test(control, a_reload_is_not_waited_for_by_a_process_that_goes)
{
	int fd = connect_client(), late = connect_client();

	client_send(fd, "POST", "/v1/reload");
	cr_expect_eq(wishes, 1);
	cr_expect_not(client_read(fd));
	cr_expect_eq(answer.len, 0);
	control_close(control);
	run(set.control);
	cr_expect(client_read(fd));
	expect("HTTP/1.1 503 ");
	close(fd);
	client_send(late, "POST", "/v1/reload");
	cr_expect(client_read(late));
	expect("HTTP/1.1 503 ");
	cr_expect_eq(wishes, 1);
	close(late);
}

/* The token would go over the wire as it is. */
Test(control, nothing_is_said_in_clear_where_tls_is_wanted)
{
	int fd;

	listen_at(AF_INET, sizeof(addr.in), LISTENER_TLS);
	fd = connect_client();
	client_send(fd, "GET", "/healthz");
	client_wait(fd);
	(void)client_read(fd);
	cr_expect_eq(answer.len, 0, "%s", str_c(&answer));
	close(fd);
}

static bool drains(void)
{
	cr_expect_eq(workers[0].draining, workers[1].draining);
	return workers[0].draining;
}

static void run_workers(void)
{
	run(workers[0].loop);
	run(workers[1].loop);
	run(set.control);
}

static void obey(unsigned orders, uint32_t number)
{
	const struct control_standing standing = { .orders = orders };

	control_obey(control, &standing, number);
	run_workers();
}

Test(control, what_others_were_told_counts_here_too)
{
	obey(CONTROL_ORDER_DRAIN, 0);
	cr_expect(drains());
	obey(CONTROL_ORDER_DRAIN | CONTROL_ORDER_DEBUG, 0);
	cr_expect(drains());
	obey(0, UINT32_MAX);
	cr_expect_not(drains());
}

static void order(int fd, const char *path)
{
	client_send(fd, "POST", path);
	run_workers();
	client_read(fd);
	expect("HTTP/1.1 200");
}

/* What the supervisor says before it has heard the last order is old. */
Test(control, orders_do_not_go_back_and_forth)
{
	int fd = connect_client();

	order(fd, "/v1/drain");
	order(fd, "/v1/undrain");
	obey(CONTROL_ORDER_DRAIN, wishes - 1);
	cr_expect_not(drains());
	order(fd, "/v1/log/level?level=debug");
	obey(CONTROL_ORDER_DEBUG, wishes - 1);
	cr_expect_not(drains());
	obey(CONTROL_ORDER_DRAIN, wishes);
	cr_expect(drains());
	close(fd);
}

Test(control, nobody_obeys_an_order_that_cannot_last)
{
	int fd = connect_client();

	gone = true;
	client_send(fd, "POST", "/v1/drain");
	run_workers();
	client_read(fd);
	expect("HTTP/1.1 503");
	cr_expect_not(drains());
	close(fd);
}

/* After a sleep, until etcd has said what became of the servers. */
Test(control, a_route_waits_as_deliveries_do)
{
	int fd = connect_client();

	director_notes_hold(set.notes, true);
	client_send(fd, "GET", "/v1/route?user=joe@example.org");
	cr_expect_not(client_read(fd));
	cr_expect_eq(answer.len, 0);
	director_notes_hold(set.notes, false);
	client_wait(fd);
	cr_expect_not(client_read(fd));
	expect("\"user\":\"joe@example.org\"");
	director_notes_hold(set.notes, true);
	client_send(fd, "GET", "/v1/route?user=joe@example.org");
	control_free(&control);
	cr_expect(client_read(fd));
	expect("\"code\":421");
	close(fd);
}
