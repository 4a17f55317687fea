#include "lib/histogram.h"

const uint64_t histogram_bounds_us[HISTOGRAM_BUCKETS - 1] = {
	500,	1000,	2500,	 5000,	  10000,   25000,   50000,
	100000, 250000, 500000, 1000000, 2500000, 10000000, 60000000,
};

void histogram_add(struct histogram *histogram, uint64_t time_us)
{
	unsigned i = 0;

	while (i < HISTOGRAM_BUCKETS - 1 && time_us > histogram_bounds_us[i])
		i++;
	histogram->counts[i]++;
	histogram->sum_us += time_us;
}

void histogram_merge(struct histogram *histogram,
		     const struct histogram *other)
{
	unsigned i;

	for (i = 0; i < HISTOGRAM_BUCKETS; i++)
		histogram->counts[i] += other->counts[i];
	histogram->sum_us += other->sum_us;
}
