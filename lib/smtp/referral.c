#include "lib/smtp/referral.h"

#include <string.h>

#include "lib/addr.h"
#include "lib/digits.h"
#include "lib/domain.h"
#include "lib/str.h"
#include "lib/utf8.h"

/* Behind the path that RCPT had, which may hold anything in quotes. NULL: the
 * path does not end. */
static const char *smtp_referral_skip_path(const char *text)
{
	bool quoted = false;

	if (*text != '<')
		return text;
	for (text++; *text != '\0' && *text != '\n'; text++) {
		if (*text == '\\' && quoted && text[1] != '\0')
			text++;
		else if (*text == '"')
			quoted = !quoted;
		else if (*text == '>' && !quoted)
			return text[1] == ' ' ? text + 2 : NULL;
	}
	return NULL;
}

/* The user, with %XX decoded (RFC 3986 2.1); NULL: it is none. */
static const char *smtp_referral_user(struct arena *arena, const char *text,
				      size_t len)
{
	char *user = arena_alloc(arena, len + 1);
	size_t i, used = 0;

	for (i = 0; i < len; i++) {
		int high, low;
		char c = text[i];

		if (c == '%') {
			if (len - i < 3 ||
			    (high = hex_digit(text[i + 1])) < 0 ||
			    (low = hex_digit(text[i + 2])) < 0)
				return NULL;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if ((unsigned char)c < ' ' || c == 0x7f)
			return NULL;
		user[used++] = c;
	}
	return used > 0 && utf8_is_valid(user, used) ? user : NULL;
}

/* ":port" or nothing, as text[0..len). */
static int smtp_referral_port(uint16_t *port, const char *text, size_t len)
{
	unsigned number = 0;
	size_t i;

	if (len == 0)
		return 0;
	if (text[0] != ':')
		return -1;
	for (i = 1; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		number = number * 10 + (unsigned)(text[i] - '0');
		if (number > UINT16_MAX)
			return -1;
	}
	*port = (uint16_t)number;
	return number > 0 ? 0 : -1;
}

/* host[:port], as text[0..len). */
static int smtp_referral_host(struct arena *arena, const char *text, size_t len,
			      struct smtp_referral *referral)
{
	bool literal = len > 0 && text[0] == '[';
	const char *end = memchr(text, literal ? ']' : ':', len);
	size_t host_len = end != NULL ? (size_t)(end - text) : len;
	struct addr addr;

	if (literal && end == NULL)
		return -1;
	referral->host = arena_strndup(arena, text + literal,
				       host_len - literal);
	if (literal && (addr_parse_ip(&addr, referral->host, 0) < 0 ||
			addr.sa.sa_family != AF_INET6))
		return -1;
	if (!literal && !domain_is_valid(referral->host, host_len))
		return -1;
	host_len += literal;
	return smtp_referral_port(&referral->port, text + host_len,
				  len - host_len);
}

static int smtp_referral_target(struct arena *arena, const char *text,
				size_t len, struct smtp_referral *referral)
{
	const char *at = memrchr(text, '@', len);
	size_t host_at = at != NULL ? (size_t)(at - text) + 1 : 0;

	if (at != NULL) {
		referral->user = smtp_referral_user(arena, text, host_at - 1);
		if (referral->user == NULL)
			return -1;
	}
	return smtp_referral_host(arena, text + host_at, len - host_at,
				  referral);
}

int smtp_referral_parse(struct arena *arena, const struct smtp_reply *reply,
			struct smtp_referral *referral_r, struct err *err)
{
	const struct smtp_enhanced *enhanced = &reply->enhanced;
	const char *text = reply->text != NULL ? reply->text : "", *target;
	struct str quoted = STR_INIT;

	if (reply->code != 550 || enhanced->class != 5 ||
	    enhanced->subject != 2 || enhanced->detail != 900)
		return 0;
	*referral_r = (struct smtp_referral){ .port = 0 };
	target = smtp_referral_skip_path(text);
	if (target != NULL &&
	    smtp_referral_target(arena, target, strcspn(target, " \n"),
				 referral_r) == 0)
		return 1;
	str_put_escaped(&quoted, text, strcspn(text, "\n"));
	err_put(err, "not a target to be referred to: '%.300s'",
		str_c(&quoted));
	str_free(&quoted);
	return -1;
}
