/* sim_sweep.h - one life per seed of a range, on several processors, resumable.
 *
 * A journal is a text file: its first line says of which runs it speaks and by which program, as a digest
 * of its file; then comes a line per seed that was done. A sweep that finds its journal goes on with the
 * seeds that are missing in it; one of other runs, or of another build, is refused. Lines are written whole; one that a crash cut short doesn't count. */
#ifndef WEFT_SIM_SWEEP_H
#define WEFT_SIM_SWEEP_H

#include <stdint.h>
#include <stdio.h>
#include "sim.h"

struct sweep {
	struct sim_cfg cfg; /* of each run, but for its seed */
	dur_t length;
	uint64_t from, to;   /* seeds, both included */
	unsigned jobs;       /* runs at a time, each in a process of its own; at least 1 */
	const char *journal; /* NULL: none */
	FILE *out;           /* a line per seed; NULL: none */
};

struct sweep_result {
	uint64_t done, known; /* runs of now; of before, as the journal says */
	uint64_t failed;      /* among both */
	uint64_t *seeds;      /* that failed, owned by the caller */
};

/* 0; ERR_CONFLICT: the journal speaks of other runs; ERR_VERSION: of the same, by another build; a negative
 * errno of its file or the program's. A run that fails,
 * crashes included, is no error. */
int sim_sweep(const struct sweep *w, struct sweep_result *out);

#endif
