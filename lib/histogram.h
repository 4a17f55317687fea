/* How long something takes, counted in buckets. One thread's. */
#ifndef LIB_HISTOGRAM_H
#define LIB_HISTOGRAM_H

#include <stdint.h>

/* Upper bounds of the buckets in us, the last of which has none. */
#define HISTOGRAM_BUCKETS 15
extern const uint64_t histogram_bounds_us[HISTOGRAM_BUCKETS - 1];

struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS];
	uint64_t sum_us;
};

void histogram_add(struct histogram *histogram, uint64_t time_us);

/* Adds all that other has counted. */
void histogram_merge(struct histogram *histogram,
		     const struct histogram *other);

#endif
