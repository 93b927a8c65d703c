// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doorbell transport: a register to write, one value per vector, and an
 * interrupt per vector. For parts without a mailbox driver, as a GICv2m frame
 * whose message-signalled interrupts are routed to both sides.
 */
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/platform_device.h>

#include "rsl_mbox.h"

/**
 * struct doorbell_vector - what the interrupt of one vector needs
 * @link: the link
 * @mask: the vector, as a bit
 */
struct doorbell_vector {
	struct rsl_mbox *link;
	u32 mask;
};

/**
 * struct doorbell - the transport's data of one link
 * @reg: the doorbell register, 32 bits wide
 * @kick_values: what to write there, per vector
 * @vector: for the interrupts, per vector
 */
struct doorbell {
	void __iomem *reg;
	u32 kick_values[RSL_MBOX_MAX_VECTORS];
	struct doorbell_vector vector[RSL_MBOX_MAX_VECTORS];
};

static u32 doorbell_kick(struct rsl_mbox *link, u32 mask)
{
	struct doorbell *db = link->transport_data;
	unsigned long vectors = mask;
	unsigned int n;

	lockdep_assert_held(&link->kick_lock);
	/* writel() orders the shared memory's writes before the doorbell's. */
	for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS)
		writel(db->kick_values[n], db->reg);
	return 0;
}

static const struct rsl_mbox_transport doorbell_transport = {
	.name = "doorbell",
	.kick = doorbell_kick,
};

static irqreturn_t doorbell_irq(int irq, void *data)
{
	struct doorbell_vector *vector = data;

	rsl_mbox_notify(vector->link, vector->mask);
	return IRQ_HANDLED;
}

static int doorbell_request_irq(struct platform_device *pdev, struct rsl_mbox *link,
				struct doorbell_vector *vector, unsigned int n)
{
	struct device *dev = &pdev->dev;
	const char *name;
	int irq, ret;

	vector->link = link;
	vector->mask = BIT(n);
	irq = platform_get_irq_optional(pdev, n);
	if (irq < 0)
		return dev_err_probe(dev, irq, "%pOF: interrupts: entry %u cannot be mapped\n",
				     dev->of_node, n);
	name = devm_kasprintf(dev, GFP_KERNEL, "%s:%u", dev_name(&link->dev), n);
	if (!name)
		return -ENOMEM;
	ret = devm_request_irq(dev, irq, doorbell_irq, 0, name, vector);
	if (ret)
		return dev_err_probe(dev, ret, "%pOF: interrupts: entry %u cannot be requested\n",
				     dev->of_node, n);
	return 0;
}

static int doorbell_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct device_node *np = dev->of_node;
	struct resource *res;
	struct rsl_mbox *link;
	struct doorbell *db;
	int vectors, irqs, ret;
	unsigned int n;

	vectors = of_property_count_u32_elems(np, "rsl,kick-values");
	if (vectors < 1 || vectors > RSL_MBOX_MAX_VECTORS)
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: rsl,kick-values: needs 1 to %d cells, one per vector\n",
				     np, RSL_MBOX_MAX_VECTORS);
	irqs = platform_irq_count(pdev);
	if (irqs < 0)
		return dev_err_probe(dev, irqs, "%pOF: interrupts: cannot be counted\n", np);
	if (irqs != vectors)
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: interrupts: has %d, but rsl,kick-values has %d: one each per vector\n",
				     np, irqs, vectors);
	res = platform_get_resource(pdev, IORESOURCE_MEM, 0);
	if (!res || resource_size(res) < sizeof(u32) || !IS_ALIGNED(res->start, sizeof(u32)))
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: reg: has to be an aligned 32-bit register\n", np);

	db = devm_kzalloc(dev, sizeof(*db), GFP_KERNEL);
	if (!db)
		return -ENOMEM;
	ret = of_property_read_u32_array(np, "rsl,kick-values", db->kick_values, vectors);
	if (ret)
		return ret;
	/* Says what is in the way by itself. */
	db->reg = devm_ioremap_resource(dev, res);
	if (IS_ERR(db->reg))
		return PTR_ERR(db->reg);

	link = devm_rsl_mbox_alloc(dev, &doorbell_transport, vectors);
	if (IS_ERR(link))
		return PTR_ERR(link);
	link->transport_data = db;

	for (n = 0; n < vectors; n++) {
		ret = doorbell_request_irq(pdev, link, &db->vector[n], n);
		if (ret)
			return ret;
	}
	return devm_rsl_mbox_register(dev, link);
}

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
	},
};
