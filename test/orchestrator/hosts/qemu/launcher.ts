/** Launches an image on the qemu host and waits to be killed. Arguments: run folder, NSM folder, image, paths in JSON. */
import { createQemuHost } from '../../../../orchestrator/hosts/qemu.ts';
import { createAttestationIssuer } from '../../../../orchestrator/local/attestation-issuer.ts';
import { jsonFields } from '../../../../parties/json-fields.ts';

const [runFolder = '', nsmFolder = '', eifPath = '', paths = ''] = process.argv.slice(2);
const found = jsonFields(JSON.parse(paths), 'test/paths', 'paths');
const host = createQemuHost({
  runFolder,
  issuer: await createAttestationIssuer(nsmFolder),
  instanceId: 'i-0123456789abcdef0',
  roleArn: 'arn:aws:iam::999900001111:role/accord-host',
  cacheDir: '/nonexistent',
  qemu: { qemu: found.text('qemu'), firmware: found.text('firmware'), vsock: found.text('vsock') },
});
await host.launch({ collaboration: 'test', eifPath, memoryMiB: 448, cpus: 1 }, {});
process.stdout.write('launched\n');
setInterval(() => {}, 60_000);
