#include "backends/director/servers.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "lib/domain.h"
#include "lib/mem.h"
#include "lib/str.h"

#define BLANKS " \t\r\n"
#define NAME_ADDRESSES 64
#define UNKNOWN_NAMES 200 /* bytes of them in an error */

/* What an entry says of each of its servers, and those found so far. */
struct parser {
	struct arena *arena;
	director_resolve_fn *resolve;
	const struct director_group *group;
	const char *name, *tag;
	unsigned weight;
	struct director_server *list;
	unsigned count, size;
	const char *unknown; /* the first name that was not found */
	struct str unknowns; /* each of them behind a blank */
	bool too_many;	     /* or not each of them */
};

static int add(struct parser *parser, const struct addr *addr, struct err *err)
{
	struct str ip = STR_INIT;

	if (parser->count == DIRECTOR_MAX_SERVERS)
		return err_set(err, "more than %d servers",
			       DIRECTOR_MAX_SERVERS);
	if (parser->count == parser->size) {
		parser->size = parser->size * 2 + 16;
		parser->list = mem_realloc(parser->list,
					   parser->size *
						   sizeof(*parser->list));
	}
	addr_write_ip(&ip, addr);
	parser->list[parser->count++] = (struct director_server){
		.addr = *addr,
		.ip = arena_strdup(parser->arena, str_c(&ip)),
		.name = parser->name,
		.tag = parser->tag,
		.weight = parser->weight,
		.way = parser->group->way,
	};
	str_free(&ip);
	return 0;
}

/* --- addresses as bytes --- */

static const uint8_t *addr_bytes(const struct addr *addr, size_t *len_r)
{
	if (addr->sa.sa_family == AF_INET) {
		*len_r = sizeof(addr->in.sin_addr);
		return (const uint8_t *)&addr->in.sin_addr;
	}
	*len_r = sizeof(addr->in6.sin6_addr);
	return (const uint8_t *)&addr->in6.sin6_addr;
}

/* IPv4 first. */
static int addr_order(const struct addr *a, const struct addr *b)
{
	size_t a_len, b_len;
	const uint8_t *a_bytes = addr_bytes(a, &a_len);
	const uint8_t *b_bytes = addr_bytes(b, &b_len);

	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	return memcmp(a_bytes, b_bytes, a_len);
}

/* --- ranges --- */

/* What is behind the last dot or colon, as far as a range may count it. */
static unsigned addr_tail(const struct addr *addr)
{
	size_t len;
	const uint8_t *bytes = addr_bytes(addr, &len);

	return len == 4 ? bytes[3]
			: (unsigned)bytes[len - 2] << 8 | bytes[len - 1];
}

static void addr_set_tail(struct addr *addr, unsigned tail)
{
	struct in6_addr *in6 = &addr->in6.sin6_addr;

	if (addr->sa.sa_family == AF_INET) {
		addr->in.sin_addr.s_addr &= htonl(0xffffff00);
		addr->in.sin_addr.s_addr |= htonl(tail);
		return;
	}
	in6->s6_addr[14] = (uint8_t)(tail >> 8);
	in6->s6_addr[15] = (uint8_t)tail;
}

static int add_range(struct parser *parser, const char *text,
		     struct addr *first, const struct addr *last,
		     struct err *err)
{
	unsigned tail = addr_tail(first), end = addr_tail(last);
	struct addr same = *last;

	if (first->sa.sa_family != last->sa.sa_family)
		return err_set(err, "'%s': one end is IPv4, the other IPv6",
			       text);
	if (addr_order(first, last) > 0)
		return err_set(err, "'%s': the last address is before the "
			       "first", text);
	addr_set_tail(&same, tail);
	if (addr_order(first, &same) != 0)
		return err_set(err, "'%s': the ends of a range may differ in "
			       "the last %d bits only", text,
			       first->sa.sa_family == AF_INET ? 8 : 16);
	for (; tail <= end; tail++) {
		addr_set_tail(first, tail);
		if (add(parser, first, err) < 0)
			return -1;
	}
	return 0;
}

/* Whether text is a range: a host name may have a "-", too. */
static bool is_range(struct parser *parser, const char *text,
		     struct addr *first_r, struct addr *last_r)
{
	const char *dash = strchr(text, '-');

	return dash != NULL &&
	       addr_parse_ip(first_r,
			     arena_strndup(parser->arena, text,
					   (size_t)(dash - text)), 0) == 0 &&
	       addr_parse_ip(last_r, dash + 1, 0) == 0;
}

/* --- names --- */

/* Whose last label is a number, that is an address gone wrong (RFC 1123 2.1). */
static bool is_host_name(const char *text)
{
	size_t len = strlen(text), end = len;

	if (end > 0 && text[end - 1] == '.')
		end--;
	while (end > 0 && text[end - 1] >= '0' && text[end - 1] <= '9')
		end--;
	return domain_is_valid(text, len) && end > 0 && text[end - 1] != '.';
}

static void note_unknown(struct parser *parser, const char *name)
{
	if (parser->unknown == NULL)
		parser->unknown = name;
	else if (parser->unknowns.len + strlen(name) > UNKNOWN_NAMES)
		parser->too_many = true;
	if (!parser->too_many)
		str_printf(&parser->unknowns, " %s", name);
}

static int unknown_names(const struct parser *parser, struct err *err)
{
	return err_set(err, "'%.100s' is no address, and no name that "
		       "/etc/hosts has; DNS is not asked. Write addresses in "
		       "place of names, or add to /etc/hosts what this prints: "
		       "getent hosts%s%s", parser->unknown,
		       str_c(&parser->unknowns),
		       parser->too_many ? " (and further names)" : "");
}

static int add_name(struct parser *parser, const char *name, struct err *err)
{
	struct addr addrs[NAME_ADDRESSES];
	unsigned i, count;

	if (parser->resolve == NULL)
		return err_set(err, "'%s' is no address: names are not looked "
			       "up here", name);
	if (!is_host_name(name))
		return err_set(err, "'%s' is no address, no range of "
			       "addresses, and no host name (blanks separate "
			       "them; ports are for a section director_backend)",
			       name);
	count = parser->resolve(name, addrs, NAME_ADDRESSES);
	if (count == 0)
		note_unknown(parser, name);
	parser->name = name;
	for (i = 0; i < count; i++) {
		if (add(parser, &addrs[i], err) < 0)
			return -1;
	}
	return 0;
}

/* --- entries --- */

static int parse_weight(const char *text, unsigned *weight_r, struct err *err)
{
	size_t len = strspn(text, "0123456789");
	unsigned long weight = strtoul(text, NULL, 10);

	if (len == 0 || len > 9 || text[len] != '\0' ||
	    weight > DIRECTOR_MAX_WEIGHT)
		return err_set(err, "'*%s': not a weight from 0 to %d", text,
			       DIRECTOR_MAX_WEIGHT);
	*weight_r = (unsigned)weight;
	return 0;
}

/* text is ours to cut. */
static int parse_entry(struct parser *parser, char *text, struct err *err)
{
	char *tag = strchr(text, '@'), *weight;
	struct addr first, last;

	if (tag != NULL)
		*tag++ = '\0';
	weight = strchr(text, '*');
	if (weight != NULL)
		*weight++ = '\0';
	parser->name = NULL;
	parser->tag = tag != NULL ? tag : parser->group->tag;
	parser->weight = parser->group->weight;
	if (weight != NULL && parse_weight(weight, &parser->weight, err) < 0)
		return -1;
	if (addr_parse_ip(&first, text, 0) == 0)
		return add(parser, &first, err);
	if (is_range(parser, text, &first, &last))
		return add_range(parser, text, &first, &last, err);
	return add_name(parser, text, err);
}

static int parse_entries(struct parser *parser, char *text, struct err *err)
{
	char *entry;

	while ((entry = strsep(&text, BLANKS)) != NULL) {
		if (*entry != '\0' && parse_entry(parser, entry, err) < 0)
			return -1;
	}
	return parser->unknown == NULL ? 0 : unknown_names(parser, err);
}

/* --- order --- */

int director_server_order(const struct director_server *a,
			  const struct director_server *b)
{
	int order = addr_order(&a->addr, &b->addr);

	return order != 0 ? order : strcmp(a->tag, b->tag);
}

static int server_order(const void *a_p, const void *b_p)
{
	return director_server_order(a_p, b_p);
}

static bool same_way(const struct director_way *a,
		     const struct director_way *b)
{
	return a->port == b->port && a->has_protocol == b->has_protocol &&
	       a->protocol == b->protocol && a->has_tls == b->has_tls &&
	       a->tls == b->tls && a->any_cert == b->any_cert;
}

/* Leaves one of each, in the order of their addresses. */
static int settle(struct parser *parser, struct err *err)
{
	struct director_server *list = parser->list;
	unsigned i, count = 0;

	qsort(list, parser->count, sizeof(*list), server_order);
	for (i = 0; i < parser->count; i++) {
		if (count == 0 || server_order(&list[count - 1], &list[i]) != 0)
			list[count++] = list[i];
		else if (!same_way(&list[count - 1].way, &list[i].way))
			return err_set(err, "%s is there twice, with another "
				       "port, protocol or TLS", list[i].ip);
		else if (list[i].weight > list[count - 1].weight)
			list[count - 1].weight = list[i].weight;
	}
	parser->count = count;
	return 0;
}

static int finish(struct parser *parser, struct director_servers *servers_r,
		  struct err *err)
{
	struct director_server *list;

	if (parser->count == 0)
		return err_set(err, "there is no server");
	if (settle(parser, err) < 0)
		return -1;
	list = arena_alloc(parser->arena, parser->count * sizeof(*list));
	memcpy(list, parser->list, parser->count * sizeof(*list));
	*servers_r = (struct director_servers){ list, parser->count };
	return 0;
}

int director_servers_read(struct arena *arena,
			  const struct director_group *groups, unsigned count,
			  director_resolve_fn *resolve,
			  struct director_servers *servers_r, unsigned *bad_r,
			  struct err *err)
{
	struct parser parser = {
		.arena = arena,
		.resolve = resolve,
		.unknowns = STR_INIT,
	};
	int ret = 0;

	for (*bad_r = 0; *bad_r < count; ++*bad_r) {
		parser.group = &groups[*bad_r];
		ret = parse_entries(&parser,
				    arena_strdup(arena, parser.group->text),
				    err);
		if (ret < 0)
			break;
	}
	if (ret == 0) {
		*bad_r = count - 1;
		ret = finish(&parser, servers_r, err);
	}
	mem_release(parser.list);
	str_free(&parser.unknowns);
	return ret;
}

int director_servers_parse(struct arena *arena, const char *text,
			   director_resolve_fn *resolve,
			   struct director_servers *servers_r, struct err *err)
{
	const struct director_group group = {
		.text = text,
		.weight = DIRECTOR_WEIGHT,
		.tag = "",
	};
	unsigned bad;

	return director_servers_read(arena, &group, 1, resolve, servers_r,
				     &bad, err);
}
