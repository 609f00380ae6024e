/* SPDX-License-Identifier: Apache-2.0
 * A program under the emulator that makes the calls which responder.c answers in C.
 *
 * Usage: caller COUNT OTHERS NODE; OTHERS more files of /dev/iommu are open and used. Prints microseconds for
 * one call.
 */
#include <fcntl.h>

#include "calls.h"

#define IOAS_ALLOC 0x3b81
#define BIND_IOMMUFD 0x3b76

static int opened(const char *node)
{
	int file = open(node, O_RDWR | O_CLOEXEC);

	if (file < 0)
		die(node);
	return file;
}

int main(int argc, char **argv)
{
	int file = opened("/dev/iommu"), others = atoi(argv[2]);
	struct { uint32_t argsz, flags; int32_t iommufd; uint32_t id; } bind = { 16, 0, file, 0 };

	for (int i = 0; i < others; i++) {
		struct { uint32_t size, flags, id; } space = { 12, 0, 0 };

		if (ioctl(opened("/dev/iommu"), IOAS_ALLOC, &space))
			die("IOMMU_IOAS_ALLOC");
	}
	if (ioctl(opened(argv[3]), BIND_IOMMUFD, &bind))
		die("VFIO_DEVICE_BIND_IOMMUFD");
	printf("%f\n", measure(file, bind.id, atoi(argv[1])));
	return 0;
}
