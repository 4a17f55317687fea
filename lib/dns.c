#include "lib/dns.h"

#include <ares.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "lib/panic.h"

#define DNS_BUCKETS 1024
#define DNS_MAX_NAMES 4096 /* kept at the same time */
#define DNS_MAX_ADDRS 64   /* of one name */
#define DNS_MIN_TTL_S 1
#define DNS_MAX_TTL_S 3600
#define DNS_FAILURE_TTL_S 5
#define DNS_TRIES 3
#define DNS_MIN_TRY_MS 50
#define DNS_PORT 53
#define DNS_MAX_SERVERS 16
#define DNS_SYSTEM "/etc/resolv.conf" /* where c-ares looks, too */
#define DNS_LOOK_US 1000000	      /* how often for changes of it */

/* Shared by the cache and the callbacks that are being told of it. */
struct dns_result {
	unsigned refs;
	uint64_t until_us;
	unsigned count;
	const char *error; /* constant text */
	struct addr addrs[];
};

/* What c-ares has been asked; freed by its callback, since one query of c-ares
 * cannot be taken back. */
struct dns_query {
	struct dns_name *name; /* NULL: nobody wants to know any more */
};

struct dns_name {
	struct list bucket, age;
	struct dns *dns;
	struct dns_query *query;   /* NULL: none under way */
	struct dns_result *result; /* NULL: none yet */
	struct list waiting;	   /* struct dns_request */
	struct loop_timer deadline;
	struct loop_task report;
	char text[];
};

struct dns_request {
	struct list node;
	void (*fn)(void *arg, const struct dns_answer *answer);
	void *arg;
};

/* A socket of c-ares. Kept for the next one when that closes it. */
struct dns_socket {
	struct list node;
	struct dns *dns;
	bool open;
	struct loop_io io;
};

struct dns {
	struct loop *loop;
	ares_channel channel;
	char *servers;	    /* NULL: the system's */
	struct stat system; /* DNS_SYSTEM, as it was read */
	uint64_t looked_us; /* for another one */
	unsigned timeout_ms;
	struct loop_timer timer;
	struct list sockets; /* struct dns_socket */
	struct list names;   /* struct dns_name by age, oldest first */
	unsigned name_count;
	struct list buckets[DNS_BUCKETS];
};

/* --- c-ares in the loop --- */

/* Nothing but this timer makes c-ares try again or give up, and each call into
 * c-ares may change when that is due. */
static void dns_rearm(struct dns *dns)
{
	struct timeval buf, *tv = ares_timeout(dns->channel, NULL, &buf);

	if (tv == NULL)
		loop_timer_clear(&dns->timer);
	else
		loop_timer_set(&dns->timer,
			       (uint64_t)tv->tv_sec * 1000 +
				       ((uint64_t)tv->tv_usec + 999) / 1000);
}

static void dns_timer(struct loop_timer *timer)
{
	struct dns *dns = container_of(timer, struct dns, timer);

	ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	dns_rearm(dns);
}

static void dns_socket_event(struct loop_io *io, unsigned events)
{
	struct dns *dns = container_of(io, struct dns_socket, io)->dns;

	ares_process_fd(dns->channel,
			events & LOOP_READ ? io->fd : ARES_SOCKET_BAD,
			events & LOOP_WRITE ? io->fd : ARES_SOCKET_BAD);
	dns_rearm(dns);
}

/* The open socket with that fd, or one that is not in use. */
static struct dns_socket *dns_socket_for(struct dns *dns, ares_socket_t fd)
{
	struct dns_socket *spare = NULL;
	struct list *node, *tmp;

	list_each(&dns->sockets, node, tmp) {
		struct dns_socket *sock =
			container_of(node, struct dns_socket, node);

		if (sock->open && sock->io.fd == fd)
			return sock;
		if (!sock->open)
			spare = sock;
	}
	if (spare == NULL) {
		spare = mem_new(struct dns_socket);
		spare->dns = dns;
		list_append(&dns->sockets, &spare->node);
	}
	loop_io_open(&spare->io, dns->loop, fd, dns_socket_event);
	spare->open = true;
	return spare;
}

static void dns_socket_state(void *arg, ares_socket_t fd, int readable,
			     int writable)
{
	struct dns_socket *sock = dns_socket_for(arg, fd);

	if (readable || writable) {
		loop_io_want(&sock->io, (readable ? LOOP_READ : 0u) |
						(writable ? LOOP_WRITE : 0u));
		return;
	}
	loop_io_close(&sock->io);
	sock->open = false;
}

/* --- results --- */

static void dns_result_unref(struct dns_result *result)
{
	if (result != NULL && --result->refs == 0)
		mem_free(&result);
}

static const char *dns_error(int status)
{
	switch (status) {
	case ARES_ENOTFOUND:
		return "host not found";
	case ARES_ENODATA:
		return "host has no address";
	case ARES_ETIMEOUT:
		return "timeout";
	case ARES_ECONNREFUSED:
		return "cannot reach a DNS server";
	default:
		return ares_strerror(status);
	}
}

/* The next address of the family, from *node on; NULL at the end. */
static const struct ares_addrinfo_node *
dns_next(const struct ares_addrinfo_node **node, int family)
{
	const struct ares_addrinfo_node *found = *node;

	while (found != NULL && found->ai_family != family)
		found = found->ai_next;
	*node = found == NULL ? NULL : found->ai_next;
	return found;
}

static unsigned dns_result_room(const struct ares_addrinfo *info)
{
	const struct ares_addrinfo_node *node;
	unsigned count = 0;

	for (node = info->nodes; node != NULL; node = node->ai_next)
		if (count < DNS_MAX_ADDRS)
			count++;
	return count;
}

static void dns_result_add(struct dns_result *result, unsigned room,
			   const struct ares_addrinfo_node *node)
{
	struct addr *addr = &result->addrs[result->count];

	if (node == NULL || result->count == room)
		return;
	memcpy(&addr->sa, node->ai_addr, node->ai_addrlen);
	addr->len = node->ai_addrlen;
	result->count++;
}

/* Alternating, so that a dead family costs one attempt (RFC 8305 4). */
static struct dns_result *dns_result_new(const struct ares_addrinfo *info)
{
	const struct ares_addrinfo_node *in6 = info->nodes, *in = in6;
	unsigned room = dns_result_room(info);
	struct dns_result *result = mem_alloc(
		sizeof(*result) + room * sizeof(*result->addrs));

	while (in6 != NULL || in != NULL) {
		dns_result_add(result, room, dns_next(&in6, AF_INET6));
		dns_result_add(result, room, dns_next(&in, AF_INET));
	}
	return result;
}

/* The shortest of the answer's records, within our limits. */
static unsigned dns_ttl_s(const struct ares_addrinfo *info)
{
	const struct ares_addrinfo_node *node;
	const struct ares_addrinfo_cname *cname;
	int ttl = DNS_MAX_TTL_S;

	for (node = info->nodes; node != NULL; node = node->ai_next)
		if (node->ai_ttl < ttl)
			ttl = node->ai_ttl;
	for (cname = info->cnames; cname != NULL; cname = cname->next)
		if (cname->ttl < ttl)
			ttl = cname->ttl;
	return ttl < DNS_MIN_TTL_S ? DNS_MIN_TTL_S : (unsigned)ttl;
}

static void dns_settle(struct dns_name *name, struct dns_result *result,
		       unsigned ttl_s)
{
	result->refs = 1;
	result->until_us =
		loop_now_us(name->dns->loop) + (uint64_t)ttl_s * 1000000;
	dns_result_unref(name->result);
	name->result = result;
	loop_timer_close(&name->deadline);
	loop_defer(name->dns->loop, &name->report);
}

static void dns_settle_failure(struct dns_name *name, int status)
{
	struct dns_result *result = mem_new(struct dns_result);

	result->error = dns_error(status);
	dns_settle(name, result, DNS_FAILURE_TTL_S);
}

/* May run inside ares_getaddrinfo(). */
static void dns_answered(void *arg, int status, int timeouts,
			 struct ares_addrinfo *info)
{
	struct dns_query *query = arg;
	struct dns_name *name = query->name;

	(void)timeouts;
	mem_free(&query);
	if (name != NULL)
		name->query = NULL;
	if (name != NULL && status == ARES_SUCCESS && info->nodes != NULL)
		dns_settle(name, dns_result_new(info), dns_ttl_s(info));
	else if (name != NULL)
		dns_settle_failure(name, status == ARES_SUCCESS ? ARES_ENODATA
								: status);
	if (info != NULL)
		ares_freeaddrinfo(info);
}

static void dns_forget_query(struct dns_name *name)
{
	if (name->query != NULL)
		name->query->name = NULL;
	name->query = NULL;
}

static void dns_deadline(struct loop_timer *timer)
{
	struct dns_name *name =
		container_of(timer, struct dns_name, deadline);

	dns_forget_query(name);
	dns_settle_failure(name, ARES_ETIMEOUT);
}

static void dns_move(struct list *to, struct list *from)
{
	struct list *node, *tmp;

	list_each(from, node, tmp) {
		list_remove(node);
		list_append(to, node);
	}
}

/* A callback may look up, cancel, and make the cache drop the name: it is not
 * touched once they run. */
static void dns_report(struct loop_task *task)
{
	struct dns_name *name = container_of(task, struct dns_name, report);
	struct dns_result *result = name->result;
	struct dns_answer answer = {
		.addrs = result->addrs,
		.count = result->count,
		.error = result->error,
	};
	struct dns_request *request;
	struct list told;

	list_init(&told);
	dns_move(&told, &name->waiting);
	result->refs++;
	while ((request = list_first(&told, struct dns_request, node)) !=
	       NULL) {
		struct dns_request copy = *request;

		list_remove(&request->node);
		mem_free(&request);
		copy.fn(copy.arg, &answer);
	}
	dns_result_unref(result);
}

/* --- names --- */

static struct list *dns_bucket(struct dns *dns, const char *text)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *text != '\0'; text++)
		hash = (hash ^ (uint32_t)tolower((unsigned char)*text)) *
		       16777619u;
	return &dns->buckets[hash % DNS_BUCKETS];
}

static void dns_name_free(struct dns_name *name)
{
	list_remove(&name->bucket);
	list_remove(&name->age);
	name->dns->name_count--;
	dns_forget_query(name);
	loop_timer_close(&name->deadline);
	loop_task_cancel(&name->report);
	dns_result_unref(name->result);
	mem_free(&name);
}

/* Drops the oldest name that nobody waits for. */
static void dns_evict(struct dns *dns)
{
	struct list *node, *tmp;

	list_each(&dns->names, node, tmp) {
		struct dns_name *name =
			container_of(node, struct dns_name, age);

		if (list_empty(&name->waiting) && name->query == NULL) {
			dns_name_free(name);
			return;
		}
	}
}

static struct dns_name *dns_name_new(struct dns *dns, const char *text)
{
	size_t len = strlen(text);
	struct dns_name *name = mem_alloc(sizeof(*name) + len + 1);

	if (dns->name_count >= DNS_MAX_NAMES)
		dns_evict(dns);
	dns->name_count++;
	name->dns = dns;
	name->report.fn = dns_report;
	memcpy(name->text, text, len);
	list_init(&name->waiting);
	list_append(dns_bucket(dns, text), &name->bucket);
	list_append(&dns->names, &name->age);
	return name;
}

static struct dns_name *dns_name_for(struct dns *dns, const char *text)
{
	struct list *bucket = dns_bucket(dns, text), *node, *tmp;

	list_each(bucket, node, tmp) {
		struct dns_name *name =
			container_of(node, struct dns_name, bucket);

		if (strcasecmp(name->text, text) == 0)
			return name;
	}
	return dns_name_new(dns, text);
}

/* --- name servers --- */

static int dns_parse_port(const char *text, uint16_t *port_r)
{
	unsigned long port;
	char *end;

	if (*text < '0' || *text > '9')
		return -1;
	port = strtoul(text, &end, 10);
	if (*end != '\0' || port == 0 || port > UINT16_MAX)
		return -1;
	*port_r = (uint16_t)port;
	return 0;
}

/* "ADDRESS", "ADDRESS:PORT" for IPv4, "[ADDRESS]:PORT" for both. */
static int dns_parse_server(const char *word, struct addr *addr_r)
{
	uint16_t port = DNS_PORT;
	char text[64], *colon;

	if ((size_t)snprintf(text, sizeof(text), "%s", word) >= sizeof(text))
		return -1;
	colon = strrchr(text, ':');
	if (colon != NULL &&
	    (colon == strchr(text, ':') || colon[-1] == ']')) {
		if (dns_parse_port(colon + 1, &port) < 0)
			return -1;
		*colon = '\0';
	}
	return addr_parse_ip(addr_r, text, port);
}

static int dns_parse_servers(const char *servers, struct addr *addrs,
			     unsigned *count_r, struct err *err)
{
	char *copy = mem_strdup(servers), *save = NULL, *word;
	int ret = 0;

	*count_r = 0;
	for (word = strtok_r(copy, " \t,", &save); word != NULL && ret == 0;
	     word = strtok_r(NULL, " \t,", &save)) {
		if (*count_r == DNS_MAX_SERVERS)
			ret = err_set(err, "more than %d name servers",
				      DNS_MAX_SERVERS);
		else if (dns_parse_server(word, &addrs[(*count_r)++]) < 0)
			ret = err_set(err, "%s: not the address of a name "
				      "server, nor one with :port", word);
	}
	mem_free(&copy);
	return ret;
}

int dns_check_servers(const char *servers, struct err *err)
{
	struct addr addrs[DNS_MAX_SERVERS];
	unsigned count;

	return dns_parse_servers(servers, addrs, &count, err);
}

static void dns_fill_server(struct ares_addr_port_node *server,
			    const struct addr *addr)
{
	server->family = addr->sa.sa_family;
	server->udp_port = server->tcp_port = addr_port(addr);
	if (server->family == AF_INET6)
		memcpy(&server->addr.addr6, &addr->in6.sin6_addr,
		       sizeof(server->addr.addr6));
	else
		server->addr.addr4 = addr->in.sin_addr;
}

static int dns_set_servers(ares_channel channel, const struct addr *addrs,
			   unsigned count)
{
	struct ares_addr_port_node servers[DNS_MAX_SERVERS] = {
		{ .next = NULL },
	};
	unsigned i;

	for (i = 0; i < count; i++) {
		dns_fill_server(&servers[i], &addrs[i]);
		servers[i].next = i + 1 < count ? &servers[i + 1] : NULL;
	}
	return ares_set_servers_ports(channel, servers);
}

/* --- the resolver --- */

static int dns_init(struct dns *dns, ares_channel *channel_r)
{
	struct ares_options options = {
		.sock_state_cb = dns_socket_state,
		.sock_state_cb_data = dns,
		.tries = DNS_TRIES,
		.lookups = (char[]){ "fb" }, /* hosts file, then DNS */
		.flags = dns->servers != NULL ? ARES_FLAG_NOSEARCH : 0,
	};

	/* The wait doubles with each try: 1 + 2 + 4 make the whole. */
	options.timeout = (int)(dns->timeout_ms / 7);
	if (options.timeout < DNS_MIN_TRY_MS)
		options.timeout = DNS_MIN_TRY_MS;
	return ares_init_options(channel_r, &options,
				 ARES_OPT_SOCK_STATE_CB | ARES_OPT_FLAGS |
					 ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
					 ARES_OPT_LOOKUPS);
}

static int dns_open(struct dns *dns, ares_channel *channel_r, struct err *err)
{
	struct addr addrs[DNS_MAX_SERVERS];
	unsigned count = 0;
	int status;

	if (dns->servers != NULL &&
	    dns_parse_servers(dns->servers, addrs, &count, err) < 0)
		return -1;
	/* Before it is read, lest a change in between goes unnoticed. */
	if (stat(DNS_SYSTEM, &dns->system) < 0)
		memset(&dns->system, 0, sizeof(dns->system));
	status = dns_init(dns, channel_r);
	if (status == ARES_SUCCESS && count > 0) {
		status = dns_set_servers(*channel_r, addrs, count);
		if (status != ARES_SUCCESS)
			ares_destroy(*channel_r);
	}
	if (status != ARES_SUCCESS)
		return err_set(err, "cannot set up the DNS resolver: %s",
			       ares_strerror(status));
	return 0;
}

static char *dns_copy_servers(const char *servers)
{
	return servers != NULL && servers[strspn(servers, " \t,")] != '\0'
		       ? mem_strdup(servers)
		       : NULL;
}

struct dns *dns_new(struct loop *loop, const char *servers,
		    unsigned timeout_ms, struct err *err)
{
	struct dns *dns = mem_new(struct dns);
	unsigned i;

	dns->loop = loop;
	dns->servers = dns_copy_servers(servers);
	dns->timeout_ms = timeout_ms;
	loop_timer_open(&dns->timer, loop, dns_timer);
	list_init(&dns->sockets);
	list_init(&dns->names);
	for (i = 0; i < DNS_BUCKETS; i++)
		list_init(&dns->buckets[i]);
	if (dns_open(dns, &dns->channel, err) < 0) {
		dns->channel = NULL;
		dns_free(&dns);
	}
	return dns;
}

void dns_free(struct dns **dns_p)
{
	struct dns *dns = *dns_p;
	struct list *node, *tmp;

	if (dns == NULL)
		return;
	list_each(&dns->names, node, tmp) {
		struct dns_name *name =
			container_of(node, struct dns_name, age);

		ASSERT(list_empty(&name->waiting));
		dns_name_free(name);
	}
	/* Ends the queries too, which free themselves. */
	if (dns->channel != NULL)
		ares_destroy(dns->channel);
	list_each(&dns->sockets, node, tmp) {
		struct dns_socket *sock =
			container_of(node, struct dns_socket, node);

		loop_io_close(&sock->io);
		mem_free(&sock);
	}
	loop_timer_close(&dns->timer);
	mem_free(&dns->servers);
	mem_free(dns_p);
}

static void dns_send(struct dns_name *name)
{
	static const struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NOSORT, /* sorting would open sockets */
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};

	name->query = mem_new(struct dns_query);
	name->query->name = name;
	ares_getaddrinfo(name->dns->channel, name->text, NULL, &hints,
			 dns_answered, name->query);
}

/* With other name servers: nothing that the ones before have said counts any
 * more, and what they were asked goes to the new ones. */
static int dns_renew(struct dns *dns, struct err *err)
{
	ares_channel before = dns->channel;
	struct list *node, *tmp;

	if (dns_open(dns, &dns->channel, err) < 0) {
		dns->channel = before;
		return -1;
	}
	list_each(&dns->names, node, tmp) {
		struct dns_name *name =
			container_of(node, struct dns_name, age);

		if (name->result != NULL)
			name->result->until_us = 0;
		if (name->query == NULL)
			continue;
		dns_forget_query(name);
		dns_send(name);
	}
	ares_destroy(before);
	dns_rearm(dns);
	return 0;
}

int dns_set(struct dns *dns, const char *servers, unsigned timeout_ms,
	    struct err *err)
{
	char *before = dns->servers, *now = dns_copy_servers(servers);
	unsigned timeout_before = dns->timeout_ms;
	bool same = timeout_ms == timeout_before &&
		    strcmp(before != NULL ? before : "",
			   now != NULL ? now : "") == 0;
	int ret = 0;

	dns->servers = now;
	dns->timeout_ms = timeout_ms;
	if (!same)
		ret = dns_renew(dns, err);
	if (ret < 0) {
		dns->servers = before;
		dns->timeout_ms = timeout_before;
		before = now;
	}
	mem_free(&before);
	return ret;
}

/* Whether the file is not the one that was read. One that is gone is about to
 * be replaced. */
static bool dns_system_changed(const struct dns *dns)
{
	const struct stat *was = &dns->system;
	struct stat is;

	return stat(DNS_SYSTEM, &is) == 0 &&
	       (is.st_ino != was->st_ino || is.st_dev != was->st_dev ||
		is.st_size != was->st_size ||
		is.st_mtim.tv_sec != was->st_mtim.tv_sec ||
		is.st_mtim.tv_nsec != was->st_mtim.tv_nsec);
}

/* The system may get other name servers at any time, or its first ones. */
static void dns_follow_system(struct dns *dns)
{
	uint64_t now_us = loop_now_us(dns->loop);
	struct err err;

	if (dns->servers != NULL || now_us - dns->looked_us < DNS_LOOK_US)
		return;
	dns->looked_us = now_us;
	if (dns_system_changed(dns) && dns_renew(dns, &err) < 0)
		log_error(NULL, "%s", err.text);
}

static void dns_ask(struct dns_name *name)
{
	struct dns *dns = name->dns;

	dns_follow_system(dns);
	list_remove(&name->age);
	list_append(&dns->names, &name->age);
	loop_timer_open(&name->deadline, dns->loop, dns_deadline);
	loop_timer_set(&name->deadline, dns->timeout_ms);
	dns_send(name);
	dns_rearm(dns);
}

struct dns_request *dns_lookup(struct dns *dns, const char *text,
			       void (*fn)(void *arg,
					  const struct dns_answer *answer),
			       void *arg)
{
	struct dns_name *name = dns_name_for(dns, text);
	struct dns_request *request = mem_new(struct dns_request);

	request->fn = fn;
	request->arg = arg;
	list_append(&name->waiting, &request->node);
	if (name->query != NULL)
		return request;
	if (name->result != NULL &&
	    name->result->until_us > loop_now_us(dns->loop))
		loop_defer(dns->loop, &name->report);
	else
		dns_ask(name);
	return request;
}

void dns_cancel(struct dns_request **request)
{
	if (*request == NULL)
		return;
	list_remove(&(*request)->node);
	mem_free(request);
}
