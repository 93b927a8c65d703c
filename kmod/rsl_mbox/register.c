// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registration: makes a link with its device, and shows it to user space.
 *
 * The probe of a transport makes the link, requests interrupts or channels, and
 * then registers the link. When the transport's device is removed, devm undoes
 * these steps in reverse:
 *
 * 1. The original interface (umb.c) is deregistered.
 * 2. The character device is deleted. No file can be opened any more.
 * 3. The link is dead. Nobody is in the transport's operations any more.
 * 4. The eventfds are unbound.
 * 5. The transport frees its interrupts or channels. No notification comes any more.
 * 6. The reference of the transport's device is put.
 *
 * Each open file and each bound eventfd holds a reference, too. The last put of the
 * link's struct device frees the link.
 */
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/slab.h>

#include "rsl_mbox.h"

#define RSL_MBOX_MINORS		64

static dev_t rsl_mbox_devt;
static DEFINE_IDA(rsl_mbox_ida);

static struct class rsl_mbox_class = {
	.name = "rsl_mbox",
	.dev_groups = rsl_mbox_groups,
};

static void rsl_mbox_release(struct device *dev)
{
	struct rsl_mbox *link = to_rsl_mbox(dev);

	rsl_mbox_sysfs_free(link);
	rsl_mbox_memory_free(link);
	ida_free(&rsl_mbox_ida, link->id);
	kfree(link);
}

static void rsl_mbox_put(void *data)
{
	struct rsl_mbox *link = data;

	/* Interrupts that came before the link was registered may have queued it. */
	cancel_delayed_work_sync(&link->calm_work);
	put_device(&link->dev);
}

/**
 * devm_rsl_mbox_alloc() - make a link that user space does not see yet
 * @parent: device that the transport is bound to
 * @transport: sends the kicks
 * @vectors: number of vectors, 1 to RSL_MBOX_MAX_VECTORS
 *
 * The transport may call rsl_mbox_notify() for the link from now on. The link has no
 * memory. Its label is the name of @parent, and root can change it.
 *
 * Return: the link, or an ERR_PTR. The log has the reason.
 */
struct rsl_mbox *devm_rsl_mbox_alloc(struct device *parent,
				     const struct rsl_mbox_transport *transport,
				     unsigned int vectors)
{
	struct rsl_mbox *link;
	int ret;

	link = kzalloc(sizeof(*link), GFP_KERNEL);
	if (!link)
		return ERR_PTR(-ENOMEM);

	ret = ida_alloc_max(&rsl_mbox_ida, RSL_MBOX_MINORS - 1, GFP_KERNEL);
	if (ret < 0) {
		kfree(link);
		return ERR_PTR(dev_err_probe(parent, ret,
					     "no free minor, %d links are the most\n",
					     RSL_MBOX_MINORS));
	}
	link->id = ret;
	rsl_mbox_link_init(link, transport, vectors, rsl_mbox_eventfd_signal);

	device_initialize(&link->dev);
	link->dev.class = &rsl_mbox_class;
	link->dev.parent = parent;
	link->dev.devt = MKDEV(MAJOR(rsl_mbox_devt), link->id);
	link->dev.groups = link->groups;
	link->dev.release = rsl_mbox_release;

	/* From here on the device's reference count owns the link. */
	ret = devm_add_action_or_reset(parent, rsl_mbox_put, link);
	if (ret)
		return ERR_PTR(ret);

	ret = dev_set_name(&link->dev, "rsl_mbox%d", link->id);
	if (ret)
		return ERR_PTR(ret);

	/* A device tree's name may be longer, but its label replaces it then. */
	strscpy(link->label, dev_name(parent), sizeof(link->label));
	link->label_free = true;

	ret = rsl_mbox_sysfs_init(link);
	if (ret)
		return ERR_PTR(ret);

	return link;
}

/**
 * devm_rsl_mbox_alloc_of_node() - make a link of a device tree node
 * @parent: device that the transport is bound to; its node has the properties
 *	"label" and "memory-region"
 * @transport: sends the kicks
 * @vectors: number of vectors, 1 to RSL_MBOX_MAX_VECTORS
 *
 * As devm_rsl_mbox_alloc(), but the node has the label and the memory.
 *
 * Return: the link, or an ERR_PTR. The log has the reason.
 */
struct rsl_mbox *devm_rsl_mbox_alloc_of_node(struct device *parent,
					     const struct rsl_mbox_transport *transport,
					     unsigned int vectors)
{
	const char *label = parent->of_node->name;
	struct rsl_mbox *link;
	int ret;

	link = devm_rsl_mbox_alloc(parent, transport, vectors);
	if (IS_ERR(link))
		return link;
	link->label_free = false;
	of_property_read_string(parent->of_node, "label", &label);
	/* User space gets all of it, so nothing of the earlier one may stay. */
	if (strscpy_pad(link->label, label, sizeof(link->label)) <= 0)
		return ERR_PTR(dev_err_probe(parent, -EINVAL,
					     "%pOF: label: has to have 1 to %zu characters\n",
					     parent->of_node, sizeof(link->label) - 1));
	ret = rsl_mbox_memory_of_node(link);
	return ret ? ERR_PTR(ret) : link;
}

static void rsl_mbox_end(struct rsl_mbox *link)
{
	/* First: who learns that the link is dead must not find the remote in the memory. */
	rsl_mbox_memory_remove(link);
	rsl_mbox_kill(link);
	/* A dead link refuses a binding, so that none is left after this. */
	rsl_mbox_eventfd_unbind_all(link);
}

static void rsl_mbox_unregister(void *data)
{
	struct rsl_mbox *link = data;

	cdev_device_del(&link->cdev, &link->dev);
	rsl_mbox_end(link);
}

/**
 * devm_rsl_mbox_register() - show a link to user space
 * @parent: device that the link was made for
 * @link: the link
 *
 * The transport calls this once everything is there that a kick needs. What the
 * transport got by devm functions before this call is freed after the link is dead and
 * no process can reach memory that goes with the device.
 *
 * Return: 0 or a negative errno.
 */
int devm_rsl_mbox_register(struct device *parent, struct rsl_mbox *link)
{
	int ret;

	cdev_init(&link->cdev, &rsl_mbox_fops);
	link->cdev.owner = THIS_MODULE;
	ret = cdev_device_add(&link->cdev, &link->dev);
	if (ret) {
		/* Somebody may have opened a node made by hand in the meantime. */
		rsl_mbox_end(link);
		return ret;
	}
	ret = devm_add_action_or_reset(parent, rsl_mbox_unregister, link);
	if (ret)
		return ret;
	return devm_rsl_mbox_umb_register(parent, link);
}

/**
 * rsl_mbox_register_init() - reserve device numbers and register the class
 *
 * Return: 0 or a negative errno.
 */
int __init rsl_mbox_register_init(void)
{
	int ret;

	ret = alloc_chrdev_region(&rsl_mbox_devt, 0, RSL_MBOX_MINORS, "rsl_mbox");
	if (ret)
		return ret;
	ret = class_register(&rsl_mbox_class);
	if (ret)
		goto err_unregister_region;
	ret = rsl_mbox_memory_start();
	if (ret)
		goto err_unregister_class;
	return 0;

err_unregister_class:
	class_unregister(&rsl_mbox_class);
err_unregister_region:
	unregister_chrdev_region(rsl_mbox_devt, RSL_MBOX_MINORS);
	return ret;
}

/* Called on the error path of the module's init, too. */
void rsl_mbox_register_exit(void)
{
	rsl_mbox_memory_stop();
	class_unregister(&rsl_mbox_class);
	unregister_chrdev_region(rsl_mbox_devt, RSL_MBOX_MINORS);
}
