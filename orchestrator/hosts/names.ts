/** The kinds of place an enclave can run. */
export const HOST_NAMES = ['local', 'qemu', 'nitro'] as const;
export type HostName = (typeof HOST_NAMES)[number];
