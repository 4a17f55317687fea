#include "backends/director/notes.h"

#include <stdatomic.h>

#include "lib/mem.h"

/* A way as a number, behind the port; 0: there is none. */
#define WAY_KNOWN (1U << 16)
#define WAY_SMTP (1U << 17)
#define WAY_ANY_CERT (1U << 18)
#define WAY_TLS_SHIFT 19

struct director_notes {
	atomic_uint ways[DIRECTOR_NOTES];
	atomic_uchar reach[DIRECTOR_NOTES]; /* enum director_reach */
	_Atomic uint64_t awake_ms;
	atomic_bool hold;
};

struct director_notes *director_notes_new(void)
{
	return mem_new(struct director_notes);
}

void director_notes_free(struct director_notes **notes)
{
	mem_free(notes);
}

static unsigned way_number(const struct director_way *way)
{
	return way->port | WAY_KNOWN |
	       (way->protocol == REMOTE_SMTP ? WAY_SMTP : 0) |
	       (way->any_cert ? WAY_ANY_CERT : 0) |
	       (unsigned)way->tls << WAY_TLS_SHIFT;
}

void director_notes_set_way(struct director_notes *notes, uint32_t id,
			    const struct director_way *way)
{
	unsigned number = way_number(way);

	if (id < DIRECTOR_NOTES &&
	    atomic_load_explicit(&notes->ways[id], memory_order_relaxed) !=
		    number)
		atomic_store_explicit(&notes->ways[id], number,
				      memory_order_relaxed);
}

bool director_notes_way(const struct director_notes *notes, uint32_t id,
			struct director_way *way_r)
{
	unsigned number = 0;

	if (id < DIRECTOR_NOTES)
		number = atomic_load_explicit(&notes->ways[id],
					      memory_order_relaxed);
	if (number == 0)
		return false;
	*way_r = (struct director_way){
		.port = (uint16_t)number,
		.has_protocol = true,
		.protocol = number & WAY_SMTP ? REMOTE_SMTP : REMOTE_LMTP,
		.has_tls = true,
		.tls = (enum remote_tls)(number >> WAY_TLS_SHIFT),
		.any_cert = (number & WAY_ANY_CERT) != 0,
	};
	return true;
}

void director_notes_set_reach(struct director_notes *notes, uint32_t id,
			      enum director_reach reach)
{
	if (id < DIRECTOR_NOTES)
		atomic_store_explicit(&notes->reach[id], (unsigned char)reach,
				      memory_order_relaxed);
}

enum director_reach director_notes_reach(const struct director_notes *notes,
					 uint32_t id)
{
	if (id >= DIRECTOR_NOTES)
		return DIRECTOR_REACHED;
	return (enum director_reach)atomic_load_explicit(
		&notes->reach[id], memory_order_relaxed);
}

void director_notes_watch(struct director_notes *notes, uint64_t now_ms)
{
	atomic_store(&notes->awake_ms, now_ms);
}

void director_notes_hold(struct director_notes *notes, bool hold)
{
	atomic_store(&notes->hold, hold);
}

bool director_notes_holds(const struct director_notes *notes, uint64_t now_ms)
{
	/* Before: hold is set by then. */
	uint64_t awake_ms = atomic_load(&notes->awake_ms);

	return atomic_load(&notes->hold) ||
	       (awake_ms != 0 && now_ms > awake_ms + DIRECTOR_SLEEP_MS);
}
