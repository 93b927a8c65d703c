// SPDX-License-Identifier: BSD-3-Clause
/*
 * copy DEVICE SAMPLES
 *
 * memcpy of blocks of 64 KiB into the shared memory as DEVICE maps it: /dev/rsl_mboxN
 * or the /dev/uioN of the memory. Lines: copy (in nanoseconds per block).
 */
#include "bench.h"

#define BLOCK	65536
#define BLOCKS	16

int main(int argc, char **argv)
{
	static char source[BLOCK] __attribute__((aligned(64)));
	uint64_t start;
	double *copied;
	long samples, n;
	char *memory;

	if (argc != 3)
		return 2;
	begin();
	memory = must_map(must_open(argv[1], O_RDWR | O_SYNC), BLOCK * BLOCKS, 0);
	samples = strtol(argv[2], NULL, 0);
	copied = samples_alloc(samples);
	for (n = 0; n < BLOCK; n++)
		source[n] = n;
	for (n = -WARM_UP; n < samples; n++) {
		start = counter();
		memcpy(memory + (n + WARM_UP) % BLOCKS * BLOCK, source, BLOCK);
		__asm__ volatile("dsb st" ::: "memory");
		if (n >= 0)
			copied[n] = counter_ns(counter() - start);
	}
	if (memcmp(memory, source, BLOCK)) {
		fprintf(stderr, "copy: the memory has something else\n");
		return 1;
	}
	print_samples("copy", copied, samples);
	return 0;
}
