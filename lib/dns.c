#include "lib/dns.h"

#include <ares.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

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

/* --- the resolver --- */

static int dns_init(struct dns *dns, const char *servers)
{
	struct ares_options options = {
		.sock_state_cb = dns_socket_state,
		.sock_state_cb_data = dns,
		.tries = DNS_TRIES,
		.lookups = (char[]){ "fb" }, /* hosts file, then DNS */
		.flags = servers != NULL ? ARES_FLAG_NOSEARCH : 0,
	};
	int status;

	/* The wait doubles with each try: 1 + 2 + 4 make the whole. */
	options.timeout = (int)(dns->timeout_ms / 7);
	if (options.timeout < DNS_MIN_TRY_MS)
		options.timeout = DNS_MIN_TRY_MS;
	status = ares_init_options(&dns->channel, &options,
				   ARES_OPT_SOCK_STATE_CB | ARES_OPT_FLAGS |
					   ARES_OPT_TIMEOUTMS |
					   ARES_OPT_TRIES | ARES_OPT_LOOKUPS);
	if (status != ARES_SUCCESS)
		dns->channel = NULL;
	if (status == ARES_SUCCESS && servers != NULL)
		status = ares_set_servers_ports_csv(dns->channel, servers);
	return status;
}

struct dns *dns_new(struct loop *loop, const char *servers,
		    unsigned timeout_ms, struct err *err)
{
	struct dns *dns = mem_new(struct dns);
	unsigned i;
	int status;

	dns->loop = loop;
	dns->timeout_ms = timeout_ms;
	loop_timer_open(&dns->timer, loop, dns_timer);
	list_init(&dns->sockets);
	list_init(&dns->names);
	for (i = 0; i < DNS_BUCKETS; i++)
		list_init(&dns->buckets[i]);
	status = dns_init(dns, servers);
	if (status != ARES_SUCCESS) {
		err_put(err, "cannot set up the DNS resolver (servers %s): %s",
			servers != NULL ? servers : "of the system",
			ares_strerror(status));
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
	mem_free(dns_p);
}

static void dns_ask(struct dns_name *name)
{
	static const struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NOSORT, /* sorting would open sockets */
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	struct dns *dns = name->dns;

	list_remove(&name->age);
	list_append(&dns->names, &name->age);
	name->query = mem_new(struct dns_query);
	name->query->name = name;
	loop_timer_open(&name->deadline, dns->loop, dns_deadline);
	loop_timer_set(&name->deadline, dns->timeout_ms);
	ares_getaddrinfo(dns->channel, name->text, NULL, &hints, dns_answered,
			 name->query);
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
