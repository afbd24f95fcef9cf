/**
 * The kernel's command line, measured in PCR0 and PCR1 and compiled into the init, which stops when there is more on it.
 *
 *     console=ttyS0        the serial port is the console
 *     quiet                warnings and worse; every line costs time on an emulated port
 *     reboot=t             an end by a triple fault, the end of the machine to every hypervisor; the keyboard controller, which
 *                          Linux tries next, is absent in QEMU's machine, where a restart would follow unseen
 *     rootfstype=ramfs     unpack into a ramfs: a tmpfs, the default, is refused more than half of the memory
 *     no_timer_check       on an emulated machine that shares its processor the timer comes too late for the kernel's test of
 *                          it, which then panics; on KVM, so on Nitro, the kernel leaves that test out by itself
 */
export const COMMAND_LINE = 'console=ttyS0 quiet reboot=t rootfstype=ramfs no_timer_check';
