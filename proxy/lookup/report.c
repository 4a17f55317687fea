#include "proxy/lookup/report.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "lib/list.h"
#include "lib/tls/context.h"
#include "lib/utf8.h"

#define HIDDEN "<hidden>"
/* A shorter one is too likely to be part of something else by chance. */
#define SECRET_MIN 6

uint64_t lookup_report_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- text --- */

static void remember_secret(struct lookup_report *report, const char *value)
{
	const char **secrets;

	if (strlen(value) < SECRET_MIN)
		return;
	if (report->secret_count == report->secret_size) {
		report->secret_size = report->secret_size * 2 + 8;
		secrets = arena_alloc(report->arena, report->secret_size *
						     sizeof(*secrets));
		if (report->secret_count > 0)
			memcpy(secrets, report->secrets,
			       report->secret_count * sizeof(*secrets));
		report->secrets = secrets;
	}
	report->secrets[report->secret_count++] =
		arena_strdup(report->arena, value);
}

/* The length of the secret that text begins with; 0: none. */
static size_t secret_len(const struct lookup_report *report, const char *text)
{
	size_t len, longest = 0;
	unsigned i;

	for (i = 0; i < report->secret_count; i++) {
		len = strlen(report->secrets[i]);
		if (len > longest &&
		    strncmp(text, report->secrets[i], len) == 0)
			longest = len;
	}
	return longest;
}

/* Whether the byte at text is the first of a control character of Latin 1, which
 * terminals may obey. */
static bool is_c1(const char *text)
{
	return (unsigned char)text[0] == 0xc2 &&
	       (unsigned char)text[1] < 0xa0;
}

/* Appends what text begins with, a byte or a C1 character; returns what is
 * behind it. */
static const char *put_byte(struct str *out, const char *text, bool utf8)
{
	size_t len = utf8 ? 2 : 1;

	if ((*text & 0x80) == 0 || (utf8 && !is_c1(text))) {
		str_put_escaped(out, text, 1);
		return text + 1;
	}
	for (; len > 0; len--)
		str_printf(out, "\\x%02x", (unsigned char)*text++);
	return text;
}

/* The name of something, which is no secret. */
static void put_key(struct str *out, const char *text)
{
	bool utf8 = utf8_is_valid(text, strlen(text));

	while (*text != '\0')
		text = put_byte(out, text, utf8);
}

static void put_text(const struct lookup_report *report, struct str *out,
		     const char *text)
{
	bool utf8 = utf8_is_valid(text, strlen(text));
	size_t len;

	while (*text != '\0') {
		len = secret_len(report, text);
		if (len > 0)
			str_puts(out, HIDDEN);
		text = len > 0 ? text + len : put_byte(out, text, utf8);
	}
}

static void write_line(struct lookup_report *report, struct str *line)
{
	str_putc(line, '\n');
	fputs(str_c(line), report->to);
	fflush(report->to);
	str_free(line);
}

/* "LABEL: TEXT" */
static void put_line(struct lookup_report *report, const char *label,
		     const char *text)
{
	struct str line = STR_INIT;

	str_printf(&line, "%s: ", label);
	put_text(report, &line, text);
	write_line(report, &line);
}

/* "LABELkey=value" */
static void put_pair(struct lookup_report *report, const char *label,
		     const char *key, const char *value)
{
	struct str line = STR_INIT;

	str_puts(&line, label);
	put_key(&line, key);
	if (value[0] != '\0') {
		str_putc(&line, '=');
		put_text(report, &line, value);
	}
	write_line(report, &line);
}

static void put_field(struct lookup_report *report, const char *label,
		      const char *key, const char *value)
{
	bool secret = passdb_field_is_secret(key) && value[0] != '\0';

	if (secret)
		remember_secret(report, value);
	put_pair(report, label, key, secret ? HIDDEN : value);
}

static void put_ms(struct str *out, uint64_t since_us)
{
	str_printf(out, "%.1f ms",
		   (double)(lookup_report_now_us() - since_us) / 1000.0);
}

/* --- the chain --- */

/* The name that passdbs are asked for, when it is another one. */
static void put_name(struct lookup_report *report,
		     const struct passdb_request *request)
{
	if (report->name != NULL &&
	    strcmp(report->name, request->username) == 0)
		return;
	report->name = arena_strdup(report->arena, request->username);
	put_line(report, "  name", report->name);
}

static void put_step(struct lookup_report *report,
		     const struct passdb_event *event)
{
	const struct passdb_block *block = event->block;
	struct str line = STR_INIT;

	if (report->name == NULL || event->request->kind == PASSDB_KIND_USER)
		put_name(report, event->request);
	report->step_us = lookup_report_now_us();
	str_printf(&line, "%s %u: %s", passdb_kind_name(event->request->kind),
		   event->request->step + 1, block->driver);
	if (block->name[0] != '\0') {
		str_putc(&line, ' ');
		put_key(&line, block->name);
	}
	if (block->file != NULL) {
		str_puts(&line, ", ");
		put_key(&line, block->file);
		str_printf(&line, ":%u", block->line);
	}
	write_line(report, &line);
	if (event->text != NULL)
		put_line(report, "  skipped", event->text);
}

static void put_answer(struct lookup_report *report,
		       const struct passdb_event *event)
{
	struct str line = STR_INIT;

	put_name(report, event->request);
	str_printf(&line, "  answer: %s, %s, ", event->text, event->name);
	put_ms(&line, report->step_us);
	write_line(report, &line);
}

static void put_source(struct lookup_report *report,
		       const struct passdb_event *event)
{
	report->source = event->name;
	if (event->text != NULL)
		put_line(report, "  from", event->text);
}

static void put_said(struct lookup_report *report,
		     const struct passdb_event *event)
{
	const char *source = report->source != NULL ? report->source : "said";

	put_field(report, arena_concat(report->arena, "  ", source, ": "),
		  event->name, event->text);
}

static void report_tell(struct passdb_observer *observer,
			const struct passdb_event *event)
{
	struct lookup_report *report =
		container_of(observer, struct lookup_report, observer);

	switch (event->type) {
	case PASSDB_EVENT_STEP:
		put_step(report, event);
		break;
	case PASSDB_EVENT_ASKED:
		put_pair(report, "  asked: ", event->name, event->text);
		break;
	case PASSDB_EVENT_SOURCE:
		put_source(report, event);
		break;
	case PASSDB_EVENT_FIELD:
		put_said(report, event);
		break;
	case PASSDB_EVENT_NOTE:
		put_line(report, "  note", event->text);
		break;
	case PASSDB_EVENT_ANSWER:
		put_answer(report, event);
		break;
	}
}

/* --- before and behind it --- */

void lookup_report_start(struct lookup_report *report, FILE *to,
			 struct arena *arena, const char *address)
{
	*report = (struct lookup_report){
		.observer.tell = report_tell,
		.to = to,
		.arena = arena,
		.start_us = lookup_report_now_us(),
	};
	put_line(report, "recipient", address);
}

static void put_addr(struct str *out, const char *side, const struct addr *addr)
{
	str_printf(out, " %sip=", side);
	addr_write_ip(out, addr);
	str_printf(out, " %sport=%u", side, addr_port(addr));
}

void lookup_report_client(struct lookup_report *report,
			  const struct passdb_client *client, const char *user)
{
	struct str line = STR_INIT;

	str_puts(&line, "  client:");
	put_addr(&line, "r", &client->remote);
	put_addr(&line, "l", &client->local);
	if (!addr_equal(&client->remote, &client->real_remote))
		put_addr(&line, "real_r", &client->real_remote);
	if (!addr_equal(&client->local, &client->real_local))
		put_addr(&line, "real_l", &client->real_local);
	write_line(report, &line);
	put_line(report, "  runs as", user);
}

void lookup_report_given(struct lookup_report *report,
			 const struct passdb_fields *fields)
{
	unsigned i;

	for (i = 0; i < fields->count; i++)
		put_field(report, "  given: ", fields->list[i].key,
			  fields->list[i].value);
}

static void put_list(struct lookup_report *report,
		     const struct passdb_fields *fields)
{
	unsigned i;

	for (i = 0; i < fields->count; i++)
		put_field(report, "  ", fields->list[i].key,
			  fields->list[i].value);
}

void lookup_report_fields(struct lookup_report *report,
			  const struct passdb_fields *fields)
{
	fputs("fields:\n", report->to);
	put_list(report, fields);
}

static void put_id(struct lookup_report *report, const char *key, bool there,
		   unsigned long id)
{
	if (there)
		put_pair(report, "  ", key,
			 arena_printf(report->arena, "%lu", id));
}

static void put_string(struct lookup_report *report, const char *key,
		       const char *value)
{
	if (value != NULL)
		put_pair(report, "  ", key, value);
}

void lookup_report_user(struct lookup_report *report,
			const struct userdb_user *user)
{
	put_line(report, "user", user->name);
	put_id(report, "uid", user->has_uid, user->uid);
	put_id(report, "gid", user->has_gid, user->gid);
	put_string(report, "home", user->home);
	put_string(report, "chroot", user->chroot);
	put_string(report, "mail", user->mail);
	put_string(report, "system_groups_user", user->system_groups_user);
	put_string(report, "mail_access_groups", user->mail_access_groups);
	put_list(report, &user->quota_rules);
	put_list(report, &user->others);
}

void lookup_report_no_user(struct lookup_report *report,
			   enum passdb_result result)
{
	put_line(report, "user", result == PASSDB_NOT_FOUND ? "none" : "failed");
}

void lookup_report_dns(struct lookup_report *report, const char *host,
		       const struct dns_answer *answer, uint64_t since_us)
{
	struct str text = STR_INIT;
	unsigned i;

	str_puts(&text, "dns: ");
	put_text(report, &text, host);
	str_puts(&text, ", ");
	put_ms(&text, since_us);
	write_line(report, &text);
	if (answer->count == 0)
		put_line(report, "  note", answer->error);
	for (i = 0; i < answer->count; i++) {
		str_clear(&text);
		addr_write_ip(&text, &answer->addrs[i]);
		put_pair(report, "  ", "address", str_c(&text));
	}
	str_free(&text);
}

/* host, when that is a literal, says it already. */
static void put_ip(struct lookup_report *report, const char *key,
		   const struct addr *addr, const char *host)
{
	struct str text = STR_INIT;

	addr_write_ip(&text, addr);
	if (addr->len > 0 && strcmp(str_c(&text), host) != 0)
		put_pair(report, "  ", key, str_c(&text));
	str_free(&text);
}

static void put_number(struct lookup_report *report, const char *key,
		       unsigned number)
{
	put_pair(report, "  ", key, arena_printf(report->arena, "%u", number));
}

static void put_tls(struct lookup_report *report,
		    const struct remote_target *target)
{
	put_pair(report, "  ", "tls", remote_tls_name(target->tls));
	if (target->tls != REMOTE_TLS_NONE)
		put_pair(report, "  ", "certificate",
			 target->any_cert ? "any" : "checked");
	if (target->tls_context != NULL && !target->any_cert &&
	    !tls_context_has_ca(target->tls_context))
		put_line(report, "  note", "no certificate can be checked: neither "
			 "ssl_client_ca_file nor ssl_client_ca_dir is set");
}

/* Why it is this one of director_mail_servers. */
static void put_choice(struct lookup_report *report,
		       const struct director_choice *choice)
{
	put_pair(report, "  ", "director", choice->method);
	put_pair(report, "  ", "hash",
		 arena_printf(report->arena, "%016" PRIx64, choice->hash));
	put_pair(report, "  ", "hash_of", choice->text);
	if (choice->tag[0] != '\0')
		put_pair(report, "  ", "director_tag", choice->tag);
	if (choice->moved)
		put_pair(report, "  ", "why", "moved by an administrator");
	if (choice->stays)
		put_pair(report, "  ", "why", "the user is there");
}

void lookup_report_route(struct lookup_report *report,
			 const struct route *route)
{
	const struct remote_target *target = &route->target;

	fputs("route:\n", report->to);
	if (route->choice.server != NULL)
		put_choice(report, &route->choice);
	put_pair(report, "  ", "host", target->host);
	put_ip(report, "hostip", &target->addr, target->host);
	put_number(report, "port", target->port);
	put_pair(report, "  ", "protocol",
		 target->protocol == REMOTE_SMTP ? "smtp" : "lmtp");
	put_tls(report, target);
	put_ip(report, "source_ip", &target->source, "");
	if (route->timeout_ms > 0)
		put_number(report, "proxy_timeout", route->timeout_ms / 1000);
	put_pair(report, "  ", "address", route->address);
}

void lookup_report_no_route(struct lookup_report *report, const char *why)
{
	put_line(report, "route", "none");
	if (why != NULL)
		put_line(report, "  note", why);
}

void lookup_report_here(struct lookup_report *report)
{
	put_line(report, "route", "here");
}

void lookup_report_reply(struct lookup_report *report,
			 const struct smtp_reply *reply, const char *path)
{
	struct str text = STR_INIT;
	char *rest, *line;

	smtp_reply_write(&text, reply, path);
	rest = text.data;
	while ((line = strsep(&rest, "\r\n")) != NULL) {
		if (*line != '\0')
			put_line(report, "reply", line);
	}
	str_free(&text);
}

void lookup_report_end(struct lookup_report *report)
{
	struct str line = STR_INIT;

	str_puts(&line, "time: ");
	put_ms(&line, report->start_us);
	write_line(report, &line);
}
