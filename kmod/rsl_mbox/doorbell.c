// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doorbell transport. A write to a register kicks the remote, with one value per
 * vector. Interrupts notify Linux. The transport is for hardware without a mailbox
 * driver, such as a GICv2m frame whose message-signalled interrupts are routed to
 * both sides. It is also for hardware that is faster without its mailbox driver, such
 * as the ZynqMP IPI.
 *
 * One edge interrupt per vector needs no more registers. A level interrupt, or one
 * interrupt for several vectors, needs a status register, which tells the vectors. A
 * clear register clears bits of the status register.
 */
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/irq.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/pm.h>

#include "rsl_mbox.h"

/**
 * struct doorbell_irq - one interrupt
 * @db: data of the transport
 * @irq: Linux's number of the interrupt
 * @vectors: the vectors that the interrupt may notify
 * @status: bits of those vectors in the status register
 * @wakes: the interrupt is armed as a wake-up source, between suspend and resume
 * @masked: the interrupt is disabled, because its vectors are masked; guarded by the
 *	link's lock
 */
struct doorbell_irq {
	struct doorbell *db;
	int irq;
	u32 vectors;
	u32 status;
	bool wakes;
	bool masked;
};

/**
 * struct doorbell - data of the transport for one link
 * @link: the link
 * @kick_reg: register that kicks the remote
 * @status_reg: register that tells which vectors were notified; NULL if there is one
 *	edge interrupt per vector
 * @clear_reg: register that clears the written bits of @status_reg; may be NULL
 * @enable_reg: probe writes the bits of all vectors to this register; may be NULL
 * @disable_reg: removal writes the bits of all vectors to this register; may be NULL
 * @kick_values: value to write to @kick_reg, per vector
 * @status_masks: bits in @status_reg, per vector
 * @disabled: vectors that are masked by @disable_reg; guarded by the link's lock
 * @irqs: number of elements of @irq that are used
 * @irq: the interrupts: one per vector, or one for all vectors
 *
 * All registers are 32 bits wide.
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
	u32 disabled;
	unsigned int irqs;
	struct doorbell_irq irq[RSL_MBOX_MAX_VECTORS];
};

static u32 doorbell_kick(struct rsl_mbox *link, u32 mask)
{
	struct doorbell *db = link->transport_data;
	unsigned long vectors = mask;
	unsigned int n;

	/* rsl_mbox_kick() has ordered the writes to the shared memory before this one. */
	for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS)
		writel_relaxed(db->kick_values[n], db->kick_reg);
	return 0;
}

/* Return the bits of vectors in the status, enable and disable registers. */
static u32 doorbell_bits(struct doorbell *db, u32 mask)
{
	unsigned long vectors = mask;
	unsigned int n;
	u32 bits = 0;

	for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS)
		bits |= db->status_masks[n];
	return bits;
}

/* True if registers mask each vector. If not, only its interrupt can be disabled. */
static bool doorbell_has_mask_registers(struct doorbell *db)
{
	return db->enable_reg && db->disable_reg;
}

static void doorbell_mask(struct rsl_mbox *link, u32 masked)
{
	struct doorbell *db = link->transport_data;
	u32 change = masked ^ db->disabled;
	unsigned int n;

	lockdep_assert_held(&link->lock);
	if (doorbell_has_mask_registers(db)) {
		db->disabled = masked;
		if (change & masked)
			writel(doorbell_bits(db, change & masked), db->disable_reg);
		if (change & ~masked)
			writel(doorbell_bits(db, change & ~masked), db->enable_reg);
		return;
	}
	for (n = 0; n < db->irqs; n++) {
		struct doorbell_irq *di = &db->irq[n];
		bool mask = !(di->vectors & ~masked);

		if (mask == di->masked)
			continue;
		di->masked = mask;
		if (mask)
			disable_irq_nosync(di->irq);
		else
			enable_irq(di->irq);
	}
}

static const struct rsl_mbox_transport doorbell_transport = {
	.name = "doorbell",
	.kick = doorbell_kick,
	.mask = doorbell_mask,
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
		/* Clear first: a notification from now on raises the interrupt again. */
		if (db->clear_reg)
			writel(status, db->clear_reg);
		notified = 0;
		for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS)
			if (status & db->status_masks[n])
				notified |= BIT(n);
	}
	rsl_mbox_notify(db->link, notified, ktime_get());
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
	u32 type;

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
	/*
	 * Nothing would end a level. An interrupt controller that does not tell the type has
	 * one wherever there is a status (irq-sifive-plic.c).
	 */
	type = irq_get_trigger_type(di->irq);
	if (!db->clear_reg &&
	    (type & IRQ_TYPE_LEVEL_MASK || (!type && db->status_reg)))
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: rsl,clear-offset: is missing, entry %u of interrupts %s a level\n",
				     dev->of_node, n, type ? "is" : "may be");
	name = devm_kasprintf(dev, GFP_KERNEL, "%s:%u", dev_name(&db->link->dev), n);
	if (!name)
		return -ENOMEM;
	/*
	 * A mask reaches the hardware at once, so that a masked vector costs no interrupt.
	 * The interrupt controller has to latch an edge meanwhile, as a GIC does.
	 */
	irq_set_status_flags(di->irq, IRQ_DISABLE_UNLAZY);
	/* The probe enables it. */
	ret = devm_request_irq(dev, di->irq, doorbell_handle, IRQF_NO_AUTOEN, name, di);
	if (ret)
		return dev_err_probe(dev, ret,
				     "%pOF: interrupts: entry %u cannot be requested\n",
				     dev->of_node, n);
	return 0;
}

/* Set @reg to the register whose offset @property has, or NULL without @property. */
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
	/* The region is not requested, because several links may share a register. */
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

	/* With two blocks of registers, the second one is for Linux's notifications. */
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

static void doorbell_disable(void *data)
{
	struct doorbell *db = data;

	device_init_wakeup(db->link->dev.parent, false);
	if (db->disable_reg)
		writel(doorbell_bits(db, rsl_mbox_valid_mask(db->link)), db->disable_reg);
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

	link = devm_rsl_mbox_alloc_of_node(dev, &doorbell_transport, vectors);
	if (IS_ERR(link))
		return PTR_ERR(link);
	link->transport_data = db;
	db->link = link;

	/* One interrupt for several vectors is masked for all of them, or by registers. */
	link->mask_irqs = db->irqs > 1 || vectors == 1 || doorbell_has_mask_registers(db);
	if (!link->mask_irqs)
		for (n = 0; n < vectors; n++)
			link->vector[n].group = rsl_mbox_valid_mask(link);
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
		writel(doorbell_bits(db, rsl_mbox_valid_mask(link)), db->enable_reg);
	/* A storm masks interrupts, so it cannot begin while one is missing or may be freed. */
	for (n = 0; n < db->irqs; n++)
		enable_irq(db->irq[n].irq);
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
	/* The registers may have lost their power. */
	spin_lock_irq(&db->link->lock);
	if (db->enable_reg)
		writel(doorbell_bits(db, rsl_mbox_valid_mask(db->link) & ~db->disabled),
		       db->enable_reg);
	spin_unlock_irq(&db->link->lock);
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
