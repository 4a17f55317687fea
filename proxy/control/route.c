/* Where a RCPT would go, as JSON for programs. */
#include <inttypes.h>
#include <string.h>

#include "proxy/control/private.h"

static void put_director(struct json_writer *json,
			 const struct director_choice *choice)
{
	char hash[17];

	json_open_object(json, "director");
	json_write_text(json, "method", choice->method);
	snprintf(hash, sizeof(hash), "%016" PRIx64, choice->hash);
	json_write_text(json, "hash", hash);
	json_write_text(json, "hash_of", choice->text);
	json_write_text(json, "tag", choice->tag);
	json_close_object(json);
}

static void put_remote(struct json_writer *json, const struct answer *answer)
{
	const struct route *route = answer->result.route;
	const struct remote_target *target = &route->target;
	struct str ip = STR_INIT;

	if (answer->addr.len > 0)
		addr_write_ip(&ip, &answer->addr);
	json_write_text(json, "host", target->host);
	json_write_text(json, "ip", ip.len > 0 ? str_c(&ip) : NULL);
	json_write_number(json, "port", target->port);
	json_write_text(json, "protocol",
			target->protocol == REMOTE_SMTP ? "smtp" : "lmtp");
	json_write_text(json, "tls", remote_tls_name(target->tls));
	json_write_text(json, "address", route->address);
	if (route->choice.server != NULL)
		put_director(json, &route->choice);
	else
		json_write_text(json, "director", NULL);
	json_write_text(json, "reason",
			ip.len > 0 ? NULL : answer->dns_error);
	json_write_text(json, "code", NULL);
	str_free(&ip);
}

/* NULL: who is here is accepted. */
static void put_reply(struct json_writer *json, const struct smtp_reply *reply)
{
	static const char *const none[] = { "host", "ip", "port", "protocol",
					    "tls", "address", "director" };
	size_t i;

	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		json_write_text(json, none[i], NULL);
	json_write_text(json, "reason", reply != NULL ? reply->text : NULL);
	if (reply != NULL)
		json_write_number(json, "code", (uint64_t)reply->code);
	else
		json_write_text(json, "code", NULL);
}

static void done(void *arg, const struct answer *answer)
{
	struct control_call *call = arg;

	json_open_object(&call->json, NULL);
	json_write_text(&call->json, "user", answer->result.user);
	json_write_text(&call->json, "kind", answer_kind_name(answer->kind));
	if (answer->kind == ANSWER_REMOTE)
		put_remote(&call->json, answer);
	else
		put_reply(&call->json, answer->result.reply);
	json_close_object(&call->json);
	control_answer(&call);
}

void control_route(struct control_call *call)
{
	const char *user = control_param(call, "user");
	const char *ip = control_param(call, "ip");
	const char *service = control_param(call, "service");
	struct addr addr;
	struct err err;

	if (user == NULL)
		control_refuse(&call, 400, "user is missing");
	else if (ip != NULL && addr_parse_ip(&addr, ip, 0) < 0)
		control_refuse(&call, 400, "ip is not an IP address");
	else if (service != NULL && strcmp(service, "lmtp") != 0)
		control_refuse(&call, 400, "service must be lmtp");
	else if (answers_ask(call->control->answers, user, ip, done, call,
			     &err) == NULL)
		control_refuse(&call, 503, err.text);
}
