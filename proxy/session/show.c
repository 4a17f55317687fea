#include "proxy/session/show.h"

#include "lib/wildcard.h"
#include "proxy/session/private.h"
#include "proxy/session/recipient.h"
#include "proxy/session/transaction.h"

/* text NULL: nothing fits. */
static bool fits(const char *text, const char *pattern)
{
	return text != NULL && wildcard_match_any_case(text, pattern);
}

static bool fits_transaction(const struct transaction *trans,
			     const char *pattern)
{
	const struct list *head = &trans->recipients, *node;

	if (fits(trans->from.raw, pattern))
		return true;
	for (node = head->next; node != head; node = node->next) {
		const struct recipient *rcpt =
			container_of(node, struct recipient, node);

		if (fits(rcpt->address.raw, pattern))
			return true;
	}
	return false;
}

bool session_fits(const struct session *session, const char *pattern)
{
	struct str ip = STR_INIT;
	bool found;

	addr_write_ip(&ip, &session->client.remote);
	found = fits(session->id, pattern) || fits(str_c(&ip), pattern) ||
		fits(session->helo, pattern) ||
		(session->trans != NULL &&
		 fits_transaction(session->trans, pattern));
	str_free(&ip);
	return found;
}

static const char *state_name(const struct session *session)
{
	switch (session->state) {
	case SESSION_HEADER:
		return "proxy-header";
	case SESSION_HANDSHAKE:
		return "handshake";
	case SESSION_COMMANDS:
		return session->trans != NULL ? "envelope" : "idle";
	case SESSION_BODY:
	case SESSION_SKIP:
		return "body";
	case SESSION_FINAL:
		return "outcomes";
	case SESSION_LEAVING:
	case SESSION_CLOSED:
		break;
	}
	return "leaving";
}

static void show_addr(struct json_writer *json, const char *name,
		      const struct addr *addr)
{
	struct str text = STR_INIT;

	addr_write(&text, addr);
	json_write_text(json, name, str_c(&text));
	str_free(&text);
}

static void show_transaction(const struct transaction *trans,
			     struct json_writer *json)
{
	const struct list *head = &trans->recipients, *node;
	uint64_t now_us = loop_now_us(trans->session->loop);

	json_open_object(json, "transaction");
	json_write_text(json, "id", trans->id);
	json_write_text(json, "from", trans->from.raw);
	json_write_seconds(json, "age_seconds", now_us - trans->start_us);
	json_write_number(json, "size_bytes", trans->data.size);
	json_write_number(json, "rcpt_commands", trans->rcpt_count);
	json_write_number(json, "accepted", trans->accepted);
	json_open_array(json, "recipients");
	for (node = head->next; node != head; node = node->next)
		json_write_text(json, NULL,
				container_of(node, struct recipient, node)
					->address.raw);
	json_close_array(json);
	json_close_object(json);
}

void session_show(const struct session *session, struct json_writer *json)
{
	uint64_t now_us = loop_now_us(session->loop);

	json_open_object(json, NULL);
	json_write_text(json, "id", session->id);
	show_addr(json, "client", &session->client.remote);
	show_addr(json, "local", &session->client.local);
	json_write_text(json, "helo", session->helo);
	json_write_text(json, "state", state_name(session));
	json_write_bool(json, "tls", session->secured);
	json_write_bool(json, "trusted", session->trusted);
	json_write_seconds(json, "age_seconds", now_us - session->start_us);
	json_write_number(json, "transactions", session->trans_count);
	if (session->trans != NULL)
		show_transaction(session->trans, json);
	else
		json_write_text(json, "transaction", NULL);
	json_close_object(json);
}
