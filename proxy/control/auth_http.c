/* The question that nginx's mail proxy asks before it connects to a backend:
 * ngx_mail_auth_http_module. The request's fields say who logs in, and the
 * answer's where to. The password is there, too; we neither check it nor write
 * it anywhere. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/percent.h"
#include "proxy/control/private.h"

#define WAIT "3" /* seconds before the next attempt */
/* nginx keeps memory for each attempt, and asks us to put an end to it. */
#define MAX_ATTEMPTS 10
#define NO_LOGIN "Invalid login or password"

/* What a client of each protocol takes for a reason: RFC 5530 and 3206; that of
 * SMTP has Auth-Error-Code. */
static const struct protocol {
	const char *name, *no_login, *not_now;
} protocols[] = {
	{ "imap", "[AUTHENTICATIONFAILED] ", "[UNAVAILABLE] " },
	{ "pop3", "[AUTH] ", "[SYS/TEMP] " },
	{ "smtp", "", "" },
};
#define PROTOCOLS (sizeof(protocols) / sizeof(protocols[0]))

static const char *field(const struct control_call *call, const char *name)
{
	return http_head_field(&call->request->head, name);
}

static const struct protocol *find_protocol(const struct control_call *call)
{
	const char *name = field(call, "Auth-Protocol");
	size_t i;

	for (i = 0; name != NULL && i < PROTOCOLS; i++) {
		if (strcmp(name, protocols[i].name) == 0)
			return &protocols[i];
	}
	return NULL;
}

/* The service's port on the backends; 0: we do not know the protocol. */
static unsigned service_port(const struct control_call *call)
{
	const struct settings *settings = call->control->env.source->settings;
	const unsigned ports[PROTOCOLS] = {
		settings->auth_http_imap_port,
		settings->auth_http_pop3_port,
		settings->auth_http_smtp_port,
	};
	const struct protocol *protocol = find_protocol(call);

	return protocol == NULL ? 0 : ports[protocol - protocols];
}

static bool may_try_again(const struct control_call *call)
{
	const char *attempt = field(call, "Auth-Login-Attempt");

	return attempt == NULL || strtoul(attempt, NULL, 10) < MAX_ATTEMPTS;
}

static void say(struct control_call **call, const char *code, const char *text)
{
	httpd_field((*call)->request, "Auth-Status",
		    arena_concat((*call)->request->arena, code, text, ""));
}

static void end(struct control_call **call)
{
	control_answer_text(call, 200, "text/plain");
}

/* What a wrong password gets as well: nobody shall learn who exists. */
static void no_login(struct control_call **call)
{
	say(call, find_protocol(*call)->no_login, NO_LOGIN);
	httpd_field((*call)->request, "Auth-Error-Code", "535 5.7.8");
	if (may_try_again(*call))
		httpd_field((*call)->request, "Auth-Wait", WAIT);
	end(call);
}

/* Without Auth-Wait nginx ends the session. */
static void not_now(struct control_call **call, const char *text)
{
	const struct protocol *protocol = find_protocol(*call);

	say(call, protocol != NULL ? protocol->not_now : "", text);
	httpd_field((*call)->request, "Auth-Error-Code", "454 4.7.0");
	end(call);
}

static void go_there(struct control_call **call, const struct answer *answer)
{
	struct str text = STR_INIT;

	say(call, "", "OK");
	addr_write_ip(&text, &answer->addr);
	httpd_field((*call)->request, "Auth-Server", str_c(&text));
	str_clear(&text);
	str_put_number(&text, service_port(*call));
	httpd_field((*call)->request, "Auth-Port", str_c(&text));
	str_free(&text);
	end(call);
}

static void done(void *arg, const struct answer *answer)
{
	struct control_call *call = arg;

	if (answer->kind == ANSWER_REMOTE && answer->addr.len > 0)
		go_there(&call, answer);
	else if (answer->kind == ANSWER_REMOTE)
		not_now(&call, "Temporary failure: the server has no address");
	else if (answer->kind == ANSWER_REFUSE)
		no_login(&call);
	else if (answer->result.reply == NULL)
		not_now(&call, "Temporary failure: the user is on no server");
	else
		not_now(&call, answer->result.reply->text);
}

/* Others than plain need the password from us. */
static bool is_plain(const struct control_call *call)
{
	const char *method = field(call, "Auth-Method");

	return method != NULL && strcasecmp(method, "plain") == 0;
}

void control_auth_http(struct control_call *call)
{
	const char *user = field(call, "Auth-User");
	const char *ip = field(call, "Client-IP");
	struct addr addr;
	struct err err;

	if (ip != NULL && addr_parse_ip(&addr, ip, 0) < 0)
		ip = NULL; /* "unix:" */
	/* nginx escapes blanks, "%", control characters and what is no ASCII. */
	if (user != NULL)
		user = percent_decode(call->request->arena, user, strlen(user),
				      false);
	if (service_port(call) == 0)
		not_now(&call, "Auth-Protocol must be imap, pop3 or smtp");
	else if (!is_plain(call))
		not_now(&call, "Auth-Method must be plain");
	else if (user == NULL || *user == '\0')
		no_login(&call);
	else if (answers_ask(call->control->answers, user, ip, done, call,
			     &err) == NULL)
		not_now(&call, err.text);
}
