/** Compiles AssemblyScript as the kernel is compiled; without a text, the kernel's own. */
export function compileKernel(text?: string): Promise<{ readonly wasm: Uint8Array; readonly wat: string }>;
