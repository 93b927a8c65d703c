// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doorbell transport: a register to write, one value per vector, and interrupts
 * to receive. For parts without a mailbox driver, as a GICv2m frame whose
 * message-signalled interrupts are routed to both sides, or where the mailbox
 * driver is slower than the block itself, as the ZynqMP IPI.
 *
 * An edge interrupt per vector needs nothing else. Where a level interrupt stays
 * until it is cleared, or one stands for several vectors, a status register says
 * which of them it is, and a clear register takes it back.
 */
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/pm.h>

#include "rsl_mbox.h"

/**
 * struct doorbell_irq - what the handler of one interrupt needs
 * @db: the transport's data
 * @irq: Linux's number of the interrupt
 * @vectors: the vectors that it stands for
 * @status: their bits in the status register
 * @wakes: the system sleeps, or goes there, and the interrupt ends that
 */
struct doorbell_irq {
	struct doorbell *db;
	int irq;
	u32 vectors;
	u32 status;
	bool wakes;
};

/**
 * struct doorbell - the transport's data of one link
 * @link: the link
 * @kick_reg: rings the remote, 32 bits wide as all of them
 * @status_reg: tells which vectors were notified; NULL where interrupts do
 * @clear_reg: takes back the bits of @status_reg that are written; may be NULL
 * @enable_reg: is written the bits of all vectors at the start; may be NULL
 * @disable_reg: is written the bits of all vectors at the end; may be NULL
 * @kick_values: what to write to @kick_reg, per vector
 * @status_masks: bits in @status_reg, per vector
 * @irqs: number of @irq
 * @irq: the interrupts: one per vector, or one for all
 */
struct doorbell {
	struct rsl_mbox *link;
	void __iomem *kick_reg;
	void __iomem *status_reg;
	void __iomem *clear_reg;
	void __iomem *enable_reg;
	void __iomem *disable_reg;
	u32 kick_values[RSL_MBOX_MAX_VECTORS];
	u32 status_masks[RSL_MBOX_MAX_VECTORS];
	unsigned int irqs;
	struct doorbell_irq irq[RSL_MBOX_MAX_VECTORS];
};

static u32 doorbell_kick(struct rsl_mbox *link, u32 mask)
{
	struct doorbell *db = link->transport_data;
	unsigned long vectors = mask;
	unsigned int n;

	lockdep_assert_held(&link->kick_lock);
	/* writel() orders the shared memory's writes before the doorbell's. */
	for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS)
		writel(db->kick_values[n], db->kick_reg);
	return 0;
}

static const struct rsl_mbox_transport doorbell_transport = {
	.name = "doorbell",
	.kick = doorbell_kick,
};

static irqreturn_t doorbell_handle(int irq, void *data)
{
	struct doorbell_irq *di = data;
	struct doorbell *db = di->db;
	unsigned long vectors = di->vectors;
	u32 notified = di->vectors;
	unsigned int n;
	u32 status;

	if (db->status_reg) {
		status = readl(db->status_reg) & di->status;
		if (!status)
			return IRQ_NONE;
		/* Before the work: what comes from now on is an interrupt again. */
		if (db->clear_reg)
			writel(status, db->clear_reg);
		notified = 0;
		for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS)
			if (status & db->status_masks[n])
				notified |= BIT(n);
	}
	rsl_mbox_notify(db->link, notified);
	return IRQ_HANDLED;
}

static int doorbell_request_irq(struct platform_device *pdev, struct doorbell *db,
				unsigned int n)
{
	struct doorbell_irq *di = &db->irq[n];
	struct device *dev = &pdev->dev;
	unsigned int vector;
	const char *name;
	int ret;

	di->db = db;
	di->vectors = BIT(n);
	if (db->irqs == 1)
		di->vectors = rsl_mbox_valid_mask(db->link);
	for (vector = 0; vector < db->link->vectors; vector++)
		if (di->vectors & BIT(vector))
			di->status |= db->status_masks[vector];

	di->irq = platform_get_irq_optional(pdev, n);
	if (di->irq < 0)
		return dev_err_probe(dev, di->irq,
				     "%pOF: interrupts: entry %u cannot be mapped\n",
				     dev->of_node, n);
	name = devm_kasprintf(dev, GFP_KERNEL, "%s:%u", dev_name(&db->link->dev), n);
	if (!name)
		return -ENOMEM;
	ret = devm_request_irq(dev, di->irq, doorbell_handle, 0, name, di);
	if (ret)
		return dev_err_probe(dev, ret,
				     "%pOF: interrupts: entry %u cannot be requested\n",
				     dev->of_node, n);
	return 0;
}

/* The register at the offset that a property gives; NULL without the property. */
static int doorbell_register(struct device *dev, const struct resource *res,
			     void __iomem *base, const char *property,
			     void __iomem **reg)
{
	u32 offset;

	*reg = NULL;
	if (of_property_read_u32(dev->of_node, property, &offset))
		return 0;
	if (!IS_ALIGNED(offset, sizeof(u32)) || offset > resource_size(res) - sizeof(u32))
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: %s: %#x is not a 32-bit register within reg\n",
				     dev->of_node, property, offset);
	*reg = base + offset;
	return 0;
}

static void __iomem *doorbell_map(struct platform_device *pdev, unsigned int index,
				  struct resource **res)
{
	struct device *dev = &pdev->dev;
	void __iomem *base;

	*res = platform_get_resource(pdev, IORESOURCE_MEM, index);
	if (!*res || resource_size(*res) < sizeof(u32) ||
	    !IS_ALIGNED((*res)->start, sizeof(u32))) {
		dev_err_probe(dev, -EINVAL,
			      "%pOF: reg: entry %u has to be aligned 32-bit registers\n",
			      dev->of_node, index);
		return IOMEM_ERR_PTR(-EINVAL);
	}
	/* Not requested: one register may ring the remotes of several links. */
	base = devm_ioremap(dev, (*res)->start, resource_size(*res));
	return base ?: IOMEM_ERR_PTR(-ENOMEM);
}

static int doorbell_registers_init(struct platform_device *pdev, struct doorbell *db)
{
	struct device *dev = &pdev->dev;
	void __iomem *base;
	struct resource *res;
	int ret;

	base = doorbell_map(pdev, 0, &res);
	if (IS_ERR(base))
		return PTR_ERR(base);
	ret = doorbell_register(dev, res, base, "rsl,kick-offset", &db->kick_reg);
	if (ret)
		return ret;
	if (!db->kick_reg)
		db->kick_reg = base;

	/* Where there are two blocks, the second is the one that we are rung by. */
	if (platform_get_resource(pdev, IORESOURCE_MEM, 1)) {
		base = doorbell_map(pdev, 1, &res);
		if (IS_ERR(base))
			return PTR_ERR(base);
	}
	ret = doorbell_register(dev, res, base, "rsl,status-offset", &db->status_reg);
	if (!ret)
		ret = doorbell_register(dev, res, base, "rsl,clear-offset", &db->clear_reg);
	if (!ret)
		ret = doorbell_register(dev, res, base, "rsl,enable-offset", &db->enable_reg);
	if (!ret)
		ret = doorbell_register(dev, res, base, "rsl,disable-offset",
					&db->disable_reg);
	return ret;
}

static int doorbell_vectors_init(struct platform_device *pdev, struct doorbell *db)
{
	struct device *dev = &pdev->dev;
	struct device_node *np = dev->of_node;
	int vectors, irqs, ret;

	vectors = of_property_count_u32_elems(np, "rsl,kick-values");
	if (vectors < 1 || vectors > RSL_MBOX_MAX_VECTORS)
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: rsl,kick-values: needs 1 to %d cells, one per vector\n",
				     np, RSL_MBOX_MAX_VECTORS);
	ret = of_property_read_u32_array(np, "rsl,kick-values", db->kick_values, vectors);
	if (ret)
		return ret;
	if ((db->status_reg || db->clear_reg || db->enable_reg || db->disable_reg) &&
	    (!db->status_reg ||
	     of_property_count_u32_elems(np, "rsl,status-masks") != vectors))
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: rsl,status-masks: needs %d cells, one per vector, beside rsl,status-offset\n",
				     np, vectors);
	if (db->status_reg) {
		ret = of_property_read_u32_array(np, "rsl,status-masks",
						 db->status_masks, vectors);
		if (ret)
			return ret;
	}

	irqs = platform_irq_count(pdev);
	if (irqs < 0)
		return dev_err_probe(dev, irqs, "%pOF: interrupts: cannot be counted\n", np);
	if (irqs != vectors && !(irqs == 1 && db->status_reg))
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: interrupts: has %d, but rsl,kick-values has %d: one each per vector, or one and rsl,status-offset\n",
				     np, irqs, vectors);
	db->irqs = irqs;
	return vectors;
}

static u32 doorbell_all_masks(struct doorbell *db)
{
	unsigned int n;
	u32 masks = 0;

	for (n = 0; n < db->link->vectors; n++)
		masks |= db->status_masks[n];
	return masks;
}

static void doorbell_disable(void *data)
{
	struct doorbell *db = data;

	device_init_wakeup(db->link->dev.parent, false);
	if (db->disable_reg)
		writel(doorbell_all_masks(db), db->disable_reg);
}

static int doorbell_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct rsl_mbox *link;
	struct doorbell *db;
	int vectors, ret;
	unsigned int n;

	db = devm_kzalloc(dev, sizeof(*db), GFP_KERNEL);
	if (!db)
		return -ENOMEM;
	ret = doorbell_registers_init(pdev, db);
	if (ret)
		return ret;
	vectors = doorbell_vectors_init(pdev, db);
	if (vectors < 0)
		return vectors;

	link = devm_rsl_mbox_alloc(dev, &doorbell_transport, vectors);
	if (IS_ERR(link))
		return PTR_ERR(link);
	link->transport_data = db;
	db->link = link;

	for (n = 0; n < db->irqs; n++) {
		ret = doorbell_request_irq(pdev, db, n);
		if (ret)
			return ret;
	}
	ret = devm_add_action_or_reset(dev, doorbell_disable, db);
	if (ret)
		return ret;
	platform_set_drvdata(pdev, db);
	device_init_wakeup(dev, of_property_read_bool(dev->of_node, "wakeup-source"));
	if (db->enable_reg)
		writel(doorbell_all_masks(db), db->enable_reg);
	return devm_rsl_mbox_register(dev, link);
}

static int __maybe_unused doorbell_suspend(struct device *dev)
{
	struct doorbell *db = dev_get_drvdata(dev);
	unsigned int n;

	if (device_may_wakeup(dev))
		for (n = 0; n < db->irqs; n++)
			db->irq[n].wakes = !enable_irq_wake(db->irq[n].irq);
	return 0;
}

static int __maybe_unused doorbell_resume(struct device *dev)
{
	struct doorbell *db = dev_get_drvdata(dev);
	unsigned int n;

	for (n = 0; n < db->irqs; n++) {
		if (db->irq[n].wakes)
			disable_irq_wake(db->irq[n].irq);
		db->irq[n].wakes = false;
	}
	return 0;
}

static const struct dev_pm_ops doorbell_pm_ops = {
	SET_SYSTEM_SLEEP_PM_OPS(doorbell_suspend, doorbell_resume)
};

static const struct of_device_id doorbell_of_match[] = {
	{ .compatible = "rsl,mbox-doorbell" },
	{ }
};
MODULE_DEVICE_TABLE(of, doorbell_of_match);

struct platform_driver rsl_mbox_doorbell_driver = {
	.probe = doorbell_probe,
	.driver = {
		.name = "rsl_mbox_doorbell",
		.of_match_table = doorbell_of_match,
		.pm = &doorbell_pm_ops,
	},
};
