// SPDX-License-Identifier: BSD-3-Clause
/*
 * -plugin file=counting.so,marks=PATH
 *
 * A plugin of QEMU's TCG (docs/devel/tcg-plugins.rst of QEMU 7.2) that counts the
 * instructions of each core. When a core executes HINT #0x55, which does nothing else, it
 * writes a line to PATH: the number of instructions that each core has executed by then.
 *
 * Debian has no package with qemu-plugin.h, so what is used of it is declared here, as
 * include/qemu/qemu-plugin.h of QEMU 7.2 has it.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

typedef void (*tb_translated)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*executed)(unsigned int core, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_translated what);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, executed what,
					  enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, executed what,
					    enum qemu_plugin_cb_flags flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t at);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);

#define EXPORT		__attribute__((visibility("default")))
/* Of qemu_plugin_install(); a plugin of an older version is taken. */
EXPORT int qemu_plugin_version = 1;

#define CORES		8
#define MARK		0xd5032abf	/* HINT #0x55 */

/* Each core has a cache line of its own and is the only one that writes there. */
static struct {
	uint64_t instructions;
	uint64_t unused[7];
} counts[CORES];
static FILE *marks;

static void block(unsigned int core, void *size)
{
	if (core < CORES)
		counts[core].instructions += (uintptr_t)size;
}

static void mark(unsigned int core, void *unused)
{
	unsigned int n;

	(void)core;
	(void)unused;
	for (n = 0; n < CORES; n++)
		fprintf(marks, "%" PRIu64 "%c", counts[n].instructions, n + 1 < CORES ? ' ' : '\n');
	fflush(marks);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t at, size = qemu_plugin_tb_n_insns(tb);
	uint32_t word;

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, block, QEMU_PLUGIN_CB_NO_REGS,
					     (void *)(uintptr_t)size);
	for (at = 0; at < size; at++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, at);

		memcpy(&word, qemu_plugin_insn_data(insn), sizeof(word));
		if (word == MARK)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, QEMU_PLUGIN_CB_NO_REGS,
							       NULL);
	}
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
			       char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "marks=", 6))
		return -1;
	marks = fopen(argv[0] + 6, "w");
	if (!marks)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
