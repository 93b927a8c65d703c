// SPDX-License-Identifier: GPL-2.0-only
/* /sys/class/rsl_mbox. docs/reference/abi/sysfs-class-rsl_mbox documents it. */
#include <linux/ctype.h>
#include <linux/device.h>
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "rsl_mbox.h"

static ssize_t kick_store(struct device *dev, struct device_attribute *attr,
			  const char *buf, size_t count)
{
	struct rsl_mbox *link = to_rsl_mbox(dev);
	unsigned int vector;
	int ret;

	ret = kstrtouint(buf, 0, &vector);
	if (ret)
		return ret;
	if (vector >= link->vectors)
		return -EINVAL;
	ret = rsl_mbox_kick(link, BIT(vector));
	return ret ?: count;
}
static DEVICE_ATTR_WO(kick);

static ssize_t label_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	char label[RSL_MBOX_LABEL_SIZE];

	rsl_mbox_label(to_rsl_mbox(dev), label);
	return sysfs_emit(buf, "%s\n", label);
}

static ssize_t label_store(struct device *dev, struct device_attribute *attr,
			   const char *buf, size_t count)
{
	struct rsl_mbox *link = to_rsl_mbox(dev);
	size_t length = count, n;

	if (length && buf[length - 1] == '\n')
		length--;
	if (!length || length >= RSL_MBOX_LABEL_SIZE)
		return -EINVAL;
	/* A label is part of the names of files. */
	for (n = 0; n < length; n++)
		if (!(isascii(buf[n]) && isalnum(buf[n])) &&
		    (!n || !strchr("_.:-", buf[n])))
			return -EINVAL;
	rsl_mbox_set_label(link, buf, length);
	/* udev names a file by it. */
	kobject_uevent(&dev->kobj, KOBJ_CHANGE);
	return count;
}
static DEVICE_ATTR_RW(label);

/* For root only: /proc/iomem hides addresses from others, too. */
static ssize_t memory_base_show(struct device *dev, struct device_attribute *attr,
				char *buf)
{
	return sysfs_emit(buf, "%pa\n", &to_rsl_mbox(dev)->memory_base);
}
static DEVICE_ATTR_ADMIN_RO(memory_base);

static ssize_t memory_size_show(struct device *dev, struct device_attribute *attr,
				char *buf)
{
	return sysfs_emit(buf, "%pa\n", &to_rsl_mbox(dev)->memory_size);
}
static DEVICE_ATTR_RO(memory_size);

static ssize_t open_files_show(struct device *dev, struct device_attribute *attr,
			       char *buf)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&to_rsl_mbox(dev)->open_files));
}
static DEVICE_ATTR_RO(open_files);

static ssize_t reset_store(struct device *dev, struct device_attribute *attr,
			   const char *buf, size_t count)
{
	struct rsl_mbox *link = to_rsl_mbox(dev);
	bool wanted;
	int ret;

	ret = kstrtobool(buf, &wanted);
	if (ret)
		return ret;
	if (!wanted)
		return -EINVAL;
	ret = link->transport->reset(link);
	return ret ?: count;
}
static DEVICE_ATTR_WO(reset);

static ssize_t stalled_ms_show(struct device *dev, struct device_attribute *attr,
			       char *buf)
{
	struct rsl_mbox *link = to_rsl_mbox(dev);
	ktime_t since = 0;

	rcu_read_lock();
	if (!rsl_mbox_dead(link))
		since = link->transport->stalled_since(link);
	rcu_read_unlock();
	return sysfs_emit(buf, "%lld\n",
			  since ? ktime_ms_delta(ktime_get(), since) : 0);
}
static DEVICE_ATTR_RO(stalled_ms);

static ssize_t storm_limit_show(struct device *dev, struct device_attribute *attr,
				char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(to_rsl_mbox(dev)->storm_limit));
}

static ssize_t storm_limit_store(struct device *dev, struct device_attribute *attr,
				 const char *buf, size_t count)
{
	u32 limit;
	int ret;

	ret = kstrtou32(buf, 0, &limit);
	if (ret)
		return ret;
	rsl_mbox_set_storm_limit(to_rsl_mbox(dev), limit);
	return count;
}
static DEVICE_ATTR_RW(storm_limit);

static ssize_t transport_show(struct device *dev, struct device_attribute *attr,
			      char *buf)
{
	return sysfs_emit(buf, "%s\n", to_rsl_mbox(dev)->transport->name);
}
static DEVICE_ATTR_RO(transport);

static ssize_t vectors_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", to_rsl_mbox(dev)->vectors);
}
static DEVICE_ATTR_RO(vectors);

static struct attribute *rsl_mbox_attrs[] = {
	&dev_attr_kick.attr,
	&dev_attr_label.attr,
	&dev_attr_memory_base.attr,
	&dev_attr_memory_size.attr,
	&dev_attr_open_files.attr,
	&dev_attr_reset.attr,
	&dev_attr_stalled_ms.attr,
	&dev_attr_storm_limit.attr,
	&dev_attr_transport.attr,
	&dev_attr_vectors.attr,
	NULL
};

static umode_t rsl_mbox_attr_visible(struct kobject *kobj, struct attribute *attr, int n)
{
	struct rsl_mbox *link = to_rsl_mbox(kobj_to_dev(kobj));
	const struct rsl_mbox_transport *transport = link->transport;

	if (attr == &dev_attr_label.attr && !link->label_free)
		return 0444;
	if (attr == &dev_attr_reset.attr && !transport->reset)
		return 0;
	if (attr == &dev_attr_stalled_ms.attr && !transport->stalled_since)
		return 0;
	return attr->mode;
}

static const struct attribute_group rsl_mbox_group = {
	.is_visible = rsl_mbox_attr_visible,
	.attrs = rsl_mbox_attrs,
};

const struct attribute_group *rsl_mbox_groups[] = {
	&rsl_mbox_group,
	NULL
};

#define RSL_MBOX_VECTOR_ATTRS	7

/**
 * struct rsl_mbox_vector_attrs - the directory vectorN of one vector
 * @ext: the attributes; the var of each is the number of the vector
 * @attrs: the attributes above, NULL-terminated
 * @name: name of the directory
 * @group: attribute group that is the directory
 */
struct rsl_mbox_vector_attrs {
	struct dev_ext_attribute ext[RSL_MBOX_VECTOR_ATTRS];
	struct attribute *attrs[RSL_MBOX_VECTOR_ATTRS + 1];
	char name[sizeof("vector4294967295")];
	struct attribute_group group;
};

static struct rsl_mbox_vector_stat rsl_mbox_vector_stat(struct device *dev,
							struct device_attribute *attr)
{
	struct dev_ext_attribute *ext = container_of(attr, struct dev_ext_attribute, attr);
	struct rsl_mbox_vector_stat stat = {};

	rsl_mbox_count(to_rsl_mbox(dev), (uintptr_t)ext->var, &stat);
	return stat;
}

static ssize_t rsl_mbox_bound_show(struct device *dev, struct device_attribute *attr,
				   char *buf, unsigned int direction)
{
	struct dev_ext_attribute *ext = container_of(attr, struct dev_ext_attribute, attr);
	struct rsl_mbox *link = to_rsl_mbox(dev);
	struct rsl_mbox_vector *vector = &link->vector[(uintptr_t)ext->var];

	return sysfs_emit(buf, "%u\n", READ_ONCE(vector->bound[direction]));
}

static ssize_t bound_kick_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return rsl_mbox_bound_show(dev, attr, buf, RSL_MBOX_KICK);
}

static ssize_t bound_notify_show(struct device *dev, struct device_attribute *attr,
				 char *buf)
{
	return rsl_mbox_bound_show(dev, attr, buf, RSL_MBOX_NOTIFY);
}

static ssize_t masked_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct dev_ext_attribute *ext = container_of(attr, struct dev_ext_attribute, attr);
	struct rsl_mbox *link = to_rsl_mbox(dev);
	u32 vector = BIT((uintptr_t)ext->var);

	/* The strongest reason: who ends a mask has to know. */
	if (READ_ONCE(link->storming) & vector)
		return sysfs_emit(buf, "storm\n");
	if (READ_ONCE(link->masked) & vector)
		return sysfs_emit(buf, "mask\n");
	return sysfs_emit(buf, READ_ONCE(link->fired) & vector ? "oneshot\n" : "\n");
}

static ssize_t kicks_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", rsl_mbox_vector_stat(dev, attr).kicks);
}

static ssize_t kicks_coalesced_show(struct device *dev, struct device_attribute *attr,
				    char *buf)
{
	return sysfs_emit(buf, "%llu\n", rsl_mbox_vector_stat(dev, attr).kicks_coalesced);
}

static ssize_t notifications_show(struct device *dev, struct device_attribute *attr,
				  char *buf)
{
	return sysfs_emit(buf, "%llu\n", rsl_mbox_vector_stat(dev, attr).notifications);
}

static ssize_t storms_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", rsl_mbox_vector_stat(dev, attr).storms);
}

/**
 * rsl_mbox_sysfs_init() - make the attributes of the vectors
 * @link: the link; its number of vectors is set
 *
 * Return: 0 or -ENOMEM.
 */
int rsl_mbox_sysfs_init(struct rsl_mbox *link)
{
	static const struct device_attribute attrs[RSL_MBOX_VECTOR_ATTRS] = {
		__ATTR_RO(bound_kick),
		__ATTR_RO(bound_notify),
		__ATTR_RO(kicks),
		__ATTR_RO(kicks_coalesced),
		__ATTR_RO(masked),
		__ATTR_RO(notifications),
		__ATTR_RO(storms),
	};
	unsigned int n, i;

	link->vector_attrs = kcalloc(link->vectors, sizeof(*link->vector_attrs),
				     GFP_KERNEL);
	if (!link->vector_attrs)
		return -ENOMEM;

	for (n = 0; n < link->vectors; n++) {
		struct rsl_mbox_vector_attrs *va = &link->vector_attrs[n];

		for (i = 0; i < RSL_MBOX_VECTOR_ATTRS; i++) {
			va->ext[i].attr = attrs[i];
			va->ext[i].var = (void *)(uintptr_t)n;
			sysfs_attr_init(&va->ext[i].attr.attr);
			va->attrs[i] = &va->ext[i].attr.attr;
		}
		snprintf(va->name, sizeof(va->name), "vector%u", n);
		va->group.name = va->name;
		va->group.attrs = va->attrs;
		link->groups[n] = &va->group;
	}
	return 0;
}

/**
 * rsl_mbox_sysfs_free() - free the attributes of the vectors
 * @link: the link; it may have none
 */
void rsl_mbox_sysfs_free(struct rsl_mbox *link)
{
	kfree(link->vector_attrs);
}
