#include "lib/dns.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
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

static void serve_one(struct server *srv)
{
	uint8_t packet[4096];
	char name[256];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t got = recvfrom(srv->fd, packet, 512, 0,
			       (struct sockaddr *)&from, &from_len);
	size_t at, len, zone;

	if (got < 17)
		return;
	at = read_name(packet, (size_t)got, name);
	zone = zone_of(name);
	if (strcmp(name, "n0.test") == 0)
		srv->first_asked++;
	if (srv->asked[zone]++ < 2 && zones[zone].mode == DROP_FIRST)
		return;
	if (zones[zone].mode == SILENCE)
		return;
	len = answer(&zones[zone], packet, at);
	sendto(srv->fd, packet, len, 0, (struct sockaddr *)&from, from_len);
}

static void *serve(void *arg)
{
	struct server *srv = arg;
	struct pollfd fds[2] = { { srv->fd, POLLIN, 0 },
				 { srv->quit[0], POLLIN, 0 } };

	while (poll(fds, 2, -1) > 0 && fds[1].revents == 0)
		if (fds[0].revents != 0)
			serve_one(srv);
	return NULL;
}

static void server_start(struct server *srv)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	srv->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(srv->fd, (struct sockaddr *)&in, sizeof(in)), 0);
	getsockname(srv->fd, (struct sockaddr *)&in, &len);
	snprintf(srv->address, sizeof(srv->address), "127.0.0.1:%u",
		 ntohs(in.sin_port));
	cr_assert_eq(pipe(srv->quit), 0);
	cr_assert_eq(pthread_create(&srv->thread, NULL, serve, srv), 0);
}

static void server_stop(struct server *srv)
{
	close(srv->quit[1]);
	pthread_join(srv->thread, NULL);
	close(srv->quit[0]);
	close(srv->fd);
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
