// SPDX-License-Identifier: Apache-2.0
// The measure for a probe: the same system calls as vsmmu.probe.ask.ask(), in C.
// usage: peer DEVICE ROUNDS   prints nanoseconds for each round, and the registers of the last on stderr

#include <errno.h>
#include <fcntl.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int hw_info(int iommufd, uint32_t device, uint32_t type, void *data, uint32_t length)
{
	struct iommu_hw_info info = {
		.size = sizeof(info),
		.flags = type ? IOMMU_HW_INFO_FLAG_INPUT_TYPE : 0,
		.dev_id = device,
		.data_len = length,
		.data_uptr = (uintptr_t)data,
		.in_data_type = type,
		.out_capabilities = UINT64_MAX,
	};

	return ioctl(iommufd, IOMMU_GET_HW_INFO, &info);
}

static void nest(int iommufd, uint32_t device)
{
	struct iommu_ioas_alloc space = { .size = sizeof(space) };
	struct iommu_hwpt_alloc parent = {
		.size = sizeof(parent), .flags = IOMMU_HWPT_ALLOC_NEST_PARENT, .dev_id = device,
	};
	struct iommu_viommu_alloc viommu = {
		.size = sizeof(viommu), .type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3, .dev_id = device,
	};

	if (ioctl(iommufd, IOMMU_IOAS_ALLOC, &space))
		die("IOMMU_IOAS_ALLOC");
	parent.pt_id = space.out_ioas_id;
	if (ioctl(iommufd, IOMMU_HWPT_ALLOC, &parent))
		die("IOMMU_HWPT_ALLOC");
	viommu.hwpt_id = parent.out_hwpt_id;
	if (ioctl(iommufd, IOMMU_VIOMMU_ALLOC, &viommu) && errno != EOPNOTSUPP)
		die("IOMMU_VIOMMU_ALLOC");
}

static void ask(const char *path, void *data, uint32_t length)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = offsetof(struct vfio_device_bind_iommufd, token_uuid_ptr),
	};
	uint8_t cmdqv[64];
	int device;

	bind.iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	device = open(path, O_RDWR | O_CLOEXEC);
	if (bind.iommufd < 0 || device < 0)
		die(path);
	if (ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		die("VFIO_DEVICE_BIND_IOMMUFD");
	if (hw_info(bind.iommufd, bind.out_devid, 0, data, length))
		die("IOMMU_GET_HW_INFO");
	if (!hw_info(bind.iommufd, bind.out_devid, IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV, cmdqv, sizeof(cmdqv)))
		fprintf(stderr, "peer: CMDQV\n");
	nest(bind.iommufd, bind.out_devid);
	close(device);
	close(bind.iommufd);
}

int main(int argc, char **argv)
{
	struct iommu_hw_info_arm_smmuv3 smmu[2] = { 0 };

	if (argc != 3)
		return 2;
	for (int round = 0; round < atoi(argv[2]); round++) {
		int64_t start = now();

		ask(argv[1], smmu, 64);
		printf("%lld\n", (long long)(now() - start));
	}
	fprintf(stderr, "IDR0 %#010x IDR1 %#010x IDR3 %#010x IDR5 %#010x\n", smmu->idr[0], smmu->idr[1],
		smmu->idr[3], smmu->idr[5]);
	return 0;
}
