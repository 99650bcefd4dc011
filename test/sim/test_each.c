/* The set of every change: 50 nodes, all faults, 5 virtual minutes, EACH_SEEDS seeds, on all processors; SEALED_SEEDS
 * of them with ciphers, which cost most of the time, the others with the session core's authenticated result. Fewer
 * under a sanitizer. WEFT_SIM_SEEDS=A-B runs other seeds, all with ciphers, WEFT_SIM_JOURNAL=FILE goes on from a journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "sim_sweep.h"

#define EACH_NODES   50
#define SEALED_SEEDS 4
#if defined(__SANITIZE_ADDRESS__)
#define EACH_SEEDS SEALED_SEEDS
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EACH_SEEDS SEALED_SEEDS
#endif
#endif
#ifndef EACH_SEEDS
#define EACH_SEEDS 20
#endif

static void sweep(unsigned long long from, unsigned long long to, bool sealed)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct sweep_result r;
	char command[SIM_COMMAND];
	struct sweep w = {
		.from = from,
		.to = to,
		.length = DUR_SEC(300),
		.jobs = cpus > 1 ? (unsigned)cpus : 1,
		.journal = getenv("WEFT_SIM_JOURNAL"),
		.out = stdout,
	};

	sim_cfg_default(&w.cfg);
	w.cfg.nodes = EACH_NODES;
	w.cfg.profile = "all";
	w.cfg.data = true;
	w.cfg.no_crypto = !sealed;
	w.cfg.converge = DUR_SEC(10);
	assert_int_equal(sim_sweep(&w, &r), 0);
	assert_int_equal(r.done + r.known, to - from + 1);
	for (uint64_t i = 0; i < r.failed; i++) {
		w.cfg.seed = r.seeds[i];
		sim_command(&w.cfg, w.length, NULL, command, sizeof(command));
		print_error("seed %llu failed: %s\n", (unsigned long long)r.seeds[i], command);
	}
	assert_int_equal(r.failed, 0);
	free(r.seeds);
}

static void fifty_nodes_all_faults(void **state)
{
	const char *seeds = getenv("WEFT_SIM_SEEDS");
	unsigned long long from, to;

	(void)state;
	if (seeds) {
		assert_int_equal(sscanf(seeds, "%llu-%llu", &from, &to), 2);
		sweep(from, to, true);
		return;
	}
	sweep(1, SEALED_SEEDS, true);
	if (EACH_SEEDS > SEALED_SEEDS)
		sweep(SEALED_SEEDS + 1, EACH_SEEDS, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fifty_nodes_all_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
