/* sim_measure.h - the figures of docs/simulator.md: what a cluster does in one situation, measured.
 *
 *	join		all start at once and know one seed: until everyone agrees
 *	spread		a node's prefixes change: until 99 %, until all know
 *	death		a node falls silent: until each of the others declares it dead
 *	loss		5 % loss everywhere: healthy nodes declared dead
 *	slow		a tenth of the nodes stalls for 500 ms again and again: nodes declared dead
 *	idle		what a node sends when nothing happens, all headers counted
 *	partition	two halves are apart for a while and change records: from healing to agreement
 *
 * A measurement adds samples to figures, which outlive it, so that several seeds add to the same.
 * Several may follow one another in one life, which then joins once. */
#ifndef WEFT_SIM_MEASURE_H
#define WEFT_SIM_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include "weft/ts.h"

struct sim;

#define FIGURES_MAX 20

struct figure {
	const char *name, *unit;
	double *v; /* samples */
	size_t count, cap;
};

struct figures {
	struct figure f[FIGURES_MAX];
	size_t count;
};

void figures_free(struct figures *f);
double figure_median(struct figure *f); /* sorts; 0 without samples */
double figure_worst(struct figure *f);  /* the highest: of all figures, less is better */

/* Is there such a measurement? How long is it by default? */
bool measure_known(const char *name);
dur_t measure_length(const char *name);
const char *measure_name(unsigned i); /* NULL past the end */
/* Run it on a simulation, whose nodes are started if they are not yet. @length: virtual time of the
 * part that lasts. False: the nodes never agreed, or an invariant failed (sim.failed tells). */
bool measure_run(struct sim *s, const char *name, dur_t length, struct figures *out);

#endif
