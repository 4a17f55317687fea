#include "lib/dns.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/mem.h"

#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_AAAA 28
#define NXDOMAIN 3
#define SERVFAIL 2
#define MANY 4097

/* --- a DNS server on a thread --- */

struct zone {
	const char *name;
	unsigned in, in6; /* how many addresses */
	uint32_t ttl;
	unsigned rcode;
	enum { ANSWER, SILENCE, GARBAGE, TRUNCATED, DROP_FIRST } mode;
	const char *cname; /* owner of the addresses, ttl 1 */
};

static const struct zone zones[] = {
	{ "both.test", 3, 2, 300, 0, ANSWER, NULL },
	{ "four.test", 2, 0, 300, 0, ANSWER, NULL },
	{ "six.test", 0, 1, 300, 0, ANSWER, NULL },
	{ "none.test", 0, 0, 300, 0, ANSWER, NULL },
	{ "nx.test", 0, 0, 0, NXDOMAIN, ANSWER, NULL },
	{ "broken.test", 0, 0, 0, SERVFAIL, ANSWER, NULL },
	{ "short.test", 1, 0, 0, 0, ANSWER, NULL },
	{ "silent.test", 0, 0, 0, 0, SILENCE, NULL },
	{ "garbage.test", 1, 0, 300, 0, GARBAGE, NULL },
	{ "cut.test", 9, 9, 300, 0, TRUNCATED, NULL },
	{ "lossy.test", 1, 1, 300, 0, DROP_FIRST, NULL },
	{ "alias.test", 1, 0, 300, 0, ANSWER, "\4real\4test" },
	{ "crowd.test", 40, 40, 300, 0, ANSWER, NULL },
	{ "*", 1, 0, 3600, 0, ANSWER, NULL },
};
#define ZONES (sizeof(zones) / sizeof(zones[0]))

struct server {
	int fd, quit[2];
	int tcp, peer; /* TCP: listener and the one connection, or -1 */
	pthread_t thread;
	char address[32];
	atomic_uint asked[ZONES]; /* queries, A and AAAA */
	atomic_uint first_asked;  /* for n0.test */
};
static struct server server;

/* The question's name as text; returns where its type is. */
static size_t read_name(const uint8_t *packet, size_t len, char *name)
{
	size_t at = 12, out = 0;

	while (at < len && packet[at] != 0 && out + packet[at] < 250) {
		memcpy(name + out, packet + at + 1, packet[at]);
		out += packet[at];
		name[out++] = '.';
		at += packet[at] + 1u;
	}
	name[out > 0 ? out - 1 : 0] = '\0';
	return at + 1;
}

static size_t zone_of(const char *name)
{
	size_t i = 0;

	while (i < ZONES - 1 && strcasecmp(zones[i].name, name) != 0)
		i++;
	return i;
}

static size_t put_record(uint8_t *to, uint16_t owner, uint16_t type,
			 uint32_t ttl, const void *data, uint16_t len)
{
	uint16_t head[6] = { htons(owner), htons(type), htons(1),
			     htons((uint16_t)(ttl >> 16)),
			     htons((uint16_t)ttl), htons(len) };

	memcpy(to, head, 12);
	memcpy(to + 12, data, len);
	return 12u + len;
}

/* Appends the zone's addresses of the type; returns how many. */
static unsigned put_addresses(const struct zone *zone, uint16_t type,
			      uint16_t owner, uint8_t *packet, size_t *len)
{
	unsigned i, count = type == TYPE_A ? zone->in : zone->in6;
	uint8_t data[16] = { 0x20, 1, 0x0d, 0xb8 };

	if (type != TYPE_A && type != TYPE_AAAA)
		return 0;
	if (type == TYPE_A)
		memcpy(data, "\xc0\0\2", 4);
	for (i = 0; i < count; i++) {
		data[type == TYPE_A ? 3 : 15] = (uint8_t)(i + 1);
		*len += put_record(packet + *len, owner, type, zone->ttl, data,
				   type == TYPE_A ? 4 : 16);
	}
	return count;
}

static size_t answer(const struct zone *zone, uint8_t *packet, size_t at)
{
	uint16_t type = (uint16_t)(packet[at] << 8 | packet[at + 1]);
	size_t len = at + 4;
	uint16_t owner = 0xc00c;
	unsigned count = 0;

	if (zone->cname != NULL) {
		owner = (uint16_t)(0xc000 | (len + 12));
		len += put_record(packet + len, 0xc00c, TYPE_CNAME, 1,
				  zone->cname,
				  (uint16_t)(strlen(zone->cname) + 1));
		count++;
	}
	count += put_addresses(zone, type, owner, packet, &len);
	packet[2] = 0x81;
	packet[3] = (uint8_t)(0x80 | zone->rcode);
	memset(packet + 4, 0, 8);
	packet[5] = 1;
	packet[7] = (uint8_t)count;
	if (zone->mode == TRUNCATED)
		len -= 3; /* the counts promise more */
	if (zone->mode == GARBAGE)
		memset(packet + 12, 0xc0, len - 12);
	return len;
}

/* Turns the question in packet into the answer, if there is to be one. */
static size_t respond(struct server *srv, uint8_t *packet, size_t got)
{
	char name[256];
	size_t at = read_name(packet, got, name), zone = zone_of(name);

	if (strcmp(name, "n0.test") == 0)
		srv->first_asked++;
	if (srv->asked[zone]++ < 2 && zones[zone].mode == DROP_FIRST)
		return 0;
	if (zones[zone].mode == SILENCE)
		return 0;
	return answer(&zones[zone], packet, at);
}

static void serve_udp(struct server *srv)
{
	uint8_t packet[4096];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t got = recvfrom(srv->fd, packet, 512, 0,
			       (struct sockaddr *)&from, &from_len);
	size_t len = got < 17 ? 0 : respond(srv, packet, (size_t)got);

	if (len > 512) { /* to be asked again over TCP */
		len = (size_t)got;
		memcpy(packet + 2, "\x83\x80\0\1\0\0\0\0\0", 10);
	}
	if (len > 0)
		sendto(srv->fd, packet, len, 0, (struct sockaddr *)&from,
		       from_len);
}

static void serve_tcp(struct server *srv)
{
	uint8_t packet[4096];
	uint16_t len;

	if (recv(srv->peer, &len, 2, MSG_WAITALL) != 2 ||
	    ntohs(len) > 512 ||
	    recv(srv->peer, packet, ntohs(len), MSG_WAITALL) != ntohs(len)) {
		close(srv->peer);
		srv->peer = -1;
		return;
	}
	len = htons((uint16_t)respond(srv, packet, ntohs(len)));
	send(srv->peer, &len, 2, MSG_NOSIGNAL);
	send(srv->peer, packet, ntohs(len), MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
	struct server *srv = arg;
	struct pollfd fds[4] = { { srv->quit[0], POLLIN, 0 },
				 { srv->fd, POLLIN, 0 },
				 { srv->tcp, POLLIN, 0 },
				 { -1, POLLIN, 0 } };

	while (poll(fds, 4, -1) > 0 && fds[0].revents == 0) {
		if (fds[1].revents != 0)
			serve_udp(srv);
		if (fds[2].revents != 0 && srv->peer < 0)
			srv->peer = accept(srv->tcp, NULL, NULL);
		if (fds[3].revents != 0)
			serve_tcp(srv);
		fds[3].fd = srv->peer;
		fds[3].revents = 0;
	}
	return NULL;
}

/* A port of the kernel's choice for TCP, and the same for UDP. Returns whether that
 * was free. */
static bool bind_both(struct server *srv, struct sockaddr_in *in)
{
	socklen_t len = sizeof(*in);

	in->sin_port = 0;
	srv->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(srv->tcp, (struct sockaddr *)in, len), 0);
	getsockname(srv->tcp, (struct sockaddr *)in, &len);
	if (bind(srv->fd, (struct sockaddr *)in, len) == 0)
		return true;
	cr_assert_eq(errno, EADDRINUSE);
	close(srv->tcp);
	return false;
}

static void server_bind(struct server *srv)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	srv->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	srv->peer = -1;
	while (!bind_both(srv, &in))
		;
	cr_assert_eq(listen(srv->tcp, 5), 0);
	snprintf(srv->address, sizeof(srv->address), "127.0.0.1:%u",
		 ntohs(in.sin_port));
}

static void server_start(struct server *srv)
{
	server_bind(srv);
	cr_assert_eq(pipe(srv->quit), 0);
	cr_assert_eq(pthread_create(&srv->thread, NULL, serve, srv), 0);
}

static void server_stop(struct server *srv)
{
	close(srv->quit[1]);
	pthread_join(srv->thread, NULL);
	close(srv->quit[0]);
	close(srv->fd);
	close(srv->tcp);
	if (srv->peer >= 0)
		close(srv->peer);
}

static unsigned asked(const char *name)
{
	return server.asked[zone_of(name)];
}

/* --- the caller --- */

struct caller {
	struct dns_request *request;
	int calls;
	char text[6000]; /* the answer: addresses or error */
	const char *then; /* looked up by the callback */
	struct caller *cancels;
};

static struct loop *loop;
static struct dns *dns;
static int waiting;

static void start(struct caller *caller, const char *name);

static void told(void *arg, const struct dns_answer *got)
{
	struct caller *caller = arg;
	struct str text = STR_INIT;
	unsigned i;

	cr_assert_eq(got->count == 0, got->error != NULL);
	for (i = 0; i < got->count; i++) {
		cr_expect_eq(addr_port(&got->addrs[i]), 0);
		if (i > 0)
			str_putc(&text, ' ');
		addr_write_ip(&text, &got->addrs[i]);
	}
	if (got->error != NULL)
		str_puts(&text, got->error);
	snprintf(caller->text, sizeof(caller->text), "%s", str_c(&text));
	str_free(&text);
	caller->request = NULL;
	caller->calls++;
	waiting--;
	if (caller->cancels != NULL) {
		dns_cancel(&caller->cancels->request);
		waiting--;
	}
	if (caller->then != NULL)
		start(caller, caller->then);
	caller->then = NULL;
	if (waiting == 0)
		loop_stop(loop);
}

static void start(struct caller *caller, const char *name)
{
	int calls = caller->calls;

	waiting++;
	caller->request = dns_lookup(dns, name, told, caller);
	cr_assert_not_null(caller->request);
	cr_assert_eq(caller->calls, calls, "called inside dns_lookup()");
}

static void ask(struct caller *caller, const char *name, const char *expected)
{
	start(caller, name);
	loop_run(loop);
	cr_expect_str_eq(caller->text, expected, "%s: %s", name, caller->text);
}

static void open_dns(const char *servers, unsigned timeout_ms)
{
	struct err err;

	dns_free(&dns);
	dns = dns_new(loop, servers, timeout_ms, &err);
	cr_assert_not_null(dns);
}

static void setup(void)
{
	loop = loop_new();
	server_start(&server);
	open_dns(server.address, 10000);
}

static void teardown(void)
{
	dns_free(&dns);
	server_stop(&server);
	loop_free(&loop);
}

TestSuite(dns, .init = setup, .fini = teardown, .timeout = 60);

Test(dns, families_alternate)
{
	struct caller caller = { 0 };

	ask(&caller, "both.test",
	    "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 192.0.2.3");
	ask(&caller, "four.test", "192.0.2.1 192.0.2.2");
	ask(&caller, "six.test", "2001:db8::1");
}

Test(dns, failures)
{
	struct caller caller = { 0 };

	ask(&caller, "nx.test", "host not found");
	ask(&caller, "none.test", "host has no address");
}

Test(dns, answers_are_kept_for_their_ttl)
{
	struct caller caller = { 0 };

	ask(&caller, "four.test", "192.0.2.1 192.0.2.2");
	cr_expect_eq(asked("four.test"), 2, "A and AAAA");
	ask(&caller, "FOUR.test", "192.0.2.1 192.0.2.2");
	cr_expect_eq(asked("four.test"), 2);
}

Test(dns, silence_ends_in_time)
{
	struct caller caller = { 0 };

	open_dns(server.address, 100);
	ask(&caller, "silent.test", "timeout");
}

Test(dns, a_server_in_trouble)
{
	struct caller caller = { 0 };

	open_dns(server.address, 1000);
	start(&caller, "broken.test");
	loop_run(loop);
	cr_expect_eq(caller.calls, 1);
	cr_expect_eq(strncmp(caller.text, "192", 3) == 0, false);
	cr_expect_str_neq(caller.text, "host not found");
}

Test(dns, garbage_is_no_answer)
{
	static const char *const names[] = { "garbage.test", "cut.test" };
	size_t i;

	open_dns(server.address, 500);
	for (i = 0; i < 2; i++) {
		struct caller caller = { 0 };

		start(&caller, names[i]);
		loop_run(loop);
		cr_expect_eq(caller.calls, 1, "%s", names[i]);
		cr_expect(strchr(caller.text, ':') == NULL &&
				  strstr(caller.text, "192.0") == NULL,
			  "%s: %s", names[i], caller.text);
	}
}

Test(dns, a_lost_packet_is_sent_again)
{
	struct caller caller = { 0 };

	open_dns(server.address, 2000);
	ask(&caller, "lossy.test", "2001:db8::1 192.0.2.1");
	cr_expect_geq(asked("lossy.test"), 4);
}

Test(dns, no_server)
{
	struct caller caller = { 0 };

	open_dns("127.0.0.1:1", 2000);
	start(&caller, "four.test");
	loop_run(loop);
	cr_expect(strcmp(caller.text, "cannot reach a DNS server") == 0 ||
			  strcmp(caller.text, "timeout") == 0,
		  "%s", caller.text);
}

Test(dns, the_second_server_when_the_first_is_dead)
{
	struct caller caller = { 0 };
	char servers[64];

	snprintf(servers, sizeof(servers), "127.0.0.1:1,%s", server.address);
	open_dns(servers, 2000);
	ask(&caller, "six.test", "2001:db8::1");
}

Test(dns, servers_that_are_none)
{
	static const char *const texts[] = {
		"nonsense", "127.0.0.1 nonsense", "127.0.0.1:0",
		"127.0.0.1:65536", "127.0.0.1:53x", "127.0.0.1:", ":53",
		"[::1]:x", "[::1", "ns.example.org", "127.0.0.1:+53",
		"1:2:3:4:5:6:7:8:9", "[::1]53",
		"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct err err = { "" };

		cr_expect_lt(dns_check_servers(texts[i], &err), 0, "%s",
			     texts[i]);
		cr_expect_str_neq(err.text, "", "%s", texts[i]);
		cr_expect_null(dns_new(loop, texts[i], 1000, &err));
		cr_expect_lt(dns_set(dns, texts[i], 1000, &err), 0);
	}
}

Test(dns, servers_of_all_forms)
{
	static const char *const texts[] = {
		"", " ", "127.0.0.1", "127.0.0.1:5353", "::1", "[::1]",
		"[::1]:5353", "127.0.0.1 ::1", "127.0.0.1, ::1", " 127.0.0.1 ",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct err err = { "" };
		struct dns *one = dns_new(loop, texts[i], 1000, &err);

		cr_expect_eq(dns_check_servers(texts[i], &err), 0, "%s",
			     texts[i]);
		cr_expect_not_null(one, "%s: %s", texts[i], err.text);
		dns_free(&one);
	}
}

Test(dns, blanks_between_servers)
{
	struct caller caller = { 0 };
	char servers[128];

	snprintf(servers, sizeof(servers), "127.0.0.1:1  %s", server.address);
	open_dns(servers, 2000);
	ask(&caller, "six.test", "2001:db8::1");
}

/* What the ones before said is forgotten; the same again changes nothing. */
Test(dns, other_servers)
{
	struct caller caller = { 0 };
	struct err err;
	unsigned before;

	ask(&caller, "six.test", "2001:db8::1");
	before = asked("six.test");
	cr_assert_eq(dns_set(dns, server.address, 10000, &err), 0);
	ask(&caller, "six.test", "2001:db8::1");
	cr_expect_eq(asked("six.test"), before);
	cr_assert_eq(dns_set(dns, server.address, 9000, &err), 0);
	ask(&caller, "six.test", "2001:db8::1");
	cr_expect_gt(asked("six.test"), before);
}

/* Port 9 does not answer; whoever waits for it need not any more. */
Test(dns, other_servers_while_some_are_asked)
{
	struct caller caller = { 0 };
	struct err err;

	open_dns("192.0.2.1:9", 5000);
	start(&caller, "four.test");
	cr_assert_eq(dns_set(dns, server.address, 5000, &err), 0);
	loop_run(loop);
	cr_expect_str_eq(caller.text, "192.0.2.1 192.0.2.2");
}

Test(dns, the_hosts_file)
{
	struct caller caller = { 0 };

	start(&caller, "localhost");
	loop_run(loop);
	cr_expect_not_null(strstr(caller.text, "127.0.0.1"), "%s",
			   caller.text);
	cr_expect_eq(asked("*"), 0);
}

Test(dns, names_that_are_none)
{
	static const char *const names[] = { "", "a..test", ".", "..",
					     "a\\" };
	char label[400], name[400] = "";
	size_t i;

	open_dns(server.address, 1000);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct caller caller = { 0 };

		start(&caller, names[i]);
		loop_run(loop);
		cr_expect_eq(caller.calls, 1, "\"%s\"", names[i]);
	}
	memset(label, 'x', sizeof(label));
	snprintf(name, sizeof(name), "%.64s.test", label);
	for (i = 0; i < 2; i++) {
		struct caller caller = { 0 };

		start(&caller, name);
		loop_run(loop);
		cr_expect_eq(caller.calls, 1);
		cr_expect_eq(strncmp(caller.text, "192", 3) == 0, false);
		snprintf(name, sizeof(name), "%.63s.%.63s.%.63s.%.63s.test",
			 label, label, label, label);
	}
}

Test(dns, equal_lookups_are_made_once)
{
	struct caller callers[3] = { { 0 } };
	int i;

	start(&callers[0], "both.test");
	start(&callers[1], "both.test");
	start(&callers[2], "Both.Test");
	loop_run(loop);
	for (i = 0; i < 3; i++) {
		cr_expect_eq(callers[i].calls, 1);
		cr_expect_str_eq(callers[i].text, callers[0].text);
	}
	cr_expect_eq(asked("both.test"), 2);
}

Test(dns, two_names_at_once)
{
	struct caller a = { 0 }, b = { 0 };

	start(&a, "four.test");
	start(&b, "six.test");
	loop_run(loop);
	cr_expect_str_eq(a.text, "192.0.2.1 192.0.2.2");
	cr_expect_str_eq(b.text, "2001:db8::1");
}

Test(dns, failures_are_kept_too)
{
	struct caller caller = { 0 };
	unsigned before;

	ask(&caller, "nx.test", "host not found");
	before = asked("nx.test");
	ask(&caller, "nx.test", "host not found");
	cr_expect_eq(asked("nx.test"), before);
}

static void stop_waiting(struct loop_timer *timer)
{
	loop_stop(timer->loop);
}

/* Lets the shortest TTL pass. */
static void let_a_second_pass(void)
{
	struct loop_timer timer;

	loop_timer_open(&timer, loop, stop_waiting);
	loop_timer_set(&timer, 1100);
	loop_run(loop);
	loop_timer_close(&timer);
}

Test(dns, answers_end_with_their_ttl)
{
	struct caller caller = { 0 };
	unsigned asked_short, asked_alias;
	uint64_t start_us;

	/* TTL 0 counts as one second; an alias has a TTL of its own. A machine that
	 * has taken so long has another try. */
	do {
		asked_short = asked("short.test");
		asked_alias = asked("alias.test");
		start_us = loop_now_us(loop);
		ask(&caller, "short.test", "192.0.2.1");
		ask(&caller, "alias.test", "192.0.2.1");
		ask(&caller, "four.test", "192.0.2.1 192.0.2.2");
		ask(&caller, "short.test", "192.0.2.1");
		ask(&caller, "alias.test", "192.0.2.1");
		asked_short = asked("short.test") - asked_short;
		asked_alias = asked("alias.test") - asked_alias;
		let_a_second_pass();
	} while (loop_now_us(loop) - start_us > 2000000);
	cr_expect_eq(asked_short, 2);
	cr_expect_eq(asked_alias, 2);
	asked_short = asked("short.test");
	asked_alias = asked("alias.test");
	ask(&caller, "short.test", "192.0.2.1");
	ask(&caller, "alias.test", "192.0.2.1");
	ask(&caller, "four.test", "192.0.2.1 192.0.2.2");
	cr_expect_eq(asked("short.test") - asked_short, 2);
	cr_expect_eq(asked("alias.test") - asked_alias, 2);
	cr_expect_eq(asked("four.test"), 2);
}

Test(dns, a_crowd_of_addresses_is_cut)
{
	struct caller caller = { 0 };
	size_t i, spaces = 0;

	start(&caller, "crowd.test");
	loop_run(loop);
	for (i = 0; caller.text[i] != '\0'; i++)
		spaces += caller.text[i] == ' ';
	cr_expect_eq(spaces, 63, "%s", caller.text);
}

Test(dns, cancelling)
{
	struct caller a = { 0 }, b = { 0 };

	start(&a, "four.test");
	start(&b, "four.test");
	dns_cancel(&a.request);
	cr_expect_null(a.request);
	dns_cancel(&a.request);
	waiting--;
	loop_run(loop);
	cr_expect_eq(a.calls, 0);
	cr_expect_eq(b.calls, 1);
}

Test(dns, cancelling_what_is_known)
{
	struct caller a = { 0 }, b = { 0 };

	ask(&a, "four.test", "192.0.2.1 192.0.2.2");
	start(&a, "four.test");
	dns_cancel(&a.request);
	waiting--;
	ask(&b, "six.test", "2001:db8::1");
	cr_expect_eq(a.calls, 1);
}

Test(dns, freeing_with_a_query_under_way)
{
	struct caller caller = { 0 };

	start(&caller, "silent.test");
	dns_cancel(&caller.request);
	waiting--;
	dns_free(&dns);
	cr_expect_null(dns);
	dns_free(&dns);
}

Test(dns, an_answer_after_the_deadline)
{
	struct caller caller = { 0 };

	/* c-ares goes on after ours, with tries of 50 ms at least. */
	open_dns(server.address, 1);
	ask(&caller, "lossy.test", "timeout");
	ask(&caller, "lossy.test", "timeout");
	let_a_second_pass();
	cr_expect_geq(asked("lossy.test"), 4);
	ask(&caller, "lossy.test", "timeout");
}

Test(dns, a_callback_may_cancel_another)
{
	struct caller a = { 0 }, b = { 0 };

	a.cancels = &b;
	start(&a, "four.test");
	start(&b, "four.test");
	loop_run(loop);
	cr_expect_eq(a.calls, 1);
	cr_expect_eq(b.calls, 0);
}

Test(dns, a_callback_may_look_up)
{
	struct caller caller = { 0 };

	caller.then = "four.test";
	start(&caller, "four.test");
	loop_run(loop);
	cr_expect_eq(caller.calls, 2);
	cr_expect_eq(asked("four.test"), 2);
	caller.then = "six.test";
	start(&caller, "four.test");
	loop_run(loop);
	cr_expect_eq(caller.calls, 4);
	cr_expect_str_eq(caller.text, "2001:db8::1");
}

/* n0.test and so on. */
static void look_up(int count)
{
	static struct caller callers[64];
	char name[32];
	int i;

	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		start(&callers[i % 64], name);
		if (i % 64 == 63 || i == count - 1)
			loop_run(loop);
	}
}

Test(dns, the_oldest_names_are_forgotten)
{
	struct caller caller = { 0 };

	look_up(MANY);
	cr_expect_eq(server.first_asked, 2);
	ask(&caller, "n4096.test", "192.0.2.1");
	cr_expect_eq(asked("*"), 2 * MANY, "the newest is known");
	ask(&caller, "n0.test", "192.0.2.1");
	cr_expect_eq(server.first_asked, 4, "the oldest is not");
}

Test(dns, names_that_somebody_waits_for_are_not_forgotten)
{
	struct caller first = { 0 }, another = { 0 };

	look_up(MANY - 1);
	start(&first, "n0.test");
	start(&another, "another.test");
	loop_run(loop);
	cr_expect_eq(first.calls, 1);
	cr_expect_eq(another.calls, 1);
	cr_expect_eq(server.first_asked, 2);
}
