#include "lib/smtp/xclient.h"

#include <string.h>
#include <strings.h>

#include "lib/domain.h"
#include "lib/smtp/xtext.h"
#include "lib/utf8.h"

#define COMMAND "XCLIENT"
#define LINE_MAX_LEN 510 /* RFC 5321 4.5.3.1.4, without CRLF */

const struct smtp_xclient smtp_xclient_nothing = { .set = 0 };

/* From TEXT on, what is kept is a string. */
enum smtp_xclient_kind { IP, PORT, PROTO, NUMBER, TEXT, LONG_TEXT, DOMAIN };

/* The n-th is bit n of enum smtp_xclient_attr. */
static const struct smtp_xclient_rule {
	const char *keyword;
	enum smtp_xclient_kind kind;
	size_t member; /* where in struct smtp_xclient */
} smtp_xclient_rules[] = {
#define RULE(keyword, kind, member) \
	{ keyword, kind, offsetof(struct smtp_xclient, member) }
	RULE("ADDR", IP, addr),
	RULE("PORT", PORT, port),
	RULE("PROTO", PROTO, proto),
	RULE("HELO", TEXT, helo),
	RULE("LOGIN", TEXT, login),
	RULE("SESSION", TEXT, session),
	RULE("TTL", NUMBER, ttl),
	RULE("TIMEOUT", NUMBER, timeout),
	RULE("CLIENT-TRANSPORT", TEXT, client_transport),
	RULE("DESTADDR", IP, dest_addr),
	RULE("DESTPORT", PORT, dest_port),
	RULE("DESTNAME", DOMAIN, dest_name),
	RULE("NAME", TEXT, name),
	RULE("FORWARD", LONG_TEXT, forward),
};
#define RULES (sizeof(smtp_xclient_rules) / sizeof(smtp_xclient_rules[0]))

static const enum smtp_xclient_attr smtp_xclient_order[RULES] = {
	SMTP_XCLIENT_HELO,     SMTP_XCLIENT_PROTO,    SMTP_XCLIENT_LOGIN,
	SMTP_XCLIENT_SESSION,  SMTP_XCLIENT_CLIENT_TRANSPORT,
	SMTP_XCLIENT_DESTNAME, SMTP_XCLIENT_NAME,     SMTP_XCLIENT_FORWARD,
	SMTP_XCLIENT_TTL,      SMTP_XCLIENT_TIMEOUT,  SMTP_XCLIENT_DESTPORT,
	SMTP_XCLIENT_DESTADDR, SMTP_XCLIENT_PORT,     SMTP_XCLIENT_ADDR,
};

static const char *const smtp_xclient_protos[] = {
	[SMTP_XCLIENT_SMTP] = "SMTP",
	[SMTP_XCLIENT_ESMTP] = "ESMTP",
	[SMTP_XCLIENT_LMTP] = "LMTP",
};
#define PROTOS (sizeof(smtp_xclient_protos) / sizeof(smtp_xclient_protos[0]))

static const void *smtp_xclient_get(const struct smtp_xclient *xclient,
				    const struct smtp_xclient_rule *rule)
{
	return (const char *)xclient + rule->member;
}

static const char *smtp_xclient_text(const struct smtp_xclient *xclient,
				     const struct smtp_xclient_rule *rule)
{
	return *(const char *const *)smtp_xclient_get(xclient, rule);
}

/* The place of the attribute called name; RULES: there is none. */
static size_t smtp_xclient_find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < RULES; i++)
		if (strlen(smtp_xclient_rules[i].keyword) == len &&
		    strncasecmp(smtp_xclient_rules[i].keyword, name, len) == 0)
			break;
	return i;
}

/* --- parsing --- */

static int smtp_xclient_parse_ip(struct addr *addr, const char *value)
{
	bool in6 = strncasecmp(value, "IPV6:", 5) == 0;
	struct addr parsed;

	if (addr_parse_ip(&parsed, in6 ? value + 5 : value, 0) < 0 ||
	    (in6 && parsed.sa.sa_family != AF_INET6))
		return -1;
	addr_unmap(&parsed);
	*addr = parsed;
	return 0;
}

static int smtp_xclient_parse_number(uint32_t *number, const char *value,
				     uint32_t max)
{
	uint64_t parsed = 0;

	for (; *value != '\0'; value++) {
		if (*value < '0' || *value > '9')
			return -1;
		parsed = parsed * 10 + (unsigned)(*value - '0');
		if (parsed > max)
			return -1;
	}
	*number = (uint32_t)parsed;
	return 0;
}

static int smtp_xclient_parse_port(uint16_t *port, const char *value)
{
	uint32_t number;

	if (smtp_xclient_parse_number(&number, value, UINT16_MAX) < 0 ||
	    number == 0)
		return -1;
	*port = (uint16_t)number;
	return 0;
}

static int smtp_xclient_parse_proto(enum smtp_xclient_proto *proto,
				    const char *value)
{
	size_t i;

	for (i = 0; i < PROTOS; i++) {
		if (strcasecmp(value, smtp_xclient_protos[i]) == 0) {
			*proto = (enum smtp_xclient_proto)i;
			return 0;
		}
	}
	return -1;
}

static int smtp_xclient_parse_value(struct smtp_xclient *xclient,
				    const struct smtp_xclient_rule *rule,
				    const char *value, size_t len)
{
	void *member = (char *)xclient + rule->member;

	switch (rule->kind) {
	case IP:
		return smtp_xclient_parse_ip(member, value);
	case PORT:
		return smtp_xclient_parse_port(member, value);
	case PROTO:
		return smtp_xclient_parse_proto(member, value);
	case NUMBER:
		return smtp_xclient_parse_number(member, value, UINT32_MAX);
	case TEXT:
		if (len > SMTP_XCLIENT_TEXT_MAX)
			return -1;
		break;
	case LONG_TEXT:
		if (len > SMTP_XCLIENT_FORWARD_MAX)
			return -1;
		break;
	case DOMAIN:
		if (!domain_is_valid(value, len))
			return -1;
		break;
	}
	*(const char **)member = value;
	return 0;
}

static bool smtp_xclient_is_text(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return len > 0 && utf8_is_valid(text, len);
}

/* NAME=xtext, as word[0..len). *seen are the bits of those before. */
static int smtp_xclient_parse_one(struct arena *arena, const char *word,
				  size_t len, struct smtp_xclient *xclient,
				  unsigned *seen, struct err *err)
{
	const char *equals = memchr(word, '=', len), *value;
	size_t name_len = equals != NULL ? (size_t)(equals - word) : len;
	size_t i = smtp_xclient_find(word, name_len), value_len = 0;

	if (i == RULES)
		return 0;
	if ((*seen & 1U << i) != 0)
		return err_set(err, "Duplicate %s parameter",
			       smtp_xclient_rules[i].keyword);
	*seen |= 1U << i;
	xclient->set &= ~(1U << i);
	value = equals == NULL ? NULL :
		smtp_xtext_parse(arena, equals + 1, len - name_len - 1,
				 &value_len);
	if (value == NULL || !smtp_xclient_is_text(value, value_len))
		return err_set(err, "Invalid %s parameter",
			       smtp_xclient_rules[i].keyword);
	if (strcasecmp(value, "[UNAVAILABLE]") == 0 ||
	    strcasecmp(value, "[TEMPUNAVAIL]") == 0)
		return 0;
	if (smtp_xclient_parse_value(xclient, &smtp_xclient_rules[i], value,
				     value_len) < 0)
		return err_set(err, "Invalid %s parameter",
			       smtp_xclient_rules[i].keyword);
	xclient->set |= 1U << i;
	return 0;
}

/* The next word of text[*at..len); its length, and *at is where it starts; 0:
 * there is none. */
static size_t smtp_xclient_next(const char *text, size_t *at, size_t len)
{
	const char *end;

	while (*at < len && text[*at] == ' ')
		(*at)++;
	if (*at == len)
		return 0;
	end = memchr(text + *at, ' ', len - *at);
	return end != NULL ? (size_t)(end - text) - *at : len - *at;
}

int smtp_xclient_parse(struct arena *arena, const char *args, size_t len,
		       struct smtp_xclient *xclient, struct err *err)
{
	struct smtp_xclient parsed = *xclient;
	unsigned seen = 0;
	size_t at = 0, word, words = 0;

	for (; (word = smtp_xclient_next(args, &at, len)) > 0; at += word) {
		if (smtp_xclient_parse_one(arena, args + at, word, &parsed,
					   &seen, err) < 0)
			return -1;
		words++;
	}
	if (words == 0)
		return err_set(err, "Missing XCLIENT parameters");
	*xclient = parsed;
	return 0;
}

/* --- as a value --- */

void smtp_xclient_copy(struct arena *arena, struct smtp_xclient *dst,
		       const struct smtp_xclient *src)
{
	size_t i;

	*dst = *src;
	for (i = 0; i < RULES; i++) {
		const struct smtp_xclient_rule *rule = &smtp_xclient_rules[i];
		void *member = (char *)dst + rule->member;

		if ((src->set & 1U << i) != 0 && rule->kind >= TEXT)
			*(const char **)member = arena_strdup(
				arena, smtp_xclient_text(src, rule));
	}
}

/* Both have it set. */
static bool smtp_xclient_same(const struct smtp_xclient *a,
			      const struct smtp_xclient *b,
			      const struct smtp_xclient_rule *rule)
{
	const void *x = smtp_xclient_get(a, rule);
	const void *y = smtp_xclient_get(b, rule);

	switch (rule->kind) {
	case IP:
		return addr_same_host(x, y);
	case PORT:
		return *(const uint16_t *)x == *(const uint16_t *)y;
	case NUMBER:
		return *(const uint32_t *)x == *(const uint32_t *)y;
	case PROTO:
		return a->proto == b->proto;
	case TEXT:
	case LONG_TEXT:
	case DOMAIN:
		break;
	}
	return strcmp(smtp_xclient_text(a, rule), smtp_xclient_text(b, rule)) ==
	       0;
}

bool smtp_xclient_equal(const struct smtp_xclient *a,
			const struct smtp_xclient *b, unsigned attrs)
{
	unsigned left = a->set & attrs;

	if (((a->set ^ b->set) & attrs) != 0)
		return false;
	for (; left != 0; left &= left - 1)
		if (!smtp_xclient_same(
			    a, b, &smtp_xclient_rules[__builtin_ctz(left)]))
			return false;
	return true;
}

void smtp_xclient_apply(const struct smtp_xclient *xclient,
			struct addr *remote, struct addr *local)
{
	if ((xclient->set & SMTP_XCLIENT_ADDR) != 0)
		*remote = xclient->addr;
	if ((xclient->set & SMTP_XCLIENT_PORT) != 0)
		addr_set_port(remote, xclient->port);
	if ((xclient->set & SMTP_XCLIENT_DESTADDR) != 0)
		*local = xclient->dest_addr;
	if ((xclient->set & SMTP_XCLIENT_DESTPORT) != 0)
		addr_set_port(local, xclient->dest_port);
}

/* --- writing --- */

static void smtp_xclient_put_value(struct str *out,
				   const struct smtp_xclient *xclient,
				   const struct smtp_xclient_rule *rule,
				   bool lmtp)
{
	const void *member = smtp_xclient_get(xclient, rule);
	const struct addr *addr = member;
	const char *text;

	switch (rule->kind) {
	case IP:
		if (!lmtp && addr->sa.sa_family == AF_INET6)
			str_puts(out, "IPV6:");
		addr_write_ip(out, addr);
		return;
	case PORT:
		str_put_number(out, *(const uint16_t *)member);
		return;
	case NUMBER:
		str_put_number(out, *(const uint32_t *)member);
		return;
	case PROTO:
		str_puts(out, smtp_xclient_protos[xclient->proto]);
		return;
	case TEXT:
	case LONG_TEXT:
	case DOMAIN:
		break;
	}
	text = smtp_xclient_text(xclient, rule);
	smtp_xtext_write(out, text, strlen(text));
}

unsigned smtp_xclient_to_send(const struct smtp_xclient *xclient,
			      unsigned listed)
{
	unsigned set = xclient->set & listed;
	size_t len;

	if ((set & SMTP_XCLIENT_HELO) != 0) {
		len = strlen(xclient->helo);
		if (!domain_is_valid(xclient->helo, len) &&
		    (xclient->helo[0] != '[' || xclient->helo[len - 1] != ']' ||
		     strchr(xclient->helo, ' ') != NULL))
			set &= ~(unsigned)SMTP_XCLIENT_HELO;
	}
	return set;
}

/* Appends the command with these attributes. Returns how many commands that
 * are. */
static unsigned smtp_xclient_flush(struct str *out, struct str *attrs)
{
	if (attrs->len == 0)
		return 0;
	str_puts(out, COMMAND);
	str_append(out, attrs->data, attrs->len);
	str_puts(out, "\r\n");
	str_clear(attrs);
	return 1;
}

unsigned smtp_xclient_write(struct str *out, const struct smtp_xclient *xclient,
			    unsigned listed, bool lmtp)
{
	unsigned set = smtp_xclient_to_send(xclient, listed), lines = 0;
	struct str attrs = STR_INIT, attr = STR_INIT;
	const struct smtp_xclient_rule *rule;
	size_t i;

	for (i = 0; i < RULES; i++) {
		unsigned attr_bit = smtp_xclient_order[i];

		if ((set & attr_bit) == 0)
			continue;
		rule = &smtp_xclient_rules[__builtin_ctz(attr_bit)];
		str_clear(&attr);
		str_putc(&attr, ' ');
		str_puts(&attr, rule->keyword);
		str_putc(&attr, '=');
		smtp_xclient_put_value(&attr, xclient, rule, lmtp);
		if (strlen(COMMAND) + attrs.len + attr.len > LINE_MAX_LEN)
			lines += smtp_xclient_flush(out, &attrs);
		str_append(&attrs, attr.data, attr.len);
	}
	lines += smtp_xclient_flush(out, &attrs);
	str_free(&attrs);
	str_free(&attr);
	return lines;
}

/* --- the list of a server's --- */

unsigned smtp_xclient_parse_listed(const char *words, size_t len)
{
	unsigned listed = 0;
	size_t at = 0, word, i;

	for (; (word = smtp_xclient_next(words, &at, len)) > 0; at += word) {
		i = smtp_xclient_find(words + at, word);
		if (i < RULES)
			listed |= 1U << i;
	}
	return listed;
}

void smtp_xclient_write_listed(struct str *out, unsigned attrs)
{
	size_t i;

	for (i = 0; i < RULES; i++) {
		if ((attrs & 1U << i) == 0)
			continue;
		str_putc(out, ' ');
		str_puts(out, smtp_xclient_rules[i].keyword);
	}
}
