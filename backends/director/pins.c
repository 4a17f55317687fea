#include "backends/director/pins.h"

#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

/* Of the first one that is not before key. */
static unsigned place_of(const struct director_pins *pins, uint64_t key)
{
	unsigned low = 0, high = pins->count;

	if (high > 0 && pins->list[high - 1]->key < key)
		return high;
	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (pins->list[middle]->key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct director_pins *pins, unsigned place,
		  uint64_t key)
{
	return place < pins->count && pins->list[place]->key == key;
}

struct director_pin *director_pins_find(const struct director_pins *pins,
					uint64_t key)
{
	unsigned place = place_of(pins, key);

	return is_at(pins, place, key) ? pins->list[place] : NULL;
}

static struct director_pin *insert(struct director_pins *pins, unsigned place,
				   uint64_t key)
{
	struct director_pin *pin = mem_new(struct director_pin);

	if (pins->count == pins->size) {
		pins->size = pins->size * 2 + 16;
		pins->list = mem_realloc(pins->list,
					 pins->size * sizeof(*pins->list));
	}
	memmove(&pins->list[place + 1], &pins->list[place],
		(pins->count++ - place) * sizeof(*pins->list));
	pin->key = key;
	pins->list[place] = pin;
	return pin;
}

struct director_pin *director_pins_get(struct director_pins *pins, uint64_t key)
{
	unsigned place = place_of(pins, key);

	return is_at(pins, place, key) ? pins->list[place]
				       : insert(pins, place, key);
}

static void free_pin(struct director_pin *pin)
{
	mem_free(&pin->user);
	mem_free(&pin->mark.by);
	mem_free(&pin);
}

struct director_pin *director_pins_append(struct director_pins *pins,
					  uint64_t key)
{
	return insert(pins, pins->count, key);
}

static int pin_order(const void *a_p, const void *b_p)
{
	const struct director_pin *const *a = a_p, *const *b = b_p;

	return (*a)->key < (*b)->key ? -1 : (*a)->key > (*b)->key;
}

int director_pins_sort(struct director_pins *pins)
{
	unsigned i;

	if (pins->count > 0)
		qsort(pins->list, pins->count, sizeof(*pins->list), pin_order);
	for (i = 1; i < pins->count; i++) {
		if (pins->list[i - 1]->key == pins->list[i]->key)
			return -1;
	}
	return 0;
}

bool director_pins_drop(struct director_pins *pins, uint64_t key)
{
	unsigned place = place_of(pins, key);

	if (!is_at(pins, place, key))
		return false;
	free_pin(pins->list[place]);
	memmove(&pins->list[place], &pins->list[place + 1],
		(--pins->count - place) * sizeof(*pins->list));
	return true;
}

bool director_pins_expire(struct director_pins *pins, uint64_t now_s)
{
	unsigned i, kept = 0, count = pins->count;

	for (i = 0; i < count; i++) {
		struct director_pin *pin = pins->list[i];

		if (pin->until_s == 0 || pin->until_s > now_s)
			pins->list[kept++] = pin;
		else
			free_pin(pin);
	}
	pins->count = kept;
	return kept < count;
}

void director_pins_clear(struct director_pins *pins)
{
	unsigned i;

	for (i = 0; i < pins->count; i++)
		free_pin(pins->list[i]);
	mem_free(&pins->list);
	*pins = (struct director_pins){ NULL, 0, 0 };
}
