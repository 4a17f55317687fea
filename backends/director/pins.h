/* Users who were moved by hand, by key. */
#ifndef BACKENDS_DIRECTOR_PINS_H
#define BACKENDS_DIRECTOR_PINS_H

#include <stdbool.h>
#include <stdint.h>

/* More than these are not made: all are in each view, and read with it. */
enum { DIRECTOR_MAX_PINS = 10000 };

/* Who set something, and when. */
struct director_mark {
	char *by;      /* NULL: nobody, it is as the configuration says */
	uint64_t at_s; /* Unix time */
};

struct director_pin {
	uint64_t key; /* see director_choice */
	char *user;
	uint32_t server;  /* the id of its backend */
	uint64_t until_s; /* 0: for good */
	struct director_mark mark;
};

/* Zeroed: there are none. */
struct director_pins {
	struct director_pin **list; /* sorted by key */
	unsigned count, size;
};

/* NULL: there is none. Valid until that pin is dropped. */
struct director_pin *director_pins_find(const struct director_pins *pins,
					uint64_t key);

/* The same, but made, with nothing set, where there is none. Takes no time if the
 * key is larger than all others. */
struct director_pin *director_pins_get(struct director_pins *pins,
				       uint64_t key);

/* One more behind all others, whatever its key: for many at a time. Nothing but to
 * be cleared is asked of pins until director_pins_sort(): 0, or -1 when a key is
 * there twice. */
struct director_pin *director_pins_append(struct director_pins *pins,
					  uint64_t key);
int director_pins_sort(struct director_pins *pins);

/* Whether there was one to drop. */
bool director_pins_drop(struct director_pins *pins, uint64_t key);

/* Drops those whose time is over; whether there were any. */
bool director_pins_expire(struct director_pins *pins, uint64_t now_s);

void director_pins_clear(struct director_pins *pins);

#endif
