/* What administrators have changed of the director, as commands that would do the
 * same. */
#include <time.h>

#include "proxy/control/private.h"
#include "proxy/director/keeper.h"

#define COMMAND "waypostctl director "

/* For a shell. */
static void put_quoted(struct str *out, const char *text)
{
	str_putc(out, '\'');
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			str_puts(out, "'\\''");
		else
			str_putc(out, *text);
	}
	str_putc(out, '\'');
}

static void put_host(struct str *out, const struct director_server *server)
{
	struct str name = STR_INIT;

	str_printf(&name, "%s@%s", server->ip, server->tag);
	put_quoted(out, str_c(&name));
	str_free(&name);
}

static void put_command(struct str *out, const char *what,
			const struct director_server *server)
{
	str_printf(out, COMMAND "%s ", what);
	put_host(out, server);
	str_putc(out, '\n');
}

static void put_added(struct str *out, const struct director_server *server)
{
	struct str entry = STR_INIT;

	str_printf(&entry, "%s*%u", server->ip, server->weight);
	if (*server->tag != '\0')
		str_printf(&entry, "@%s", server->tag);
	str_puts(out, COMMAND "add ");
	put_quoted(out, str_c(&entry));
	str_putc(out, '\n');
	str_free(&entry);
}

static void put_backend(struct str *out, const struct director_backend *backend)
{
	const struct director_server *server = &backend->server;

	if (backend->added)
		put_added(out, server);
	if (backend->removed)
		put_command(out, "remove", server);
	if (!director_backend_present(backend))
		return;
	if (backend->weight_mark.by != NULL) {
		str_puts(out, COMMAND "update ");
		put_host(out, server);
		str_printf(out, " %u\n", backend->weight);
	}
	if (backend->admin != DIRECTOR_UP)
		put_command(out, director_admin_name(backend->admin), server);
}

/* One whose time is over may be there for a while. */
static void put_pin(struct str *out, const struct director_state *state,
		    const struct director_pin *pin, uint64_t now_s)
{
	if (pin->until_s != 0 && pin->until_s <= now_s)
		return;
	str_puts(out, COMMAND "move ");
	put_quoted(out, pin->user);
	str_putc(out, ' ');
	put_host(out, &state->backends[pin->server].server);
	if (pin->until_s != 0)
		str_printf(out, " --for %llusecs",
			   (unsigned long long)(pin->until_s - now_s));
	str_putc(out, '\n');
}

void control_director_dump(struct control_call *call)
{
	const struct director_state *state =
		director_keeper_state(call->control->env.keeper);
	uint64_t now_s = (uint64_t)time(NULL);
	unsigned i;

	if (state == NULL) {
		control_refuse(&call, 409, "director_mail_servers is not set");
		return;
	}
	for (i = 0; i < state->count; i++)
		put_backend(&call->out, &state->backends[i]);
	for (i = 0; i < state->pins.count; i++)
		put_pin(&call->out, state, state->pins.list[i], now_s);
	control_answer_text(&call, 200, "text/plain; charset=utf-8");
}
