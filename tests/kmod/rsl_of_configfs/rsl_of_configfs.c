// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device tree overlays on a live system, with the files that kernels of board vendors
 * have for it: a directory made in /sys/kernel/config/device-tree/overlays is an overlay.
 *
 *	dtbo	the blob, written in one go. It is applied when the file is closed, which
 *		never fails: status tells.
 *	path	the name of a blob below /lib/firmware, applied by the write, which fails
 *		where that does
 *	status	"applied" or "unapplied"
 *
 * Removing the directory removes the overlay. An overlay that is applied takes no other
 * blob: EPERM.
 */
#include <linux/configfs.h>
#include <linux/firmware.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/of.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

struct overlay {
	struct config_item item;
	struct mutex lock;	/* guards what follows */
	bool applied;
	int id;
	void *blob;	/* written to dtbo and applied */
	size_t size;
	char path[NAME_MAX + 1];
};

static struct overlay *to_overlay(struct config_item *item)
{
	return container_of(item, struct overlay, item);
}

static int overlay_apply(struct overlay *overlay, const void *blob, size_t size)
{
	int ret;

	lockdep_assert_held(&overlay->lock);
	overlay->id = 0;
	ret = of_overlay_fdt_apply(blob, size, &overlay->id, NULL);
	/* What was applied half has an id, too. */
	if (ret && overlay->id)
		of_overlay_remove(&overlay->id);
	overlay->applied = !ret;
	return ret;
}

static ssize_t overlay_path_show(struct config_item *item, char *page)
{
	struct overlay *overlay = to_overlay(item);
	ssize_t ret;

	mutex_lock(&overlay->lock);
	ret = sysfs_emit(page, "%s\n", overlay->path);
	mutex_unlock(&overlay->lock);
	return ret;
}

static ssize_t overlay_path_store(struct config_item *item, const char *page, size_t count)
{
	struct overlay *overlay = to_overlay(item);
	size_t length = strcspn(page, "\n");
	const struct firmware *firmware;
	char path[NAME_MAX + 1];
	int ret;

	if (!length || length >= sizeof(path))
		return -EINVAL;
	memcpy(path, page, length);
	path[length] = '\0';
	mutex_lock(&overlay->lock);
	ret = overlay->applied ? -EPERM : firmware_request_nowarn(&firmware, path, NULL);
	if (ret)
		goto unlock;
	ret = overlay_apply(overlay, firmware->data, firmware->size);
	if (!ret)
		strscpy(overlay->path, path, sizeof(overlay->path));
	release_firmware(firmware);
unlock:
	mutex_unlock(&overlay->lock);
	return ret ?: count;
}
CONFIGFS_ATTR(overlay_, path);

static ssize_t overlay_status_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%s\n",
			  READ_ONCE(to_overlay(item)->applied) ? "applied" : "unapplied");
}
CONFIGFS_ATTR_RO(overlay_, status);

static ssize_t overlay_dtbo_read(struct config_item *item, void *buf, size_t size)
{
	struct overlay *overlay = to_overlay(item);
	ssize_t ret;

	mutex_lock(&overlay->lock);
	/* Asked for the size first, without a buffer. */
	if (buf)
		memcpy(buf, overlay->blob, min(size, overlay->size));
	ret = overlay->size;
	mutex_unlock(&overlay->lock);
	return ret;
}

static ssize_t overlay_dtbo_write(struct config_item *item, const void *buf, size_t size)
{
	struct overlay *overlay = to_overlay(item);
	void *blob;
	int ret;

	blob = kmemdup(buf, size, GFP_KERNEL);
	if (!blob)
		return -ENOMEM;
	mutex_lock(&overlay->lock);
	ret = overlay->applied ? -EPERM : overlay_apply(overlay, blob, size);
	if (!ret) {
		swap(overlay->blob, blob);
		overlay->size = size;
	}
	mutex_unlock(&overlay->lock);
	kfree(blob);
	return ret ?: size;
}
CONFIGFS_BIN_ATTR(overlay_, dtbo, NULL, SZ_1M);

static struct configfs_attribute *overlay_attrs[] = {
	&overlay_attr_path,
	&overlay_attr_status,
	NULL
};

static struct configfs_bin_attribute *overlay_bin_attrs[] = {
	&overlay_attr_dtbo,
	NULL
};

static void overlay_release(struct config_item *item)
{
	struct overlay *overlay = to_overlay(item);

	kfree(overlay->blob);
	kfree(overlay);
}

static struct configfs_item_operations overlay_item_ops = {
	.release = overlay_release,
};

static const struct config_item_type overlay_type = {
	.ct_item_ops = &overlay_item_ops,
	.ct_attrs = overlay_attrs,
	.ct_bin_attrs = overlay_bin_attrs,
	.ct_owner = THIS_MODULE,
};

static struct config_item *overlays_make(struct config_group *group, const char *name)
{
	struct overlay *overlay = kzalloc(sizeof(*overlay), GFP_KERNEL);

	if (!overlay)
		return ERR_PTR(-ENOMEM);
	mutex_init(&overlay->lock);
	config_item_init_type_name(&overlay->item, name, &overlay_type);
	return &overlay->item;
}

static void overlays_drop(struct config_group *group, struct config_item *item)
{
	struct overlay *overlay = to_overlay(item);

	mutex_lock(&overlay->lock);
	if (overlay->applied)
		of_overlay_remove(&overlay->id);
	overlay->applied = false;
	mutex_unlock(&overlay->lock);
	config_item_put(item);
}

static struct configfs_group_operations overlays_ops = {
	.make_item = overlays_make,
	.drop_item = overlays_drop,
};

static const struct config_item_type overlays_type = {
	.ct_group_ops = &overlays_ops,
	.ct_owner = THIS_MODULE,
};

static const struct config_item_type device_tree_type = {
	.ct_owner = THIS_MODULE,
};

static struct config_group overlays;

static struct configfs_subsystem device_tree = {
	.su_group.cg_item = {
		.ci_namebuf = "device-tree",
		.ci_type = &device_tree_type,
	},
	.su_mutex = __MUTEX_INITIALIZER(device_tree.su_mutex),
};

static int __init rsl_of_configfs_init(void)
{
	config_group_init(&device_tree.su_group);
	config_group_init_type_name(&overlays, "overlays", &overlays_type);
	configfs_add_default_group(&overlays, &device_tree.su_group);
	return configfs_register_subsystem(&device_tree);
}
module_init(rsl_of_configfs_init);

static void __exit rsl_of_configfs_exit(void)
{
	configfs_unregister_subsystem(&device_tree);
}
module_exit(rsl_of_configfs_exit);

MODULE_DESCRIPTION("Device tree overlays in configfs, for the tests of rslctl");
MODULE_AUTHOR("The rsl_mbox developers");
MODULE_LICENSE("GPL");
