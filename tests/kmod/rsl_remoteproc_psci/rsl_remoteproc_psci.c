// SPDX-License-Identifier: GPL-2.0-only
/*
 * The second core of the emulated board as a remoteproc. PSCI (Arm DEN0022) turns
 * it on; off it turns itself, by PSCI too, when the control block of
 * tests/remote/remote_ctl.h says so.
 *
 * Device tree: compatible "rsl-test,psci-remoteproc", "reg" (that block),
 * "rsl-test,doorbell" (the address of a register, which is the link's) and
 * "rsl-test,wake-value" (what to write there to have the remote look at the block),
 * "memory-region" (where the program goes), "cpu" (the core's MPIDR affinity),
 * "firmware-name".
 */
#include <linux/arm-smccc.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/of_reserved_mem.h>
#include <linux/platform_device.h>
#include <linux/remoteproc.h>
#include <uapi/linux/psci.h>

#define CTL_MAGIC	0x000
#define CTL_OFF		0x220

#define OFF_TIMEOUT_US	(2 * USEC_PER_SEC)

struct psci_rproc {
	void __iomem *control;
	void __iomem *doorbell;
	u32 wake;
	u32 cpu;
};

static unsigned long psci_call(unsigned long function, unsigned long cpu,
			       unsigned long argument)
{
	struct arm_smccc_res res;

	arm_smccc_1_1_hvc(function, cpu, argument, 0, &res);
	return res.a0;
}

static int psci_rproc_map(struct rproc *rproc, struct rproc_mem_entry *mem)
{
	void __iomem *va = ioremap_wc(mem->dma, mem->len);

	if (!va)
		return -ENOMEM;
	mem->va = (__force void *)va;
	mem->is_iomem = true;
	return 0;
}

static int psci_rproc_unmap(struct rproc *rproc, struct rproc_mem_entry *mem)
{
	iounmap((__force void __iomem *)mem->va);
	return 0;
}

static int psci_rproc_prepare(struct rproc *rproc)
{
	struct device *dev = rproc->dev.parent;
	struct rproc_mem_entry *mem;
	struct reserved_mem *region;
	struct device_node *node;

	node = of_parse_phandle(dev->of_node, "memory-region", 0);
	region = node ? of_reserved_mem_lookup(node) : NULL;
	of_node_put(node);
	if (!region)
		return -EINVAL;
	mem = rproc_mem_entry_init(dev, NULL, region->base, region->size, region->base,
				   psci_rproc_map, psci_rproc_unmap, "%s", region->name);
	if (!mem)
		return -ENOMEM;
	rproc_add_carveout(rproc, mem);
	return 0;
}

static int psci_rproc_start(struct rproc *rproc)
{
	struct psci_rproc *psci = rproc->priv;

	/* What the program before left there is not what this one says. */
	writel(0, psci->control + CTL_MAGIC);
	writel(0, psci->control + CTL_OFF);
	/* The core starts without caches: the program has to be in memory. */
	mb();
	switch ((int)psci_call(PSCI_0_2_FN64_CPU_ON, psci->cpu, rproc->bootaddr)) {
	case PSCI_RET_SUCCESS:
		return 0;
	case PSCI_RET_ALREADY_ON:
	case PSCI_RET_ON_PENDING:
		return -EBUSY;
	default:
		return -EIO;
	}
}

static int psci_rproc_stop(struct rproc *rproc)
{
	struct psci_rproc *psci = rproc->priv;
	unsigned long state;

	writel(1, psci->control + CTL_OFF);
	writel(psci->wake, psci->doorbell);
	return read_poll_timeout(psci_call, state, state == PSCI_0_2_AFFINITY_LEVEL_OFF,
				 USEC_PER_MSEC, OFF_TIMEOUT_US, false,
				 PSCI_0_2_FN64_AFFINITY_INFO, psci->cpu, 0);
}

static const struct rproc_ops psci_rproc_ops = {
	.prepare = psci_rproc_prepare,
	.start = psci_rproc_start,
	.stop = psci_rproc_stop,
};

static int psci_rproc_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct psci_rproc *psci;
	const char *firmware;
	struct resource *control;
	struct rproc *rproc;
	u64 doorbell;

	control = platform_get_resource(pdev, IORESOURCE_MEM, 0);
	if (!control || of_property_read_u64(dev->of_node, "rsl-test,doorbell", &doorbell) ||
	    of_property_read_string(dev->of_node, "firmware-name", &firmware))
		return -EINVAL;
	rproc = devm_rproc_alloc(dev, dev_name(dev), &psci_rproc_ops, firmware, sizeof(*psci));
	if (!rproc)
		return -ENOMEM;
	rproc->auto_boot = false;
	psci = rproc->priv;
	if (of_property_read_u32(dev->of_node, "rsl-test,wake-value", &psci->wake) ||
	    of_property_read_u32(dev->of_node, "cpu", &psci->cpu))
		return -EINVAL;
	/* Both are shared with a link. */
	psci->control = devm_ioremap_wc(dev, control->start, resource_size(control));
	psci->doorbell = devm_ioremap(dev, doorbell, 4);
	if (!psci->control || !psci->doorbell)
		return -ENOMEM;
	return devm_rproc_add(dev, rproc);
}

static const struct of_device_id psci_rproc_of_match[] = {
	{ .compatible = "rsl-test,psci-remoteproc" },
	{ }
};
MODULE_DEVICE_TABLE(of, psci_rproc_of_match);

static struct platform_driver psci_rproc_driver = {
	.probe = psci_rproc_probe,
	.driver = {
		.name = "rsl_remoteproc_psci",
		.of_match_table = psci_rproc_of_match,
	},
};
module_platform_driver(psci_rproc_driver);

MODULE_DESCRIPTION("The second core of the tests' emulated board as a remoteproc");
MODULE_AUTHOR("The rsl_mbox developers");
MODULE_LICENSE("GPL");
