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
	atomic_bool cut_off[DIRECTOR_NOTES];
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

void director_notes_set_cut_off(struct director_notes *notes, uint32_t id,
				bool cut_off)
{
	if (id < DIRECTOR_NOTES)
		atomic_store_explicit(&notes->cut_off[id], cut_off,
				      memory_order_relaxed);
}

bool director_notes_cut_off(const struct director_notes *notes, uint32_t id)
{
	return id < DIRECTOR_NOTES &&
	       atomic_load_explicit(&notes->cut_off[id], memory_order_relaxed);
}
