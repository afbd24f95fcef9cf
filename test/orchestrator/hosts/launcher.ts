/** Launches an image on the local host and waits to be killed. Arguments: run folder, NSM folder, image. */
import { createLocalHost } from '../../../orchestrator/hosts/local.ts';
import { createAttestationIssuer } from '../../../orchestrator/local/attestation-issuer.ts';

const [runFolder = '', nsmFolder = '', eifPath = ''] = process.argv.slice(2);
const host = createLocalHost({
  runFolder,
  issuer: await createAttestationIssuer(nsmFolder),
  instanceId: 'i-0123456789abcdef0',
  roleArn: 'arn:aws:iam::999900001111:role/accord-host',
});
await host.launch({ collaboration: 'test', eifPath, memoryMiB: 256, cpus: 1 }, {});
process.stdout.write('launched\n');
setInterval(() => {}, 60_000);
