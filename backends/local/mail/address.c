#include "backends/local/mail/address.h"

/* What stands between two commas, and is an address if it is not followed by one in
 * angle brackets. */
struct scan {
	const char *at;
	struct str local, domain;
	bool in_domain;
	bool joined;	/* the next word goes on with what is there */
	bool malformed; /* words in a row: a display name */
};

static void forget(struct scan *scan)
{
	str_clear(&scan->local);
	str_clear(&scan->domain);
	scan->in_domain = scan->malformed = false;
	scan->joined = true;
}

static bool is_complete(const struct scan *scan)
{
	return !scan->malformed && scan->local.len > 0 && scan->domain.len > 0;
}

static struct str *part(struct scan *scan)
{
	return scan->in_domain ? &scan->domain : &scan->local;
}

/* --- tokens --- */

/* The character at text, of which a backslash hides the meaning. */
static const char *unescape(const char *text)
{
	return text[0] == '\\' && text[1] != '\0' ? text + 1 : text;
}

static void skip_comment(struct scan *scan)
{
	unsigned depth = 0;

	for (; *scan->at != '\0'; scan->at++) {
		if (*scan->at == '(')
			depth++;
		else if (*scan->at == ')' && --depth == 0)
			break;
		scan->at = unescape(scan->at);
	}
	if (*scan->at != '\0')
		scan->at++;
}

/* Up to the end that is given, with what it is quoted by taken out. */
static void take_quoted(struct scan *scan, char end)
{
	struct str *out = part(scan);

	for (; *scan->at != '\0' && *scan->at != end; scan->at++) {
		scan->at = unescape(scan->at);
		str_putc(out, *scan->at);
	}
	if (*scan->at != '\0')
		scan->at++;
}

static void take_word(struct scan *scan)
{
	if (!scan->joined)
		scan->malformed = true;
	scan->joined = false;
	if (*scan->at == '"' && !scan->in_domain) {
		scan->at++;
		take_quoted(scan, '"');
	} else if (*scan->at == '[' && scan->in_domain) {
		scan->at++;
		str_putc(&scan->domain, '[');
		take_quoted(scan, ']');
		str_putc(&scan->domain, ']');
	} else {
		size_t len = strcspn(scan->at + 1, " \t\r\n()<>@,;:.\"[]\\") + 1;

		str_append(part(scan), scan->at, len);
		scan->at += len;
	}
}

/* --- addresses --- */

static void take_dot_or_at(struct scan *scan)
{
	if (*scan->at == '.')
		str_putc(part(scan), '.');
	else if (scan->in_domain)
		scan->malformed = true;
	else
		scan->in_domain = true;
	scan->joined = true;
	scan->at++;
}

/* One token. False: it ends an address, which may be in the scan. */
static bool step(struct scan *scan, bool angle)
{
	switch (*scan->at) {
	case '\0':
	case ',':
	case ';':
	case '<':
	case '>':
	case ':':
		return false;
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		scan->at++;
		return true;
	case '(':
		skip_comment(scan);
		return true;
	case '.':
	case '@':
		/* A source route: what counts is behind its colon. */
		if (angle && *scan->at == '@' && scan->local.len == 0)
			scan->at += strcspn(scan->at, ":>");
		else
			take_dot_or_at(scan);
		return true;
	default:
		take_word(scan);
		return true;
	}
}

static bool find(struct scan *scan)
{
	bool angle = false;

	for (forget(scan); ; scan->at++) {
		while (step(scan, angle))
			;
		/* Else it was a display name or a route. */
		if (*scan->at != '<' && !(angle && *scan->at == ':'))
			return *scan->at != ':' && is_complete(scan);
		angle = true;
		forget(scan);
	}
}

bool mail_address_first(const char *text, struct str *local, struct str *domain)
{
	struct scan scan = { .at = text };
	bool found = find(&scan);

	if (found) {
		str_append(local, scan.local.data, scan.local.len);
		str_append(domain, scan.domain.data, scan.domain.len);
	}
	str_free(&scan.local);
	str_free(&scan.domain);
	return found;
}
