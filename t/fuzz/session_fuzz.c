/* A whole session: the input is what the client sends and what the backend
 * answers. Whatever they say, nothing crashes, and the client never hears of a
 * delivery that the backend did not make. */
#include <stdint.h>
#include <string.h>

#include "lib/panic.h"
#include "t/session_world.h"

#define CLIENT_MAX 4096
#define PIECES_MAX 32

struct script {
	const uint8_t *data; /* bytes that choose the answers */
	size_t len, used;
};

static const char *const answers[] = {
	"250 2.0.0 fine\r\n",
	"250-fine\r\n250 PIPELINING\r\n",
	"250 fine\r\n250 twice\r\n",
	"354 go on\r\n",
	"421 4.3.2 closing\r\n",
	"450 not now\r\n",
	"452 4.2.2 <x@y> full\r\n",
	"550 5.1.1 no such user\r\n",
	"552-5.2.2 much\r\n552 5.2.2 too much\r\n",
	"2",
	"",
	"250 no end",
	"garbage\r\n",
	"999 what\r\n",
	"250 \r\n",
};

#define ANSWERS (sizeof(answers) / sizeof(answers[0]))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every other byte stands for the good answer, so that sessions get far. */
static const char *scripted(struct world *world, enum world_stage stage)
{
	struct script *script = world->owner;
	uint8_t choice;

	if (script->used >= script->len)
		return world_good_answer(world, stage);
	choice = script->data[script->used++];
	if (choice & 1)
		return world_good_answer(world, stage);
	choice = (uint8_t)(choice >> 1) % (ANSWERS + 1);
	return choice < ANSWERS ? answers[choice] : NULL;
}

static unsigned count_saved(const char *text)
{
	unsigned count = 0;

	while ((text = strstr(text, " Saved\r\n")) != NULL) {
		text++;
		count++;
	}
	return count;
}

/* The client is believed, and the backend wants to be told of it; or the
 * connection begins with a PROXY header. */
enum { TRUST_CLIENT = 1 << 0, TRUST_BALANCER = 1 << 1, TRUST_FLAGS = 3 };

static void set_trust(struct world *world, unsigned flags)
{
	static const char lhlo[] =
		"250-backend\r\n250-PIPELINING\r\n250-XRCPTFORWARD\r\n"
		"250 XCLIENT ADDR PORT PROTO HELO LOGIN SESSION TTL TIMEOUT\r\n";

	if (flags & TRUST_CLIENT) {
		world_trust(world, "0.0.0.0/0 ::/0 local");
		world->lhlo = lhlo;
	}
	if (flags & TRUST_BALANCER) {
		world_trust_balancers(world, "0.0.0.0/0");
	}
}

/* Input: one byte for the length of the script (odd: the backend offers
 * CHUNKING), the script, a byte of trust flags if it is one, then what the
 * client sends; 0xff in it means: let things happen. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world world;
	struct script script;
	size_t pieces = 0;

	if (size < 1 || size > CLIENT_MAX)
		return 0;
	world_open(&world);
	script.len = data[0] < size ? data[0] : size - 1;
	script.data = data + 1;
	script.used = 0;
	world.answer = scripted;
	world.owner = &script;
	world.chunking = script.len & 1;
	data += 1 + script.len;
	size -= 1 + script.len;
	if (size > 0 && data[0] <= TRUST_FLAGS) {
		set_trust(&world, data[0]);
		data++;
		size--;
	}
	world_connect(&world);
	while (size > 0 && pieces++ < PIECES_MAX) {
		const uint8_t *end = memchr(data, 0xff, size);
		size_t len = end != NULL ? (size_t)(end - data) : size;

		world_send(&world, (const char *)data, len);
		world_settle(&world);
		data += len;
		size -= len;
		if (size > 0) {
			data++;
			size--;
		}
	}
	world_half_close(&world);
	world_settle(&world);
	ASSERT(count_saved(str_c(&world.replies)) <= world.delivered);
	world_close(&world);
	return 0;
}
